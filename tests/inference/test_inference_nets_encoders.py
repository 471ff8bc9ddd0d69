"""Encoders: frozen, gated, and started from a file."""

import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from acquisition.errors import BadModel
from inference.architectures import (
    EncoderName,
    EncoderUNetShape,
    EUNetShape,
    GatedUNetShape,
    VGGUNetShape,
)
from inference.nets.attention_gate import AttentionGate
from inference.nets.encoder_unet import EncoderUNet
from inference.nets.encoder_weights import Encoded, load_encoder, published_name
from inference.nets.encoders import build_encoder
from inference.nets.eunet import EUNet
from inference.nets.gated_unet import GatedUNet
from inference.nets.vgg_unet import VGGUNet

SMALL = VGGUNetShape(decoder=(32, 16, 16, 8, 8))


# Names and shapes in files of torch: the first layer, and what is named oddly.
PUBLISHED: dict[EncoderName, dict[str, tuple[int, ...]]] = {
    "densenet121": {
        "features.conv0.weight": (64, 3, 7, 7),
        "features.denseblock3.denselayer24.norm2.running_var": (128,),
        "features.transition1.conv.weight": (128, 256, 1, 1),
        "features.norm5.bias": (1024,),
    },
    "inception_v3": {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch3x3dbl_3.bn.bias": (96,),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6c.branch7x7dbl_5.conv.weight": (192, 160, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
    },
    "vgg16": {"features.0.weight": (64, 3, 3, 3), "features.28.bias": (512,)},
    "mobilenet_v2": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.2.conv.1.0.weight": (96, 1, 3, 3),
        "features.17.conv.3.running_mean": (320,),
        "features.18.1.bias": (1280,),
    },
    "resnet50": {
        "conv1.weight": (64, 3, 7, 7),
        "layer2.0.downsample.0.weight": (512, 256, 1, 1),
        "layer4.2.bn3.running_mean": (2048,),
    },
    "efficientnet_b0": {
        "_conv_stem.weight": (32, 3, 3, 3),
        "_blocks.15._project_conv.weight": (320, 1152, 1, 1),
        "_conv_head.weight": (1280, 320, 1, 1),
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_have_their_published_names(name: EncoderName) -> None:
    """Each weight is looked for under the name it has in files of torch."""
    with torch.device("meta"):
        encoder = build_encoder(name)

    found = {
        published_name(encoder, own): tuple(tensor.shape)
        for own, tensor in encoder.state_dict().items()
    }

    for wanted, (outputs, inputs, *rest) in (
        (wanted, (*shape, 0)) for wanted, shape in PUBLISHED[name].items()
    ):
        grey = (outputs, 1 if inputs == 3 else inputs, *rest)
        assert (*found[wanted], 0) == grey


def published(network: Encoded) -> dict[str, Tensor]:
    """Give an encoder as such files are: three colours, with a classifier."""
    colours = {}
    for name, tensor in network.encoder.state_dict().items():
        if tensor.ndim == 4 and tensor.shape[1] == 1 and not name.endswith(DEPTHWISE):
            tensor = tensor.repeat(1, 3, 1, 1) / 3
        colours[published_name(network.encoder, name)] = tensor
    return colours | {"_fc.weight": torch.zeros(3, 4)}


DEPTHWISE = ("_depthwise_conv.weight", "conv.0.0.weight", "conv.1.0.weight")


def make(kind: str, seed: int) -> Encoded:
    """Make a network from a seed."""
    torch.manual_seed(seed)
    if kind == "vgg":
        return VGGUNet(SMALL).eval()
    if kind == "eunet":
        return EUNet(EUNetShape(decoder=(32, 16, 16, 8, 8))).eval()
    shape = {"encoder": kind, "decoder": (16, 16, 8, 8)}
    return EncoderUNet(EncoderUNetShape.model_validate(shape)).eval()


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("eunet", ".pth"), ("vgg", ".safetensors"), ("mobilenet_v2", ".pth")],
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


def test_old_files_of_densenet_are_read(tmp_path: Path) -> None:
    """They number norms and convolutions behind a point."""
    path, given = tmp_path / "old.pth", make("densenet121", 0)
    network = make("densenet121", 1)
    old = {
        re.sub(r"(layer\d+\.\w+)([12])\.", r"\1.\2.", name): tensor
        for name, tensor in published(given).items()
    }
    torch.save(old, path)

    load_encoder(network, path)

    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    for name, tensor in given.encoder.state_dict().items():
        torch.testing.assert_close(network.encoder.state_dict()[name], tensor)


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


@pytest.mark.parametrize("name", ["densenet121", "resnet50", "efficientnet_b0"])
def test_a_frozen_encoder_keeps_its_statistics(name: EncoderName) -> None:
    """In training its normalisation stays as it is; the decoder's follows."""
    network = EncoderUNet(EncoderUNetShape(encoder=name, frozen_encoder=True)).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}

    network(torch.randn(2, 1, 32, 32))

    moved = {
        k for k, v in network.state_dict().items() if not torch.equal(v, before[k])
    }
    assert moved
    assert not any(k.startswith("encoder.") for k in moved)
    assert network.head.training
    assert not network.eval().head.training


@torch.no_grad()
def test_every_gate_before_the_poolings_matters() -> None:
    """Each of the four runs once an image; with any of them shut the planes differ."""
    torch.manual_seed(0)
    network = GatedUNet(GatedUNetShape(decoder=(16, 16, 8, 8))).eval()
    gates = [m for m in network.modules() if isinstance(m, AttentionGate)]
    image, runs = torch.randn(1, 1, 32, 32), []
    for gate in gates:
        gate.register_forward_hook(lambda m, _i, _o: runs.append(m))

    planes = network(image)

    assert len(runs) == len(set(runs)) == len(gates) == 4
    for gate in gates:
        shut = gate.register_forward_hook(lambda _m, _i, out: 0 * out)
        assert not torch.equal(network(image), planes)
        shut.remove()


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
