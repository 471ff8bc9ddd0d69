"""What may serve a model on this PC, the most promising first."""

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import BadModel
from configs.schema import Inference
from inference.cards import Model
from inference.engines.cache import EngineCache, EngineKey, Hardware, engine_key
from inference.engines.cuda_device import find_card
from inference.engines.cuda_graph_engine import CudaGraphEngine
from inference.engines.openvino_engine import (
    OpenVinoEngine,
    Precision,
    openvino_key,
    supported_precisions,
)
from inference.engines.padding import padded_shape
from inference.engines.tensorrt_engine import TensorRtEngine, tensorrt_key
from inference.engines.torch_engine import TorchEngine
from inference.maps import Engine
from inference.probe import MIN_AGREEMENT, MIN_AGREEMENT_INT8

_RANKING_FILE = "ranking.json"
CANNOT = (
    BadModel,
    RuntimeError,  # CUDA, OpenVINO, TensorRT
    ImportError,
    OSError,  # a library of the driver
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
)
"""What the packages behind the engines raise where they cannot serve."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that could be made."""

    name: str
    precision: str
    build: Callable[[], Engine]
    """Makes it, or raises the reason why it cannot be."""
    is_made: Callable[[], bool]
    """Whether it can serve at once; raises the reason where it never can."""

    @property
    def needed(self) -> float:
        """Give the least agreement with the reference."""
        return MIN_AGREEMENT_INT8 if self.precision == "int8" else MIN_AGREEMENT


def candidates(
    settings: Inference, model: Model, shape: tuple[int, int]
) -> list[Candidate]:
    """List what the settings allow: TensorRT, torch on a card, OpenVINO, torch."""
    threads = thread_count(settings)
    every = {
        "tensorrt": [
            Candidate(
                "tensorrt",
                "f16",
                lambda: TensorRtEngine(model, shape),
                lambda: _is_kept(model, tensorrt_key(model, shape)),
            )
        ],
        "torch-cuda": [_cuda(model, shape, name) for name in ("f16", "bf16")],
        "openvino": [
            _openvino(model, shape, threads, precision)
            for precision in supported_precisions()
        ],
        "torch": [
            Candidate(
                TorchEngine.name,
                "f32",
                lambda: TorchEngine(model, shape, threads),
                lambda: True,
            )
        ],
    }
    wanted = every if settings.engine == "auto" else [settings.engine]
    listed = [candidate for kind in wanted for candidate in every[kind]]
    if settings.precision != "auto":
        return [c for c in listed if c.precision == settings.precision]
    return _ranked(listed, remembered(model, shape, threads))


def thread_count(settings: Inference) -> int:
    """Give the threads of the engine: as set, or all cores but one."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on Windows and macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return settings.threads or max(1, cores - 1)


def remember(
    model: Model, shape: tuple[int, int], threads: int, names: Sequence[str]
) -> None:
    """Keep which engines passed on this PC, the fastest first."""

    def write(folder: Path) -> None:
        text = json.dumps(list(names))
        (folder / _RANKING_FILE).write_text(text, encoding="utf-8")

    EngineCache().put(model, _ranking_key(model, shape, threads), write, renew=True)


def remembered(model: Model, shape: tuple[int, int], threads: int) -> list[str]:
    """Give what :func:`remember` kept; empty: nothing for this PC and packages."""
    place = EngineCache().find(model, _ranking_key(model, shape, threads))
    if place is None:
        return []
    names: list[str] = json.loads((place / _RANKING_FILE).read_bytes())
    return names


def _ranked(listed: list[Candidate], names: Sequence[str]) -> list[Candidate]:
    """Put those that were measured first, by their time; the others stay as listed."""
    place = {name: at for at, name in enumerate(names)}
    return sorted(listed, key=lambda c: place.get(c.name, len(place)))


def _ranking_key(model: Model, shape: tuple[int, int], threads: int) -> EngineKey:
    processor = Hardware(
        name=platform.processor() or platform.machine(),
        capability=" ".join(supported_precisions()),
    )
    return engine_key(
        model, padded_shape(shape), f"{threads} threads", "openvino", processor
    )


def _openvino(
    model: Model, shape: tuple[int, int], threads: int, precision: Precision
) -> Candidate:
    return Candidate(
        f"openvino-{precision}",
        precision,
        lambda: OpenVinoEngine(model, shape, threads, precision),
        lambda: _is_kept(model, openvino_key(model, shape, precision)),
    )


def _cuda(model: Model, shape: tuple[int, int], precision: str) -> Candidate:
    return Candidate(
        f"torch-cuda-{precision}",
        precision,
        lambda: CudaGraphEngine(model, shape, precision),
        lambda: bool(find_card().name),  # capturing takes no longer than a warm-up
    )


def _is_kept(model: Model, key: EngineKey) -> bool:
    return EngineCache().find(model, key) is not None
