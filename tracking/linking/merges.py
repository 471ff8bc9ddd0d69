"""Cells that fused into one blob: both tracks stay alive on it.

A blob may hold two tracks when their areas add up to its own and their predicted middle
is its centre. The second one gets a seat of its own in the assignment, so that sharing
competes with all other explanations at its proper price. What the blob tells is only
where the middle of its cells is; each goes on with its own walk around that, which is
how two cells that cross come out on the right sides.
"""

import math

import numpy as np
from numba import njit

from tracking.linking.costs import CANNOT_LEAVE, size_price
from tracking.linking.motion import correct_share
from tracking.linking.table import (
    LOG_AREA,
    NOBODY,
    SEEN,
    TRACK_ID,
    WELL,
    WHOLE,
)

MEMBERS = 6
"""Of the tracks around a blob the nearest ones are tried in pairs."""
LARGER = 0.15
"""A blob is larger than each of its cells by this logarithm of the area, at least."""
MERGE_PRICE = 20.0
"""-2 log(P(fused) x new cells per um2): of two cells, one gives no centre."""
BLOB_NOISE = 2.0
"""The centre of a blob tells the middle of its cells with this times the variance."""


@njit(nogil=True, cache=True, error_model="numpy")
def find_pairs(table, first, cell_of, found, rules):  # type: ignore[no-untyped-def]  # noqa: C901 - one kernel
    """Give the best two tracks for every blob: rows (pair, 2), cell and cost of each.

    Steps: (1) the tracks around every cell; (2) where the cell is larger than they are,
    the cheapest pair of the nearest ones.
    """
    number, look, expected = table.number, table.look, table.expected
    looks, centre_um = found.look, found.centre_um
    cells, rows = found.label.size, first.size - 1
    count = np.zeros(cells, np.int64)
    around = np.empty((cells, MEMBERS), np.int64)
    far = np.empty((cells, MEMBERS))
    for row in range(rows):
        if number[TRACK_ID, row] == 0 and number[SEEN, row] < 2:
            continue
        for at in range(first[row], first[row + 1]):
            cell = cell_of[at]
            if looks[cell, LOG_AREA] < look[row, LOG_AREA] + LARGER:
                continue
            dy = centre_um[cell, 0] - expected[row, 0]
            dx = centre_um[cell, 1] - expected[row, 1]
            away = dy * dy + dx * dx
            place = min(count[cell], MEMBERS - 1)
            if count[cell] == MEMBERS and far[cell, place] <= away:
                continue
            while place > 0 and far[cell, place - 1] > away:
                far[cell, place] = far[cell, place - 1]
                around[cell, place] = around[cell, place - 1]
                place -= 1
            far[cell, place], around[cell, place] = away, row
            count[cell] = min(count[cell] + 1, MEMBERS)
    members = np.empty((cells, 2), np.int64)
    blob = np.empty(cells, np.int64)
    cost = np.empty(cells)
    pairs = 0
    for cell in range(cells):
        best = np.inf
        for i in range(count[cell]):
            for k in range(i + 1, count[cell]):
                one, other = around[cell, i], around[cell, k]
                joint = pair_price(table, one, other, found, cell, rules)
                if joint < best:
                    best = joint
                    members[pairs, 0] = min(one, other)
                    members[pairs, 1] = max(one, other)
        if best < np.inf:
            blob[pairs], cost[pairs] = cell, best
            pairs += 1
    return members[:pairs], blob[:pairs], cost[:pairs]


@njit(nogil=True, cache=True, error_model="numpy")
def pair_price(table, one, other, found, cell, rules):  # type: ignore[no-untyped-def]
    """Give the cost of two tracks on one blob: middle, area, and how far apart."""
    # NOTE: no view of a row, and nothing of a table behind a condition: the compiler
    # would count the references of every column.
    number, look, expected, whole = (
        table.number,
        table.look,
        table.expected,
        found.whole,
    )
    walled = (number[WELL, one] != NOBODY) & (number[WELL, other] != NOBODY)
    uncut = (number[WHOLE, one] != 0) & (number[WHOLE, other] != 0) & whole[cell]
    area_one = math.exp(look[one, LOG_AREA])
    area_other = math.exp(look[other, LOG_AREA])
    change = found.look[cell, LOG_AREA] - math.log(area_one + area_other)
    share = area_one / (area_one + area_other)
    dy = found.centre_um[cell, 0] - share * expected[one, 0]
    dx = found.centre_um[cell, 1] - share * expected[one, 1]
    dy -= (1 - share) * expected[other, 0]
    dx -= (1 - share) * expected[other, 1]
    away_y = expected[one, 0] - expected[other, 0]
    away_x = expected[one, 1] - expected[other, 1]
    unsure, more_unsure = expected[one, 4], expected[other, 4]
    variance = share**2 * unsure + (1 - share) ** 2 * more_unsure
    variance += BLOB_NOISE * rules.noise_um2
    tail = 1 + (dy * dy + dx * dx) / (4 * variance)
    cost = 2 * math.log(variance) + 6 * math.log(tail) + MERGE_PRICE
    if walled:
        cost -= CANNOT_LEAVE  # of two cells one is unseen, and cannot leave either
    if uncut:
        cost += size_price(change, rules)
    over = max(math.hypot(away_y, away_x) - reach_um(area_one, area_other), 0.0)
    return cost + over * over / (unsure + more_unsure + 2 * rules.noise_um2)


@njit(nogil=True, cache=True, error_model="numpy")
def reach_um(area_one, area_other):  # type: ignore[no-untyped-def]
    """Give the distance of the centres of two discs that just touch."""
    return math.sqrt(area_one / math.pi) + math.sqrt(area_other / math.pi)


@njit(nogil=True, cache=True, error_model="numpy")
def add_seats(first, cell_of, cost, pairs, cells):  # type: ignore[no-untyped-def]
    """Give the candidates with a second seat on every blob, columns from ``cells``.

    ``pairs`` is what `find_pairs` gave. Each of the two pays half of the joint cost.
    """
    members, blob, joint = pairs
    rows, extra = first.size - 1, blob.size
    more = np.zeros(rows + 1, np.int64)
    for pair in range(extra):
        more[members[pair, 1]] += 1
    wide = np.zeros(rows + 1, np.int64)
    total = cell_of.size + extra
    column, price_of = np.empty(total, np.int64), np.empty(total)
    to = 0
    for row in range(rows):
        wide[row] = to
        for at in range(first[row], first[row + 1]):
            column[to], price_of[to] = cell_of[at], cost[at]
            to += 1
        to += more[row]
        more[row] = to - more[row]  # where the seats of this row begin
    wide[rows] = to
    for pair in range(extra):
        one, other = members[pair, 0], members[pair, 1]
        half = joint[pair] / 2
        column[more[other]], price_of[more[other]] = cells + pair, half
        more[other] += 1
        for at in range(wide[one], wide[one + 1]):
            if column[at] == blob[pair]:
                price_of[at] = min(price_of[at], half)
    return wide, column, price_of


@njit(nogil=True, cache=True, error_model="numpy")
def ride_along(table, row, found, taker, first, cell_of, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns
    """Give the cell on which a track without one of its own rides, or `NOBODY`.

    The blob must have its area explained better with the track than without.
    ``taker`` (cell,) is the area so far on each cell, 0 for a free one.
    """
    own = math.exp(table.look[row, LOG_AREA])
    best, least = NOBODY, np.inf
    for at in range(first[row], first[row + 1]):
        cell = cell_of[at]
        if taker[cell] <= 0:
            continue
        area = found.look[cell, LOG_AREA]
        with_it = size_price(area - math.log(taker[cell] + own), rules)
        without = size_price(area - math.log(taker[cell]), rules)
        if area < math.log(taker[cell]) + LARGER or with_it >= without:
            continue
        dy = found.centre_um[cell, 0] - table.expected[row, 0]
        dx = found.centre_um[cell, 1] - table.expected[row, 1]
        away = math.hypot(dy, dx)
        sigma = math.sqrt(table.expected[row, 4] + rules.noise_um2)
        within = away <= reach_um(own, taker[cell]) + 2 * sigma
        if within and away < least:
            best, least = cell, away
    return best


@njit(nogil=True, cache=True, error_model="numpy")
def correct_blob(table, group, size, found, cell, rules):  # type: ignore[no-untyped-def]
    """Update the tracks ``group[:size]`` of one blob by its centre."""
    total, middle_y, middle_x, spread = 0.0, 0.0, 0.0, 0.0
    for at in range(size):
        total += math.exp(table.look[group[at], LOG_AREA])
    for at in range(size):
        row = group[at]
        share = math.exp(table.look[row, LOG_AREA]) / total
        middle_y += share * table.expected[row, 0]
        middle_x += share * table.expected[row, 1]
        spread += share * share * table.expected[row, 4]
    away = (found.centre_um[cell, 0] - middle_y, found.centre_um[cell, 1] - middle_x)
    noise = BLOB_NOISE * rules.noise_um2
    for at in range(size):
        row = group[at]
        share = math.exp(table.look[row, LOG_AREA]) / total
        rest = spread - share * share * table.expected[row, 4]
        correct_share(table.state, row, share, away, rest, noise)


@njit(nogil=True, cache=True, error_model="numpy")
def pull_together(table, one, other, share):  # type: ignore[no-untyped-def]
    """Move two tracks of one blob so that they touch; the first moves by ``share``."""
    a, b = table.expected[one], table.expected[other]
    dy, dx = b[0] - a[0], b[1] - a[1]
    apart = math.hypot(dy, dx)
    area_one = math.exp(table.look[one, LOG_AREA])
    reach = reach_um(area_one, math.exp(table.look[other, LOG_AREA]))
    if apart <= reach or apart == 0:
        return
    pull = (apart - reach) / apart
    shift(table, one, share * pull * dy, share * pull * dx)
    shift(table, other, (share - 1) * pull * dy, (share - 1) * pull * dx)


@njit(nogil=True, cache=True, error_model="numpy")
def shift(table, row, dy, dx):  # type: ignore[no-untyped-def]
    """Move a track without a change of its walk."""
    table.expected[row, 0] += dy
    table.expected[row, 1] += dx
    table.anchor[row, 0] += dy
    table.anchor[row, 1] += dx
