"""The exact truth of a simulated run, in a file of its own beside the run.

HDF5 in the 1.10 format, written so that a reader may follow and a killed writer loses
at most the last second: flat tables with one row a cell or a pair, row ranges for each
frame, and a frame table whose rows are written last and count as commit marks.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadRun
from acquisition.simulated.view import Cycle
from acquisition.simulated.world import World

FORMAT: Final = "vigil-truth/1"
FLUSH_S = 1.0
"""Wall seconds between two flushes."""

FRAME_ROW = np.dtype(
    [
        ("sequence", "<i8"),
        ("time_s", "<f8"),  # experiment time of the frame
        ("specimen_s", "<f8"),  # of the specimen it shows, a little earlier
        ("cell_stop", "<i8"),  # rows of the frame end here ...
        ("pair_stop", "<i8"),  # ... and begin where those of the frame before end
    ]
)
CELL_ROW = np.dtype(
    [
        ("id", "<u4"),
        ("parent", "<u4"),
        ("centre_um", "<f8", 2),
        ("state", "u1"),
        ("dead", "u1"),
        ("minutes_since_rupture", "<f8"),
        ("mass_pg", "<f8"),
        ("area_px", "<i8"),
    ]
)


@dataclass(frozen=True, slots=True)
class TruthFrame:
    """What is in one frame; the rows are ordered by id."""

    sequence: int
    time_s: float
    labels: NDArray[np.uint16]  # (y, x) ids, 0 background
    id: NDArray[np.int64]  # (cell,) visible cells
    parent: NDArray[np.int64]  # (cell,) 0 unknown
    centre_um: NDArray[np.float64]  # (cell, yx) stage coordinates
    state: NDArray[np.uint8]  # (cell,) LifeState
    dead: NDArray[np.bool_]  # (cell,) membrane ruptured
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before, NaN unknown
    mass_pg: NDArray[np.float64]  # (cell,) true dry mass
    area_px: NDArray[np.int64]  # (cell,) visible pixels
    touching: NDArray[np.int64]  # (pair, 2) ids whose masks lie <= 2 px apart


def truth_of(sequence: int, time_s: float, cycle: Cycle) -> TruthFrame:
    """Give the truth of a cycle as that of a numbered frame."""
    cells = cycle.cells
    return TruthFrame(
        sequence=sequence,
        time_s=time_s,
        labels=cycle.labels,
        id=cells.id.astype(np.int64),
        parent=cells.parent.astype(np.int64),
        centre_um=cells.centre_um,
        state=cells.state,
        dead=cells.dead,
        minutes_since_rupture=cells.minutes_since_rupture,
        mass_pg=cells.mass_pg,
        area_px=cells.area_px,
        touching=cells.touching.astype(np.int64),
    )


class TruthWriter:
    """Writes the truth of a run, frame by frame.

    Parameters
    ----------
    path
        A new file; one that exists is never overwritten.
    world, seed
        Stored, so that the specimen can be made again.
    size_px, pixel_size_um
        Edge of the label maps and of their pixels.

    Raises
    ------
    BadRun
        If the file cannot be created.
    """

    def __init__(
        self, path: Path, world: World, seed: int, size_px: int, pixel_size_um: float
    ) -> None:
        try:
            self._file = h5py.File(path, "x", libver=("v110", "v110"))
        except OSError as error:
            raise BadRun(f"{path}: cannot be created: {error}") from error
        self._file.attrs["format"] = FORMAT
        self._file.attrs["world"] = world.model_dump_json(by_alias=True)
        self._file.attrs["world_hash"] = world.hash
        self._file.attrs["seed"] = seed
        self._file.attrs["pixel_size_um"] = pixel_size_um
        self._frames = self._table("frames", FRAME_ROW)
        self._cells = self._table("cells", CELL_ROW)
        self._pairs = self._table("pairs", np.dtype(("<u4", 2)))
        self._labels = self._file.create_dataset(
            "labels",
            shape=(0, size_px, size_px),
            maxshape=(None, size_px, size_px),
            chunks=(1, size_px, size_px),
            dtype="<u2",
            compression=hdf5plugin.Bitshuffle(cname="lz4"),
        )
        self._file.swmr_mode = True  # from here on no new data sets or attributes
        self._flushed_at = time.monotonic()
        self._flush()

    def write(self, sequence: int, time_s: float, cycle: Cycle) -> None:
        """Add a frame: what ``cycle`` showed under this number at this time."""
        cells = cycle.cells
        rows = np.empty(len(cells.id), CELL_ROW)
        for name in CELL_ROW.names or ():
            rows[name] = getattr(cells, name)
        number = len(self._frames)
        self._labels.resize(number + 1, axis=0)
        self._labels[number] = cycle.labels
        cell_stop = _append(self._cells, rows)
        pair_stop = _append(self._pairs, cells.touching)
        mark = (sequence, time_s, cycle.time_s, cell_stop, pair_stop)
        _append(self._frames, np.array([mark], FRAME_ROW))
        if time.monotonic() - self._flushed_at >= FLUSH_S:
            self._flush()

    def close(self) -> None:
        """Flush and close; closing twice does no harm."""
        if self._file:
            self._flush()
            self._file.close()

    def _table(self, name: str, dtype: np.dtype[Any]) -> h5py.Dataset:
        inner = dtype.shape
        return self._file.create_dataset(
            name,
            shape=(0, *inner),
            maxshape=(None, *inner),
            chunks=(1024, *inner),
            dtype=dtype.base,
        )

    def _flush(self) -> None:
        # The frame table last: its rows say that everything before them is there.
        for table in (self._labels, self._cells, self._pairs, self._frames):
            table.flush()
        self._file.flush()
        self._flushed_at = time.monotonic()


class TruthReader:
    """Reads the truth of a run that has ended, runs on, or was killed.

    Raises
    ------
    BadRun
        If the file is none of ours or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = h5py.File(path, "r", libver="latest", swmr=True)
        except OSError as error:
            raise BadRun(
                f"{path}: no readable truth ({error}); only runs of the simulated "
                "microscope with simulated.truth have one"
            ) from error
        if self._file.attrs.get("format") != FORMAT:
            self._file.close()
            raise BadRun(f"{path}: not a file of the format {FORMAT}")
        self.pixel_size_um = float(self._file.attrs["pixel_size_um"])
        self.seed = int(self._file.attrs["seed"])
        self.world_hash = str(self._file.attrs["world_hash"])
        self.world_name = str(json.loads(self._file.attrs["world"])["name"])
        self._marks = self._committed()
        self._row = {int(s): i for i, s in enumerate(self._marks["sequence"])}

    def __enter__(self) -> "TruthReader":
        """Give the reader itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def sequences(self) -> NDArray[np.int64]:
        """Sequence numbers of all frames, ascending as they were written."""
        return np.asarray(self._marks["sequence"])

    def frame(self, sequence: int) -> TruthFrame:
        """Read one frame.

        Raises
        ------
        BadRun
            If the truth holds no such frame.
        """
        row = self._row.get(int(sequence))
        if row is None:
            raise BadRun(
                f"{self._path}: no frame {sequence}; it holds {len(self._row)} frames"
            )
        cells = self._cells(row)
        pairs = slice(*self._range("pair_stop", row))
        return TruthFrame(
            sequence=int(sequence),
            time_s=float(self._marks["time_s"][row]),
            labels=self._file["labels"][row],
            id=cells["id"].astype(np.int64),
            parent=cells["parent"].astype(np.int64),
            centre_um=cells["centre_um"],
            state=cells["state"],
            dead=cells["dead"].astype(np.bool_),
            minutes_since_rupture=cells["minutes_since_rupture"],
            mass_pg=cells["mass_pg"],
            area_px=cells["area_px"],
            touching=self._file["pairs"][pairs].astype(np.int64),
        )

    def deaths(self) -> list[tuple[int, float]]:
        """Give id and experiment time of every membrane rupture within the run.

        Only cells that were in view at some time; ordered by time.
        """
        if not len(self._marks):
            return []
        stop = int(self._marks["cell_stop"][-1])
        cells = self._file["cells"][:stop]
        start = np.concatenate([[0], self._marks["cell_stop"][:-1]])
        counts = self._marks["cell_stop"] - start
        at = np.repeat(self._marks["specimen_s"], counts)
        rupture = at - 60 * cells["minutes_since_rupture"]
        first, last = self._marks["specimen_s"][[0, -1]]
        within = (rupture > first) & (rupture <= last)  # False where unknown (NaN)
        times = dict(
            zip(cells["id"][within].tolist(), rupture[within].tolist(), strict=True)
        )
        return sorted(times.items(), key=lambda death: (death[1], death[0]))

    def _committed(self) -> NDArray[np.void]:
        """Give the frame rows whose cells, pairs and labels are all there."""
        marks = np.asarray(self._file["frames"][:])
        whole = (
            (marks["cell_stop"] <= len(self._file["cells"]))
            & (marks["pair_stop"] <= len(self._file["pairs"]))
            & (np.arange(len(marks)) < len(self._file["labels"]))
            & (marks["sequence"] > 0)
        )
        return marks[: len(whole) if whole.all() else int(np.argmin(whole))]

    def _range(self, column: str, row: int) -> tuple[int, int]:
        start = int(self._marks[column][row - 1]) if row else 0
        return start, int(self._marks[column][row])

    def _cells(self, row: int) -> NDArray[np.void]:
        return np.asarray(self._file["cells"][slice(*self._range("cell_stop", row))])


def _append(table: h5py.Dataset, rows: NDArray[Any]) -> int:
    """Put rows at the end and give the new length."""
    start = len(table)
    table.resize(start + len(rows), axis=0)
    table[start:] = rows
    return start + len(rows)
