"""One HDF5 segment while it is written (SWMR: readers may follow it).

The commit rule: data, flush, index rows, flush. A reader believes only the index rows,
so a row torn by a crash or a full disk is never seen.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from acquisition.archive import schema

_INDEX_CHUNK = 256
_TABLE_CHUNK = 4096


def closing_bytes(shape: tuple[int, int, int]) -> int:
    """Most bytes that closing a segment may need: cached images and table chunks."""
    return (6 << 20) + 4 * math.prod(shape)


class SegmentWriter:
    """An open segment; every method raises what h5py raises (OSError, RuntimeError).

    Images go to the file at once, table rows wait for :meth:`commit`.
    """

    def __init__(self, path: Path, number: int, facts: schema.RunFacts) -> None:
        self.path = path
        self._facts = facts
        # v110 because the newest format cannot be read by older HDF5; "x" because a
        # second "w" would truncate a file that is being written.
        self._file = h5py.File(path, "x", libver=("v110", "v110"))
        self._waiting: dict[str, list[schema.Rows]] = {}
        self._length: dict[str, int] = {}
        try:
            self._lay_out(number, facts)
        except (OSError, RuntimeError):
            h5py.h5i.inc_ref(self._file.id)  # see hold()
            raise

    def _lay_out(self, number: int, facts: schema.RunFacts) -> None:
        _write_attributes(self._file, number, facts)
        self._images = {
            name: _create_images(self._file, name, shape)
            for name, shape in schema.image_shapes(facts.shape).items()
        }
        self._tables = {
            name: self._create_table(name, dtype, _TABLE_CHUNK)
            for name, dtype in schema.TABLES.items()
        } | {
            name: self._create_table(name, dtype, _INDEX_CHUNK)
            for name, dtype in schema.INDEXES.items()
        }
        self._file.swmr_mode = True  # from here on no new data sets or attributes
        self._waiting = {name: [] for name in self._tables}
        self._length = dict.fromkeys(self._tables, 0)

    @property
    def is_empty(self) -> bool:
        """Whether no frame and no analysis was recorded yet."""
        return all(self._length[name] == 0 for name in schema.INDEXES)

    def write_image(self, name: str, image: NDArray[np.uint16]) -> int:
        """Append one image, compressed; gives its row."""
        images = self._images[name]
        row = int(images.shape[0])
        images.resize(row + 1, axis=0)
        images[row] = image
        return row

    def append(self, name: str, rows: schema.Rows) -> tuple[int, int]:
        """Queue table or index rows; gives the half-open range they will have."""
        start = self._length[name]
        self._length[name] = start + len(rows)
        if len(rows):
            self._waiting[name].append(rows)
        return start, start + len(rows)

    def commit(self) -> None:
        """Write what waits: everything, flush, then index by index.

        The index of the frames is the last, and the first that readers look at: of a
        frame that they know, they know where its pixels lie.
        """
        self._write(schema.TABLES)
        for images in self._images.values():
            images.flush()
        for name in schema.TABLES:
            self._tables[name].flush()
        for name in reversed(tuple(schema.INDEXES)):
            self._write([name])
            self._tables[name].flush()

    def size_bytes(self) -> int:
        """Size of the file on disk."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Commit and close: afterwards any HDF5 program opens the file."""
        self.commit()
        self._file.flush()  # what can fail fails here, where nothing is torn down yet
        self._file.close()

    def close_after_error(self) -> None:
        """Close after a write error, where there is room again.

        The rows that wait are left out: a failed write may have cost the images they
        describe (measured: HDF5 drops them from its cache without another word).

        NOTE: closing while writes still fail makes HDF5 2.0 crash the process when the
        objects are released, so the room is probed first; OSError leaves all as it was.
        """
        if not self._file:
            return  # closed before the error
        self._probe()
        self._file.flush()
        self._file.close()

    def hold(self) -> None:
        """Never close the file: HDF5 keeps it until the process ends, without a crash.

        The reader and the repair open what was committed.
        """
        for held in (self._file, *self._images.values(), *self._tables.values()):
            h5py.h5i.inc_ref(held.id)

    def _probe(self) -> None:
        """Write what a close may have to write beyond the end, and cut it off again."""
        room = closing_bytes(self._facts.shape)
        size = self.size_bytes()
        with self.path.open("r+b") as file:
            try:
                file.seek(size)
                file.write(np.random.default_rng(0).bytes(room))
                file.flush()
                os.fsync(file.fileno())
            finally:
                os.truncate(self.path, size)

    def _create_table(
        self, name: str, dtype: np.dtype[np.void], chunk: int
    ) -> h5py.Dataset:
        return self._file.create_dataset(
            name, shape=(0,), maxshape=(None,), chunks=(chunk,), dtype=dtype
        )

    def _write(self, names: Iterable[str]) -> None:
        for name in names:
            waiting = self._waiting[name]
            if not waiting:
                continue
            rows = np.concatenate(waiting)
            stop = self._length[
                name
            ]  # not table.shape: a failed write may have grown it
            table = self._tables[name]
            table.resize(stop, axis=0)
            table[stop - len(rows) :] = rows
            waiting.clear()


def _create_images(file: h5py.File, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
    return file.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=(1, *shape),  # one image a chunk: 1 write, and random reads stay fast
        rdcc_nbytes=1,  # no cache: a full disk shows at the image it concerns
        dtype="<u2",
        # Looked at before the bytes are unpacked: LZ4 crashes on damaged ones.
        fletcher32=True,
        **hdf5plugin.Bitshuffle(cname="lz4"),
    )


def _write_attributes(file: h5py.File, number: int, facts: schema.RunFacts) -> None:
    fixed: Mapping[str, Any] = {
        "format": np.bytes_(schema.FORMAT),
        "run_id": np.bytes_(facts.run_id),
        "segment": number,
        "software": np.bytes_(facts.software.encode()),
        "started": np.bytes_(facts.started.encode()),
        "modality": np.bytes_(facts.modality),
        "pixel_size_um": facts.pixel_size_um,
        "facts_json": np.bytes_(json.dumps(asdict(facts)).encode()),
    }
    for name, value in fixed.items():
        file.attrs[name] = value
