"""OpenVINO on the processor: bfloat16 where the hardware has it, float32 elsewhere.

The converted graph is kept in the user's cache folder, so that a warm start needs
neither torch nor a conversion. A cache entry is derived: one that does not match its
hashes is made again.
"""

import hashlib
import json
import logging
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import platformdirs
from numpy.typing import NDArray

from acquisition.errors import BadModel
from inference.architectures import check_frame
from inference.cards import Model, sha256
from inference.engines.padding import MULTIPLE_PX, Padding
from inference.maps import Maps

logger = logging.getLogger(__name__)

Precision = Literal["f32", "bf16"]

GRAPH_VERSION = 1
"""Raised when ``inference/nets`` changes what a graph computes from the same card."""

_GRAPH_FILE = "graph.xml"
_NUMBERS_FILE = "graph.bin"
_HASHES_FILE = "hashes.json"


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports to the network.

    Its start-up code tries to import ``openvino_telemetry``; an entry of None in the
    table of modules makes that fail, which OpenVINO accepts quietly.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def supported_precisions() -> tuple[Precision, ...]:
    """Give the precisions this processor has in hardware, the fastest first."""
    core = load_openvino().Core()
    abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bf16", "f32") if "BF16" in abilities else ("f32",)


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
        openvino = load_openvino()
        self.name = f"openvino-{precision}"
        self.model = model.label
        self._padding = Padding(shape)
        check_frame(model.card.architecture, self._padding.padded)
        folder = _cached_graph(
            model,
            self._padding.padded,
            precision,
            cache or platformdirs.user_cache_path("vigil") / "engines",
        )
        compiled = openvino.Core().compile_model(
            folder / _GRAPH_FILE,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": threads,
            },
        )
        self._request = compiled.create_infer_request()
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


def _cached_graph(
    model: Model, padded: tuple[int, int], precision: Precision, cache: Path
) -> Path:
    """Give the folder of the converted graph; convert where it is absent or damaged."""
    key = hashlib.sha256()
    for part in (
        model.card.model_dump_json(),
        str(padded),
        precision,
        version("openvino"),
        str(GRAPH_VERSION),
    ):
        key.update(part.encode() + b"\0")
    folder = cache / f"{model.card.name}-{key.hexdigest()[:32]}"
    if not folder.is_dir():
        _convert(model, padded, folder)
    elif not _is_whole(folder):
        logger.warning("%s: damaged cache entry, made again", folder)
        _convert(model, padded, folder)
    return folder


def _is_whole(folder: Path) -> bool:
    """Tell whether the files are those that the side file says were written."""
    try:
        hashes = json.loads((folder / _HASHES_FILE).read_bytes())
        return bool(hashes == _hashes(folder))
    except (OSError, ValueError):
        return False


def _hashes(folder: Path) -> dict[str, str]:
    names = (_GRAPH_FILE, _NUMBERS_FILE)
    return {name: sha256((folder / name).read_bytes()) for name in names}


def _convert(model: Model, padded: tuple[int, int], folder: Path) -> None:
    """Convert the torch graph to OpenVINO and put it in the cache, all or nothing."""
    import torch

    from inference.nets.graph import build_graph

    openvino = load_openvino()
    side = 8 * MULTIPLE_PX  # any will do; the shape is set below
    example = torch.zeros(1, 1, side, side, dtype=torch.int32)
    graph = openvino.convert_model(
        build_graph(model.card, model.weights),
        example_input=(example, torch.zeros(1, dtype=torch.int32), torch.ones(1)),
    )
    graph.reshape({0: [1, 1, *padded], 1: [1], 2: [1]})
    ends = openvino.preprocess.PrePostProcessor(graph)
    ends.input(0).tensor().set_element_type(openvino.Type.u16)
    ends.output(0).tensor().set_element_type(openvino.Type.u8)
    graph = ends.build()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            fresh = Path(scratch) / "entry"
            fresh.mkdir()
            openvino.save_model(graph, fresh / _GRAPH_FILE, compress_to_fp16=False)
            hashes = json.dumps(_hashes(fresh), indent=2)
            (fresh / _HASHES_FILE).write_text(hashes, encoding="utf-8")
            _put(fresh, folder)
    except OSError as error:
        raise BadModel(
            f"the engine cache {folder.parent} cannot be written ({error.strerror}); "
            "make room or correct its permissions, or set inference.engine = "
            '"torch"'
        ) from error


def _put(fresh: Path, folder: Path) -> None:
    """Move an entry into place; one that another process put there meanwhile stays."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        fresh.replace(folder)
    except OSError:
        if not _is_whole(folder):
            raise
