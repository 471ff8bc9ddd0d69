"""The terminal of a run, written from a thread of its own.

A terminal can block for hours (a selection in a console window, Ctrl-S, a full pipe) or
go away; neither may hold up the supervisor, on whose pings the processes live.
"""

import contextlib
import logging
import queue
import threading
from typing import TextIO

from app.terminal import StatusLine
from app.view import View

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
LOOK_EVERY_S = 0.1
PATIENCE_S = 2.0


class Screen:
    """Takes remarks and views at once, and writes them when the terminal lets it.

    Remarks wait in order; of the views only the newest is kept. When the terminal is
    gone, everything is dropped without a word to it, and the run goes on.

    NOTE: the answer to Ctrl-C speaks here too, and a signal comes in the middle of
    anything, a remark being handed over among them. So there is no lock here that it
    could wait for: of all queues and events only `SimpleQueue` may be entered again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._line = StatusLine(stream, stream.isatty())
        self._remarks: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._view: View | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="screen", daemon=True)
        self._thread.start()

    def say(self, remark: str) -> None:
        """Write one remark above the state."""
        if self._closing:
            with contextlib.suppress(OSError, ValueError):
                self._line.say(remark)
            return
        if self._remarks.qsize() < MOST_WAITING:
            self._remarks.put(remark)

    def show(self, view: View) -> None:
        """Show the state of the run."""
        self._view = view

    def close(self) -> None:
        """Write what waits, if the terminal is quick enough; then write directly."""
        self._closing = True
        self._thread.join(PATIENCE_S)
        self._line.close()

    def _write(self) -> None:
        try:
            while True:
                last = self._closing
                with contextlib.suppress(queue.Empty):
                    self._line.say(self._remarks.get(timeout=LOOK_EVERY_S))
                    continue
                view, self._view = self._view, None
                if view is not None:
                    self._line.update(view)
                if last:
                    return
        except (OSError, ValueError) as error:  # the terminal is gone
            logger.debug("the terminal is gone: %s", error)
