"""The terminal of a run as its supervisor uses it."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from app.screen import Screen
from app.state import ViewState
from configs.schema import Display


@contextmanager
def signals_every(seconds: float, answer: str, screen: Screen) -> Iterator[list[int]]:
    """Let a signal come again and again, each of which makes the screen say so."""
    came: list[int] = []

    def say(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        screen.say(answer)

    earlier = signal.signal(signal.SIGVTALRM, say)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)
    try:
        yield came
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, earlier)


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX only")
def test_ctrl_c_while_the_state_is_handed_over_stops_nothing() -> None:
    """The answer to a signal speaks in the middle of a call, and both come through."""
    stream = io.StringIO()
    screen = Screen(stream)
    view = ViewState(Display(), 100.0, 1.0).snapshot()

    with signals_every(0.001, "stopping", screen) as came:
        while len(came) < 100:
            screen.say("running")
            screen.show(view)
    screen.close()

    assert "stopping" in stream.getvalue()
    assert "idle" in stream.getvalue()


FULL = """
import os, sys
if sys.argv[1] == "terminal":
    import pty
    reading, writing = pty.openpty()
else:
    reading, writing = os.pipe()
os.set_blocking(writing, False)
try:
    while os.write(writing, b"x"):
        continue
except BlockingIOError:
    os.set_blocking(writing, True)
os.dup2(writing, 2)
"""
RUN_IS_OVER = """
from acquisition.remarks import own_stream
from app.screen import Screen
from app.state import ViewState
from configs.schema import Display
screen = Screen(own_stream(sys.stderr))
screen.say("starting")
screen.show(ViewState(Display(), 100.0, 1.0).snapshot())
screen.settle()
screen.say("ended")
screen.close()
print("went on")
"""
SUPERVISOR = """
import logging, pathlib, warnings
from app.live import LiveRun
from configs.loading import load_experiment
logging.basicConfig()
run = LiveRun(load_experiment("demo"), pathlib.Path("run"), headless=True)
logging.getLogger("app.live").warning("the status line failed")
warnings.warn("a library will change")
run.close()
print("went on")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="neither can be filled there")
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
@pytest.mark.parametrize("code", [RUN_IS_OVER, SUPERVISOR], ids=["end", "log"])
def test_a_blocked_terminal_does_not_hold_up_the_run(kind: str, code: str) -> None:
    """Neither what the supervisor logs nor the end waits: the result is printed."""
    done = subprocess.run(
        [sys.executable, "-c", FULL + code, kind],
        env={**os.environ, "TERM": "xterm"},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout.strip(), done.returncode) == (b"went on", 0)


def test_what_is_said_after_the_end_stands_below_the_state() -> None:
    """The last state is left standing, and then comes how the run ended."""
    stream = io.StringIO()
    screen = Screen(stream)

    screen.show(ViewState(Display(), 100.0, 1.0).snapshot())
    screen.settle()
    screen.say("ended: 3 frames recorded")
    screen.close()

    first, second = stream.getvalue().splitlines()
    assert first.startswith("idle")
    assert second == "ended: 3 frames recorded"
