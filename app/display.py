"""The display process: drains the streams to the newest and shows the window.

Killing it changes nothing in the run. Whether a screen exists is decided before any Qt
object is made, because Qt ends a process that has no display.
"""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from acquisition.runner import Child, experiment_of
from acquisition.stream import Subscriber, receive_any

LOWER_PRIORITY = 5


def display_fault() -> str | None:
    """Say why no window can be opened, or None when one can."""
    if sys.platform.startswith("linux"):
        offscreen = os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal")
        screens = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if not offscreen and not screens:
            return "no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    return None


def show_run(child: Child, config_text: str, _directory: str) -> None:
    """Show a live run until its end or until the window is closed."""
    from app.window import run_window

    if hasattr(os, "nice"):
        os.nice(LOWER_PRIORITY)  # the picture waits, the analysis does not
    experiment = experiment_of(config_text)
    child.say_ready({})
    addresses = dict(child.wait_for("run").addresses)
    sources = [
        Subscriber(addresses["analyses"], "display", "newest"),
        Subscriber(addresses["frames"], "display-notes", "notes"),
    ]
    try:
        run_window(
            drain(child, sources),
            experiment.display,
            budget_ms=experiment.budget.latency_ms,
            speed=experiment.run.pace,
            title=experiment.run.name,
            on_stop=lambda: child.ask_to_stop(
                "stopped from the window", by_person=True
            ),
        )
    finally:
        for source in sources:
            source.close()


def drain(
    child: Child, sources: list[Subscriber]
) -> Callable[[], Iterable[Any] | None]:
    """Give a function that hands over all that has come; None when the run is over."""

    def take() -> Iterable[Any] | None:
        records: list[Any] = []
        sources[0].ready()
        while got := receive_any(sources, 0):
            records += got
        child.listen()
        records += child.relayed
        child.relayed.clear()
        child.report("running")
        return None if child.stopping else records

    return take
