"""The columns that the tracker works on: its tracks, and the cells of one frame.

Tuples of preallocated arrays, one row a track or cell, so that a compiled step takes
them as they are and nothing is allocated for a track.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracking.linking.motion import STATE

LOG_AREA, LOG_MASS, PHASE, ELONGATION = range(4)
"""Columns of a descriptor: what a cell looks like, whatever its place."""
DESCRIPTORS = 4
NOBODY = -1
"""No row."""


(
    TRACK_ID,  # 0 until confirmed
    BORN,  # the how-manieth track it is, believed or not
    LABEL,  # in the latest frame, 0: not seen
    WHOLE,  # 1: it was seen uncut, so its look counts
    SEEN,  # frames
    MISSED,  # frames since
    CARRIER,  # row whose blob it rides on
    RIDES,  # frames in a row in which it did
    PARTNER,  # row that it touched last, and in the next column the one before
    _OTHER_PARTNER,
    APART,  # frames since it touched one
    PARENT,
    MOTHER,  # id of the cell from which it may have divided
    WELL,  # number of its well
) = range(14)
"""Columns of whole numbers of a track; `NOBODY` stands for no row and no well."""
NUMBERS = 14
UNSEEN_S, QUALITY, MASS = range(3)
"""Columns of values: time since it was seen, how sure the name is (0 to 1), and the
mass before a part of it became a track of its own."""
VALUES = 3


class Table(NamedTuple):
    """The tracks, in no order."""

    number: NDArray[np.int32]  # (column, row): most kernels ask for one or two
    value: NDArray[np.float64]  # (row, column)
    anchor: NDArray[np.float64]  # (row, yx) from which its states measure places
    state: NDArray[np.float32]  # (row, field and walk), see `tracking.linking.motion`
    expected: NDArray[np.float64]  # (row, 5) y x vy vx variance of the mixture
    look: NDArray[np.float64]  # (row, descriptor) while it was alone
    fresh: NDArray[np.float64]  # (row, descriptor and count) looks since, summed


class Learnt(NamedTuple):
    """What all cells of a position taught, in place."""

    prior: NDArray[np.float32]  # (walk,) how common each walk is
    look: NDArray[np.float64]  # (descriptor,) variance from sighting to sighting
    size: NDArray[np.float64]  # (2,) typical logarithm of the area, and its spread
    sized: NDArray[np.bool_]  # (1,) cells of more than one area were ever seen
    born: NDArray[np.int64]  # (1,) tracks that ever began


class Found(NamedTuple):
    """The cells of one frame that can be tracked, from top to bottom."""

    label: NDArray[np.int32]
    centre_um: NDArray[np.float64]  # (cell, yx)
    look: NDArray[np.float64]  # (cell, descriptor)
    whole: NDArray[np.bool_]
    touching: NDArray[np.int64]  # (pair, 2) rows of this table
    well: NDArray[np.int64]


def make_table(capacity: int) -> Table:
    """Give room for so many tracks."""
    table = Table(
        number=np.zeros((NUMBERS, capacity), np.int32),
        value=np.zeros((capacity, VALUES)),
        anchor=np.zeros((capacity, 2)),
        state=np.zeros((capacity, STATE), np.float32),
        expected=np.zeros((capacity, 5)),
        look=np.zeros((capacity, DESCRIPTORS)),
        fresh=np.zeros((capacity, DESCRIPTORS + 1)),
    )
    table.number[[CARRIER, PARTNER, PARTNER + 1, WELL]] = NOBODY
    return table


def grow(table: Table, capacity: int) -> Table:
    """Give the same tracks with room for more."""
    new = make_table(capacity)
    new.number[:, : table.number.shape[1]] = table.number
    columns: zip[tuple[Any, Any]] = zip(table[1:], new[1:], strict=True)
    for old_column, column in columns:
        column[: len(old_column)] = old_column
    return new
