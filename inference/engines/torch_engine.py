"""The reference engine: torch, eager, float32. Slow, and what all others must match."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.architectures import check_frame
from inference.cards import Model
from inference.engines.padding import Padding
from inference.maps import Maps


class TorchEngine:
    """Runs a model in float32 on the processor; see :class:`inference.maps.Engine`."""

    name = "torch-f32"

    def __init__(self, model: Model, shape: tuple[int, int], threads: int) -> None:
        import torch

        from inference.nets.graph import build_graph

        self.model = model.label
        self._padding = Padding(shape)
        check_frame(model.card.architecture, self._padding.padded)
        torch.set_num_threads(threads)
        self._graph: Any = build_graph(model.card, model.weights)

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Give the maps of a frame ``(y, x)``."""
        import torch

        counts = self._padding.apply(frame).astype(np.int32)
        with torch.inference_mode():
            packed = self._graph(
                torch.from_numpy(counts)[None, None],
                torch.tensor([round(offset)], dtype=torch.int32),
                torch.tensor([scale], dtype=torch.float32),
            )
            maps = packed[0].to(torch.uint8).numpy()
        return self._padding.crop(maps)

    def close(self) -> None:
        """Let go of the network."""
        self._graph = None
