"""Beginnings: tracks of new cells, of parts of cells, and of two in one blob."""

import math

from numba import njit

from tracking.linking.divisions import is_one_cell
from tracking.linking.merges import shift
from tracking.linking.motion import (
    LANES,
    NONE,
    PP,
    VV,
    WEIGHT,
    summarise,
)
from tracking.linking.table import (
    APART,
    BORN,
    CARRIER,
    LABEL,
    LOG_AREA,
    LOG_MASS,
    MASS,
    MISSED,
    MOTHER,
    NOBODY,
    PARENT,
    PARTNER,
    QUALITY,
    RIDES,
    SEEN,
    TRACK_ID,
    UNSEEN_S,
    WELL,
    WHOLE,
)

ASIDE = 0.3
"""Two cells in one blob lie about so many radii from its middle, on a given axis."""
LONG_APART = 1000
"""Frames that a new track counts as apart from others."""


@njit(nogil=True, cache=True, error_model="numpy")
def bear(table, rows, found, cell, learnt, power, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns of records
    """Begin a track on the cell, in the next row."""
    state = table.state[rows]
    table.anchor[rows] = found.centre_um[cell]
    state[:] = NONE
    for walk in range(LANES):
        state[PP + walk] = rules.noise_um2
        state[VV + walk] = power[walk]
        state[WEIGHT + walk] = learnt.prior[walk]
    summarise(table.state, table.anchor, table.expected, rows)
    table.number[rows, TRACK_ID] = 0
    learnt.born[0] += 1
    table.number[rows, BORN] = learnt.born[0]
    table.number[rows, LABEL] = found.label[cell]
    table.look[rows] = found.look[cell]
    table.number[rows, WHOLE] = found.whole[cell]
    table.number[rows, SEEN] = 1
    table.number[rows, MISSED] = 0
    table.value[rows, UNSEEN_S] = 0.0
    table.number[rows, CARRIER] = NOBODY
    table.number[rows, PARTNER : PARTNER + 2] = NOBODY
    table.number[rows, APART] = LONG_APART
    table.fresh[rows] = 0.0
    table.number[rows, RIDES] = 0
    table.value[rows, QUALITY] = 0.5
    table.number[rows, PARENT] = 0
    table.number[rows, MOTHER] = 0
    table.value[rows, MASS] = 0.0
    table.number[rows, WELL] = found.well[cell]


@njit(nogil=True, cache=True, error_model="numpy")
def share_blob(table, row, rider):  # type: ignore[no-untyped-def]
    """Make two new tracks of one blob: each has half of it.

    They begin on two sides of its middle, for cells are never in one place; which sides
    is not known, but whoever lies on one then is likely to part to it.
    """
    table.number[rider, CARRIER] = row
    for one, other in ((row, rider), (rider, row)):
        table.look[one, LOG_AREA] -= math.log(2)
        table.look[one, LOG_MASS] -= math.log(2)
        table.number[one, PARTNER] = other
        table.number[one, APART] = 0
    aside = ASIDE * math.sqrt(math.exp(table.look[row, LOG_AREA]) / math.pi)
    for one, way in ((row, -aside), (rider, aside)):
        shift(table, one, way, 0.0)
        for walk in range(PP, PP + LANES):
            table.state[one, walk] += aside * aside
        summarise(table.state, table.anchor, table.expected, one)


@njit(nogil=True, cache=True, error_model="numpy")
def parts(table, found, cell, whole, learnt):  # type: ignore[no-untyped-def]
    """Note what the tracks were of which new cells are parts, before the update."""
    for new in range(whole.size):
        row = whole[new]
        if row == NOBODY:
            continue
        table.value[row, MASS] = math.exp(table.look[row, LOG_MASS])
        table.number[row, MOTHER] = table.number[row, TRACK_ID]
        if not is_one_cell(table, row, learnt):
            table.number[row, MOTHER] = 0
        table.look[row] = found.look[cell[row]]


@njit(nogil=True, cache=True, error_model="numpy")
def mark_part(table, row, went, whole, rules):  # type: ignore[no-untyped-def]
    """Say of a new track of what it is a part, if of anything."""
    if whole == NOBODY or went[whole] == NOBODY:
        return
    mother = went[whole]
    if table.number[mother, MOTHER] == 0:
        table.number[row, SEEN] = (
            rules.confirm
        )  # two cells that were one blob: both are real
    table.number[row, MOTHER], table.value[row, MASS] = (
        table.number[mother, MOTHER],
        table.value[mother, MASS],
    )
    table.number[mother, MOTHER] = 0
