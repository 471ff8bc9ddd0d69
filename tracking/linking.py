"""One frame further: prediction, costs, assignment, update, ends and births.

All of it is compiled into one step on the columns of `tracking.table`; the parts stand
in files of their own.
"""

import math

import numpy as np
from numba import njit

from tracking.assignment import UNMATCHED, solve
from tracking.costs import find_candidates
from tracking.divisions import find_whole, is_one_cell, is_pair
from tracking.identity import add_contact_terms, remember, touch, undo_swaps
from tracking.masks import add_overlaps
from tracking.merges import (
    add_seats,
    correct_blob,
    find_pairs,
    pull_together,
    ride_along,
)
from tracking.motion import (
    FIELDS,
    PP,
    VV,
    WEIGHT,
    X,
    Y,
    correct,
    learn_prior,
    predict,
    summarise,
)
from tracking.table import (
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
from tracking.wells import count_cells, count_tracks, keep_inside

GIVE_UP = 28.0
"""Price of leaving a track unseen: -2 log(P(missed) x new cells per um2), for 2 %
missed and 1e-5 new cells per um2 and frame."""
TENTATIVE = 4.0
"""A track that is not believed yet pays so much more for a cell."""
LONGEST_RIDE = 20
"""A track rides on the blob of another for so many memories at most."""
LEARN_FROM = 3
"""Tracks seen in so many frames, and as long apart from others, teach about all."""
SIZE_STEP = 1e-3
"""A sighting moves the typical logarithm of the area by so much, up or down."""


@njit(nogil=True, cache=True)
def advance(table, rows, steps, wells, step_s):  # type: ignore[no-untyped-def]
    """Carry all tracks to the time of the frame."""
    predict(table.state[:rows], steps)
    if wells.holds.size:
        keep_inside(table, rows, wells)
    for row in range(rows):
        table.expected[row] = summarise(table.state[row])
        table.value[row, UNSEEN_S] += step_s


@njit(nogil=True, cache=True)
def link(table, rows, found, masks, learnt, rules):  # type: ignore[no-untyped-def]
    """Match tracks to cells; sets the carriers in the table.

    Steps: costs; seats on blobs; exact assignment; tracks without a cell may ride on
    that of another; quality.

    Returns
    -------
    ``cell`` (row,) that the track has or rides on, and ``main`` (cell,) the row that
    carries it; `NOBODY` where none.
    """
    cells = found.label.size
    first, cell_of, cost = find_candidates(table, rows, found, rules)
    if masks.before.size:
        add_overlaps(table, first, cell_of, cost, found, masks)
    add_contact_terms(table, rows, found, first, cell_of, cost, learnt, rules.lag)
    for row in range(rows):
        if table.number[row, TRACK_ID] == 0:
            for at in range(first[row], first[row + 1]):
                cost[at] += TENTATIVE
    pairs = find_pairs(table, first, cell_of, found, rules)
    wide, column, price = add_seats(first, cell_of, cost, pairs, cells)
    chosen = solve(wide, column, price, cells + pairs[1].size, GIVE_UP)

    cell, main = np.full(rows, NOBODY, np.int64), np.full(cells, NOBODY, np.int64)
    for row in range(rows):
        table.number[row, CARRIER] = NOBODY
        if chosen[row] != UNMATCHED and chosen[row] < cells:
            cell[row], main[chosen[row]] = chosen[row], row
    for row in range(rows):
        if chosen[row] >= cells:
            at = pairs[1][chosen[row] - cells]
            cell[row] = at
            if main[at] == NOBODY:
                main[at] = row
            else:
                table.number[row, CARRIER] = main[at]
    ride(table, rows, found, cell, main, first, cell_of, rules)
    judge(table, rows, first, cell_of, cost, cell)
    return cell, main


@njit(nogil=True, cache=True)
def ride(table, rows, found, cell, main, first, cell_of, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns
    """Let tracks without a cell ride on blobs that are too large for their own."""
    taken = np.zeros(main.size)
    for row in range(rows):
        if cell[row] != NOBODY and table.number[row, TRACK_ID] > 0:
            taken[cell[row]] += math.exp(table.look[row, LOG_AREA])
    for row in range(rows):
        if cell[row] != NOBODY or table.number[row, TRACK_ID] == 0:
            continue
        at = ride_along(table, row, found, taken, first, cell_of, rules)
        if at != NOBODY and table.number[main[at], TRACK_ID] > 0:
            cell[row], table.number[row, CARRIER] = at, main[at]
            taken[at] += math.exp(table.look[row, LOG_AREA])


@njit(nogil=True, cache=True)
def judge(table, rows, first, cell_of, cost, cell):  # type: ignore[no-untyped-def]
    """Update the quality of the tracks: how much dearer the next best choice was."""
    for row in range(rows):
        sure = 0.0
        if cell[row] != NOBODY and table.number[row, CARRIER] == NOBODY:
            own, other = 0.0, GIVE_UP
            for at in range(first[row], first[row + 1]):
                if cell_of[at] == cell[row]:
                    own = cost[at]
                else:
                    other = min(other, cost[at])
            sure = 1 / (1 + math.exp(min(max((own - other) / 2, -50.0), 50.0)))
        elif cell[row] != NOBODY:
            sure = 0.5
        table.value[row, QUALITY] += 0.3 * (sure - table.value[row, QUALITY])


@njit(nogil=True, cache=True)
def update(table, rows, found, cell, main, learnt, rules):  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912, PLR0913, PLR0915 - one kernel
    """Correct the tracks by what they have; what is unseen gets older."""
    cells = found.label.size
    head, after = np.full(cells, -1, np.int32), np.full(rows, -1, np.int32)
    for row in range(rows - 1, -1, -1):
        if table.number[row, CARRIER] != NOBODY:
            after[row] = head[cell[row]]
            head[cell[row]] = row
    group = np.empty(rows + 1, np.int64)
    for row in range(rows):
        table.number[row, APART] += 1
        if cell[row] == NOBODY:
            table.number[row, MISSED] += 1
            table.number[row, LABEL] = 0
            continue
        table.number[row, LABEL] = found.label[cell[row]]
        table.number[row, MISSED], table.value[row, UNSEEN_S] = 0, 0.0
        if table.number[row, CARRIER] != NOBODY:
            table.number[row, RIDES] += 1
            continue
        table.number[row, RIDES] = 0
        table.number[row, SEEN] += 1
        if head[cell[row]] < 0:
            y, x = found.centre_um[cell[row], 0], found.centre_um[cell[row], 1]
            correct(table.state, row, y, x, rules.noise_um2, learnt.prior)
            if not found.whole[cell[row]]:
                continue
            look = found.look[cell[row]]
            if not table.number[row, WHOLE]:
                table.look[row] = look
                table.number[row, WHOLE] = 1
            if (
                table.number[row, APART] <= rules.lag
                and table.number[row, PARTNER] != NOBODY
            ):
                for at in range(look.size):
                    table.fresh[row, at] += look[at]
                table.fresh[row, look.size] += 1
            else:
                remember(table.look, row, look, learnt.look)
            continue
        size, rider = 1, head[cell[row]]
        group[0] = row
        while rider >= 0:
            group[size] = rider
            size += 1
            rider = after[rider]
        correct_blob(table, group, size, found, cell[row], rules)
        for at in range(size):
            table.expected[group[at]] = summarise(table.state[group[at]])
        for at in range(1, size):
            pull_together(table, row, group[at], 0.5)
            touch(table, row, group[at])
            touch(table, group[at], row)
    for row in range(rows):
        table.expected[row] = summarise(table.state[row])
    for at in range(len(found.touching)):
        one, other = main[found.touching[at, 0]], main[found.touching[at, 1]]
        if one != NOBODY and other != NOBODY:
            touch(table, one, other)
            touch(table, other, one)


@njit(nogil=True, cache=True)
def find_staying(table, rows, rules, field, wells):  # type: ignore[no-untyped-def]
    """Give which tracks go on, (row,).

    Ends: unseen for too long, unseen before it was believed, expected outside the field
    or on the blob of another for too long. In a well none ends that it holds.
    """
    stays = np.zeros(rows, np.bool_)
    here = count_tracks(table, rows, wells)
    for row in range(rows):
        y, x = table.expected[row, 0], table.expected[row, 1]
        inside = field[0, 0] <= y <= field[1, 0] and field[0, 1] <= x <= field[1, 1]
        missed = table.number[row, MISSED]
        known = table.number[row, TRACK_ID] > 0
        believed = known and table.number[row, SEEN] > 1
        coasting = missed <= rules.memory and believed and inside
        ridden = table.number[row, RIDES] > LONGEST_RIDE * max(rules.memory, 1)
        well = table.number[row, WELL]
        if known and well != NOBODY and here[well] <= wells.holds[well]:
            coasting, ridden = True, False
        stays[row] = (missed == 0 or coasting) and not ridden
    return stays


@njit(nogil=True, cache=True)
def end(table, rows, stays):  # type: ignore[no-untyped-def]
    """Drop tracks, in place; gives the number left, and where each row went."""
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
    close_all(table, went)
    for row in range(left):
        if table.number[row, CARRIER] != NOBODY:
            table.number[row, CARRIER] = went[table.number[row, CARRIER]]
        for which in range(2):
            if table.number[row, PARTNER + which] != NOBODY:
                table.number[row, PARTNER + which] = went[
                    table.number[row, PARTNER + which]
                ]
    return left, went


@njit(nogil=True, cache=True)
def close_up(column, went):  # type: ignore[no-untyped-def]
    """Put the values of a column where their tracks went."""
    for row in range(went.size):
        if went[row] != NOBODY and went[row] != row:
            column[went[row]] = column[row]


@njit(nogil=True, cache=True)
def close_all(table, went):  # type: ignore[no-untyped-def]
    """Put the values of all columns where their tracks went."""
    close_up(table.number, went)
    close_up(table.value, went)
    close_up(table.state, went)
    close_up(table.expected, went)
    close_up(table.look, went)
    close_up(table.fresh, went)


@njit(nogil=True, cache=True)
def bear(table, rows, found, cell, learnt, power, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns of records
    """Begin a track on the cell, in the next row."""
    state = table.state[rows]
    for walk in range(state.shape[1]):
        for field in range(FIELDS):
            state[field, walk] = 0.0
        state[Y, walk] = found.centre_um[cell, 0]
        state[X, walk] = found.centre_um[cell, 1]
        state[PP, walk] = rules.noise_um2
        state[VV, walk] = power[walk]
        state[WEIGHT, walk] = learnt.prior[walk]
    table.expected[rows] = summarise(state)
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
    table.number[rows, APART] = 1000
    table.fresh[rows] = 0.0
    table.number[rows, RIDES] = 0
    table.value[rows, QUALITY] = 0.5
    table.number[rows, PARENT] = 0
    table.number[rows, MOTHER] = 0
    table.value[rows, MASS] = 0.0
    table.number[rows, WELL] = found.well[cell]


@njit(nogil=True, cache=True)
def step(table, rows, found, masks, learnt, rules, walks, field, wells, swapped):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns of records
    """Take one frame: all that the tracker does between two of them.

    Parameters
    ----------
    table, rows
        The tracks and their number; there must be room for two more a cell.
    found, masks, learnt, rules
        The cells of the frame and their masks, what is known of all cells, settings.
    walks
        What the time step does (row, walk), and their velocity variances (walk,).
    field
        (2, yx) corners of the field in um.
    wells
        The chip and what it holds, updated.
    swapped
        (pair, 2) filled with the names that were exchanged.

    Returns
    -------
    The number of tracks now, and of pairs whose names were exchanged.
    """
    steps, power = walks
    first = learnt.born[0] == 0
    if wells.holds.size:
        count_cells(wells, found.well)
    advance(table, rows, steps, wells, rules.step_s)
    cell, main = link(table, rows, found, masks, learnt, rules)
    whole = np.full(found.label.size, NOBODY, np.int64)
    for new in range(found.label.size):
        if main[new] == NOBODY:
            whole[new] = find_whole(table, found, new, main)
    parts(table, found, cell, whole, learnt)
    update(table, rows, found, cell, main, learnt, rules)
    swaps = undo_swaps(table, rows, learnt, rules.lag, swapped)
    left, went = end(table, rows, find_staying(table, rows, rules, field, wells))
    here = count_tracks(table, left, wells)
    for new in range(found.label.size):
        well = found.well[new]
        if main[new] != NOBODY or (well != NOBODY and here[well] >= wells.holds[well]):
            continue
        bear(table, left, found, new, learnt, power, rules)
        mark_part(table, left, went, whole[new], rules)
        left += 1
        if first and is_pair(found.look[new], learnt):
            bear(table, left, found, new, learnt, power, rules)
            share_blob(table, left - 1, left)
            left += 1
    learn(table, left, learnt)
    return left, swaps


@njit(nogil=True, cache=True)
def share_blob(table, row, rider):  # type: ignore[no-untyped-def]
    """Make two new tracks of one blob: each has half of it."""
    table.number[rider, CARRIER] = row
    for one, other in ((row, rider), (rider, row)):
        table.look[one, LOG_AREA] -= math.log(2)
        table.look[one, LOG_MASS] -= math.log(2)
        table.number[one, PARTNER] = other
        table.number[one, APART] = 0


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def learn(table, rows, learnt):  # type: ignore[no-untyped-def]
    """Take what the tracks that were seen alone tell of all cells."""
    alone = np.zeros(rows, np.bool_)
    for row in range(rows):
        seen = table.number[row, MISSED] == 0 and table.number[row, CARRIER] == NOBODY
        old = (
            table.number[row, SEEN] >= LEARN_FROM
            and table.number[row, APART] > LEARN_FROM
        )
        alone[row] = seen and old
        if alone[row] and table.number[row, WHOLE]:
            above = table.look[row, LOG_AREA] > learnt.size[0]
            learnt.size[0] += SIZE_STEP if above else -SIZE_STEP
    learn_prior(table.state[:rows], alone, learnt.prior)
