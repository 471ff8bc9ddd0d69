"""Label maps whose numbers are the names of cells through time.

A TIFF stack (page = frame), or a folder of the Cell Tracking Challenge: truth as
``man_track.txt`` with ``man_track000.tif``, results as ``res_track.txt`` with
``mask000.tif``. Two-dimensional ones only; a page is read when it is asked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadImages
from acquisition.imagefiles import describe_file, read_image
from calibration.datasets.ctc import read_lineage
from inference.cells import MOST_LABELS

Page = tuple[Path, int]

TABLES = {"man_track.txt": "man_track", "res_track.txt": "mask"}
"""Table of the lineage -> how the names of its label maps begin."""


@dataclass(frozen=True, slots=True)
class LabelSequence:
    """The label maps of a sequence by frame, and who divided from whom."""

    name: str
    pages: Mapping[int, Page]  # frame, from 0 -> file and page
    parent: Mapping[int, int] = field(default_factory=dict)  # 0: none

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames that have a label map, in order."""
        return tuple(sorted(self.pages))

    def read(self, frame: int) -> NDArray[np.uint16]:
        """Give the label map (y, x) of a frame.

        Raises
        ------
        BadImages
            If there is none, or it holds no whole numbers that 16 bits hold.
        """
        if frame not in self.pages:
            raise BadImages(
                f"{self.name}: no label map of frame {frame}; {len(self.pages)} frames "
                "have one"
            )
        labels = read_image(*self.pages[frame])
        whole = np.issubdtype(labels.dtype, np.integer)
        if not whole or (labels.size and not 0 <= labels.min() <= labels.max()):
            raise BadImages(f"{self.name}: frame {frame} holds no whole numbers from 0")
        if labels.max(initial=0) > MOST_LABELS:
            raise BadImages(
                f"{self.name}: frame {frame} names cell {labels.max()}; names up to "
                f"{MOST_LABELS} are read"
            )
        return labels.astype(np.uint16)

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        return ((frame, self.read(frame)) for frame in self.frames)


def load_label_sequence(path: Path, lineage: Path | None = None) -> LabelSequence:
    """Open a stack or a folder of the Cell Tracking Challenge.

    Parameters
    ----------
    path
        Stack or folder.
    lineage
        Table of the lineage of a stack; a folder holds its own.

    Raises
    ------
    BadImages
        If there are no label maps, or the table is damaged.
    """
    if path.is_file():
        pages = {number: (path, number) for number in range(describe_file(path).images)}
        return LabelSequence(str(path), pages, _parents(lineage))
    for table, prefix in TABLES.items():
        if (path / table).is_file():
            pages = _pages(path, prefix)
            return LabelSequence(str(path), pages, _parents(path / table))
    raise BadImages(
        f"{path}: neither a stack of label maps nor a folder with one of "
        f"{', '.join(TABLES)}"
    )


def _parents(table: Path | None) -> dict[int, int]:
    rows = [] if table is None else read_lineage(table)
    return {row.track: row.parent for row in rows}


def _pages(folder: Path, prefix: str) -> dict[int, Page]:
    numbers = {
        file.stem.removeprefix(prefix): file for file in folder.glob(f"{prefix}*.tif")
    }
    pages = {int(text): (file, 0) for text, file in numbers.items() if text.isdigit()}
    if not pages:
        raise BadImages(f"{folder}: no {prefix}000.tif and on beside the table")
    return pages
