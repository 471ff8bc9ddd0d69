"""What a process says on stderr, without ever waiting for the terminal.

A terminal can block for hours (a selection in a console window, Ctrl-S, a full pipe),
and whoever writes to it then stands still: a recorder that only meant to say something.
"""

import faulthandler
import io
import logging
import logging.handlers
import math
import os
import queue
import sys
import threading
import time
from typing import TextIO

PATIENCE_S = 2.0
"""At its end a process gives the terminal so long to take the last lines."""
MOST_WAITING = 10_000
"""Lines beyond these are dropped, until the terminal takes some again."""
MARGIN_S = 1.0


def own_stream(stream: TextIO) -> TextIO:
    """Give a stream to the same place that shares no lock with anybody.

    Python flushes the standard streams when a process is born and when one ends; a
    thread that stands in a write to the same stream would hold up both.
    """
    try:
        number = stream.fileno()
    except (OSError, io.UnsupportedOperation):
        return stream  # it is none of the system's
    return os.fdopen(
        number, "w", 1, stream.encoding, errors="backslashreplace", closefd=False
    )


class Remarks(logging.handlers.QueueHandler):
    """Writes log lines to a stream from a thread of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        super().__init__(self._lines)
        self.setLevel(logging.WARNING)
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Hand a line over; returns at once."""
        if self._lines.qsize() < MOST_WAITING:
            self._lines.put(record)

    def finish(self) -> None:
        """Wait until all is written, if the terminal takes it.

        What is logged later goes to stderr directly, so call it last.
        """
        self._lines.put(None)
        self._thread.join(PATIENCE_S)
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(self)

    def _write(self) -> None:
        while (record := self._lines.get()) is not None:
            try:
                self._stream.write(record.getMessage() + "\n")
            except (OSError, ValueError):  # the terminal is gone
                return


class Explanation:
    """Where every thread stands, written once if nobody puts it off for so long.

    A thread of C does so: it asks for no lock and no interpreter, which something that
    is stuck may hold for ever.

    NOTE: who puts it off while it is being written waits until it is, interpreter in
    hand, and a terminal may block. So from shortly before that time on nobody does.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s, self._due_s = after_s, math.inf

    def put_off(self) -> None:
        """Say that all is well: the time begins anew, unless it is over."""
        now = time.monotonic()
        if sys.__stderr__ is not None and now < self._due_s - MARGIN_S:
            self._due_s = now + self._after_s
            faulthandler.dump_traceback_later(self._after_s, file=sys.__stderr__)

    def withdraw(self) -> None:
        """Have nothing written any more."""
        if time.monotonic() < self._due_s - MARGIN_S:
            faulthandler.cancel_dump_traceback_later()


def log_aside() -> Remarks:
    """Let all log lines and warnings of this process go to stderr in this way.

    NOTE: a library sets the level of the root logger back; a handler's level stays.
    """
    remarks = Remarks(own_stream(sys.stderr))
    logging.basicConfig(handlers=[remarks], force=True)
    logging.captureWarnings(capture=True)
    return remarks
