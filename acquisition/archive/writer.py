"""The writer of a run: one per run, in the recorder process, in one thread."""

import logging
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np

from acquisition.archive import schema
from acquisition.archive.directory import (
    Manifest,
    SegmentFacts,
    load_manifest,
    release_lock,
    take_lock,
)
from acquisition.archive.journal import Entry, Journal
from acquisition.archive.memory import keep_image_buffers
from acquisition.archive.policy import FramePolicy
from acquisition.archive.repair import file_sha256, mend_segments
from acquisition.archive.segment import SegmentWriter, closing_bytes
from acquisition.errors import BadRun
from acquisition.records import Analysed, Frame, Health, Reply, Skip
from configs.schema import Log

COMMIT_S = 1.0
"""At most this much of a run is lost when the writer is killed ..."""
COMMIT_RECORDS = 15
"""... or this many frames and analyses, whichever is less."""

_log = logging.getLogger(__name__)


class RunWriter:
    """Writes frames, analyses and small records into a run directory.

    A second writer on the same directory is refused with the pid of the first. After a
    crash a new writer with the same ``run_id`` mends the directory and goes on in a
    new segment. A write error (disk full) raises `BadRun` once; what was committed
    stays readable, later records are counted in ``unwritten`` and dropped.

    Parameters
    ----------
    directory
        An existing directory, see `create_run_directory`.
    config_text
        The experiment file as used.
    log
        What is kept, and the size of the segments.
    facts
        What holds for the whole run; ``shape`` is that of its frames. Single shots of
        the same edges are taken too.
    """

    def __init__(
        self, directory: Path, config_text: str, log: Log, facts: schema.RunFacts
    ) -> None:
        self.directory = directory
        self.unwritten = 0
        self._settings = log
        self._facts = facts
        self._policy = FramePolicy(log)
        self._failed = self._closed = False
        self._manifest_lock = Lock()
        self._hashing = ThreadPoolExecutor(1, "segment-hash")
        self._pending = 0
        self._committed_s = time.monotonic()
        keep_image_buffers()
        take_lock(directory)
        try:
            self._manifest = self._begin(config_text)
            for segment in self._manifest.segments:  # of a writer that crashed
                if segment.sha256 is None:
                    self._hashing.submit(self._hash, segment)
            self._events = Journal(directory / schema.EVENTS, durable=True)
            self._skips = Journal(directory / schema.SKIPS, durable=False)
            self._health = Journal(directory / schema.HEALTH, durable=False)
            self._open_segment()
        except (BadRun, OSError, RuntimeError) as error:
            release_lock(directory)
            if isinstance(error, BadRun):
                raise
            raise BadRun(
                f"cannot start a run in {directory}: {error}; "
                "check the disk and the permissions"
            ) from error

    @property
    def failed(self) -> bool:
        """Whether a write error has ended the recording."""
        return self._failed

    def write_frame(self, frame: Frame) -> None:
        """Record a frame; its pixels by the policy, its index row always."""
        shapes = (self._facts.shape, (1, *self._facts.shape[1:]))
        if frame.pixels.shape not in shapes or frame.pixels.dtype != np.uint16:
            raise BadRun(
                f"frame {frame.info.sequence} is {frame.pixels.dtype} "
                f"{frame.pixels.shape}, the run records uint16 {self._facts.shape}; "
                "it was not written"
            )
        with self._recording() as going:
            if going:
                self._segment.append(schema.FRAME_INDEX, schema.frame_rows(frame.info))
                self._keep(self._policy.take(frame))
                self._pending += 1
                self._commit_if_due()

    def write_analysed(self, analysed: Analysed) -> None:
        """Record what a frame led to; its events are on the disk on return."""
        with self._recording() as going:
            if going:
                decided_s = analysed.segmented.info.time_s
                entries: tuple[Entry, ...] = (
                    *analysed.events,
                    *analysed.verdicts,
                    *analysed.revisions,
                    *analysed.requests,
                )
                for entry in entries:
                    self._events.append(entry)
                for event in analysed.events:
                    self._keep(self._policy.event(event.position, decided_s))
                self._write_analysis(analysed)
                self._pending += 1
                self._commit_if_due()

    def write_reply(self, reply: Reply) -> None:
        """Record what became of a request; on the disk on return."""
        with self._recording() as going:
            if going:
                self._events.append(reply)

    def write_skip(self, skip: Skip) -> None:
        """Record a frame or stage that was left out."""
        with self._recording() as going:
            if going:
                self._skips.append(skip)
                self._commit_if_due()

    def write_health(self, health: Health) -> None:
        """Record what a process says about itself."""
        with self._recording() as going:
            if going:
                self._health.append(health)
                self._commit_if_due()

    def commit(self) -> None:
        """Commit when due; call it about every half second while nothing comes."""
        if not self._failed:
            with self._recording():
                self._commit_if_due()

    def free_gb(self) -> float:
        """Room left on the disk of the run."""
        return shutil.disk_usage(self.directory).free / 1e9

    def close(self, state: str) -> None:
        """Seal the run with its final state; a second call does nothing.

        After a write error the state is "faulted" whatever the caller believes.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                with self._recording():
                    self._seal()
                    self._close_journals()
        finally:
            self._finish("faulted" if self._failed else state)

    def _begin(self, config_text: str) -> Manifest:
        if (self.directory / schema.MANIFEST).exists():
            manifest = self._resumed()
        else:
            config = self.directory / schema.CONFIG
            config.write_text(config_text, encoding="utf-8", newline="")
            manifest = Manifest(schema.FORMAT, "recording", self._facts, ())
        manifest.save(self.directory)
        # Freed when the disk is full, so that the files can still be closed.
        ballast = np.random.default_rng(0).bytes(2 * closing_bytes(self._facts.shape))
        (self.directory / schema.BALLAST).write_bytes(ballast)
        return manifest

    def _resumed(self) -> Manifest:
        manifest = load_manifest(self.directory)
        if manifest.facts.run_id != self._facts.run_id or manifest.state != "recording":
            raise BadRun(
                f"{self.directory} already holds run {manifest.facts.run_id} "
                f"({manifest.state}); a run never writes into an old directory"
            )
        _log.warning("%s: going on after a crash of the writer", self.directory)
        return mend_segments(self.directory, manifest)

    def _open_segment(self) -> None:
        with self._manifest_lock:
            number = len(self._manifest.segments)
            path = self.directory / schema.segment_name(number)
            self._segment = SegmentWriter(path, number, self._facts)
            self._segment_opened_s = time.monotonic()
            self._manifest = self._manifest.with_segment(
                SegmentFacts(path.name, "open")
            )
            self._manifest.save(self.directory)

    def _keep(self, frames: list[Frame]) -> None:
        for frame in frames:
            pixels = np.ascontiguousarray(frame.pixels)
            single = pixels.shape != self._facts.shape
            name = schema.SINGLES if single else schema.PIXELS
            row = self._segment.write_image(name, pixels)
            known = (frame.info.sequence, zlib.crc32(pixels.data), single, row)
            self._segment.append(schema.RAW_INDEX, np.array([known], schema.RAW))

    def _write_analysis(self, analysed: Analysed) -> None:
        segmented, segment = analysed.segmented, self._segment
        row = np.zeros(1, schema.ANALYSIS)
        row["sequence"] = segmented.info.sequence
        row["labels_row"] = row["phase_row"] = -1
        if self._settings.labels:
            row["labels_row"] = segment.write_image(schema.LABELS, segmented.labels)
        if self._settings.phase:
            row["phase_row"] = segment.write_image(schema.PHASE, segmented.phase)
        for name, rows in schema.analysis_rows(analysed).items():
            span = segment.append(name, rows)
            column = name.removeprefix("analysis/")
            if column in (row.dtype.names or ()):
                row[column] = span
        row["model"] = schema.encode_text(segmented.model)
        row["engine"] = schema.encode_text(segmented.engine)
        row["prior_shift"] = segmented.prior_shift
        row["forecast_model"] = schema.encode_text(analysed.forecast.model)
        for name in ("received_ns", "phase_ns", "network_ns", "cells_ns"):
            row[name] = getattr(segmented, name)
        for name in ("tracks_ns", "forecast_ns", "decision_ns"):
            row[name] = getattr(analysed, name)
        segment.append(schema.ANALYSIS_INDEX, row)

    def _commit_if_due(self) -> None:
        waited_s = time.monotonic() - self._committed_s
        if waited_s < COMMIT_S and self._pending < COMMIT_RECORDS:
            return
        self._segment.commit()
        self._skips.flush()
        self._health.flush()
        self._pending = 0
        self._committed_s = time.monotonic()
        age_min = (self._committed_s - self._segment_opened_s) / 60
        old = age_min >= self._settings.segment_minutes
        large = self._segment.size_bytes() >= self._settings.segment_gb * 1e9
        if (old or large) and not self._segment.is_empty:
            self._seal()
            self._open_segment()

    def _seal(self) -> None:
        """Close the segment; its hash follows from a thread of its own."""
        self._segment.close()
        path = self._segment.path
        sealed = SegmentFacts(path.name, "sealed", path.stat().st_size)
        self._update(sealed)
        self._hashing.submit(self._hash, sealed)

    def _hash(self, segment: SegmentFacts) -> None:
        try:
            digest = file_sha256(self.directory / segment.name)
            self._update(replace(segment, sha256=digest))
        except OSError as error:
            _log.warning("%s: no checksum in the manifest: %s", segment.name, error)

    def _update(self, segment: SegmentFacts) -> None:
        with self._manifest_lock:
            self._manifest = self._manifest.with_segment(segment)
            self._manifest.save(self.directory)

    @contextmanager
    def _recording(self) -> Iterator[bool]:
        """Say whether the recording goes on, and turn a write error into its end."""
        if self._failed:
            self.unwritten += 1
            yield False
            return
        try:
            yield True
        except (OSError, RuntimeError) as error:  # what h5py raises on a full disk
            self._failed = True
            free_gb = self.free_gb()
            self._rescue()
            raise BadRun(
                f"writing to {self.directory} failed ({_cause(error)}; {free_gb:.2f} "
                "GB free); the recording has ended and all but the last second of it "
                "is readable: free the disk and start a new run"
            ) from error

    def _rescue(self) -> None:
        """Close what can be closed, after freeing the ballast to make room."""
        (self.directory / schema.BALLAST).unlink(missing_ok=True)
        try:
            self._segment.close_after_error()
        except (OSError, RuntimeError) as error:
            self._segment.hold()
            _log.warning("%s: not closed cleanly: %s", self.directory, error)
        try:
            self._close_journals()
        except OSError as error:
            _log.warning("%s: last lines lost: %s", self.directory, error)

    def _close_journals(self) -> None:
        for journal in (self._events, self._skips, self._health):
            journal.close()

    def _finish(self, state: str) -> None:
        (self.directory / schema.BALLAST).unlink(missing_ok=True)
        try:
            with self._manifest_lock:
                self._manifest = replace(self._manifest, state=state)
                self._manifest.save(self.directory)
            self._hashing.shutdown(wait=True)
        except OSError as error:
            raise BadRun(
                f"{self.directory}: the final state {state!r} was not written "
                f"({error}); run the repair of this directory"
            ) from error
        finally:
            release_lock(self.directory)


def _cause(error: OSError | RuntimeError) -> str:
    """Take the words of the operating system out of the paragraph of HDF5."""
    said = re.search(r"error message = '([^']*)'", str(error))
    return said.group(1) if said else str(error).partition("\n")[0]
