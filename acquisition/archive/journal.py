"""Journals: one JSON object a line, for the small records that nobody may lose.

A journal is only ever appended to. The last line of a killed writer may be torn; the
reader leaves torn lines out and counts them in the log.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from acquisition.records import (
    Event,
    Health,
    Reply,
    Request,
    Revision,
    Skip,
    Verdict,
)

Entry = Event | Verdict | Revision | Request | Reply | Skip | Health
"""What a journal holds; the class name in lower case is the ``type`` of the line."""

_LINE_BYTES = 1_000_000
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    kind.__name__.lower(): TypeAdapter(kind)
    for kind in (Event, Verdict, Revision, Request, Reply, Skip, Health)
}
_log = logging.getLogger(__name__)


class Journal:
    """An append-only file of records; ``durable`` survives a loss of power."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._durable = durable
        torn = _is_torn(path)
        self._file = path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")

    def append(self, entry: Entry) -> None:
        """Write one record; a durable journal is on the disk on return."""
        data = {"type": type(entry).__name__.lower(), **asdict(entry)}
        self._file.write(json.dumps(data, default=_plain) + "\n")
        if self._durable:
            self._file.flush()
            os.fsync(self._file.fileno())

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


def read_journal(path: Path) -> Iterator[Entry]:
    """Give the records of a journal in order; a missing journal is an empty one."""
    if not path.exists():
        return
    refused = 0
    with path.open("rb") as file:
        while line := file.readline(_LINE_BYTES):
            entry = _entry(line)
            refused += entry is None
            if entry is not None:
                yield entry
    if refused:
        _log.warning("%s: %d torn or foreign lines left out", path, refused)


def _is_torn(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _entry(line: bytes) -> Entry | None:
    try:
        data = json.loads(line)
        adapter = _ADAPTERS[data.pop("type")]
        entry: Entry = adapter.validate_python(data)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return None
    return entry


def _plain(value: Any) -> Any:
    """NumPy scalars as plain numbers."""
    return value.item()
