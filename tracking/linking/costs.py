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

from tracking.linking.motion import TAIL, likelihood
from tracking.linking.table import (
    LOG_AREA,
    NOBODY,
    UNSEEN_S,
    WELL,
    WHOLE,
)

NEAREST = 16
"""A track considers so many cells at most, the nearest ones."""
SQUARES = 512
"""The grid has at most so many squares on a side."""
TINIEST = 1e-300
GATE_SIGMAS = 4.0
"""Measured centres differ by less than this many standard deviations."""


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


@njit(nogil=True, cache=True)
def gate_um(rules, unseen_s):  # type: ignore[no-untyped-def]
    """Give how far a cell unseen for so long is looked for."""
    return GATE_SIGMAS * np.sqrt(rules.noise_um2) + rules.speed_um_per_s * unseen_s


@njit(nogil=True, cache=True)
def find_candidates(table, rows, found, rules):  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912, PLR0915 - one kernel
    """Give every track the nearest cells inside its gate, and their costs.

    Steps: (1) chains of cells per grid square; (2) for each track the squares that its
    gate covers, keeping the nearest cells in order of distance; (3) prices.
    """
    cells = found.label.size
    first = np.zeros(rows + 1, np.int64)
    cell_of = np.empty(rows * NEAREST, np.int64)
    cost = np.empty(rows * NEAREST)
    if cells == 0 or rows == 0:
        return first, cell_of[:0], cost[:0]
    centre = found.centre_um
    low_y, low_x, high_y, high_x = np.inf, np.inf, -np.inf, -np.inf
    for cell in range(cells):
        low_y, high_y = min(low_y, centre[cell, 0]), max(high_y, centre[cell, 0])
        low_x, high_x = min(low_x, centre[cell, 1]), max(high_x, centre[cell, 1])
    pitch = gate_um(rules, rules.step_s)
    pitch = max(pitch, (high_y - low_y) / SQUARES, (high_x - low_x) / SQUARES)
    across = int((high_x - low_x) / pitch) + 1
    down = int((high_y - low_y) / pitch) + 1
    head = np.full(across * down, -1, np.int32)
    after = np.empty(cells, np.int32)
    for cell in range(cells - 1, -1, -1):
        square = int((centre[cell, 0] - low_y) / pitch) * across
        square += int((centre[cell, 1] - low_x) / pitch)
        after[cell] = head[square]
        head[square] = cell

    near_cell = np.empty(NEAREST, np.int64)
    near = np.empty(NEAREST)
    total = 0
    for row in range(rows):
        first[row] = total
        y, x = table.expected[row, 0], table.expected[row, 1]
        reach = gate_um(rules, table.value[row, UNSEEN_S])
        top = max(int(np.floor((y - reach - low_y) / pitch)), 0)
        bottom = min(int(np.floor((y + reach - low_y) / pitch)), down - 1)
        left = max(int(np.floor((x - reach - low_x) / pitch)), 0)
        right = min(int(np.floor((x + reach - low_x) / pitch)), across - 1)
        count = 0
        for square_row in range(top, bottom + 1):
            for square_column in range(left, right + 1):
                cell = head[square_row * across + square_column]
                while cell >= 0:
                    dy, dx = centre[cell, 0] - y, centre[cell, 1] - x
                    far = dy * dy + dx * dx
                    inside = far <= reach * reach
                    if count == NEAREST:
                        inside = inside and far < near[count - 1]
                    if table.number[row, WELL] != NOBODY:
                        inside = inside and found.well[cell] == table.number[row, WELL]
                    if inside:
                        at = min(count, NEAREST - 1)
                        while at > 0 and near[at - 1] > far:
                            near[at], near_cell[at] = near[at - 1], near_cell[at - 1]
                            at -= 1
                        near[at], near_cell[at] = far, cell
                        count = min(count + 1, NEAREST)
                    cell = after[cell]
        for at in range(count):
            cell_of[total] = near_cell[at]
            cell = near_cell[at]
            density = likelihood(
                table.state, row, centre[cell, 0], centre[cell, 1], rules.noise_um2
            )
            price = -2 * np.log(density + TINIEST)
            if table.number[row, WHOLE] and found.whole[cell]:
                change = found.look[cell, LOG_AREA] - table.look[row, LOG_AREA]
                price += size_price(change, rules)
            cost[total] = price
            total += 1
    first[rows] = total
    return first, cell_of[:total], cost[:total]


@njit(nogil=True, cache=True)
def size_price(change, rules):  # type: ignore[no-untyped-def]
    """Give the cost of a change of the logarithm of the area."""
    away = change / rules.area_sigma
    return rules.size_weight * (TAIL + 1) * np.log1p(away * away / TAIL)
