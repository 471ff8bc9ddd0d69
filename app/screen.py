"""The terminal of a run, written from a thread of its own.

A terminal can block for hours (a selection in a console window, Ctrl-S, a full pipe) or
go away; neither may hold up the supervisor, on whose pings the processes live.
"""

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
        self._stream = stream
        self._remarks: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._view: View | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="screen", daemon=True)
        self._thread.start()

    def say(self, remark: str) -> None:
        """Write one remark above the state, or below it once that is settled."""
        if self._remarks.qsize() < MOST_WAITING:
            self._remarks.put(remark)

    def show(self, view: View) -> None:
        """Show the state of the run."""
        self._view = view

    def settle(self) -> None:
        """Leave the last state standing: the run is over."""
        self._remarks.put(None)

    def close(self) -> None:
        """Write what waits, unless the terminal takes none of it for some seconds."""
        self._closing = True
        self._thread.join(PATIENCE_S)

    def _write(self) -> None:
        try:
            line = StatusLine(self._stream, self._stream.isatty())
            while self._write_one(line):
                continue
            line.close()
        except (OSError, ValueError) as error:  # the terminal is gone
            logger.debug("the terminal is gone: %s", error)

    def _write_one(self, line: StatusLine) -> bool:
        """Write the next remark or the newest view; say whether more may come."""
        last = self._closing
        try:
            remark = self._remarks.get(timeout=LOOK_EVERY_S)
        except queue.Empty:
            self._write_view(line)
            return not last
        if remark is None:
            self._write_view(line)
            line.close()
        else:
            line.say(remark)
        return True

    def _write_view(self, line: StatusLine) -> None:
        view, self._view = self._view, None
        if view is not None:
            line.update(view)
