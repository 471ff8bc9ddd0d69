"""The exact truth of a simulated run, in a file of its own beside the run.

HDF5 in the 1.10 format, written so that a reader may follow and a killed writer loses
at most the last second: flat tables with one row a cell or a pair, row ranges for each
frame, and a frame table whose rows are written last and count as commit marks.
"""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadRun
from acquisition.simulated.drawing.masks import MASK_ROW, unpack
from acquisition.simulated.truth.records import (
    CELL_ROW,
    DOSE_ROW,
    FORMAT,
    FRAME_ROW,
    PAIR_ROW,
    TruthFrame,
    cell_rows,
    frame_of,
    pair_rows,
    truth_of,
)
from acquisition.simulated.view import Cycle
from acquisition.simulated.world import World

__all__ = ["TruthFrame", "TruthReader", "TruthWriter", "truth_of"]

FLUSH_S = 1.0
"""Wall seconds between two flushes."""
TABLES = {
    "cells": ("cell_stop", CELL_ROW),
    "pairs": ("pair_stop", PAIR_ROW),
    "masks": ("mask_stop", MASK_ROW),
    "mask_bytes": ("byte_stop", np.dtype("u1")),
    "doses": ("dose_stop", DOSE_ROW),
}
"""Tables of rows, each with the column of the frame table that says where they end."""


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
    flush_s
        Wall seconds between two flushes. They show in the bytes, not in what is read:
        infinite where equal runs are to give equal files.

    Raises
    ------
    BadRun
        If the file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        world: World,
        seed: int,
        size_px: int,
        pixel_size_um: float,
        flush_s: float = FLUSH_S,
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
        self._file.attrs["size_px"] = size_px
        self._frames = self._table("frames", FRAME_ROW)
        self._tables = {
            name: self._table(name, row) for name, (_, row) in TABLES.items()
        }
        self._labels = self._maps("labels", size_px, size_px, "<u2")
        # Eight pixels a byte: where a cell's nucleus is, its label is known already.
        self._nuclei = self._maps("nuclei", size_px, -(-size_px // 8), "u1")
        self._file.swmr_mode = True  # from here on no new data sets or attributes
        self._flush_s = flush_s
        self._flushed_at = time.monotonic()
        self.flush()

    def write(self, sequence: int, time_s: float, cycle: Cycle) -> None:
        """Add a frame: what ``cycle`` showed under this number at this time."""
        number = len(self._frames)
        for maps, new in (
            (self._labels, cycle.labels),
            (self._nuclei, np.packbits(cycle.nuclei > 0, axis=1)),
        ):
            maps.resize(number + 1, axis=0)
            maps[number] = new
        mark = np.zeros(1, FRAME_ROW)
        mark["sequence"], mark["time_s"] = sequence, time_s
        mark["specimen_s"], mark["focus_um"] = cycle.time_s, cycle.focus_um
        mark["stage_yx_um"] = cycle.stage_yx_um
        for name, rows in self._rows(cycle).items():
            mark[TABLES[name][0]] = _append(self._tables[name], rows)
        _append(self._frames, mark)
        if time.monotonic() - self._flushed_at >= self._flush_s:
            self.flush()

    def _rows(self, cycle: Cycle) -> dict[str, NDArray[Any]]:
        """Give the new rows of every table."""
        masks = np.zeros(0, MASK_ROW)
        bits = np.zeros(0, np.uint8)
        doses = np.zeros(0, DOSE_ROW)
        if cycle.insight is not None:
            bits = cycle.insight.masks.bits
            masks = cycle.insight.masks.rows.copy()
            masks["byte_stop"] += len(self._tables["mask_bytes"])
            known = len(self._tables["doses"])
            doses = np.array(list(cycle.insight.given[known:]), DOSE_ROW)
        return {
            "cells": cell_rows(cycle),
            "pairs": pair_rows(cycle),
            "masks": masks,
            "mask_bytes": bits,
            "doses": doses,
        }

    def close(self) -> None:
        """Flush and close; closing twice does no harm."""
        if self._file:
            self.flush()
            self._file.close()

    def _table(self, name: str, dtype: np.dtype[Any]) -> h5py.Dataset:
        rows = 65_536 if dtype.itemsize == 1 else 1024
        return self._file.create_dataset(
            name, shape=(0,), maxshape=(None,), chunks=(rows,), dtype=dtype
        )

    def _maps(self, name: str, height: int, width: int, dtype: str) -> h5py.Dataset:
        return self._file.create_dataset(
            name,
            shape=(0, height, width),
            maxshape=(None, height, width),
            chunks=(1, height, width),
            dtype=dtype,
            compression=hdf5plugin.Bitshuffle(cname="lz4"),
        )

    def flush(self) -> None:
        """Let the file hold all frames so far, whatever happens to the writer."""
        # The frame table last: its rows say that everything before them is there.
        for table in (
            self._labels,
            self._nuclei,
            *self._tables.values(),
            self._frames,
        ):
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
        self.size_px = int(self._file.attrs["size_px"])
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
        labels = np.asarray(self._file["labels"][row])
        inside = np.unpackbits(self._file["nuclei"][row], axis=1, count=self.size_px)
        mark = self._marks[row]
        return frame_of(
            (int(sequence), float(mark["time_s"]), float(mark["specimen_s"])),
            (labels, np.where(inside, labels, np.uint16(0))),
            self._rows("cells", row),
            self._rows("pairs", row),
        )

    def whole_mask(self, sequence: int, cell: int) -> NDArray[np.bool_]:
        """Give the mask (y, x) of a cell, also where a neighbour hides it.

        Without a truth kept in full, and outside the view, only what is visible.
        """
        mask = np.asarray(self.frame(sequence).labels == cell)
        row = self._row[int(sequence)]
        start = self._range("byte_stop", row)[0]
        for covered in self._rows("masks", row):
            stop = int(covered["byte_stop"])
            if covered["id"] == cell:
                top, left = int(covered["top"]), int(covered["left"])
                box = unpack(covered, self._file["mask_bytes"][start:stop])
                mask[top : top + box.shape[0], left : left + box.shape[1]] |= box
            start = stop
        return mask

    @property
    def world(self) -> World:
        """The world of the run, as it was."""
        return World.check(json.loads(self._file.attrs["world"]), str(self._path))

    def unplanned_doses(self, sequence: int) -> list[tuple[float, float]]:
        """Give the doses until a frame that the world does not plan: time in s, Gy."""
        self.frame(sequence)
        stop = int(self._marks["dose_stop"][self._row[int(sequence)]])
        rows = self._file["doses"][:stop]
        return [(float(row["time_s"]), float(row["gy"])) for row in rows]

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
        whole = marks["sequence"] > 0
        for name, (stop, _) in TABLES.items():
            whole &= marks[stop] <= len(self._file[name])
        for name in ("labels", "nuclei"):
            whole &= np.arange(len(marks)) < len(self._file[name])
        return marks[: len(whole) if whole.all() else int(np.argmin(whole))]

    def _range(self, column: str, row: int) -> tuple[int, int]:
        start = int(self._marks[column][row - 1]) if row else 0
        return start, int(self._marks[column][row])

    def _rows(self, table: str, row: int) -> NDArray[np.void]:
        start, stop = self._range(TABLES[table][0], row)
        return np.asarray(self._file[table][start:stop])


def _append(table: h5py.Dataset, rows: NDArray[Any]) -> int:
    """Put rows at the end and give the new length."""
    start = len(table)
    table.resize(start + len(rows), axis=0)
    table[start:] = rows
    return start + len(rows)
