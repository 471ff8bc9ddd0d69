"""Mend a run whose writer was killed, so that any HDF5 program opens it again."""

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from acquisition.archive import schema
from acquisition.archive.directory import (
    Manifest,
    SegmentFacts,
    load_manifest,
    release_lock,
    writer_pid,
)
from acquisition.archive.segment_reader import SegmentReader
from acquisition.archive.superblock import mend
from acquisition.errors import BadRun

_HASH_BLOCK = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair found."""

    frames: int  # recorded frames of the whole run
    lost_frames: int  # pixels not committed, or with a wrong checksum
    state: str  # of the run: "recovered", or how it ended
    damaged: tuple[str, ...] = ()  # segments that were sealed and cannot be opened now


def repair(directory: Path) -> RepairReport:
    """Mend every segment that was left open; running it again changes nothing.

    Frames that only the killed process held in memory (at most one second) cannot be
    counted. Raises `BadRun` while the run is being written.
    """
    pid = writer_pid(directory)
    if pid is not None:
        raise BadRun(
            f"{directory} is being written by process {pid}; nothing to repair: "
            "stop that run first"
        )
    manifest = load_manifest(directory)
    unsealed = any(segment.state == "open" for segment in manifest.segments)
    if manifest.state == "recording" or unsealed:
        manifest = replace(mend_segments(directory, manifest), state="recovered")
        for segment in manifest.segments:
            if segment.sha256 is None:
                digest = file_sha256(directory / segment.name)
                manifest = manifest.with_segment(replace(segment, sha256=digest))
        manifest.save(directory)
        (directory / schema.BALLAST).unlink(missing_ok=True)
        release_lock(directory)
    return _count(directory, manifest)


def mend_segments(directory: Path, manifest: Manifest) -> Manifest:
    """Mend the segments that are still marked open.

    Their hashes (seconds for a large segment) and saving the manifest are left to the
    caller.
    """
    listed = {segment.name: segment for segment in manifest.segments}
    for path in sorted(directory.glob(schema.SEGMENT_GLOB)):
        known = listed.get(path.name)
        if known is not None and known.state != "open":
            continue
        try:
            mend(path)
        except BadRun as error:
            _log.warning("%s", error)  # killed before its first bytes: holds nothing
        manifest = manifest.with_segment(
            SegmentFacts(path.name, "recovered", path.stat().st_size)
        )
    return manifest


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _count(directory: Path, manifest: Manifest) -> RepairReport:
    """Count recorded frames, and lost ones in the segments that were mended."""
    frames = lost = 0
    damaged = []
    for segment in manifest.segments:
        try:
            reader = SegmentReader(directory / segment.name, manifest.facts)
        except OSError as error:
            _log.warning("%s cannot be opened: %s", segment.name, error)
            if segment.state == "sealed":  # it was whole, and holds more than nothing
                damaged.append(segment.name)
            continue
        frames += len(reader.sequences(schema.FRAME_INDEX))
        if segment.state == "recovered":
            lost += reader.lost_frames()
        reader.close()
    return RepairReport(frames, lost, manifest.state, tuple(damaged))
