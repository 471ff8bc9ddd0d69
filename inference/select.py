"""Choosing the engine: every candidate is tried before it serves.

A candidate runs the golden frame of the model at the size of the run; its classes must
agree with the float32 reference. One that does not, or that cannot be built, is left
out with its reason. Nothing is chosen silently.
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
from inference.engines.classical import ClassicalEngine
from inference.engines.openvino_engine import (
    OpenVinoEngine,
    Precision,
    supported_precisions,
)
from inference.engines.torch_engine import TorchEngine
from inference.maps import Engine

logger = logging.getLogger(__name__)

MIN_AGREEMENT = 0.995
"""Least share of equal classes on the pixels that either side calls cell."""

_TIMED_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """How a candidate did on the golden frame."""

    agreement: float  # share of equal classes where either side sees cell
    frame_ms: float  # fastest of a few frames


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
        try:
            engine = build()
            probe = probe_engine(engine, model, shape)
        except (BadModel, RuntimeError, ImportError) as error:
            reasons.append(f"{name} left out: {error}")
            continue
        if probe.agreement >= MIN_AGREEMENT:
            reasons.append(
                f"{name} serves: {probe.agreement:.2%} of cell pixels as the "
                f"reference, {probe.frame_ms:.1f} ms a frame"
            )
            logger.info("%s", "; ".join(reasons))
            return engine, model.card, tuple(reasons)
        engine.close()
        reasons.append(
            f"{name} left out: {probe.agreement:.2%} of cell pixels as the reference, "
            f"{MIN_AGREEMENT:.1%} are needed"
        )
    raise BadModel(
        f"no engine can serve model {settings.model}: {'; '.join(reasons)}; set "
        'inference.engine = "auto" or train the model again'
    )


def probe_engine(engine: Engine, model: Model, shape: tuple[int, int]) -> Probe:
    """Run the golden frame, tiled to ``shape``, and compare with the reference."""
    golden = model.golden
    frame = tiled(golden.frame, shape)
    normalisation = model.card.normalisation
    best_ms = float("inf")
    for _ in range(_TIMED_FRAMES):
        start = time.perf_counter()
        maps = engine.infer(frame, normalisation.offset, normalisation.scale)
        best_ms = min(best_ms, 1e3 * (time.perf_counter() - start))
    height, width = golden.frame.shape
    if shape[0] >= 2 * height and shape[1] >= 2 * width:
        wanted = golden.maps[0]
    else:  # the tiles would be cut where the stored answer looks
        reference = TorchEngine(model, shape, threads=1)
        wanted = reference.infer(
            frame, normalisation.offset, normalisation.scale
        ).classes
    found = maps.classes[: wanted.shape[0], : wanted.shape[1]]
    return Probe(class_agreement(found, wanted), best_ms)


def class_agreement(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Give the share of equal classes on pixels that either side calls cell."""
    either = (found > 0) | (wanted > 0)
    cell_px = int(np.count_nonzero(either))
    if cell_px == 0:
        return 1.0
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
