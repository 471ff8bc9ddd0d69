"""New cells beside old ones: a cell that divided, or a blob of two that parted.

In both cases the two weigh together what the one weighed. It was a single cell if it
was no larger than cells are; then both are daughters and get new names. If it was
larger, it was two cells in one mask since it was first seen.
"""

import math

import numpy as np
from numba import njit

from tracking.linking.motion import likelihood
from tracking.linking.table import (
    LOG_AREA,
    LOG_MASS,
    NOBODY,
    SEEN,
    TRACK_ID,
    WHOLE,
)

BALANCE = 0.25
"""The logarithm of the mass of both parts differs from that before by less."""
LARGEST_PART = 0.75
"""Neither part holds more of the mass than this."""
ONE_CELL = math.log(1.6)
"""A single cell exceeds the typical area by less than this logarithm."""
TWICE = 0.25
"""Two cells are about so near, in the logarithm of the area, to twice the typical."""
SPREADS = 4.0
"""A pair is told from a large cell where cells vary less than this allows."""
FITS_BETTER = 8.0
"""Of points, which have no mass, a new one and a known one are the parts of one that
divided if their middle was so many times more likely its next place."""
OLD_ENOUGH = 5
"""Frames in which a mother must have been seen."""
REACH_RADII = 2.5
"""The parts lie within so many radii of where the one was expected."""


@njit(nogil=True, cache=True, error_model="numpy")
def find_whole(table, found, new, main, learnt, rules):  # type: ignore[no-untyped-def]
    """Give the track of which a new cell is a part, or `NOBODY`; before its update.

    The cells are ordered from top to bottom, so only those nearby are looked at.
    """
    best, least = NOBODY, np.inf
    centre, look, expected = found.centre_um, table.look, table.expected
    mass = math.exp(found.look[new, LOG_MASS])
    # Of the whole the new cell holds a quarter at least, hence the bound of its radius.
    widest = REACH_RADII * math.sqrt(4 * math.exp(found.look[new, LOG_AREA]) / math.pi)
    for way in (-1, 1):
        at = new + way
        while 0 <= at < main.size:
            if abs(centre[at, 0] - centre[new, 0]) > 2 * widest:
                break
            row = main[at]
            if row != NOBODY and abs(centre[at, 1] - centre[new, 1]) < 2 * widest:
                dy = centre[new, 0] - expected[row, 0]
                dx = centre[new, 1] - expected[row, 1]
                radius = math.sqrt(math.exp(look[row, LOG_AREA]) / math.pi)
                away = math.hypot(dy, dx)
                if away < min(least, REACH_RADII * radius) and (
                    _balanced(table, row, found, at, mass)
                    if learnt.sized[0]
                    else _around(table, row, found, (at, new), rules)
                ):
                    best, least = row, away
            at += way
    return best


@njit(nogil=True, cache=True, error_model="numpy")
def _balanced(table, row, found, cell, mass):  # type: ignore[no-untyped-def]
    if table.number[TRACK_ID, row] == 0 or not (
        table.number[WHOLE, row] and found.whole[cell]
    ):
        return False
    before = math.exp(table.look[row, LOG_MASS])
    left = math.exp(found.look[cell, LOG_MASS])
    if max(left, mass) > LARGEST_PART * before:
        return False
    return abs(math.log((left + mass) / before)) < BALANCE


@njit(nogil=True, cache=True, error_model="numpy")
def _around(table, row, found, parts, rules):  # type: ignore[no-untyped-def]
    """Say whether the middle of two cells fits a track far better than its own."""
    if table.number[TRACK_ID, row] == 0:
        return False
    one, other = parts
    noise = np.float32(rules.noise_um2)
    y = found.centre_um[one, 0] - table.anchor[row, 0]
    x = found.centre_um[one, 1] - table.anchor[row, 1]
    half_y = (found.centre_um[other, 0] - found.centre_um[one, 0]) / 2
    half_x = (found.centre_um[other, 1] - found.centre_um[one, 1]) / 2
    alone = likelihood(table.state, row, np.float32(y), np.float32(x), noise)
    middle = likelihood(
        table.state, row, np.float32(y + half_y), np.float32(x + half_x), noise
    )
    return middle > FITS_BETTER * alone


@njit(nogil=True, cache=True, error_model="numpy")
def is_one_cell(table, row, learnt):  # type: ignore[no-untyped-def]
    """Say whether a track was a single cell, so that it divided and did not part."""
    area = table.look[row, LOG_AREA]
    return table.number[SEEN, row] >= OLD_ENOUGH and area < learnt.size[0] + ONE_CELL


@njit(nogil=True, cache=True, error_model="numpy")
def is_pair(look, learnt):  # type: ignore[no-untyped-def]
    """Say whether a blob seen for the first time is two cells: twice a typical one.

    Only where cells are so alike that a single one of that size would be a wonder.
    """
    above = look[LOG_AREA] - learnt.size[0]
    alike = SPREADS * learnt.size[1] < above
    return alike and abs(above - math.log(2)) < TWICE
