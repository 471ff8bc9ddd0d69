"""Every kind of network: planes, the graph around it, and the way into an engine."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference.architectures import (
    Architecture,
    AttentionUNetShape,
    EncoderName,
    EncoderUNetShape,
    EUNetShape,
    GatedUNetShape,
    StemUNetShape,
    UNetShape,
    VGGUNetShape,
    ViTUNetShape,
)
from inference.engines.openvino_engine import load_openvino
from inference.nets.graph import Graph, build_network
from inference.nets.stem_unet import PLANES

TINY: dict[str, Architecture] = {
    "stem_unet": StemUNetShape(base=8, levels=1),
    "eunet": EUNetShape(decoder=(32, 16, 16, 8, 8)),
    "unet": UNetShape(widths=(8, 16, 32)),
    "attention_unet": AttentionUNetShape(
        stem=2, widths=(8, 16, 16), attention=("window", "pooled", "full")
    ),
    "vgg_unet": VGGUNetShape(decoder=(32, 16, 16, 8, 8)),
    "gated_unet": GatedUNetShape(decoder=(16, 16, 8, 8)),
    "vit_unet": ViTUNetShape(),
} | {
    name: EncoderUNetShape(encoder=name, decoder=(16, 16, 8, 8))
    for name in get_args(EncoderName)
}
FRAME = torch.randint(
    16_000, 17_000, (1, 1, 64, 96), generator=torch.Generator().manual_seed(0)
)
OFFSET, SCALE = 16_384, 0.003


def lively(shape: Architecture) -> Graph:
    """Make a graph whose planes have mean 0 and spread 1 on the frame of the tests."""
    torch.manual_seed(0)
    network = build_network(shape).eval()
    run = network.folded if hasattr(network, "folded") else network
    head = [part for part in network.modules() if isinstance(part, nn.Conv2d)][-1]
    with torch.no_grad():
        spread, mean = torch.std_mean(run((FRAME - OFFSET) * SCALE), (0, 2, 3))
        head.weight /= spread[:, None, None, None]
        head.bias.copy_((head.bias - mean) / spread)
    return Graph(network, 1.0).eval().requires_grad_(False)


def scalars() -> tuple[Tensor, Tensor]:
    """Give offset and scale as the graph takes them."""
    return torch.tensor([OFFSET], dtype=torch.int32), torch.tensor([SCALE])


@pytest.mark.parametrize("planes", [PLANES, 1])
@pytest.mark.parametrize("shape", TINY.values(), ids=TINY)
def test_every_network_has_planes_of_its_image(
    shape: Architecture, planes: int
) -> None:
    """Images whose sides are multiples of 32 give as many planes as were asked for."""
    with torch.device("meta"):
        network = build_network(shape, planes).eval()

    found = network(torch.empty(2, 1, 32, 96, device="meta"))

    assert found.shape == (2, planes, 32, 96)


# The shipped network is converted elsewhere, and two others hold VGG16.
@pytest.mark.parametrize("name", sorted(set(TINY) - {"stem_unet", "vgg16"}))
def test_openvino_converts_every_network(name: str) -> None:
    """Converted at one size and served at another, the maps are those of torch."""
    openvino, graph = load_openvino(), lively(TINY[name])
    example = (torch.zeros(1, 1, 32, 32, dtype=torch.int32), *scalars())
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}

    converted = openvino.convert_model(graph, example_input=example)
    converted.reshape({0: [1, 1, 64, 96], 1: [1], 2: [1]})
    served = openvino.Core().compile_model(converted, "CPU", hints)
    inputs = (FRAME.int(), *scalars())
    found = served([given.numpy() for given in inputs])[0]
    wanted = graph(*inputs).numpy()

    assert len(np.unique(wanted[0, 0])) == 3
    assert np.mean(found[0, 0] == wanted[0, 0]) >= 0.99
    assert np.abs(found - wanted)[:, 1:].max() <= 2


@pytest.mark.parametrize("name", ["unet", "attention_unet"])
@torch.no_grad()
def test_graph_decides_as_the_planes_of_every_network_say(name: str) -> None:
    """Folded or not, the maps follow from the planes in the same way."""
    graph = lively(TINY[name])

    maps = graph(FRAME, *scalars())[0]
    planes = graph.network((FRAME - OFFSET).float() * SCALE)[0]

    torch.testing.assert_close(maps[0], planes[:3].argmax(0).float())
    wanted = torch.round(255 * torch.sigmoid(planes[2] - planes[1]))
    torch.testing.assert_close(maps[1], wanted)
    torch.testing.assert_close(maps[2], torch.round(255 * planes[3].clamp(0, 1)))


@pytest.mark.parametrize("name", ["eunet", "gated_unet", *get_args(EncoderName)])
def test_no_weight_is_idle(name: str) -> None:
    """A loss on the planes reaches every weight, so none is shipped for nothing."""
    torch.manual_seed(0)
    network = build_network(TINY[name]).train()

    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    idle = [n for n, weight in network.named_parameters() if weight.grad is None]

    assert idle == []
