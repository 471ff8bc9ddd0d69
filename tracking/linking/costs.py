"""Which cells of a frame a track may take, and what each would cost.

A uniform grid finds the cells inside the gate of every track. The cost is twice the
negative logarithm of heavy-tailed (Student t) densities: of the place, under all walks
of the track together (so that direction counts as far as the cell keeps it), of the
area, and of the overlap of the mask carried along. Contact pushes cells off any motion
model, and a Gaussian would then rather give a cell up.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tracking.linking.motion import TAIL, UNIT, likelihood
from tracking.linking.table import (
    LOG_AREA,
    MISSED,
    NOBODY,
    TRACK_ID,
    UNSEEN_S,
    WELL,
    WHOLE,
)

NEAREST = 16
"""A track considers so many cells at most, the nearest ones."""
SQUARES = 512
"""The grid has at most so many squares on a side."""
TINIEST = np.float32(1e-30)
GATE_SIGMAS = 4.0
"""Measured centres differ by less than this many standard deviations."""
GIVE_UP = 28.0
"""Price of leaving a track unseen: -2 log(P(missed) x new cells per um2), for 2 %
missed and 1e-5 new cells per um2 and frame."""
TENTATIVE = 4.0
"""A track that is not believed yet pays so much more for a cell."""
MISSED_ONCE, MISSED_LONGER = 8.0, 12.0
"""And so does one that was missed, for most that are missed have gone: about
2 log(P(missed again) / P(missed)). The simulated scenes do not tell 4.5 and 7 apart."""
CANNOT_LEAVE = 12.0
"""A cell that cannot leave would rather be one that is so much dearer than be unseen:
there are hardly any others that the one found could be."""


class Rules(NamedTuple):
    """The settings of a step."""

    noise_um2: float  # variance of an axis of a measured centre
    step_s: float  # since the last frame
    speed_um_per_s: float  # of the fastest believable cell
    size_weight: float
    contact_weight: float
    area_sigma: float  # of the logarithm of the area of a cell seen twice
    memory: int
    confirm: int
    lag: int


class Candidates(NamedTuple):
    """Sparse rows (CSR): the cells inside the gate of every track."""

    first: NDArray[np.int64]  # (track + 1,)
    cell: NDArray[np.int64]  # (candidate,)
    cost: NDArray[np.float64]  # (candidate,)


@njit(nogil=True, cache=True, error_model="numpy")
def gate_um(rules, unseen_s):  # type: ignore[no-untyped-def]
    """Give how far a cell unseen for so long is looked for."""
    return GATE_SIGMAS * np.sqrt(rules.noise_um2) + rules.speed_um_per_s * unseen_s


@njit(nogil=True, cache=True, error_model="numpy")
def lay_grid(centre, pitch):  # type: ignore[no-untyped-def]
    """Sort places (cell, yx) into squares of a grid, row by row.

    Returns
    -------
    The start of every square (square + 1,), the cells in this order, their places, and
    the origin, pitch and squares on both axes.
    """
    cells = len(centre)
    low_y, low_x = (np.inf, np.inf) if cells else (0.0, 0.0)
    high_y, high_x = -low_y, -low_x
    for cell in range(cells):
        low_y, high_y = min(low_y, centre[cell, 0]), max(high_y, centre[cell, 0])
        low_x, high_x = min(low_x, centre[cell, 1]), max(high_x, centre[cell, 1])
    pitch = max(pitch, (high_y - low_y) / SQUARES, (high_x - low_x) / SQUARES)
    across = int((high_x - low_x) / pitch) + 1
    down = int((high_y - low_y) / pitch) + 1
    square = np.empty(cells, np.int32)
    start = np.zeros(across * down + 2, np.int32)
    for cell in range(cells):
        at = int((centre[cell, 0] - low_y) / pitch) * across
        square[cell] = at + int((centre[cell, 1] - low_x) / pitch)
        start[square[cell] + 2] += 1
    for at in range(2, start.size):
        start[at] += start[at - 1]
    inside, place = np.empty(cells, np.int32), np.empty((cells, 2))
    for cell in range(cells):
        to = start[square[cell] + 1]
        start[square[cell] + 1] += 1
        inside[to] = cell
        place[to, 0], place[to, 1] = centre[cell, 0], centre[cell, 1]
    return start[:-1], inside, place, (low_y, low_x, pitch, down, across)


@njit(nogil=True, cache=True, error_model="numpy")
def make_room(rows):  # type: ignore[no-untyped-def]
    """Give room for the candidates of so many tracks, as `Candidates`; none so far."""
    first = np.zeros(rows + 1, np.int64)
    return first, np.empty(rows * NEAREST, np.int64), np.empty(rows * NEAREST)


@njit(nogil=True, cache=True, error_model="numpy")
def find_candidates(table, block, found, grid, rules, room):  # type: ignore[no-untyped-def]  # noqa: PLR0915 - one kernel
    """Give every track of a block the nearest cells inside its gate, and their costs.

    Steps for each track: (1) the squares of the grid that its gate covers, keeping the
    nearest cells in order of distance; (2) prices. ``block`` holds its first row and
    the one after its last; candidates go to the ``room`` behind those of the rows
    before.
    """
    number, value, anchor, state, expected, look, _ = table
    centre_um, whole, wells, looks = (
        found.centre_um,
        found.whole,
        found.well,
        found.look,
    )
    first, cell_of, cost = room
    start, inside, place, (low_y, low_x, pitch, down, across) = grid
    still = GATE_SIGMAS * np.sqrt(rules.noise_um2)
    noise = np.float32(rules.noise_um2)
    near_cell, near = np.empty(NEAREST, np.int64), np.empty(NEAREST)
    total = first[block[0]]
    for row in range(block[0], block[1]):
        y, x = expected[row, 0], expected[row, 1]
        well = number[WELL, row]
        reach = still + rules.speed_um_per_s * value[row, UNSEEN_S]
        square = reach * reach
        top = max(int(np.floor((y - reach - low_y) / pitch)), 0)
        bottom = min(int(np.floor((y + reach - low_y) / pitch)), down - 1)
        left = max(int(np.floor((x - reach - low_x) / pitch)), 0)
        right = min(int(np.floor((x + reach - low_x) / pitch)), across - 1)
        count = 0
        for line in range(top * across, (bottom + 1) * across, across):
            if left > right:
                break
            for here in range(start[line + left], start[line + right + 1]):
                dy, dx = place[here, 0] - y, place[here, 1] - x
                far = dy * dy + dx * dx
                if far > square or (count == NEAREST and far >= near[count - 1]):
                    continue
                cell = inside[here]
                if well != NOBODY and wells[cell] != well:
                    continue
                at = min(count, NEAREST - 1)
                while at > 0 and near[at - 1] > far:
                    near[at], near_cell[at] = near[at - 1], near_cell[at - 1]
                    at -= 1
                near[at], near_cell[at] = far, cell
                count = min(count + 1, NEAREST)
        more = doubt(number, row) if count else 0.0
        for at in range(count):
            cell = near_cell[at]
            cell_of[total] = cell
            density = likelihood(
                state,
                row,
                np.float32(centre_um[cell, 0] - anchor[row, 0]),
                np.float32(centre_um[cell, 1] - anchor[row, 1]),
                noise,
            )
            price = more - 2.0 * np.log(density + TINIEST)
            if number[WHOLE, row] and whole[cell]:
                change = looks[cell, LOG_AREA] - look[row, LOG_AREA]
                price += size_price(change, rules)
            cost[total] = price
            total += 1
        first[row + 1] = total


@njit(nogil=True, cache=True, error_model="numpy")
def doubt(number, row):  # type: ignore[no-untyped-def]
    """Give what a track pays more that may be none, or may have ended.

    One that cannot leave its well pays less.
    """
    if number[WELL, row] != NOBODY and number[TRACK_ID, row] > 0:
        return -CANNOT_LEAVE
    more = TENTATIVE if number[TRACK_ID, row] == 0 else 0.0
    missed = number[MISSED, row]
    if missed > 0:
        more += MISSED_ONCE if missed == 1 else MISSED_LONGER
    return more


@njit(nogil=True, cache=True, error_model="numpy")
def size_price(change, rules):  # type: ignore[no-untyped-def]
    """Give the cost of a change of the logarithm of the area."""
    away = np.float32(change / rules.area_sigma)
    return rules.size_weight * (TAIL + 1) * np.log(UNIT + away * away / TAIL)
