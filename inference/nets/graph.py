"""The graph that every engine runs: normalise, network, class decision.

Counts and two scalars go in, three 8-bit maps come out. That removes four float planes
of traffic per frame, and makes engines comparable at their outputs.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

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
)
from inference.cards import Card
from inference.nets.attention_unet import AttentionUNet
from inference.nets.encoder_unet import EncoderUNet
from inference.nets.eunet import EUNet
from inference.nets.gated_unet import GatedUNet
from inference.nets.stem_unet import PLANES, StemUNet
from inference.nets.unet import UNet
from inference.nets.vgg_unet import VGGUNet
from inference.nets.vit_unet import ViTUNet

Folding = StemUNet | AttentionUNet
"""Networks that give their planes before they are unfolded, too."""
Network = Folding | EUNet | UNet | VGGUNet | GatedUNet | EncoderUNet | ViTUNet


class Graph(nn.Module):
    """Camera or phase counts to maps.

    ``frame`` ``(1, 1, H, W)`` int32, ``offset`` ``(1,)`` int32 and ``scale`` ``(1,)``
    float give ``(1, 3, H, W)`` float, whole numbers 0 to 255: CellState codes, 255
    P(dead) and 255 times the separation distance.

    The offset is taken off as a whole number: an engine in bfloat16 would otherwise
    round counts around 16384 to multiples of 64, which is 13 mrad and moves the
    borders of faint cells (measured: 99.46 instead of 99.96 % equal cell pixels).

    The decision is taken before the pixels are unfolded, on whole channel groups: the
    large memory movement then carries three planes instead of four.
    """

    def __init__(
        self, network: Network, temperature: float, dead_offset: float = 0.0
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.dead_offset = dead_offset
        self.stem = network.stem if isinstance(network, Folding) else 1

    def forward(self, frame: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        """Give the maps; see the class."""
        image = (frame - offset).float() * scale
        run = self.network.folded if self.stem > 1 else self.network
        planes = run(image)  # (1, 4 s s, H/s, W/s), s = 1 where nothing is folded
        background, live, dead, separation = planes.chunk(PLANES, dim=1)
        is_cell = torch.maximum(live, dead) > background
        is_dead = dead > live
        classes = is_cell.float() + (is_cell & is_dead).float()  # CellState codes
        logit = (dead - live) / self.temperature + self.dead_offset
        probability = torch.sigmoid(logit)
        shares = torch.cat([probability, separation.clamp(0.0, 1.0)], dim=1)
        folded = torch.cat([classes, torch.round(shares * 255.0)], dim=1)
        if self.stem == 1:
            return folded
        return functional.pixel_shuffle(folded, self.stem)  # (1, 3, H, W)


def build_network(shape: Architecture, planes: int = PLANES) -> Network:
    """Make a network with random weights.

    Only one with the usual planes fits the graph; another number is for studies.
    """
    match shape:
        case StemUNetShape():
            return StemUNet(shape.stem, shape.base, shape.levels, planes)
        case EUNetShape():
            return EUNet(shape, planes)
        case AttentionUNetShape():
            return AttentionUNet(shape, planes)
        case UNetShape():
            return UNet(shape, planes)
        case VGGUNetShape():
            return VGGUNet(shape, planes)
        case GatedUNetShape():
            return GatedUNet(shape, planes)
        case EncoderUNetShape():
            return EncoderUNet(shape, planes)
        case ViTUNetShape():
            return ViTUNet(shape, planes)


def build_graph(card: Card, weights: Mapping[str, NDArray[np.generic]]) -> Graph:
    """Make the graph of a model, ready to serve.

    Raises
    ------
    BadModel
        If the weights do not fit the architecture of the card.
    """
    network = build_network(card.architecture)
    wanted = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    wrong = sorted(set(wanted) ^ set(weights)) or [
        name for name in wanted if tuple(wanted[name].shape) != weights[name].shape
    ]
    if wrong:
        raise BadModel(
            f"model {card.name}: {len(wrong)} weights do not fit the architecture of "
            f"the card ({wrong[0]} first); take card and weights from the same training"
        )
    for name, tensor in wanted.items():
        tensor.copy_(torch.from_numpy(weights[name].astype(np.float32)))
    graph = Graph(network.eval(), card.temperature, card.dead_offset)
    return graph.eval().requires_grad_(False)
