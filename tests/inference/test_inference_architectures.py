"""The closed set of networks: what may be named, and how the rest is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from acquisition.errors import BadModel
from inference.architectures import (
    Architecture,
    AttentionUNetShape,
    EncoderUNetShape,
    EUNetShape,
    GatedUNetShape,
    StemUNetShape,
    UNetShape,
    VGGUNetShape,
    ViTUNetShape,
    check_frame,
)
from inference.cards import load_model
from inference.engines.openvino_engine import OpenVinoEngine
from inference.engines.torch_engine import TorchEngine

SHAPES = TypeAdapter(Architecture)
EVERY_KIND = [
    StemUNetShape(),
    EUNetShape(encoder="b3", decoder=(96, 64, 32, 16, 8)),
    AttentionUNetShape(attention=("none", "window", "pooled", "full")),
    UNetShape(widths=(16, 32)),
    VGGUNetShape(norms=("batch", "batch", "batch", "instance", "instance")),
    GatedUNetShape(decoder=(128, 64, 32, 16), frozen_encoder=True),
    EncoderUNetShape(encoder="inception_v3", frozen_encoder=True),
    ViTUNetShape(size="base"),
]


@pytest.mark.parametrize("shape", EVERY_KIND, ids=lambda s: s.kind)
def test_shapes_survive_a_card(shape: Architecture) -> None:
    """Every kind of network comes back from a card as it was written."""
    card = load_model("slim").card.model_copy(update={"architecture": shape})

    again = type(card).model_validate_json(card.model_dump_json())

    assert again.architecture == shape


def test_the_shipped_card_reads_as_ever() -> None:
    """Other kinds of network have not changed the card of the shipped one."""
    model = load_model("slim")

    assert isinstance(model.card.architecture, StemUNetShape)
    assert list(model.card.architecture.model_dump()) == [
        "kind",
        "stem",
        "base",
        "levels",
    ]


def test_without_a_kind_it_is_the_default_network() -> None:
    """Sizes alone name the stem U-Net."""
    assert SHAPES.validate_python({"base": 16}) == StemUNetShape(base=16)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown kind": ({"kind": "my_net"}, "none of stem_unet, eunet"),
    "foreign argument": ({"kind": "unet", "stem": 4}, "Extra inputs"),
    "unknown encoder": ({"kind": "eunet", "encoder": "b8"}, "'b0'"),
    "no published encoder": (
        {"kind": "encoder_unet", "encoder": "resnet18"},
        "'densenet121', 'inception_v3', 'vgg16'",
    ),
    "short decoder": ({"kind": "eunet", "decoder": [64, 32]}, "Field required"),
    "odd width": ({"kind": "unet", "widths": [12, 24]}, "multiple of 8"),
    "too many levels": (
        {"kind": "unet", "widths": [8] * 7},
        "stride of 64 px, at most 32",
    ),
    "stem and levels": (
        {
            "kind": "attention_unet",
            "stem": 4,
            "widths": [8] * 5,
            "attention": ["none"] * 5,
        },
        "stride of 64 px, at most 32",
    ),
    "attention of no level": (
        {"kind": "attention_unet", "attention": ["full"]},
        "names 1 levels, widths 4",
    ),
    "no such attention": (
        {"kind": "attention_unet", "widths": [8, 8], "attention": ["none", "axial"]},
        "'window'",
    ),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_other_networks_are_refused(given: dict[str, Any], message: str) -> None:
    """What is no network of the set is refused with what would be possible."""
    with pytest.raises(ValidationError, match=message):
        SHAPES.validate_python(given)


FULL = AttentionUNetShape(attention=("none", "none", "pooled", "full"))


@pytest.mark.parametrize(
    ("shape", "largest"),
    [
        (FULL, 512),
        (FULL.model_copy(update={"stem": 4}), 2048),
        (ViTUNetShape(), 1024),
    ],
    ids=["full at level 3", "behind a stem", "transformer"],
)
def test_full_attention_limits_the_frame(shape: Architecture, largest: int) -> None:
    """Frames up to 64 x 64 tokens are taken, larger ones are not."""
    check_frame(shape, (largest, largest))

    with pytest.raises(BadModel, match="at most 64 x 64"):
        check_frame(shape, (largest, largest + 32))


def test_other_networks_take_any_frame() -> None:
    """Nothing but full attention limits the frame."""
    check_frame(AttentionUNetShape(), (4096, 4096))
    check_frame(StemUNetShape(), (8192, 8192))
    with pytest.raises(BadModel):
        check_frame(FULL, (4096, 4096))


def test_engines_refuse_a_frame_before_they_build(tmp_path: Path) -> None:
    """A frame too large for the attention is refused at once, not when it is seen."""
    model = load_model("slim")
    card = model.card.model_copy(update={"architecture": ViTUNetShape()})

    for build in (
        lambda: TorchEngine(replace(model, card=card), (2048, 2048), 1),
        lambda: OpenVinoEngine(
            replace(model, card=card), (2048, 2048), 1, "f32", tmp_path
        ),
    ):
        with pytest.raises(BadModel, match="128 x 128 tokens"):
            build()
