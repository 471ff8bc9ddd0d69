"""Log lines that never wait for the terminal.

A terminal can block for hours (a selection in a console window, Ctrl-S, a full pipe),
and whoever writes to it then stands still: a recorder that only meant to say something.
"""

import io
import logging
import os
import queue
import sys
import threading
from typing import TextIO

PATIENCE_S = 2.0
"""At its end a process gives the terminal so long to take the last lines."""


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


class Remarks(logging.Handler):
    """Writes log lines to a stream from a thread of its own."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._stream = stream
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line over; returns at once."""
        self._lines.put(self.format(record))

    def finish(self) -> None:
        """Wait until all is written, if the terminal takes it; call it last."""
        self._lines.put(None)
        self._thread.join(PATIENCE_S)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line + "\n")
            except (OSError, ValueError):  # the terminal is gone
                return


def log_aside() -> Remarks:
    """Let all log lines of this process go to stderr in this way.

    NOTE: a library sets the level of the root logger back; a handler's level stays.
    """
    remarks = Remarks(own_stream(sys.stderr))
    logging.basicConfig(handlers=[remarks], force=True)
    return remarks
