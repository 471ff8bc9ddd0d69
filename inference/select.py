"""Choosing the engine: every candidate is tried before it serves.

One that leads to other cells than the float32 reference, or that cannot be made here,
is left out with its reason. Nothing is chosen silently.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from acquisition.errors import BadModel
from configs.schema import Inference
from inference.cards import Card, Model, load_model
from inference.engines.candidates import (
    CANNOT,
    Candidate,
    candidates,
    remember,
    thread_count,
)
from inference.engines.classical import ClassicalEngine
from inference.engines.standby import StandbyEngine
from inference.maps import Engine
from inference.probe import Probe, probe_engine

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tried:
    """How a candidate did."""

    name: str
    fault: str | None
    """Why it cannot serve; None: it can."""
    made_s: float
    """Time to make it, or to read it from the cache."""
    probe: Probe | None
    """None: it could not be made."""

    @property
    def sentence(self) -> str:
        """Say how it did."""
        if self.fault is not None or self.probe is None:
            return f"{self.name} left out: {self.fault}"
        probe = self.probe
        alike = probe.cells_wanted - probe.called_otherwise
        return (
            f"{self.name} serves: {probe.agreement:.2%} of cell pixels and {alike} of "
            f"{probe.cells_wanted} cells as the reference, {probe.frame_ms:.1f} ms a "
            "frame"
        )


def select_engine(
    settings: Inference, shape: tuple[int, int], background: bool = False
) -> tuple[Engine, Card | None, tuple[str, ...]]:
    """Choose the engine for frames of ``shape`` (y, x), at the model's pixel size.

    Gives the engine, the card of its model (None for the classical engine), and one
    sentence for every candidate: why it was left out, or how the served one did.

    ``background``: a candidate that is not in the engine cache is made while a slower
    one serves, and takes over between two frames. Otherwise it is waited for, so that
    all frames are served by the same engine.

    Raises
    ------
    BadModel
        If the model cannot be read, or no candidate passes.
    """
    if settings.engine == "classical":
        return ClassicalEngine(), None, ("classical serves: no network, no viability",)
    model = load_model(settings.model)
    listed = candidates(settings, model, shape)
    reasons: list[str] = []
    later: list[Candidate] = []
    if background:
        listed, later, reasons = _split(listed)
    engine, said = _first_good(listed, model, shape)
    if engine is None and later:
        engine, more = _first_good(later, model, shape)
        said, later = [*said, *more], []
    reasons += said
    if engine is None:
        raise BadModel(
            f"no engine can serve model {settings.model}: "
            f"{'; '.join(reasons) or 'none has this precision on this PC'}; set "
            'inference.engine and inference.precision to "auto", or train the model '
            "again"
        )
    logger.info("%s", "; ".join(reasons))
    if later:
        reasons.append(f"{later[0].name} is made meanwhile, to take over")
        engine = StandbyEngine(engine, lambda: _first_good(later, model, shape)[0])
    return engine, model.card, tuple(reasons)


def build_engines(
    settings: Inference, shape: tuple[int, int]
) -> tuple[tuple[Tried, ...], bool]:
    """Make, try and time every candidate for frames of ``shape`` (y, x).

    What was made stays in the engine cache. With "auto" for engine and precision, the
    order by time is kept too, and :func:`select_engine` follows it: gives whether it
    was.

    Raises
    ------
    BadModel
        If the model cannot be read.
    """
    model = load_model(settings.model)
    tried = []
    for candidate in candidates(settings, model, shape):
        engine, result = _try(candidate, model, shape)
        tried.append(result)
        if engine is not None:
            engine.close()
    passed = [(t.probe.frame_ms, t.name) for t in tried if t.probe and not t.fault]
    kept = bool(passed) and settings.engine == settings.precision == "auto"
    if kept:
        names = [name for _, name in sorted(passed)]
        remember(model, shape, thread_count(settings), names)
    return tuple(tried), kept


def _split(
    listed: Sequence[Candidate],
) -> tuple[list[Candidate], list[Candidate], list[str]]:
    """Give those that can serve at once, better ones to be made, and refusals."""
    now: list[Candidate] = []
    later: list[Candidate] = []
    reasons = []
    for candidate in listed:
        try:
            made = candidate.is_made()
        except CANNOT as error:
            reasons.append(f"{candidate.name} left out: {error}")
            continue
        if made:
            now.append(candidate)
        elif not now:  # what is ranked below a ready engine need not be made
            later.append(candidate)
    return now, later, reasons


def _first_good(
    listed: Sequence[Candidate], model: Model, shape: tuple[int, int]
) -> tuple[Engine | None, list[str]]:
    """Give the first engine that passes, and a sentence for each that was tried."""
    said = []
    for candidate in listed:
        engine, result = _try(candidate, model, shape)
        said.append(result.sentence)
        logger.info("%s", result.sentence)
        if engine is not None:
            return engine, said
    return None, said


def _try(
    candidate: Candidate, model: Model, shape: tuple[int, int]
) -> tuple[Engine | None, Tried]:
    """Make an engine and try it; one that cannot serve is closed."""
    start = time.perf_counter()
    try:
        engine = candidate.build()
    except CANNOT as error:
        seconds = time.perf_counter() - start
        return None, Tried(candidate.name, str(error), seconds, None)
    made_s = time.perf_counter() - start
    try:
        probe = probe_engine(engine, model, shape, candidate.needed)
    except CANNOT as error:
        engine.close()
        return None, Tried(candidate.name, str(error), made_s, None)
    result = Tried(candidate.name, probe.fault, made_s, probe)
    if probe.fault is not None:
        engine.close()
        return None, result
    return engine, result
