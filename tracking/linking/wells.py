"""Cells that cannot leave: the walls of a well, and how many it holds.

The number of cells of a well is the commonest count of the last frames, for cells
hardly ever come or go there. A track inside it does not end while the well holds as
many; where nobody is found it is kept where it is expected. What is found beyond that
number is left out, until it has been there more often than not.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.schema import Chip
from tracking.linking.motion import LANES, X, Y
from tracking.linking.table import LOG_AREA, NOBODY, TRACK_ID, WELL

RECENT = 20
"""Frames over which the commonest count is taken."""
FEW = 5
"""Before so many frames the largest count stands in."""
MOST = 15
"""More cells than this in a well are counted as so many."""


class Wells(NamedTuple):
    """The wells of a chip, and what was found in them; the counts change in place."""

    middle_um: NDArray[np.float64]  # (well, yx)
    half_um: float
    seen: NDArray[np.int64]  # (well, MOST + 1) recent frames by count
    recent: NDArray[np.int64]  # (well, RECENT) counts, the newest anywhere
    frames: NDArray[np.int64]  # (1,)
    holds: NDArray[np.int64]  # (well,) cells


def lay_out_wells(chip: Chip | None) -> Wells:
    """Give the wells of a chip; none without one."""
    rows, columns = (chip.rows, chip.columns) if chip else (0, 0)
    at = np.stack(np.divmod(np.arange(rows * columns), max(columns, 1)), axis=1)
    middle_um = np.zeros((len(at), 2))
    if chip:
        along = chip.pitch_um * at + chip.block_gap_um * (at // chip.block)
        turn = math.radians(chip.turn_deg)
        c, s = math.cos(turn), math.sin(turn)
        y, x = along.T
        middle_um = np.stack((c * y + s * x, c * x - s * y), axis=1)
        middle_um += np.array(chip.first_yx_um)
    return Wells(
        middle_um=middle_um,
        half_um=chip.well_um / 2 if chip else 0.0,
        seen=np.zeros((len(at), MOST + 1), np.int64),
        recent=np.full((len(at), RECENT), NOBODY),
        frames=np.zeros(1, np.int64),
        holds=np.zeros(len(at), np.int64),
    )


def wells_of(
    centre_um: NDArray[np.float64], chip: Chip | None, wells: Wells
) -> NDArray[np.int64]:
    """Give the well of every place (cell, yx), `NOBODY` on the walls."""
    number = np.full(len(centre_um), NOBODY)
    if chip is None or len(centre_um) == 0:
        return number
    turn = math.radians(chip.turn_deg)
    c, s = math.cos(turn), math.sin(turn)
    y, x = (centre_um - np.array(chip.first_yx_um)).T
    own = np.stack((c * y - s * x, s * y + c * x), axis=1)
    period = chip.block * chip.pitch_um + chip.block_gap_um
    block = np.floor((own + chip.pitch_um / 2) / period)
    inside = np.round((own - block * period) / chip.pitch_um)
    at = (block * chip.block + np.clip(inside, 0, chip.block - 1)).astype(np.int64)
    here = ((at >= 0) & (at < [chip.rows, chip.columns])).all(axis=1)
    number[here] = at[here, 0] * chip.columns + at[here, 1]
    away = np.abs(centre_um - wells.middle_um[number]).max(axis=1)
    return np.where(here & (away <= chip.pitch_um / 2), number, NOBODY)


@njit(nogil=True, cache=True, error_model="numpy")
def count_cells(wells, well):  # type: ignore[no-untyped-def]
    """Take the wells of the cells of a frame, and update what each well holds."""
    found = np.zeros(len(wells.holds), np.int64)
    for cell in range(well.size):
        if well[cell] != NOBODY:
            found[well[cell]] = min(found[well[cell]] + 1, MOST)
    slot = wells.frames[0] % RECENT
    wells.frames[0] += 1
    for at in range(found.size):
        if wells.recent[at, slot] != NOBODY:
            wells.seen[at, wells.recent[at, slot]] -= 1
        wells.recent[at, slot] = found[at]
        wells.seen[at, found[at]] += 1
        best = 0
        for count in range(MOST + 1):
            few = wells.frames[0] < FEW and wells.seen[at, count] > 0
            if few or wells.seen[at, count] >= wells.seen[at, best]:
                best = count
        wells.holds[at] = best


@njit(nogil=True, cache=True, error_model="numpy")
def keep_inside(table, row, wells):  # type: ignore[no-untyped-def]
    """Move what was expected of a track beyond the walls to them, for every walk."""
    well = table.number[WELL, row]
    if well == NOBODY:
        return
    radius = math.sqrt(math.exp(table.look[row, LOG_AREA]) / math.pi)
    room = max(wells.half_um - radius, 0.0)
    for axis in range(2):
        middle = wells.middle_um[well, axis] - table.anchor[row, axis]
        low, high = np.float32(middle - room), np.float32(middle + room)
        place = Y if axis == 0 else X
        for walk in range(place, place + LANES):
            at = table.state[row, walk]
            table.state[row, walk] = min(max(at, low), high)


@njit(nogil=True, cache=True, error_model="numpy")
def count_tracks(table, rows, wells):  # type: ignore[no-untyped-def]
    """Give the number of believed tracks of every well."""
    here, number = np.zeros(len(wells.holds), np.int64), table.number
    for row in range(rows if here.size else 0):
        if number[WELL, row] != NOBODY and number[TRACK_ID, row] > 0:
            here[number[WELL, row]] += 1
    return here
