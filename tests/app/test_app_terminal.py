"""The run in a terminal or a log file."""

import io

from acquisition.records import Health
from app.state import ViewState
from app.terminal import StatusLine
from app.view import View
from configs.schema import Display
from tests.app.scenes import Scene


def make_view(frames: int = 12, fault: str = "") -> View:
    """Give the view after a few frames."""
    state, scene = ViewState(Display(), 100.0, 1.0), Scene(size_px=256, cells=30)
    for index in range(frames):
        state.take(scene.frame((index + 1) * 200_000_000))
    if fault:
        state.take(Health("analysis", "faulted", 0.0, 0, 0.0, 0, 0, fault, (), ()))
    return state.snapshot(now_ns=frames * 200_000_000)


def test_a_log_file_gets_one_line_every_five_seconds() -> None:
    """Between two lines nothing is written, and each line stands for itself."""
    stream, now = io.StringIO(), [0.0]
    line, view = StatusLine(stream, False, lambda: now[0]), make_view()

    for now[0] in (0.0, 1.0, 4.9, 5.1, 6.0):
        line.update(view)
    line.close()

    written = stream.getvalue().splitlines()
    assert len(written) == 2
    assert "\x1b" not in written[0]


def test_the_line_says_what_matters() -> None:
    """State, rate, latency, cells, events, drops and dose are all there."""
    stream = io.StringIO()

    StatusLine(stream, False).update(make_view())

    text = stream.getvalue()
    for part in ("running 0:04:48", "5 fps", "latency", "(budget 100)", "dropped 0"):
        assert part in text
    for part in ("cells 30", "live ", "deaths 0", "contacts 0", "dose 3.50 Gy"):
        assert part in text


def test_an_alarm_is_written_at_once_and_once() -> None:
    """An alarm does not wait for the next line, and is not repeated."""
    stream, view = io.StringIO(), make_view(fault="analysis died")
    line = StatusLine(stream, False, lambda: 0.0)

    line.update(view)
    line.update(view)

    assert stream.getvalue().count("! analysis died") == 1


def test_the_line_says_what_was_turned_away() -> None:
    """Refused triggers stand beside the dropped frames, when there are any."""
    state, stream = ViewState(Display(), 100.0, 1.0), io.StringIO()
    facts = (("skipped_slots", 4.0), ("refused_triggers", 2.0))
    state.take(Health("analysis", "running", 0.0, 0, 0.0, 0, 0, "", (), facts))

    StatusLine(stream, False).update(state.snapshot(now_ns=0))

    assert "dropped 4  triggers refused 2" in stream.getvalue()


def test_a_terminal_shows_two_lines_in_place() -> None:
    """On a terminal the state is rewritten, and stays when the run ends."""
    stream = io.StringIO()

    line = StatusLine(stream, True)
    line.update(make_view())
    line.close()

    assert "cells 30" in stream.getvalue()


def test_a_sentence_stays_as_it_was_written() -> None:
    """What is said is written whole, brackets and all, on a terminal as in a file."""
    plain, screen = io.StringIO(), io.StringIO()
    terminal = StatusLine(screen, True)

    StatusLine(plain, False).say("run directory: runs/[a]")
    terminal.say("run directory: runs/[a]")
    terminal.close()

    assert plain.getvalue() == "run directory: runs/[a]\n"
    assert "run directory: runs/[a]" in screen.getvalue()


def test_a_run_without_frames_has_a_line_too() -> None:
    """Before the first frame nothing is claimed."""
    stream = io.StringIO()

    StatusLine(stream, False).update(ViewState(Display(), 100.0, 1.0).snapshot())

    assert "idle 0:00:00  dropped 0  cells 0  live –" in stream.getvalue()
