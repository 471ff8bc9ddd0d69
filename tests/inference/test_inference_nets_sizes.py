"""Sizes of the networks: parameters as published, operations as counted by hand."""

import itertools
import math
from typing import get_args

import pytest
import torch

from acquisition.errors import BadModel
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
from inference.nets.cost import network_cost
from inference.nets.encoders import build_encoder
from inference.nets.graph import build_network

# Parameters of the published classifiers, by encoder, with 1000 classes
# (EfficientNet: Tan, Le 2019), and the channels before the classifier.
PUBLISHED = {
    "b0": (5_288_548, 1280),
    "b1": (7_794_184, 1280),
    "b2": (9_109_994, 1408),
    "b3": (12_233_232, 1536),
    "b4": (19_341_616, 1792),
    "b5": (30_389_784, 2048),
    "b6": (43_040_704, 2304),
    "b7": (66_347_960, 2560),
}


def counted(network: torch.nn.Module) -> int:
    """Count the parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("encoder", PUBLISHED)
def test_efficientnet_encoders_have_their_published_size(encoder: str) -> None:
    """Features, head and classifier of each encoder make up the published number."""
    total, head = PUBLISHED[encoder]
    with torch.device("meta"):
        network = build_network(EUNetShape(encoder=encoder))

    found = counted(network.encoder)
    # what a decoder does not read: a 1 x 1 convolution with normalisation on the last
    # features, a quarter of the head wide, and the classifier
    unread = head * head // 4 + 2 * head + 1000 * (head + 1)

    assert found == pytest.approx(total - unread, rel=0.01)
    assert found + unread == pytest.approx(total, rel=0.001)


def test_efficientnet_features_are_those_of_the_paper() -> None:
    """B0 gives 16, 24, 40, 112 and 320 channels at strides 2 to 32."""
    with torch.device("meta"):
        network = build_network(EUNetShape()).eval()

    features = network.encoder(torch.empty(1, 1, 64, 64, device="meta"))

    assert [f.shape[1] for f in features] == [16, 24, 40, 112, 320]
    assert [f.shape[2] for f in features] == [32, 16, 8, 4, 2]


@pytest.mark.parametrize(
    ("shape", "whole", "trained"),
    [
        (EncoderUNetShape(frozen_encoder=True), 22.7e6, 15.7e6),
        (GatedUNetShape(frozen_encoder=True), 18.8e6, 4.09e6),
        (VGGUNetShape(frozen_encoder=True), 28.85e6, 14.1e6),
    ],
    ids=["DenseNet121", "VGG16 before its poolings", "VGG16"],
)
def test_brightfield_networks_have_their_published_size(
    shape: Architecture, whole: float, trained: float
) -> None:
    """The whole, and what is trained with a frozen encoder, are within 5 %."""
    cost = network_cost(shape, (256, 256))

    assert cost.parameters == pytest.approx(whole, rel=0.05)
    assert cost.trainable == pytest.approx(trained, rel=0.05)


# Weights and running statistics without a classifier, in millions, as the table of
# the study implies them.
ENCODERS: dict[EncoderName, float] = {
    "densenet121": 7.05,
    "inception_v3": 21.80,
    "vgg16": 14.72,
    "mobilenet_v2": 2.26,
    "resnet50": 23.59,
    "efficientnet_b0": 4.05,
}


@pytest.mark.parametrize("encoder", get_args(EncoderName))
def test_encoders_of_the_study_have_their_published_size(encoder: EncoderName) -> None:
    """Each is within 2 %, and its five features lie at strides of 2 to 32."""
    with torch.device("meta"):
        found = build_encoder(encoder).eval()
        features = found(torch.empty(1, 1, 64, 96))
    size = counted(found) + sum(
        one.numel() for one in found.buffers() if one.is_floating_point()
    )

    assert size == pytest.approx(1e6 * ENCODERS[encoder], rel=0.02)
    assert [f.shape[1] for f in features] == list(found.widths)
    assert [f.shape[2] for f in features] == [32, 16, 8, 4, 2]
    assert [f.shape[3] for f in features] == [48, 24, 12, 6, 3]


@pytest.mark.parametrize(
    ("shape", "published"),
    [(UNetShape(), 31.55e6), (ViTUNetShape(size="base"), 88.57e6)],
    ids=["unet", "vit"],
)
def test_baselines_have_about_their_published_size(
    shape: Architecture, published: float
) -> None:
    """The baselines are within 2 % of the table they are compared in."""
    cost = network_cost(shape, (256, 256))

    assert cost.parameters == cost.trainable
    assert cost.parameters == pytest.approx(published, rel=0.02)


def test_operations_of_a_small_network_are_those_counted_by_hand() -> None:
    """A multiplication and an addition are two operations, in every convolution."""
    widths = (8, 16)
    first = 9 * (1 * 8 + 8 * 8) + 9 * (16 * 8 + 8 * 8) + 8 * 4  # and the head
    second = 9 * (8 * 16 + 16 * 16) + 4 * 16 * 8  # and the transposed convolution

    cost = network_cost(UNetShape(widths=widths), (64, 32))

    assert cost.gflop == pytest.approx(2e-9 * (64 * 32 * first + 32 * 16 * second))


def test_operations_of_attention_are_counted() -> None:
    """Attention adds its four linear layers, its feed-forward and both products."""
    size, width, tokens = 64, 16, 32 * 32
    shapes = [
        AttentionUNetShape(widths=(8, width), attention=("none", kind), feed_forward=2)
        for kind in ("none", "full")
    ]

    without, with_it = (network_cost(shape, (size, size)).gflop for shape in shapes)
    linear = 2 * tokens * width**2 * (4 + 2 * 2)
    products = 2 * 2 * tokens**2 * width

    assert with_it - without == pytest.approx(1e-9 * (linear + products))


def test_operations_grow_with_the_frame() -> None:
    """A network of convolutions takes four times as many for twice the side."""
    costs = [network_cost(StemUNetShape(), (side, side)) for side in (512, 1024)]

    assert costs[1].gflop == pytest.approx(4 * costs[0].gflop)
    assert costs[0].gflop == pytest.approx(5.5, rel=0.02)
    assert costs[0].parameters == costs[1].parameters


def test_a_thin_decoder_is_cheaper() -> None:
    """E-U-Net B0 with half the widths upwards takes less than half the operations."""
    wide, thin = (
        network_cost(EUNetShape(decoder=decoder), (512, 512))
        for decoder in ((256, 128, 64, 32, 16), (96, 64, 32, 16, 8))
    )

    assert thin.gflop < wide.gflop / 2
    assert wide.gflop == pytest.approx(19.0, rel=0.02)


def test_a_frame_too_large_has_no_cost() -> None:
    """A transformer on more than 64 x 64 patches is refused, not counted."""
    with pytest.raises(BadModel, match="80 x 64 tokens"):
        network_cost(ViTUNetShape(), (1280, 1024))


def test_sizes_of_the_transformers_rise() -> None:
    """Tiny, small and base are in this order, each about four times the last."""
    sizes = [
        network_cost(ViTUNetShape(size=size), (64, 64)).parameters
        for size in ("tiny", "small", "base")
    ]

    for smaller, larger in itertools.pairwise(sizes):
        assert math.log2(larger / smaller) == pytest.approx(2, abs=0.05)
