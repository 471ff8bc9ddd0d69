"""The first look at a frame: what is quarantined, and what is let through."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.clock import Clock
from acquisition.inspection import Inspector, find_alike_steps
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.world import World

SIZE = 256
SHAPE = (4, SIZE, SIZE)


def make_stand(**cells: object) -> SimulatedStand:
    """Give a stand with cells as wanted."""
    world = World.load("cho_10x")
    changed = world.cells.model_copy(update=cells)
    world = world.model_copy(update={"cells": changed})
    stand = SimulatedStand(world, 3, SIZE, Clock("stepped"))
    stand.start()
    return stand


def expose(stand: SimulatedStand, steps: tuple[int, ...]) -> NDArray[np.uint16]:
    """Take a frame whose light has these phase steps."""
    cycle = stand.begin_cycle()
    frame = np.empty((len(steps), SIZE, SIZE), np.uint16)
    for number, step in enumerate(steps):
        stand.expose(cycle, step, 8.0, number, frame[number])
    return frame


@dataclass(frozen=True)
class Case:
    """Phase steps of a frame and what is said of them."""

    name: str
    steps: tuple[int, ...]
    says: str | None


CASES = [
    Case("sound", (0, 1, 2, 3), None),
    Case("frozen at 0", (0, 0, 0, 0), "the four phase steps are alike"),
    Case("frozen at 3", (3, 3, 3, 3), "the four phase steps are alike"),
    Case("stopped on the way", (0, 1, 2, 2), "phase steps 3 and 4 are alike"),
    Case("began late", (1, 1, 2, 3), "phase steps 1 and 2 are alike"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_modulator_that_does_not_step_is_seen_in_the_pixels(case: Case) -> None:
    """Alike steps are named, whatever the state device says; sound ones pass."""
    reason = find_alike_steps(expose(make_stand(), case.steps))

    assert (reason is None) == (case.says is None)
    assert (case.says or "") in (reason or "")


def test_an_empty_dish_is_no_broken_modulator() -> None:
    """Where there is nothing to see, alike steps are right."""
    empty = expose(make_stand(n=0), (0, 1, 2, 3))

    assert find_alike_steps(empty) is None


def test_rows_of_the_image_before_are_a_tear() -> None:
    """Also across two frames; the frame after a torn one is sound again."""
    inspector = Inspector(65_535)
    stand = make_stand()
    frames = [expose(stand, (0, 1, 2, 3)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame += np.uint16(number)  # what another exposure would change
    frames[1][0, 100:] = frames[0][3, 100:]

    reasons = [inspector.judge(frame, SHAPE) for frame in frames]

    assert reasons[0] is None
    assert reasons[1] == "step 1 is torn: rows around 112 are those of the image before"
    assert reasons[2] is None


def test_an_image_that_is_shown_again_is_no_tear() -> None:
    """A recorded image may be played twice; only a mixture of two is torn."""
    inspector = Inspector(65_535)
    image = expose(make_stand(), (1,))

    reasons = [inspector.judge(image, image.shape) for _ in range(2)]

    assert reasons == [None, None]
