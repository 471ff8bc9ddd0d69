"""Choosing the engine: every candidate is tried before it serves.

A candidate runs the golden frame of the model at the size of the run; its three maps
must lead to the same cells, called alike, as those of the float32 reference. One whose
maps do not, or that cannot be built, is left out with its reason. Nothing is chosen
silently.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from configs.schema import Inference
from inference.cards import Card, Model, load_model
from inference.cells import part
from inference.engines.classical import ClassicalEngine
from inference.engines.openvino_engine import (
    OpenVinoEngine,
    Precision,
    supported_precisions,
)
from inference.engines.torch_engine import TorchEngine
from inference.maps import Engine, Maps
from inference.measure import measure
from inference.pixels import plain

logger = logging.getLogger(__name__)

MIN_AGREEMENT = 0.995
"""Least share of equal classes on the pixels that either side calls cell."""

MOST_CALLED_OTHERWISE = 0.005
"""Largest share of cells with another call; of few cells, one may differ."""
MOST_MISCOUNTED = 0.02
"""Largest relative difference in the number of cells; it may be one."""

_TIMED_FRAMES = 3
_YARDSTICK = Inference()
"""Cells are parted by these settings, so that those of a run fail no engine."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How a candidate did on the golden frame."""

    agreement: float  # share of equal classes where either side sees cell
    cells_wanted: int  # by the reference
    cells_found: int
    called_otherwise: int  # cells of the reference called live for dead, or dead
    empty: tuple[str, ...]  # maps that are zero where those of the reference are not
    frame_ms: float  # fastest of a few frames

    @property
    def fault(self) -> str | None:
        """Why the candidate cannot serve; None: it can."""
        if self.agreement < MIN_AGREEMENT:
            return (
                f"{self.agreement:.2%} of cell pixels as the reference, "
                f"{MIN_AGREEMENT:.1%} are needed"
            )
        if self.empty:
            return f"the {' and '.join(self.empty)} map is empty"
        cells = self.cells_wanted
        if self.called_otherwise > max(1, MOST_CALLED_OTHERWISE * cells):
            return (
                f"{self.called_otherwise} of {cells} cells called otherwise than by "
                "the reference"
            )
        if abs(self.cells_found - cells) > max(1, MOST_MISCOUNTED * cells):
            return f"{self.cells_found} cells found, the reference finds {cells}"
        return None


def select_engine(
    settings: Inference, shape: tuple[int, int]
) -> tuple[Engine, Card | None, tuple[str, ...]]:
    """Choose the engine for frames of ``shape`` (y, x), at the model's pixel size.

    Gives the engine, the card of its model (None for the classical engine), and one
    sentence for every candidate: why it was left out, or how the served one did.

    Raises
    ------
    BadModel
        If the model cannot be read, or no candidate passes.
    """
    if settings.engine == "classical":
        return ClassicalEngine(), None, ("classical serves: no network, no viability",)
    model = load_model(settings.model)
    reasons: list[str] = []
    for name, build in _candidates(settings, model, shape):
        engine, reason = _try(build, model, shape)
        reasons.append(f"{name} {reason}")
        if engine is not None:
            logger.info("%s", "; ".join(reasons))
            return engine, model.card, tuple(reasons)
    raise BadModel(
        f"no engine can serve model {settings.model}: {'; '.join(reasons)}; set "
        'inference.engine = "auto" or train the model again'
    )


def _try(
    build: Callable[[], Engine], model: Model, shape: tuple[int, int]
) -> tuple[Engine | None, str]:
    """Give the engine, or None where it cannot serve, and the reason."""
    try:
        engine = build()
    except (BadModel, RuntimeError, ImportError) as error:
        return None, f"left out: {error}"
    try:
        probe = probe_engine(engine, model, shape)
    except (BadModel, RuntimeError) as error:
        engine.close()
        return None, f"left out: {error}"
    if probe.fault is not None:
        engine.close()
        return None, f"left out: {probe.fault}"
    return engine, (
        f"serves: {probe.agreement:.2%} of cell pixels and "
        f"{probe.cells_wanted - probe.called_otherwise} of {probe.cells_wanted} cells "
        f"as the reference, {probe.frame_ms:.1f} ms a frame"
    )


def probe_engine(engine: Engine, model: Model, shape: tuple[int, int]) -> Probe:
    """Run the golden frame, tiled to ``shape``, and compare with the reference.

    Raises
    ------
    BadModel
        If the golden frame has no cell by the reference: it could not tell engines
        apart.
    """
    frame, wanted = _golden(model, shape)
    normalisation = model.card.normalisation
    best_ms = float("inf")
    for _ in range(_TIMED_FRAMES):
        start = time.perf_counter()
        maps = engine.infer(frame, normalisation.offset, normalisation.scale)
        best_ms = min(best_ms, 1e3 * (time.perf_counter() - start))
    height, width = wanted.classes.shape
    corner = np.s_[:height, :width]
    found = Maps(maps.classes[corner], maps.dead[corner], maps.separation[corner])
    um_per_px = model.card.um_per_px
    labels, count = part(wanted, um_per_px, _YARDSTICK)
    if count == 0:
        raise BadModel(
            f"the golden frame of {model.label} has no cell by the reference, so no "
            "engine can be tried on it; export the model again"
        )
    return Probe(
        agreement=class_agreement(found.classes, wanted.classes),
        cells_wanted=count,
        cells_found=part(found, um_per_px, _YARDSTICK)[1],
        called_otherwise=int(
            np.count_nonzero(
                _called_dead(labels, found, count)
                != _called_dead(labels, wanted, count)
            )
        ),
        empty=tuple(
            name
            for name in ("dead", "separation")
            if getattr(wanted, name).any() and not getattr(found, name).any()
        ),
        frame_ms=best_ms,
    )


def _golden(model: Model, shape: tuple[int, int]) -> tuple[NDArray[np.uint16], Maps]:
    """Give the frame of ``shape`` (y, x), and the reference of its first block."""
    golden = model.golden
    height, width = golden.frame.shape
    if shape[0] >= 2 * height and shape[1] >= 2 * width:
        planes = (np.ascontiguousarray(plane) for plane in golden.maps)
        return tiled(golden.frame, shape), Maps(*planes)
    # The tiles would be cut where the stored answer looks: the reference looks again,
    # with a cell in the middle, since in the corner of a small frame may be none.
    middle = np.unravel_index(np.argmax(golden.maps[2]), golden.frame.shape)
    shift = [whole // 2 - int(at) for whole, at in zip(shape, middle, strict=True)]
    frame = tiled(np.roll(golden.frame, shift, axis=(0, 1)), shape)
    normalisation = model.card.normalisation
    reference = TorchEngine(model, shape, threads=1)
    return frame, reference.infer(frame, normalisation.offset, normalisation.scale)


def _called_dead(
    labels: NDArray[np.uint16], maps: Maps, count: int
) -> NDArray[np.bool_]:
    """Tell which cells (cell,) the dead map calls dead, by the mean logit."""
    dead = plain(maps.dead)
    logit: NDArray[np.float64] = measure(labels, plain(labels), dead, count)[1]
    return logit > 0


def class_agreement(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Give the share of equal classes on pixels that either side calls cell.

    Raises
    ------
    BadModel
        If neither side has any: no share could be stated.
    """
    either = (found > 0) | (wanted > 0)
    cell_px = int(np.count_nonzero(either))
    if cell_px == 0:
        raise BadModel(
            "no cell in the frame by either engine, so nothing can be compared; "
            "take a frame with cells"
        )
    return int(np.count_nonzero((found == wanted) & either)) / cell_px


def tiled(frame: NDArray[np.uint16], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Repeat a frame ``(y, x)`` over a plane of ``shape``, from the top left corner."""
    copies = [-(-whole // side) for whole, side in zip(shape, frame.shape, strict=True)]
    return np.ascontiguousarray(np.tile(frame, copies)[: shape[0], : shape[1]])


def thread_count(settings: Inference) -> int:
    """Give the threads of the engine: as set, or all cores but one."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on Windows and macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return settings.threads or max(1, cores - 1)


def _candidates(
    settings: Inference, model: Model, shape: tuple[int, int]
) -> list[tuple[str, Callable[[], Engine]]]:
    """List what may serve, the fastest first."""
    threads = thread_count(settings)
    candidates: list[tuple[str, Callable[[], Engine]]] = []
    if settings.engine in ("auto", "openvino"):
        candidates += [
            (f"openvino-{precision}", _openvino(model, shape, threads, precision))
            for precision in _precisions(settings)
        ]
    if settings.engine in ("auto", "torch"):
        candidates.append(
            (TorchEngine.name, lambda: TorchEngine(model, shape, threads))
        )
    return candidates


def _openvino(
    model: Model, shape: tuple[int, int], threads: int, precision: Precision
) -> Callable[[], Engine]:
    return lambda: OpenVinoEngine(model, shape, threads, precision)


def _precisions(settings: Inference) -> tuple[Precision, ...]:
    """Give the precisions to try; one that was named and is absent is refused.

    Raises
    ------
    BadModel
        If the processor has not the precision that the settings name.
    """
    supported = supported_precisions()
    if settings.precision == "auto":
        return supported
    if settings.precision not in supported:
        raise BadModel(
            f"inference.precision is {settings.precision}, this processor has "
            f'{" and ".join(supported)}; set inference.precision = "auto"'
        )
    return (settings.precision,)
