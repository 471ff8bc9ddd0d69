"""The terminal of a run as its supervisor uses it."""

import io
import signal
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
