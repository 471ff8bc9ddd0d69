"""What is told of the tracks after a frame, and which of them have earned a name."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import CellState, Tracks
from tracking.linking.table import (
    APART,
    BORN,
    CARRIER,
    LABEL,
    LOG_AREA,
    MISSED,
    NOBODY,
    PARENT,
    QUALITY,
    SEEN,
    TRACK_ID,
    Table,
)


def show_tracks(table: Table, rows: int, lag: int) -> Tracks:
    """Give the tracks that have a name, in the order of their names."""
    named = _named(table.number, rows)
    # The names of a table are nearly in order, which a stable sort makes use of.
    row = named[np.argsort(table.number[TRACK_ID, named], kind="stable")]
    count = row.size
    tracks = Tracks(
        track_id=np.empty(count, np.int64),
        label=np.empty(count, np.int32),
        centre_um=np.empty((count, 2)),
        velocity_um_per_s=np.empty((count, 2)),
        radius_um=np.empty(count, np.float32),
        age_frames=np.empty(count, np.int32),
        missed_frames=np.empty(count, np.int32),
        dead_probability=np.zeros(count, np.float32),
        state=np.full(count, CellState.LIVE, np.uint8),
        unsure=np.ones(count, np.bool_),
        parent=np.empty(count, np.int64),
        merged_with=np.empty(count, np.int64),
        quality=np.empty(count, np.float32),
        provisional=np.empty(count, np.bool_),
    )
    _fill(
        (table.number, table.value, table.expected, table.look, row, lag),
        (tracks.track_id, tracks.label, tracks.age_frames, tracks.missed_frames),
        (tracks.centre_um, tracks.velocity_um_per_s, tracks.radius_um),
        (tracks.parent, tracks.merged_with, tracks.quality, tracks.provisional),
    )
    return tracks


@njit(nogil=True, cache=True, error_model="numpy")
def _named(number, rows):  # type: ignore[no-untyped-def]
    named = np.empty(rows, np.int64)
    count = 0
    for row in range(rows):
        if number[TRACK_ID, row] > 0:
            named[count] = row
            count += 1
    return named[:count]


@njit(nogil=True, cache=True, error_model="numpy")
def _fill(columns, counts, places, names):  # type: ignore[no-untyped-def]
    number, value, expected, look, rows, lag = columns
    track_id, label, age, missed = counts
    centre, velocity, radius = places
    parent, merged_with, quality, provisional = names
    for to in range(rows.size):
        row = rows[to]
        track_id[to], label[to] = number[TRACK_ID, row], number[LABEL, row]
        age[to], missed[to] = number[SEEN, row], number[MISSED, row]
        centre[to, 0], centre[to, 1] = expected[row, 0], expected[row, 1]
        velocity[to, 0], velocity[to, 1] = expected[row, 2], expected[row, 3]
        radius[to] = math.exp(np.float32(look[row, LOG_AREA] / 2)) / math.sqrt(math.pi)
        parent[to], carrier = number[PARENT, row], number[CARRIER, row]
        merged_with[to] = 0 if carrier == NOBODY else number[TRACK_ID, carrier]
        quality[to] = value[row, QUALITY]
        provisional[to] = number[APART, row] <= lag or number[SEEN, row] <= lag


def find_ready(table: Table, rows: int, frames: int) -> NDArray[np.int64]:
    """Give the tracks without a name that were seen often enough, as they were born."""
    row = _ready(table.number, rows, frames)
    return row[np.argsort(table.number[BORN, row])]


@njit(nogil=True, cache=True, error_model="numpy")
def _ready(number, rows, frames):  # type: ignore[no-untyped-def]
    ready = np.empty(rows, np.int64)
    count = 0
    for row in range(rows):
        if number[TRACK_ID, row] == 0 and number[SEEN, row] >= frames:
            ready[count] = row
            count += 1
    return ready[:count]
