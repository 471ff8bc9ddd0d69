"""Encoders: frozen, gated, and started from a file."""

import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from acquisition.errors import BadModel
from inference.architectures import EUNetShape, VGGUNetShape
from inference.nets.encoder_weights import load_encoder
from inference.nets.eunet import EUNet
from inference.nets.vgg_unet import AttentionGate, VGGUNet

SMALL = VGGUNetShape(decoder=(32, 16, 16, 8, 8))


def published(network: EUNet | VGGUNet) -> dict[str, Tensor]:
    """Give an encoder as such files are: three colours, with a classifier."""
    colours = {}
    for name, tensor in network.encoder.state_dict().items():
        if tensor.ndim == 4 and tensor.shape[1] == 1 and "depthwise" not in name:
            tensor = tensor.repeat(1, 3, 1, 1) / 3
        if isinstance(network, VGGUNet):
            colours[f"features.{name}"] = tensor
        else:
            colours[re.sub(r"_blocks\.\d+\.", "_blocks.", name)] = tensor
    return colours | {"_fc.weight": torch.zeros(3, 4)}


def make(kind: str, seed: int) -> EUNet | VGGUNet:
    """Make a network from a seed."""
    torch.manual_seed(seed)
    if kind == "vgg":
        return VGGUNet(SMALL).eval()
    return EUNet(EUNetShape(decoder=(32, 16, 16, 8, 8))).eval()


@pytest.mark.parametrize(
    ("kind", "suffix"), [("eunet", ".pth"), ("vgg", ".safetensors")]
)
def test_an_encoder_starts_from_a_file(tmp_path: Path, kind: str, suffix: str) -> None:
    """A published file of either form fills the whole encoder."""
    path, given, network = tmp_path / f"weights{suffix}", make(kind, 0), make(kind, 1)
    tensors = {name: t.contiguous() for name, t in published(given).items()}
    (save_file if suffix == ".safetensors" else torch.save)(tensors, path)

    load_encoder(network, path)

    for name, tensor in given.encoder.state_dict().items():
        torch.testing.assert_close(network.encoder.state_dict()[name], tensor)


def test_a_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    """Nothing is copied from a file that does not hold the whole encoder."""
    path, network = tmp_path / "weights.pth", make("vgg", 1)
    tensors = published(make("vgg", 0))
    del tensors["features.28.weight"]
    torch.save(tensors, path)
    before = network.encoder[0].weight.clone()

    with pytest.raises(BadModel, match=r"1 of 26 weights .* \(28.weight first\)"):
        load_encoder(network, path)

    assert torch.equal(network.encoder[0].weight, before)


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


@pytest.mark.parametrize("name", ["code.pth", "no.safetensors", "absent.pth"])
def test_a_file_with_code_is_refused(tmp_path: Path, name: str) -> None:
    """Files that are no plain tensors, or not there, give one clear error."""
    path = tmp_path / name
    if not name.startswith("absent"):
        path.write_bytes(pickle.dumps(_Malicious(), protocol=2))

    with pytest.raises(BadModel, match=re.escape(str(path))):
        load_encoder(make("vgg", 0), path)


def test_a_frozen_encoder_stays_as_it_is() -> None:
    """Training moves the decoder alone, and no gradient is kept for the encoder."""
    network = VGGUNet(SMALL.model_copy(update={"frozen_encoder": True})).train()
    before = network.encoder[0].weight.clone()
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)

    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    optimiser.step()

    assert torch.equal(network.encoder[0].weight, before)
    assert all(weight.grad is None for weight in network.encoder.parameters())
    assert network.head.weight.grad is not None


@torch.no_grad()
def test_the_gate_is_that_of_the_paper() -> None:
    """Features are weighted by sigmoid(conv(ReLU(conv(x) + conv(g))))."""
    gate = AttentionGate(8, 6)
    x, g = torch.randn(1, 8, 5, 5), torch.randn(1, 6, 5, 5)

    shut, open_ = gate.weight.bias - 100, gate.weight.bias + 100
    inner = torch.relu(gate.of_features(x) + gate.of_signal(g))
    wanted = x / (1 + torch.exp(-gate.weight(inner)))

    torch.testing.assert_close(gate(x, g), wanted)
    for bias, limit in ((shut, 0 * x), (open_, x)):
        gate.weight.bias.copy_(bias)
        torch.testing.assert_close(gate(x, g), limit)


def test_dropout_grows_with_depth() -> None:
    """Whole channels are dropped: 0.4 of them in the coarsest step, 0.2 in the last."""
    dropped = [m for m in VGGUNet(SMALL).modules() if isinstance(m, nn.Dropout2d)]

    assert [layer.p for layer in dropped] == [0.4, 0.35, 0.3, 0.25, 0.2]


def test_each_step_has_the_normalisation_it_is_given() -> None:
    """Batch and instance normalisation may be mixed."""
    norms = ("batch", "instance", "batch", "instance", "batch")
    network = VGGUNet(SMALL.model_copy(update={"norms": norms}))

    for step, norm in zip(network.up, norms, strict=True):
        kinds = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}
        found = [m for m in step.modules() if isinstance(m, tuple(kinds.values()))]
        assert len(found) == 3
        assert all(isinstance(m, kinds[norm]) for m in found)
