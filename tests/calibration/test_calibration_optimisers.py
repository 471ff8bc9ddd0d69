"""Muon and AdamW, stepped as one."""

import numpy as np
import pytest
import torch
from torch import nn

from calibration.training.optimisers import Optimisers, as_matrix, is_hidden_matrix
from calibration.training.recipe import Optimiser
from inference.architectures import Architecture, EUNetShape, StemUNetShape
from inference.nets.graph import build_network

MUON = Optimiser(kind="muon", rate=1e-3, matrix_rate=1e-3, weight_decay=0.0)


def network() -> nn.Module:
    """Give a small network as training holds it: channels last."""
    torch.manual_seed(1)
    net = build_network(StemUNetShape(stem=2, base=16, levels=1))
    return net.to(memory_format=torch.channels_last)


def moves(settings: Optimiser, net: nn.Module) -> dict[str, torch.Tensor]:
    """Give how far each weight of a network goes in one step down a steep hill."""
    optimisers = Optimisers(net, settings)
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    loss = net(torch.randn(2, 1, 32, 32))[:, 1].square().mean()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    optimisers.step(loss, scaler, factor=1.0, longest=1.0)
    return {
        name: weight.detach() - before[name] for name, weight in net.named_parameters()
    }


def test_muon_moves_every_direction_of_a_matrix_alike() -> None:
    """Singular values of the step lie close together; those of the gradient do not."""
    net = network()
    step = as_matrix(moves(MUON, net)["down.1.1.0.weight"])
    gradient = as_matrix(dict(net.named_parameters())["down.1.1.0.weight"].grad)

    stepped, given = torch.linalg.svdvals(step), torch.linalg.svdvals(gradient)

    assert stepped[0] / stepped[-1] < 2.5
    assert given[0] / given[-1] > 4


def test_the_rates_of_both_mean_the_same() -> None:
    """At one rate Muon moves a weight some 0.2 of what AdamW's first step does."""
    name = "down.1.1.0.weight"
    by_muon = moves(MUON, network())[name]
    by_adamw = moves(MUON.model_copy(update={"kind": "adamw"}), network())[name]

    assert by_adamw.square().mean().sqrt() == pytest.approx(1e-3, rel=0.05)
    assert by_muon.square().mean().sqrt() == pytest.approx(0.2e-3, rel=0.2)


def test_who_begins_gently_does_so_everywhere() -> None:
    """A recipe that names no rate for matrices gets ten times that of all else."""
    settings = MUON.model_copy(update={"rate": 1e-4, "matrix_rate": None})
    step = moves(settings, network())["down.1.1.0.weight"]

    assert step.square().mean().sqrt() == pytest.approx(0.2e-3, rel=0.2)


def test_what_is_no_hidden_matrix_is_left_to_adamw() -> None:
    """Biases, norms, depthwise convolutions and the head."""
    dense, depthwise = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=8)

    assert is_hidden_matrix("up.0.weight", dense.weight)
    assert not is_hidden_matrix("up.0.weight", depthwise.weight)
    assert not is_hidden_matrix("head.weight", dense.weight)
    assert dense.bias is not None
    assert not is_hidden_matrix("up.0.bias", dense.bias)


@pytest.mark.parametrize(
    "shape", [StemUNetShape(), EUNetShape()], ids=lambda shape: shape.kind
)
def test_the_last_layer_of_a_network_is_left_to_adamw(shape: Architecture) -> None:
    """Whatever the library calls it that the network comes from."""
    net = build_network(shape)
    weights = [(name, p) for name, p in net.named_parameters() if p.ndim > 1]

    assert is_hidden_matrix(*weights[-2])
    assert not is_hidden_matrix(*weights[-1])


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_matrix_is_the_memory_of_its_weight(layout: torch.memory_format) -> None:
    """What is done to the matrix is done to the convolution."""
    weight = torch.randn(4, 3, 3, 3).to(memory_format=layout)

    as_matrix(weight)[2] = 7.0

    assert (weight[2] == 7.0).all()
    assert not (weight[1] == 7.0).any()
    with pytest.raises(ValueError, match="no matrix"):
        as_matrix(weight[..., ::2])


def test_an_overflow_in_one_weight_steps_none() -> None:
    """Half precision overflows now and then: the scale falls, all weights stay."""
    net = network()
    before = [weight.detach().clone() for weight in net.parameters()]
    scaler = torch.amp.GradScaler("cpu")
    scale = scaler.get_scale()

    loss = sum(weight.sum() for weight in net.parameters()) + net.head.bias[0] * np.nan
    Optimisers(net, MUON).step(loss, scaler, factor=1.0, longest=1.0)

    assert all(map(torch.equal, before, net.parameters()))
    assert scaler.get_scale() < scale
