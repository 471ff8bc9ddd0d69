"""What each process of a run executes, by name.

The bodies import their heavy libraries themselves, so the supervisor stays light and a
process carries only what it needs: no Qt beside the camera, no camera beside Qt.
"""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from typing import Any

from acquisition.runner import STOP_SIGNALS, Child, analyse_frames, run_child

SWITCH_S = 0.0005
"""The thread that looks at contacts again hands the interpreter back after so long: a
frame takes it back some hundred times, and each time waited 5 ms, Python's own."""


def start_process(name: str, control: str, config_text: str, directory: str) -> None:
    """Run one process of a session; the target of every spawn."""
    run_child(name, control, BODIES[name], config_text, directory)


def _acquisition(child: Child, config_text: str, directory: str) -> None:
    from acquisition.loop import acquire

    acquire(child, config_text, directory)


def _analysis(child: Child, config_text: str, _directory: str) -> None:
    from app.analysis import analysis_builder

    sys.setswitchinterval(SWITCH_S)
    analyse_frames(child, analysis_builder(config_text))


def _recorder(child: Child, config_text: str, directory: str) -> None:
    from acquisition.recorder import record_run

    record_run(child, directory, config_text)


def _display(child: Child, config_text: str, directory: str) -> None:
    from app.display import show_run

    show_run(child, config_text, directory)


BODIES: dict[str, Callable[..., Any]] = {
    "acquisition": _acquisition,
    "analysis": _analysis,
    "recorder": _recorder,
    "display": _display,
}
"""Name of a process -> its body."""


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold back Ctrl-C and its like for the moment in which a child is born.

    The child inherits this until it ignores them itself; the parent takes afterwards
    what came meanwhile. On Windows a child inherits nothing of it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it lets the signals through
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
