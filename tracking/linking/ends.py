"""Ends: which tracks go on, and the rows of those that do not filled by others."""

import numpy as np
from numba import njit

from tracking.linking.table import (
    CARRIER,
    MISSED,
    NOBODY,
    NUMBERS,
    PARTNER,
    RIDES,
    TRACK_ID,
    WELL,
)
from tracking.linking.wells import count_tracks

LONGEST_RIDE = 20
"""A track rides on the blob of another for so many memories at most."""


@njit(nogil=True, cache=True, error_model="numpy")
def find_staying(table, rows, rules, field, wells):  # type: ignore[no-untyped-def]
    """Give which tracks go on, (row,).

    Ends: unseen for too long, unseen before it was believed, expected outside the field
    or on the blob of another for too long. In a well none ends that it holds.
    """
    number, expected = table.number, table.expected
    stays = np.zeros(rows, np.bool_)
    here = count_tracks(table, rows, wells)
    for row in range(rows):
        y, x = expected[row, 0], expected[row, 1]
        inside = field[0, 0] <= y <= field[1, 0] and field[0, 1] <= x <= field[1, 1]
        missed = number[MISSED, row]
        known = number[TRACK_ID, row] > 0
        coasting = missed <= rules.memory and known and inside
        ridden = number[RIDES, row] > LONGEST_RIDE * max(rules.memory, 1)
        well = number[WELL, row]
        if known and well != NOBODY and here[well] <= wells.holds[well]:
            coasting, ridden = True, False
        stays[row] = (missed == 0 or coasting) and not ridden
    return stays


@njit(nogil=True, cache=True, error_model="numpy")
def end(table, rows, stays):  # type: ignore[no-untyped-def]
    """Drop tracks, in place; gives the number left, and where each row went."""
    number = table.number
    left = stays.sum()
    went = np.full(rows, NOBODY, np.int64)
    last = left
    for row in range(rows):
        if stays[row] and row < left:
            went[row] = row
        elif row < left:  # a gap: the next track from beyond the end fills it
            while not stays[last]:
                last += 1
            went[last] = row
            last += 1
    close_up(table, went, left)
    for row in range(left):
        if number[CARRIER, row] != NOBODY:
            number[CARRIER, row] = went[number[CARRIER, row]]
        for which in range(2):
            if number[PARTNER + which, row] != NOBODY:
                number[PARTNER + which, row] = went[number[PARTNER + which, row]]
    return left, went


@njit(nogil=True, cache=True, error_model="numpy")
def close_up(table, went, left):  # type: ignore[no-untyped-def]
    """Put the values of all columns where their tracks went; those from ``left`` on."""
    number, value, anchor, state, expected, look, fresh = table
    for row in range(left, went.size):
        to = went[row]
        if to == NOBODY:
            continue
        for column in range(NUMBERS):
            number[column, to] = number[column, row]
        copy(value, to, row)
        copy(anchor, to, row)
        copy(state, to, row)
        copy(expected, to, row)
        copy(look, to, row)
        copy(fresh, to, row)


@njit(nogil=True, cache=True, error_model="numpy")
def copy(column, to, row):  # type: ignore[no-untyped-def]
    """Overwrite one row of a column by another."""
    for at in range(column.shape[1]):
        column[to, at] = column[row, at]
