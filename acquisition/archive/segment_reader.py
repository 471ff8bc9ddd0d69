"""One HDF5 segment while it is read, with nothing in it taken on trust."""

import zlib
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the Bitshuffle filter
import numpy as np
from numpy.typing import NDArray

from acquisition.archive import schema
from acquisition.archive.superblock import is_flagged
from acquisition.errors import BadRun

_MOST_ROWS = 2**40
_MOST_CHUNK_ROWS = 2**16  # a chunk is read whole, so its size is a matter of memory


class SegmentReader:
    """An open segment; raises OSError when HDF5 refuses it, else `BadRun`."""

    def __init__(self, path: Path, facts: schema.RunFacts) -> None:
        if path.is_symlink():
            raise BadRun(f"{path} is a link; a run holds its segments itself")
        self.path = path
        self._live = is_flagged(path)
        self._file = _open(path, self._live)
        try:
            # Indexes first: what they point at is opened later, so it is not older.
            tables = {**schema.INDEXES, **schema.TABLES}
            self._tables = {
                name: self._dataset(name, dtype, ()) for name, dtype in tables.items()
            }
            self._images = {
                name: self._dataset(name, np.dtype("<u2"), shape)
                for name, shape in schema.image_shapes(facts.shape).items()
            }
            self._rows = self._committed()
        except (RuntimeError, KeyError) as error:
            # Of HDF5: the writer was killed while it made the file.
            self.close()
            raise OSError(f"{path} is incomplete: {error}") from error
        except (BadRun, OSError):
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def refresh(self) -> None:
        """See what was committed since; the indexes first, then what they point at."""
        if not self._live:
            return
        for name in schema.INDEXES:
            self._tables[name].refresh()
        rows = self._committed()
        for dataset in (*self._tables.values(), *self._images.values()):
            dataset.refresh()
        self._rows = rows

    def sequences(self, index: str) -> NDArray[np.int64]:
        """Sequence numbers of an index, in the order of its rows."""
        return np.asarray(self._tables[index].fields("sequence")[: self._rows[index]])

    def index(self, index: str) -> schema.Rows:
        """All committed rows of an index."""
        return np.asarray(self._tables[index][: self._rows[index]])

    def row(self, index: str, row: int) -> np.void:
        """One row of an index."""
        found: np.void = self._tables[index][row]
        return found

    def rows(self, name: str, span: NDArray[np.int64]) -> schema.Rows:
        """Rows of a table; a span outside of it is refused."""
        start, stop = int(span[0]), int(span[1])
        table = self._tables[name]
        if not 0 <= start <= stop <= len(table):
            raise BadRun(
                f"{self.path}: index asks for rows {start} to {stop} of {name}, which "
                f"has {len(table)}; the file is damaged"
            )
        return np.asarray(table[start:stop])

    def image(self, name: str, row: int) -> NDArray[np.uint16]:
        """One image; a row outside is refused, damaged compression too."""
        images = self._images[name]
        if not 0 <= row < len(images):
            raise BadRun(
                f"{self.path}: index asks for image {row} of {name}, which has "
                f"{len(images)}; the file is damaged"
            )
        try:
            image: NDArray[np.uint16] = images[row]
        except OSError as error:
            raise BadRun(
                f"{self.path}: {name}[{row}] is damaged ({error}); take the file from "
                "a copy of the run"
            ) from error
        return image

    def pixels(self, kept: np.void) -> NDArray[np.uint16]:
        """Give the pixels (step, y, x) that a row of the raw index describes."""
        name = schema.SINGLES if kept["single"] else schema.PIXELS
        return self.image(name, int(kept["row"]))

    def lost_frames(self) -> int:
        """Pixels without an index row, and kept frames whose checksum is wrong."""
        index = self.index(schema.RAW_INDEX)
        stored = sum(len(self._images[n]) for n in (schema.PIXELS, schema.SINGLES))
        lost = stored - len(index)
        for kept in index:
            try:
                pixels = self.pixels(kept)
            except BadRun:
                lost += 1
                continue
            lost += zlib.crc32(pixels.data) != kept["crc32"]
        return int(lost)

    def _committed(self) -> dict[str, int]:
        return {name: len(self._tables[name]) for name in schema.INDEXES}

    def _dataset(
        self,
        name: str,
        dtype: np.dtype[np.void] | np.dtype[np.uint16],
        shape: tuple[int, ...],
    ) -> h5py.Dataset:
        group_name, leaf = name.split("/")
        group = self._hard(self._file, group_name, h5py.Group)
        dataset = self._hard(group, leaf, h5py.Dataset)
        if dataset.is_virtual or dataset.external:
            raise BadRun(
                f"{self.path}: {name} keeps its values in other files; refused"
            )
        rows = dataset.shape[0] if dataset.shape else -1
        chunks = dataset.chunks or (0,)
        if (
            dataset.dtype != dtype
            or not 0 <= rows <= _MOST_ROWS
            or dataset.shape[1:] != shape
            or not 1 <= chunks[0] <= (1 if shape else _MOST_CHUNK_ROWS)
            or chunks[1:] != shape
        ):
            raise BadRun(
                f"{self.path}: {name} is {dataset.dtype} {dataset.shape}, expected "
                f"{dtype} (rows, {', '.join(map(str, shape))}); this is no run of ours"
            )
        return dataset

    def _hard(
        self, group: h5py.Group, name: str, kind: type[h5py.Group | h5py.Dataset]
    ) -> h5py.Group | h5py.Dataset:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            found = "missing" if link is None else "a link to another place"
            raise BadRun(f"{self.path}: {group.name}/{name} is {found}; refused")
        member = group[name]
        if not isinstance(member, kind):
            raise BadRun(f"{self.path}: {group.name}/{name} is of the wrong kind")
        return member


def _open(path: Path, live: bool) -> h5py.File:
    """Open a file; raises OSError, also where HDF5 calls it otherwise."""
    try:
        try:
            return h5py.File(path, "r", swmr=live)
        except OSError:
            if live:
                raise
            # Cut short by a full disk: only the tolerant open takes it as it is.
            return h5py.File(path, "r", swmr=True)
    except RuntimeError as error:  # a few bytes of a superblock
        raise OSError(f"{path} is incomplete: {error}") from error
