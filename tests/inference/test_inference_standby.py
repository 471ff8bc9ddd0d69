"""A better engine takes over between two frames."""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from inference.engines.standby import StandbyEngine
from inference.maps import Engine, Maps

FRAME = np.zeros((2, 2), np.uint16)


@dataclass
class Plain:
    """An engine that calls every pixel the same."""

    name: str
    code: int
    model: str = "m"
    closed: bool = False

    def infer(self, frame: NDArray[np.uint16], *_: float) -> Maps:
        """Give maps of the code."""
        plane = np.full(frame.shape, self.code, np.uint8)
        return Maps(plane, plane, plane)

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


def served(engine: StandbyEngine) -> tuple[int, str]:
    """Give who made the maps of a frame, and the name that goes into its record."""
    return int(engine.infer(FRAME, 0.0, 1.0).classes[0, 0]), engine.name


def test_the_better_engine_takes_over_between_frames() -> None:
    """Until it is ready the other one serves; the name is that of the maps' maker."""
    slow, fast, may_finish = Plain("slow", 1), Plain("fast", 2), threading.Event()

    def build() -> Engine:
        may_finish.wait()
        return fast

    engine = StandbyEngine(slow, build)
    before = served(engine)
    may_finish.set()
    assert engine.wait(120)
    name_between = engine.name
    after = served(engine)

    assert (before, name_between, after) == ((1, "slow"), "slow", (2, "fast"))
    assert slow.closed
    assert not fast.closed


def test_without_a_better_engine_the_first_one_stays() -> None:
    """A candidate that did not pass changes nothing."""
    engine = StandbyEngine(Plain("slow", 1), lambda: None)

    assert engine.wait(120)
    assert served(engine) == (1, "slow")


def test_a_build_that_fails_is_told_and_changes_nothing() -> None:
    """An engine that cannot be made leaves the one that serves, and a warning."""

    def build() -> Engine:
        raise BadModel("no room")

    engine = StandbyEngine(Plain("slow", 1), build)

    assert engine.wait(120)
    assert served(engine) == (1, "slow")


def test_closing_early_closes_the_engine_that_comes_late() -> None:
    """A better engine that is ready after the end does not stay open."""
    slow, fast, may_finish = Plain("slow", 1), Plain("fast", 2), threading.Event()

    def build() -> Engine:
        may_finish.wait()
        return fast

    engine = StandbyEngine(slow, build)
    engine.close()
    may_finish.set()
    assert engine.wait(120)

    assert slow.closed
    assert fast.closed
