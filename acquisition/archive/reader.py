"""A recorded run, read back as records: finished, being written, or crashed.

Only what an index row vouches for is believed. Files of unknown origin are treated as
such: links, external and virtual storage and foreign types are refused, and every row
range is checked before it is read.
"""

import logging
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from acquisition.archive import directory as run_directory
from acquisition.archive import schema
from acquisition.archive.journal import read_journal
from acquisition.archive.refined import refined_from_rows
from acquisition.archive.segment_reader import SegmentReader
from acquisition.errors import BadRun
from acquisition.records import (
    Cells,
    Event,
    Forecast,
    Frame,
    FrameInfo,
    Health,
    Refined,
    Reply,
    Request,
    Revision,
    Skip,
    Tracks,
    Verdict,
)

_CONFIG_BYTES = 4_000_000
_Kind = TypeVar("_Kind", Event, Verdict, Revision, Request, Reply, Skip, Health)
_log = logging.getLogger(__name__)


class _Places(NamedTuple):
    """Where the rows of an index lie, ordered by sequence."""

    sequence: NDArray[np.int64]
    segment: NDArray[np.int64]
    row: NDArray[np.int64]


class RunReader:
    """A run directory as records, by the sequence numbers of its frames.

    Use it as a context manager, in one thread. A run that is still written shows what
    was committed when it was opened; :meth:`refresh` shows what came since. Segments
    that HDF5 cannot open are named in ``damaged``, the others stay readable.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest = run_directory.load_manifest(directory)
        self.damaged: tuple[str, ...] = ()
        self._segments: dict[str, SegmentReader] = {}
        try:
            self.refresh()
        except BadRun:
            self.close()
            raise

    def __enter__(self) -> "RunReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        for segment in self._segments.values():
            segment.close()
        self._segments = {}

    def refresh(self) -> None:
        """See what a living writer committed since the last look."""
        self.manifest = run_directory.load_manifest(self.directory)
        failed = []
        for path in sorted(self.directory.glob(schema.SEGMENT_GLOB)):
            if path.name in self._segments:
                self._segments[path.name].refresh()
            elif not self._open(path):
                failed.append(path.name)
        self.damaged = tuple(failed)
        self._segments = dict(sorted(self._segments.items()))
        self._frames = self._places(schema.FRAME_INDEX)
        self._kept = self._places(schema.RAW_INDEX)
        self._analyses = self._places(schema.ANALYSIS_INDEX)

    @property
    def facts(self) -> schema.RunFacts:
        """What holds for the whole run."""
        return self.manifest.facts

    @property
    def state(self) -> str:
        """How the run ended; "recording" while it is written, "crashed" if it died."""
        if self.manifest.state != "recording":
            return self.manifest.state
        alive = run_directory.writer_pid(self.directory) is not None
        return "recording" if alive else "crashed"

    @property
    def config_text(self) -> str:
        """The experiment file as it was used."""
        path = self.directory / schema.CONFIG
        try:
            with path.open("rb") as file:
                return file.read(_CONFIG_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadRun(f"{path} cannot be read: {error}") from error

    @property
    def truth_path(self) -> Path | None:
        """The exact truth of a simulated run, where it was written."""
        path = self.directory / schema.TRUTH
        return path if path.is_file() else None

    @property
    def sequences(self) -> NDArray[np.int64]:
        """Sequence numbers of all recorded frames, ascending."""
        return self._frames.sequence

    @property
    def kept_sequences(self) -> NDArray[np.int64]:
        """Sequence numbers of the frames whose pixels are kept, ascending."""
        return self._kept.sequence

    @property
    def analysed_sequences(self) -> NDArray[np.int64]:
        """Sequence numbers of all analysed frames, ascending."""
        return self._analyses.sequence

    def info(self, sequence: int) -> FrameInfo:
        """Give everything about a frame but its pixels; `BadRun` if it is not there."""
        segment, row = self._find(self._frames, sequence, "recorded")
        return schema.info_from_row(segment.row(schema.FRAME_INDEX, row))

    def frame(self, sequence: int) -> Frame | None:
        """Give a frame with its pixels (step, y, x); None where they were not kept."""
        info = self.info(sequence)
        if not _holds(self._kept, sequence):
            return None
        segment, row = self._find(self._kept, sequence, "kept")
        kept = segment.row(schema.RAW_INDEX, row)
        return Frame(info=info, pixels=segment.pixels(kept))

    def labels(self, sequence: int) -> NDArray[np.uint16] | None:
        """Give the instance map (y, x) of a frame; None where it was not kept."""
        segment, row = self._analysis(sequence)
        return _image(segment, schema.LABELS, int(row["labels_row"]))

    def phase(self, sequence: int) -> NDArray[np.uint16] | None:
        """Give the coded phase (y, x) of a frame; None where it was not kept."""
        segment, row = self._analysis(sequence)
        return _image(segment, schema.PHASE, int(row["phase_row"]))

    def cells(self, sequence: int) -> Cells:
        """Give the cells of an analysed frame."""
        segment, row = self._analysis(sequence)
        return schema.cells_from_rows(
            segment.rows("analysis/cells", row["cells"]),
            segment.rows("analysis/touching", row["touching"]),
        )

    def tracks(self, sequence: int) -> Tracks:
        """Give the tracks after an analysed frame."""
        segment, row = self._analysis(sequence)
        return schema.tracks_from_rows(segment.rows("analysis/tracks", row["tracks"]))

    def forecast(self, sequence: int) -> Forecast:
        """Give the forecasts made after an analysed frame."""
        segment, row = self._analysis(sequence)
        return schema.forecast_from_rows(
            segment.rows("analysis/forecast", row["forecast"]),
            segment.rows("analysis/horizons", row["horizons"]),
            schema.decode_text(row["forecast_model"]),
        )

    def refined(self, sequence: int) -> Refined | None:
        """Give what became final with an analysed frame; None if nothing did."""
        segment, row = self._analysis(sequence)
        return refined_from_rows(segment.rows("analysis/refined", row["refined"]))

    def model_and_engine(self, sequence: int) -> tuple[str, str]:
        """Give which weights and which engine served an analysed frame."""
        _, row = self._analysis(sequence)
        return schema.decode_text(row["model"]), schema.decode_text(row["engine"])

    def stamps(self) -> schema.Rows:
        """Give all stage stamps (``schema.STAMPS``), one row per recorded frame.

        The stages of a frame that was never analysed are 0, so it is not forgotten
        when a latency is stated.
        """
        stamps = np.zeros(len(self.sequences), schema.STAMPS)
        for places, index in (
            (self._frames, schema.FRAME_INDEX),
            (self._analyses, schema.ANALYSIS_INDEX),
        ):
            known = np.isin(places.sequence, self.sequences)
            target = np.searchsorted(self.sequences, places.sequence[known])
            rows = self._all_rows(index, places)[known]
            for name in set(rows.dtype.names or ()) & set(schema.STAMPS.names or ()):
                stamps[name][target] = rows[name]
        return stamps

    def frame_table(self) -> schema.Rows:
        """Give the info of all frames as one table (``schema.FRAME``)."""
        return self._all_rows(schema.FRAME_INDEX, self._frames)

    def analysis_table(self) -> schema.Rows:
        """Give the index of all analysed frames as one table (``schema.ANALYSIS``)."""
        return self._all_rows(schema.ANALYSIS_INDEX, self._analyses)

    def track_ids(self) -> NDArray[np.int64]:
        """Give the ids of all tracks of all frames, ascending, each of them once."""
        spans = self.analysis_table()["tracks"]
        found = [np.zeros(0, np.int64)]
        for number, segment in enumerate(self._segments.values()):
            here = spans[self._analyses.segment == number]
            if len(here):
                first = int(here.min())
                rows = segment.rows("analysis/tracks", np.array([first, here.max()]))
                known = _covered(here - first, len(rows))
                found.append(np.unique(rows["track_id"][known]))
        return np.unique(np.concatenate(found))

    def events(self) -> list[Event]:
        """Give all events in the order in which they were decided."""
        return self._journal(schema.EVENTS, Event)

    def verdicts(self) -> list[Verdict]:
        """Give what later frames said of the events."""
        return self._journal(schema.EVENTS, Verdict)

    def revisions(self) -> list[Revision]:
        """Give what is now held to have been otherwise, in the order of deciding."""
        return self._journal(schema.EVENTS, Revision)

    def requests(self) -> list[Request]:
        """Give all wishes for extra frames."""
        return self._journal(schema.EVENTS, Request)

    def replies(self) -> list[Reply]:
        """Give what became of the requests."""
        return self._journal(schema.EVENTS, Reply)

    def skips(self) -> list[Skip]:
        """Give every frame or stage that was left out, and why."""
        return self._journal(schema.SKIPS, Skip)

    def health(self) -> list[Health]:
        """Give what the processes said about themselves."""
        return self._journal(schema.HEALTH, Health)

    def _journal(self, name: str, kind: type[_Kind]) -> list[_Kind]:
        entries = read_journal(self.directory / name)
        wanted = (entry for entry in entries if isinstance(entry, kind))
        return list(dict.fromkeys(wanted))  # a stream repeats itself after a crash

    def _open(self, path: Path) -> bool:
        """Open a segment; one that is just being made is there at the next look."""
        try:
            self._segments[path.name] = SegmentReader(path, self.facts)
        except OSError as error:
            # One that was killed in its first milliseconds holds nothing yet.
            if path.name not in self.damaged:
                _log.warning("%s cannot be opened and is left out: %s", path, error)
            return False
        return True

    def _places(self, index: str) -> _Places:
        parts = [one.sequences(index) for one in self._segments.values()]
        sequence = np.concatenate([np.zeros(0, np.int64), *parts])
        sizes = [len(part) for part in parts]
        segment = np.repeat(np.arange(len(parts)), sizes)
        row = np.concatenate([np.zeros(0, np.int64), *map(np.arange, sizes)])
        order = np.argsort(sequence, kind="stable")
        last = np.ones(len(order), np.bool_)  # of a number written twice the later row
        last[:-1] = np.diff(sequence[order]) != 0
        chosen = order[last]
        return _Places(sequence[chosen], segment[chosen], row[chosen])

    def _all_rows(self, index: str, places: _Places) -> schema.Rows:
        parts = [one.index(index) for one in self._segments.values()]
        if not parts:
            return np.zeros(0, schema.INDEXES[index])
        starts = np.cumsum([0, *(len(part) for part in parts)])
        rows: schema.Rows = np.concatenate(parts)
        return rows[starts[places.segment] + places.row]

    def _find(
        self, places: _Places, sequence: int, what: str
    ) -> tuple[SegmentReader, int]:
        if not _holds(places, sequence):
            raise BadRun(
                f"{self.directory}: frame {sequence} was not {what}; "
                f"{len(places.sequence)} frames were"
            )
        at = int(np.searchsorted(places.sequence, sequence))
        segments = list(self._segments.values())
        return segments[int(places.segment[at])], int(places.row[at])

    def _analysis(self, sequence: int) -> tuple[SegmentReader, np.void]:
        segment, row = self._find(self._analyses, sequence, "analysed")
        return segment, segment.row(schema.ANALYSIS_INDEX, row)


def _holds(places: _Places, sequence: int) -> bool:
    at = int(np.searchsorted(places.sequence, sequence))
    return at < len(places.sequence) and int(places.sequence[at]) == sequence


def _covered(spans: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Mark the rows, of so many, that lie in at least one span (span, start stop)."""
    steps = np.zeros(count + 1, np.int64)
    np.add.at(steps, spans[:, 0], 1)
    np.add.at(steps, spans[:, 1], -1)
    return np.cumsum(steps)[:-1] > 0


def _image(segment: SegmentReader, name: str, row: int) -> NDArray[np.uint16] | None:
    return None if row < 0 else segment.image(name, row)
