"""The graph as graphics cards run it: half precision inside, float32 where it decides.

Runs on a processor too, which is where it was tested.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from inference.cards import Model
from inference.nets.graph import Graph, Network, build_graph

HalfPrecision = Literal["f16", "bf16"]
DTYPES: dict[HalfPrecision, torch.dtype] = {
    "f16": torch.float16,
    "bf16": torch.bfloat16,
}


class HalfNetwork(nn.Module):
    """A network in half precision between an image and planes in float32."""

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype=dtype, memory_format=torch.channels_last)
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes ``(1, 4, H, W)`` of an image ``(1, 1, H, W)``."""
        return self.network(self._halved(image)).float()

    def folded(self, image: Tensor) -> Tensor:
        """Give the planes before they are unfolded, ``(1, 4 s s, H/s, W/s)``."""
        return self.network.folded(self._halved(image)).float()

    def _halved(self, image: Tensor) -> Tensor:
        return image.to(dtype=self.dtype, memory_format=torch.channels_last)


class CountsGraph(nn.Module):
    """Camera counts to 8-bit maps.

    ``raw`` ``(1, 1, H, W)`` holds the 16 bits of each count as int16, since torch can
    compute with hardly anything in uint16; offset and scale are those of
    :class:`inference.nets.graph.Graph`. Gives ``(3, H, W)`` uint8.
    """

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, raw: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        """Give the maps; see the class."""
        counts = raw.to(torch.int32).bitwise_and(0xFFFF)
        return self.graph(counts, offset, scale)[0].to(torch.uint8)


def half_graph(model: Model, precision: HalfPrecision) -> Graph:
    """Give the graph of a model with its network in half precision."""
    graph = build_graph(model.card, model.weights)
    half = HalfNetwork(graph.network, DTYPES[precision])
    graph.network = half  # type: ignore[assignment]
    return graph
