"""The run directory: its name, its manifest and the lock of its writer."""

import json
import os
import re
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import TypeAdapter, ValidationError

from acquisition.archive import schema
from acquisition.errors import BadRun

LOCK = "writer.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MANIFEST_BYTES = 16_000_000


def create_run_directory(parent: Path, name: str, started: datetime) -> Path:
    """Make the new, empty directory ``parent/NAME-YYYYmmdd-HHMMSS`` of a run.

    The creation is exclusive: two runs started in the same second become ``...`` and
    ``...-2``. A name that could leave ``parent`` is refused with `BadRun`.
    """
    if not _NAME.fullmatch(name):
        raise BadRun(
            f"run name {name!r} is not allowed; use up to 64 letters, digits, "
            "'_', '.' or '-', starting with a letter or digit"
        )
    stem = f"{name}-{started:%Y%m%d-%H%M%S}"
    for attempt in range(1, 1000):
        directory = parent / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise _cannot_create(directory, error) from error
        return directory
    raise BadRun(f"{parent / stem} exists 999 times; choose another run name")


def create_exact_directory(directory: Path) -> Path:
    """Make a directory that the user named; one that exists is refused."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError as error:
        raise BadRun(
            f"{directory} exists already; a run never writes into an old directory: "
            "name a new one"
        ) from error
    except OSError as error:
        raise _cannot_create(directory, error) from error
    return directory


def _cannot_create(directory: Path, error: OSError) -> BadRun:
    return BadRun(
        f"cannot create {directory} ({error.strerror or error}); "
        "check the path, the permissions and the disk"
    )


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What the manifest says about one HDF5 segment."""

    name: str
    state: Literal["open", "sealed", "recovered"]
    size_bytes: int | None = None  # known when no longer open
    sha256: str | None = None  # follows some seconds after the seal


@dataclass(frozen=True, slots=True)
class Manifest:
    """The table of contents of a run; replaced as a whole, never edited in place."""

    format: Literal["vigil-run/3"]
    state: str  # "recording", or how it ended: "ended", "faulted", "recovered" ...
    facts: schema.RunFacts
    segments: tuple[SegmentFacts, ...]

    def with_segment(self, segment: SegmentFacts) -> "Manifest":
        """Give the manifest with one segment added or replaced by name."""
        others = [old for old in self.segments if old.name != segment.name]
        ordered = sorted([*others, segment], key=lambda one: one.name)
        return replace(self, segments=tuple(ordered))

    def save(self, directory: Path) -> None:
        """Write the manifest so that a crash leaves the old or the new one."""
        data: dict[str, Any] = {
            **asdict(self),
            "written": datetime.now(UTC).isoformat(),
        }
        new = directory / (schema.MANIFEST + ".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        _replace(new, directory / schema.MANIFEST)


def _replace(new: Path, old: Path) -> None:
    """Replace a file; on Windows wait until nobody is just reading the old one."""
    for _ in range(20):
        try:
            new.replace(old)
        except PermissionError:
            time.sleep(0.025)
        else:
            return
    new.replace(old)


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def load_manifest(directory: Path) -> Manifest:
    """Read and check the manifest of a run; raises `BadRun`."""
    path = directory / schema.MANIFEST
    try:
        if path.stat().st_size > _MANIFEST_BYTES:
            raise BadRun(f"{path} is larger than any manifest; this is no run of ours")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadRun(
            f"{directory} is no run directory: it holds no {schema.MANIFEST}; "
            "name the folder of one run"
        ) from error
    except (OSError, ValueError) as error:
        raise BadRun(
            f"{path} cannot be read: {error}; take it from a copy of the run"
        ) from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != schema.FORMAT:
        raise BadRun(
            f"{path} has format {found!r}, this version reads {schema.FORMAT!r}; "
            "use the version of vigil that wrote the run"
        )
    data.pop("written", None)
    try:
        return _MANIFEST.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRun(
            f"{path} is damaged: {where}: {first['msg']}; take it from a copy of the "
            "run"
        ) from error


def writer_pid(directory: Path) -> int | None:
    """Process id of the living writer of a run; None where nobody writes."""
    try:
        held = json.loads((directory / LOCK).read_text(encoding="utf-8"))
        pid, born_s = int(held["pid"]), float(held["born_s"])
        alive = abs(psutil.Process(pid).create_time() - born_s) < 2.0
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return pid if alive else None


def take_lock(directory: Path) -> None:
    """Become the only writer of a run; raises `BadRun` with the pid of the other."""
    holder = writer_pid(directory)
    if holder is not None:
        raise BadRun(
            f"{directory} is being written by process {holder}; "
            "stop that run first, or start this one in another directory"
        )
    path = directory / LOCK
    path.unlink(missing_ok=True)  # left by a writer that was killed
    mine = {"pid": os.getpid(), "born_s": psutil.Process().create_time()}
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(mine, file)
    except FileExistsError as error:
        raise BadRun(
            f"{directory} was just taken by another process ({path}); try again"
        ) from error
    except OSError as error:
        raise BadRun(
            f"cannot write into {directory} ({error.strerror or error}); "
            "check that it exists and may be written"
        ) from error


def release_lock(directory: Path) -> None:
    """Let others write; harmless where there is no lock."""
    (directory / LOCK).unlink(missing_ok=True)
