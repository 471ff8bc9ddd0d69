"""torch on a graphics card: half precision, channels last, one captured CUDA graph.

A frame of a small network is hundreds of short kernels; replaying them as one graph
spares the processor from launching each. Written, not run: no NVIDIA card was at hand.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from inference.architectures import check_frame
from inference.cards import Model
from inference.engines.cuda_device import find_card
from inference.engines.padding import Padding
from inference.maps import Maps

_WARM_UP = 3
"""Frames before the capture: libraries choose their kernels and take their memory."""


class CudaGraphEngine:
    """Runs a model on a graphics card; see :class:`inference.maps.Engine`.

    The addresses of all tensors are part of the captured graph, so input and output
    live in buffers that are made once.
    """

    def __init__(self, model: Model, shape: tuple[int, int], precision: str) -> None:
        find_card()
        import torch

        from inference.engines.half import DTYPES, CountsGraph, half_graph

        if precision not in DTYPES:
            raise BadModel(f"no {precision} on a graphics card; take f16 or bf16")
        self.name = f"torch-cuda-{precision}"
        self.model = model.label
        self._padding = Padding(shape)
        check_frame(model.card.architecture, self._padding.padded)
        self._module: Any = CountsGraph(half_graph(model, precision)).eval().cuda()
        self._stream = torch.cuda.Stream()
        self._graph: Any = torch.cuda.CUDAGraph()
        self._packed: Any = None
        self._make_buffers()
        with torch.inference_mode():
            self._capture()

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Give the maps of a frame ``(y, x)``."""
        import torch

        self._frame_view[:] = self._padding.apply(frame).view(np.int16)
        self._numbers[0] = float(round(offset))
        self._numbers[1] = scale
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._raw.copy_(self._frame, non_blocking=True)
            self._on_card.copy_(self._numbers, non_blocking=True)
            self._offset.copy_(self._on_card[:1])
            self._scale.copy_(self._on_card[1:])
            self._graph.replay()
            self._maps.copy_(self._packed, non_blocking=True)
        self._stream.synchronize()
        return self._padding.crop(self._maps.numpy())

    def close(self) -> None:
        """Let go of the graph and of the memory of the card."""
        self._graph = None
        self._module = None
        self._packed = None

    def _make_buffers(self) -> None:
        """Pin memory here and take memory there, once."""
        import torch

        height, width = self._padding.padded
        self._frame = torch.zeros(1, 1, height, width, dtype=torch.int16).pin_memory()
        self._frame_view = self._frame.numpy()[0, 0]
        self._numbers = torch.zeros(2, dtype=torch.float64).pin_memory()
        self._maps = torch.zeros(3, height, width, dtype=torch.uint8).pin_memory()
        self._raw = self._frame.cuda()
        self._on_card = self._numbers.cuda()
        self._offset = torch.zeros(1, dtype=torch.int32, device="cuda")
        self._scale = torch.ones(1, device="cuda")

    def _capture(self) -> None:
        """Warm up beside the default stream, as capturing demands, then capture."""
        import torch

        inputs = (self._raw, self._offset, self._scale)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP):
                self._module(*inputs)
        self._stream.synchronize()
        # Another thread may use the card while this one captures in the background.
        with torch.cuda.graph(
            self._graph, stream=self._stream, capture_error_mode="thread_local"
        ):
            self._packed = self._module(*inputs)
