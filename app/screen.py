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
PATIENCE_S = 2.0


class Screen:
    """Takes remarks and views at once, and writes them when the terminal lets it.

    Remarks wait in order; of the views only the newest is kept. When the terminal is
    gone, everything is dropped without a word to it, and the run goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._line = StatusLine(stream, stream.isatty())
        self._remarks: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._view: View | None = None
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="screen", daemon=True)
        self._thread.start()

    def say(self, remark: str) -> None:
        """Write one remark above the state."""
        if self._closing:
            with contextlib.suppress(OSError, ValueError):
                self._line.say(remark)
            return
        if not self._remarks.full():
            self._remarks.put_nowait(remark)
        self._wake.set()

    def show(self, view: View) -> None:
        """Show the state of the run."""
        self._view = view
        self._wake.set()

    def close(self) -> None:
        """Write what waits, if the terminal is quick enough; then write directly."""
        self._closing = True
        self._wake.set()
        self._thread.join(PATIENCE_S)
        self._line.close()

    def _write(self) -> None:
        try:
            while True:
                self._wake.wait(0.5)
                self._wake.clear()
                last = self._closing
                while not self._remarks.empty():
                    self._line.say(self._remarks.get_nowait())
                view, self._view = self._view, None
                if view is not None:
                    self._line.update(view)
                if last:
                    return
        except (OSError, ValueError) as error:  # the terminal is gone
            logger.debug("the terminal is gone: %s", error)
