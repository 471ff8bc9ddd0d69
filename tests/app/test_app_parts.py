"""A part of a run as its supervisor sees it: silent, stuck, dead, to be replaced."""

import multiprocessing
import time
from dataclasses import dataclass

import pytest

from acquisition.clock import stamp_ns
from acquisition.records import Health, Ready
from acquisition.runner import RECORDER_OWED_S
from app.parts import (
    END_S,
    HUNG_S,
    MOST_RESTARTS,
    RESTART_WINDOW_S,
    SLOW_END_S,
    Part,
    begin_part,
)


def make_health(
    name: str, state: str, silent_s: float = 0.0, message: str = "", queued: int = 0
) -> Health:
    """Give what a part said so long ago."""
    sent_ns = stamp_ns() - int(silent_s * 1e9)
    return Health(name, state, 0.0, sent_ns, 0.0, queued, 0, message, (), ())


def make_part(
    name: str, state: str, silent_s: float = 0.0, message: str = "", queued: int = 0
) -> Part:
    """Give a living part that last spoke so long ago."""
    part = Part(name, multiprocessing.current_process())
    part.health = make_health(name, state, silent_s, message, queued)
    part.ready = Ready(name, (), (), ())
    return part


@dataclass(frozen=True)
class Case:
    """A part that has been silent, and whether it is taken for stuck."""

    name: str
    part: str
    state: str
    silent_s: float
    expected: bool
    heard_for_s: float = 1000.0


CASES = [
    Case("analysis", "analysis", "running", HUNG_S["analysis"] + 1, True),
    Case("recorder", "recorder", "running", HUNG_S["recorder"] + 1, True),
    Case("slow disk", "recorder", "running", HUNG_S["analysis"] + 1, False),
    Case("starting", "recorder", "armed", 500.0, False),
    Case("sealing", "recorder", "stopping", 500.0, False),
    Case("ended", "recorder", "ended", 500.0, False),
    Case("a microscope", "acquisition", "running", 500.0, False),
    Case("a machine slept", "analysis", "running", 500.0, False, heard_for_s=3.0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_part_that_works_and_falls_silent_is_stuck(case: Case) -> None:
    """Not one that starts or ends, nor one that nobody was there to hear."""
    part = make_part(case.part, case.state, case.silent_s)

    assert part.is_hung(case.heard_for_s) == case.expected


def test_a_stuck_part_is_killed_once() -> None:
    """Until it is dead it is not taken for stuck again."""
    part = make_part("analysis", "running", HUNG_S["analysis"] + 1)
    part.stuck = True

    assert not part.is_hung(1000.0)


def test_a_part_that_had_to_be_killed_is_told_with_its_last_words() -> None:
    """When it spoke, what it was at, and what waits for whom."""
    part = make_part("acquisition", "stopping", 58.0, "its disk is slow", 2)

    assert part.last_heard() == (
        "last heard 58 s ago: stopping, 2 waiting for the recorder, its disk is slow"
    )


def test_a_part_that_hands_over_what_it_has_is_given_time() -> None:
    """A slow disk at the end of a run costs no frame: progress is seen."""
    part = make_part("acquisition", "stopping", queued=600)

    part.hear(make_health("acquisition", "stopping", queued=600))
    stands = part.progressed_s
    part.hear(make_health("acquisition", "stopping", queued=599))

    assert not stands
    assert part.progressed_s > 0.0


def test_a_slow_disk_is_given_longer_at_the_end() -> None:
    """To the recorder that seals, and to those that have something for it."""
    recorder = make_part("recorder", "stopping")
    waits = make_part("acquisition", "stopping", queued=1)
    idle = make_part("acquisition", "stopping")

    assert recorder.patience_s == waits.patience_s == SLOW_END_S
    assert idle.patience_s == END_S < RECORDER_OWED_S < SLOW_END_S


def test_a_part_is_restarted_later_each_time_and_then_no_more() -> None:
    """At once, after 2 and 4 seconds; then it is done without, or ends the run."""
    part, waits = make_part("recorder", "running"), []
    for _ in range(MOST_RESTARTS + 1):
        part.starts.append(time.monotonic())
        waits.append(part.restart_after_s())
    part.starts = [time.monotonic() - RESTART_WINDOW_S - 1] * 4

    assert waits == [0.0, 2.0, 4.0, None]
    assert part.restart_after_s() == 0.0


def test_a_part_that_dies_slowly_in_every_start_is_given_up() -> None:
    """However far apart the starts are; one that was ready begins the count anew."""
    part, waits = make_part("analysis", "starting"), []
    part.ready = None
    for _ in range(MOST_RESTARTS + 1):
        part.starts = [time.monotonic() - RESTART_WINDOW_S - 1] * len(part.starts)
        waits.append(part.restart_after_s())
        part = begin_part("analysis", part.handle, part)
    part.ready = Ready("analysis", (), (), ())

    assert waits == [0.0, 0.0, 0.0, None]
    assert begin_part("analysis", part.handle, part).fruitless == 0


def test_a_recorder_that_gave_up_is_not_started_again() -> None:
    """It has met a broken disk, and its successor would too."""
    part = make_part("recorder", "faulted", message="no space left")

    assert part.restart_after_s() is None
    assert part.why_dead() == "recorder: no space left"
