"""The closed set of networks: what a card or a recipe may name, and with what sizes.

A shape holds the arguments of one network of ``inference/nets``; nothing here needs
torch. Every network takes frames whose sides are multiples of 32 and gives the same
planes, so all of them fit the same graph, engines and training.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from acquisition.errors import BadModel

LARGEST_STRIDE = 32
"""No network halves its input further: engines pad frames to multiples of this."""

MOST_TOKENS = 64 * 64
"""Full attention compares every token with every other; beyond this it is refused."""

Width = Annotated[int, Field(ge=8, le=1280, multiple_of=8)]
Attention = Literal["none", "window", "pooled", "full"]
Norm = Literal["batch", "instance"]
PerStep = tuple[Width, Width, Width, Width, Width]
PerSkip = tuple[Width, Width, Width, Width]
EncoderName = Literal[
    "densenet121",
    "inception_v3",
    "vgg16",
    "mobilenet_v2",
    "resnet50",
    "efficientnet_b0",
]


class _Shape(BaseModel):
    """A frozen set of arguments; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StemUNetShape(_Shape):
    """Arguments of :class:`inference.nets.stem_unet.StemUNet`."""

    kind: Literal["stem_unet"] = "stem_unet"
    stem: Literal[2, 4] = 4
    base: int = Field(32, ge=8, le=96, multiple_of=8)
    levels: int = Field(3, ge=1, le=3)


class UNetShape(_Shape):
    """Arguments of :class:`inference.nets.unet.UNet`."""

    kind: Literal["unet"] = "unet"
    widths: tuple[Width, ...] = Field((64, 128, 256, 512, 1024), min_length=2)
    """Channels of each level, the finest first."""

    @model_validator(mode="after")
    def _fits_the_padding(self) -> "UNetShape":
        _check_stride(2 ** (len(self.widths) - 1))
        return self


class AttentionUNetShape(_Shape):
    """Arguments of :class:`inference.nets.attention_unet.AttentionUNet`."""

    kind: Literal["attention_unet"] = "attention_unet"
    stem: Literal[1, 2, 4] = 1
    """Pixels a side that are folded into channels before the first level; 1: none."""
    widths: tuple[Width, ...] = Field((16, 32, 64, 128), min_length=2)
    """Channels of each level, the finest first."""
    attention: tuple[Attention, ...] = ("window", "window", "pooled", "pooled")
    """Kind of attention of each level, on its way down and on its way up."""
    feed_forward: int = Field(2, ge=1, le=4)
    """Hidden width of the two linear layers after the attention, in widths."""

    @model_validator(mode="after")
    def _levels_agree(self) -> "AttentionUNetShape":
        if len(self.attention) != len(self.widths):
            raise ValueError(
                f"attention names {len(self.attention)} levels, widths "
                f"{len(self.widths)}; give one kind of attention a level"
            )
        _check_stride(self.stem * 2 ** (len(self.widths) - 1))
        return self


class EUNetShape(_Shape):
    """Arguments of :class:`inference.nets.eunet.EUNet`."""

    kind: Literal["eunet"] = "eunet"
    encoder: Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"] = "b0"
    decoder: PerStep = (256, 128, 64, 32, 16)
    """Channels of each step upwards, the coarsest first; thin: 96, 64, 32, 16, 8."""


class VGGUNetShape(_Shape):
    """Arguments of :class:`inference.nets.vgg_unet.VGGUNet`."""

    kind: Literal["vgg_unet"] = "vgg_unet"
    decoder: PerStep = (512, 256, 128, 64, 32)
    """Channels of each step upwards, the coarsest first."""
    norms: tuple[Norm, Norm, Norm, Norm, Norm] = ("batch",) * 5
    """Normalisation of each step upwards, the coarsest first."""
    frozen_encoder: bool = False
    """Keep the encoder as it is in training; of use with weights from elsewhere."""


class GatedUNetShape(_Shape):
    """Arguments of :class:`inference.nets.gated_unet.GatedUNet`."""

    kind: Literal["gated_unet"] = "gated_unet"
    decoder: PerSkip = (256, 128, 64, 32)
    """Channels of each step upwards, the coarsest first."""
    frozen_encoder: bool = False
    """Keep the encoder as it is in training; of use with weights from elsewhere."""


class EncoderUNetShape(_Shape):
    """Arguments of :class:`inference.nets.encoder_unet.EncoderUNet`."""

    kind: Literal["encoder_unet"] = "encoder_unet"
    encoder: EncoderName = "densenet121"
    decoder: PerSkip = (512, 256, 128, 64)
    """Channels of each step upwards that joins features, the coarsest first."""
    frozen_encoder: bool = False
    """Keep the encoder, its running statistics too, as it is in training."""


class ViTUNetShape(_Shape):
    """Arguments of :class:`inference.nets.vit_unet.ViTUNet`."""

    kind: Literal["vit_unet"] = "vit_unet"
    size: Literal["tiny", "small", "base"] = "tiny"
    """Of the published family; base is ViT-B, tiny is meant for two cores."""


def _kind(value: Any) -> Any:
    """Give the kind of a shape; one that names none is of the default network."""
    if isinstance(value, dict):
        return value.get("kind", "stem_unet")
    return getattr(value, "kind", None)


Architecture = Annotated[
    Annotated[StemUNetShape, Tag("stem_unet")]
    | Annotated[EUNetShape, Tag("eunet")]
    | Annotated[AttentionUNetShape, Tag("attention_unet")]
    | Annotated[UNetShape, Tag("unet")]
    | Annotated[VGGUNetShape, Tag("vgg_unet")]
    | Annotated[GatedUNetShape, Tag("gated_unet")]
    | Annotated[EncoderUNetShape, Tag("encoder_unet")]
    | Annotated[ViTUNetShape, Tag("vit_unet")],
    Discriminator(
        _kind,
        custom_error_type="unknown_network",
        custom_error_message=(
            "kind is none of stem_unet, eunet, attention_unet, unet, vgg_unet, "
            "gated_unet, encoder_unet, vit_unet"
        ),
    ),
]


WITH_ENCODER = ("eunet", "vgg_unet", "gated_unet", "encoder_unet")
"""Kinds whose encoder may begin with published weights."""


def _check_stride(stride: int) -> None:
    if stride > LARGEST_STRIDE:
        raise ValueError(
            f"the coarsest level has a stride of {stride} px, at most "
            f"{LARGEST_STRIDE} are possible; take fewer levels or a smaller stem"
        )


def check_tokens(height: int, width: int) -> None:
    """Refuse full attention over too many tokens.

    Raises
    ------
    BadModel
        If there are more than 64 x 64.
    """
    if height * width > MOST_TOKENS:
        raise BadModel(
            f"full attention over {height} x {width} tokens; at most 64 x 64 are "
            "possible: take pooled or window attention at this level, or a smaller "
            "frame"
        )


def check_frame(shape: Architecture, frame: tuple[int, int]) -> None:
    """Refuse a frame ``(y, x)`` that is too large for the attention of a network.

    For engines that convert a network at one size and serve it at another.

    Raises
    ------
    BadModel
        If a level would attend in full to more than 64 x 64 tokens.
    """
    strides: list[int] = []
    if isinstance(shape, AttentionUNetShape):
        strides = [
            shape.stem * 2**level
            for level, attention in enumerate(shape.attention)
            if attention == "full"
        ]
    elif isinstance(shape, ViTUNetShape):
        strides = [16]
    for stride in strides:
        check_tokens(frame[0] // stride, frame[1] // stride)
