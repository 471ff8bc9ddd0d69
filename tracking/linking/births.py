"""Beginnings: tracks of new cells, of parts of cells, and of two in one blob."""

import math

from numba import njit

from tracking.linking.divisions import is_one_cell
from tracking.linking.merges import shift
from tracking.linking.motion import (
    LANES,
    NONE,
    PP,
    STATE,
    VV,
    WEIGHT,
    summarise,
)
from tracking.linking.table import (
    APART,
    BORN,
    CARRIER,
    DESCRIPTORS,
    LABEL,
    LOG_AREA,
    LOG_MASS,
    MASS,
    MOTHER,
    NOBODY,
    NUMBERS,
    PARTNER,
    QUALITY,
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
    number, value, anchor, state, expected, look, fresh = table
    centre, looks, prior, noise = (
        found.centre_um,
        found.look,
        learnt.prior,
        rules.noise_um2,
    )
    anchor[rows, 0], anchor[rows, 1] = centre[cell, 0], centre[cell, 1]
    for at in range(STATE):
        state[rows, at] = NONE
    for walk in range(LANES):
        state[rows, PP + walk] = noise
        state[rows, VV + walk] = power[walk]
        state[rows, WEIGHT + walk] = prior[walk]
    summarise(state, anchor, expected, rows)
    for at in range(DESCRIPTORS):
        look[rows, at], fresh[rows, at] = looks[cell, at], 0.0
    fresh[rows, DESCRIPTORS] = 0.0
    for column in range(NUMBERS):
        number[column, rows] = 0
    learnt.born[0] += 1
    number[BORN, rows] = learnt.born[0]
    number[LABEL, rows] = found.label[cell]
    number[WHOLE, rows] = found.whole[cell]
    number[SEEN, rows] = 1
    number[CARRIER, rows] = NOBODY
    number[PARTNER, rows] = number[PARTNER + 1, rows] = NOBODY
    number[APART, rows] = LONG_APART
    number[WELL, rows] = found.well[cell]
    value[rows, UNSEEN_S], value[rows, QUALITY], value[rows, MASS] = 0.0, 0.5, 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def share_blob(table, row, rider):  # type: ignore[no-untyped-def]
    """Make two new tracks of one blob: each has half of it.

    They begin on two sides of its middle, for cells are never in one place; which sides
    is not known, but whoever lies on one then is likely to part to it.
    """
    table.number[CARRIER, rider] = row
    for one, other in ((row, rider), (rider, row)):
        table.look[one, LOG_AREA] -= math.log(2)
        table.look[one, LOG_MASS] -= math.log(2)
        table.number[PARTNER, one] = other
        table.number[APART, one] = 0
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
        table.number[MOTHER, row] = table.number[TRACK_ID, row]
        if not is_one_cell(table, row, learnt):
            table.number[MOTHER, row] = 0
        table.look[row] = found.look[cell[row]]


@njit(nogil=True, cache=True, error_model="numpy")
def mark_part(table, row, went, whole, rules):  # type: ignore[no-untyped-def]
    """Say of a new track of what it is a part, if of anything."""
    if whole == NOBODY or went[whole] == NOBODY:
        return
    mother = went[whole]
    if table.number[MOTHER, mother] == 0:
        table.number[SEEN, row] = (
            rules.confirm
        )  # two cells that were one blob: both are real
    table.number[MOTHER, row], table.value[row, MASS] = (
        table.number[MOTHER, mother],
        table.value[mother, MASS],
    )
    table.number[MOTHER, mother] = 0
