"""OpenVINO on the processor: bfloat16 where the hardware has it, 8 bits, float32.

The converted graph is kept in the engine cache, so that a warm start needs neither
torch nor a conversion.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.architectures import check_frame
from inference.cards import Model
from inference.engines.cache import EngineCache, EngineKey, engine_key
from inference.engines.openvino_graph import (
    Precision,
    load_openvino,
    open_graph,
    write_graph,
)
from inference.engines.padding import Padding, padded_shape
from inference.maps import Maps

__all__ = [
    "OpenVinoEngine",
    "Precision",
    "load_openvino",
    "openvino_key",
    "supported_precisions",
]


def supported_precisions() -> tuple[Precision, ...]:
    """Give the precisions that this processor has in hardware, to be tried in order.

    Without bfloat16, 8 bits come first; with it they come second, since they are faster
    on plain networks only, and farther from the reference on all.
    """
    core = load_openvino().Core()
    abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    eight: tuple[Precision, ...] = ("int8",) if "INT8" in abilities else ()
    return ("bf16", *eight, "f32") if "BF16" in abilities else (*eight, "f32")


def openvino_key(
    model: Model, shape: tuple[int, int], precision: Precision
) -> EngineKey:
    """Give the key of an engine for frames of ``shape`` (y, x) in the cache."""
    return engine_key(model, padded_shape(shape), precision, "openvino")


class OpenVinoEngine:
    """Runs a model through OpenVINO; see :class:`inference.maps.Engine`."""

    def __init__(
        self,
        model: Model,
        shape: tuple[int, int],
        threads: int,
        precision: Precision,
        cache: Path | None = None,
    ) -> None:
        self.name = f"openvino-{precision}"
        self.model = model.label
        self._padding = Padding(shape)
        padded = self._padding.padded
        check_frame(model.card.architecture, padded)
        entries, key = EngineCache(cache), openvino_key(model, shape, precision)
        folder = entries.find(model, key) or entries.put(
            model, key, lambda fresh: write_graph(model, padded, precision, fresh)
        )
        self._request = open_graph(folder, _layers_around(precision), threads)
        self._offset = np.zeros(1, np.int32)
        self._scale = np.ones(1, np.float32)

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Give the maps of a frame ``(y, x)``."""
        self._offset[0] = round(offset)
        self._scale[0] = scale
        counts = self._padding.apply(frame)[None, None]
        inputs = {0: counts, 1: self._offset, 2: self._scale}
        self._request.infer(inputs, share_inputs=True, share_outputs=True)
        # The next frame overwrites the output, so the maps are copied out.
        return self._padding.crop(self._request.get_output_tensor(0).data[0])

    def close(self) -> None:
        """Let go of the compiled graph and its threads."""
        self._request = None


def _layers_around(precision: Precision) -> Precision:
    """Give the precision of the layers that are not convolutions in 8 bits."""
    if precision != "int8":
        return precision
    return "bf16" if "bf16" in supported_precisions() else "f32"
