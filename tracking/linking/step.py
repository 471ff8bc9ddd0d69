"""One frame further: prediction, costs, assignment, update, ends and births.

All of it is compiled into one step on the columns of `tracking.linking.table`; the
parts stand in files of their own.
"""

import math

import numpy as np
from numba import njit

from tracking.linking.assignment import UNMATCHED, solve
from tracking.linking.births import bear, mark_part, parts, share_blob
from tracking.linking.costs import (
    GIVE_UP,
    find_candidates,
    gate_um,
    lay_grid,
    make_room,
)
from tracking.linking.divisions import find_whole, is_pair
from tracking.linking.ends import end, find_staying
from tracking.linking.identity import (
    add_contact_terms,
    learn_looks,
    remember,
    touch,
    undo_swaps,
)
from tracking.linking.masks import add_overlaps
from tracking.linking.merges import (
    add_seats,
    correct_blob,
    find_pairs,
    pull_together,
    ride_along,
)
from tracking.linking.motion import (
    LANES,
    add_weights,
    correct,
    learn_prior,
    predict,
    summarise,
)
from tracking.linking.table import (
    APART,
    CARRIER,
    DESCRIPTORS,
    LABEL,
    LOG_AREA,
    MISSED,
    NOBODY,
    PARTNER,
    QUALITY,
    RIDES,
    SEEN,
    TRACK_ID,
    UNSEEN_S,
    WHOLE,
)
from tracking.linking.wells import (
    count_cells,
    count_tracks,
    keep_inside,
)

BLOCK = 256
"""Tracks whose states, 512 bytes each, find room in the cache together."""
LEARN_FROM = 3
"""Tracks seen in so many frames, and as long apart from others, teach about all."""
SIZE_STEP = 1e-3
"""A sighting moves the typical logarithm of the area by so much, up or down."""


@njit(nogil=True, cache=True, error_model="numpy")
def approach(table, rows, found, steps, wells, learnt, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns of records
    """Carry the tracks to the time of the frame, and give what cells each may take.

    Both for a block of tracks at a time, whose states are still in the cache then; what
    the tracks teach of all is taken first. Gives `Candidates`.
    """
    grid = lay_grid(found.centre_um, gate_um(rules, rules.step_s))
    taught, teachers, room = np.zeros(LANES, np.float32), 0, make_room(rows)
    for begin in range(0, rows, BLOCK):
        block = (begin, min(begin + BLOCK, rows))
        teachers += advance(table, block, steps, wells, learnt.size, taught, rules)
        find_candidates(table, block, found, grid, rules, room)
    learn_prior(taught, teachers, learnt.prior)
    first, cell_of, cost = room
    return first, cell_of[: first[rows]], cost[: first[rows]]


@njit(nogil=True, cache=True, error_model="numpy")
def advance(table, block, steps, wells, size, taught, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns of records
    """Carry a block of tracks to the time of the frame; gives how many taught of all.

    Their walks are added to ``taught`` (walk,), their areas move ``size``.
    """
    # NOTE: columns taken out of their table once, here and elsewhere, and no views of
    # rows nor calls with tables for every track: each counts its references, which took
    # longer than the arithmetic.
    number, value, anchor, state, expected, look, _ = table
    count, held, step_s = 0, wells.holds.size, rules.step_s
    for row in range(block[0], block[1]):
        if seen_alone(number, row):
            count += 1
            add_weights(state, row, taught)
            if number[WHOLE, row]:
                size[0] += SIZE_STEP if look[row, LOG_AREA] > size[0] else -SIZE_STEP
        value[row, UNSEEN_S] += step_s
        predict(state, row, steps)
        if held:
            keep_inside(table, row, wells)
        summarise(state, anchor, expected, row)
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def seen_alone(number, row):  # type: ignore[no-untyped-def]
    """Say whether the last frame tells of a track how all cells are."""
    seen = number[MISSED, row] == 0 and number[CARRIER, row] == NOBODY
    old = number[SEEN, row] >= LEARN_FROM and number[APART, row] > LEARN_FROM
    return seen and old


@njit(nogil=True, cache=True, error_model="numpy")
def link(table, rows, found, masks, candidates, learnt, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns of records
    """Match tracks to cells; sets the carriers in the table.

    Steps: what adds to the costs; seats on blobs; exact assignment; tracks without a
    cell may ride on that of another; quality.

    Returns
    -------
    ``cell`` (row,) that the track has or rides on, and ``main`` (cell,) the row that
    carries it; `NOBODY` where none.
    """
    cells, number = found.label.size, table.number
    first, cell_of, cost = candidates
    if rules.contact_weight > 0:
        add_contact_terms(table, found, first, cell_of, cost, learnt, rules)
    if masks.before.size:
        add_overlaps(table, first, cell_of, cost, found, masks)
    pairs = find_pairs(table, first, cell_of, found, rules)
    wide, column, price = add_seats(first, cell_of, cost, pairs, cells)
    chosen = solve(wide, column, price, cells + pairs[1].size, GIVE_UP)

    cell, main = np.full(rows, NOBODY, np.int64), np.full(cells, NOBODY, np.int64)
    for row in range(rows):
        number[CARRIER, row] = NOBODY
        if chosen[row] != UNMATCHED and chosen[row] < cells:
            cell[row], main[chosen[row]] = chosen[row], row
    for row in range(rows):
        if chosen[row] >= cells:
            at = pairs[1][chosen[row] - cells]
            cell[row] = at
            if main[at] == NOBODY:
                main[at] = row
            else:
                number[CARRIER, row] = main[at]
    ride(table, rows, found, cell, main, first, cell_of, rules)
    judge(table, rows, first, cell_of, cost, cell)
    return cell, main


@njit(nogil=True, cache=True, error_model="numpy")
def ride(table, rows, found, cell, main, first, cell_of, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns
    """Let tracks without a cell ride on blobs that are too large for their own."""
    number, look = table.number, table.look
    wanted = np.zeros(main.size, np.bool_)
    for row in range(rows):
        if cell[row] == NOBODY and number[TRACK_ID, row] > 0:
            for at in range(first[row], first[row + 1]):
                wanted[cell_of[at]] = True
    taken = np.zeros(main.size)
    for row in range(rows):
        at = cell[row]
        if at != NOBODY and wanted[at] and number[TRACK_ID, row] > 0:
            taken[at] += math.exp(look[row, LOG_AREA])
    for row in range(rows):
        if cell[row] != NOBODY or number[TRACK_ID, row] == 0:
            continue
        at = ride_along(table, row, found, taken, first, cell_of, rules)
        if at != NOBODY and number[TRACK_ID, main[at]] > 0:
            cell[row], number[CARRIER, row] = at, main[at]
            taken[at] += math.exp(look[row, LOG_AREA])


@njit(nogil=True, cache=True, error_model="numpy")
def judge(table, rows, first, cell_of, cost, cell):  # type: ignore[no-untyped-def]
    """Update the quality of the tracks: how much dearer the next best choice was."""
    number, value = table.number, table.value
    for row in range(rows):
        sure = 0.0
        if cell[row] != NOBODY and number[CARRIER, row] == NOBODY:
            own, other = 0.0, GIVE_UP
            for at in range(first[row], first[row + 1]):
                if cell_of[at] == cell[row]:
                    own = cost[at]
                else:
                    other = min(other, cost[at])
            dearer = np.float32(min(max((own - other) / 2, -50.0), 50.0))
            sure = 1 / (1 + math.exp(dearer))
        elif cell[row] != NOBODY:
            sure = 0.5
        value[row, QUALITY] += 0.3 * (sure - value[row, QUALITY])


@njit(nogil=True, cache=True, error_model="numpy")
def update(table, rows, found, cell, main, learnt, rules):  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912, PLR0913, PLR0915 - one kernel
    """Correct the tracks by what they have; what is unseen gets older."""
    number, value, anchor, state, expected, look, fresh = table
    label, centre, looks, whole = (
        found.label,
        found.centre_um,
        found.look,
        found.whole,
    )
    cells, prior = label.size, learnt.prior
    head, after = np.full(cells, -1, np.int32), np.full(rows, -1, np.int32)
    for row in range(rows - 1, -1, -1):
        if number[CARRIER, row] != NOBODY:
            after[row] = head[cell[row]]
            head[cell[row]] = row
    group = np.empty(rows + 1, np.int64)
    seen, changed = 0, np.zeros(DESCRIPTORS)
    limit, noise = 3 * np.sqrt(learnt.look), np.float32(rules.noise_um2)
    lag = rules.lag
    for row in range(rows):
        number[APART, row] += 1
        at = cell[row]
        if at == NOBODY:
            number[MISSED, row] += 1
            number[LABEL, row] = 0
            continue
        number[LABEL, row] = label[at]
        number[MISSED, row], value[row, UNSEEN_S] = 0, 0.0
        if number[CARRIER, row] != NOBODY:
            number[RIDES, row] += 1
            continue
        number[RIDES, row] = 0
        number[SEEN, row] += 1
        if head[at] >= 0:
            size, rider = 1, head[at]
            group[0] = row
            while rider >= 0:
                group[size] = rider
                size += 1
                rider = after[rider]
            share_place(table, group, size, found, at, rules)
            continue
        y, x = centre[at, 0], centre[at, 1]
        away_y, away_x = np.float32(y - anchor[row, 0]), np.float32(x - anchor[row, 1])
        correct(state, row, away_y, away_x, noise, prior)
        anchor[row, 0], anchor[row, 1] = y, x
        summarise(state, anchor, expected, row)
        if not whole[at]:
            continue
        if not number[WHOLE, row]:
            for kind in range(DESCRIPTORS):
                look[row, kind] = looks[at, kind]
            number[WHOLE, row] = 1
        if number[APART, row] <= lag and number[PARTNER, row] != NOBODY:
            for kind in range(DESCRIPTORS):
                fresh[row, kind] += looks[at, kind]
            fresh[row, DESCRIPTORS] += 1
        else:
            remember(look, row, looks, at, limit, changed)
            seen += 1
    learn_looks(changed, seen, learnt.look)
    for at in range(len(found.touching)):
        one, other = main[found.touching[at, 0]], main[found.touching[at, 1]]
        if one != NOBODY and other != NOBODY:
            touch(table, one, other)
            touch(table, other, one)


@njit(nogil=True, cache=True, error_model="numpy")
def share_place(table, group, size, found, cell, rules):  # type: ignore[no-untyped-def]
    """Correct the tracks of one blob, the first of which carries it."""
    correct_blob(table, group, size, found, cell, rules)
    row = group[0]
    for at in range(size):
        summarise(table.state, table.anchor, table.expected, group[at])
    for at in range(1, size):
        pull_together(table, row, group[at], 0.5)
        touch(table, row, group[at])
        touch(table, group[at], row)
    for at in range(size):
        summarise(table.state, table.anchor, table.expected, group[at])


@njit(nogil=True, cache=True, error_model="numpy")
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
    candidates = approach(table, rows, found, steps, wells, learnt, rules)
    cell, main = link(table, rows, found, masks, candidates, learnt, rules)
    whole = np.full(found.label.size, NOBODY, np.int64)
    for new in range(main.size):
        if main[new] == NOBODY:
            whole[new] = find_whole(table, found, new, main, learnt, rules)
    parts(table, found, cell, whole, learnt)
    update(table, rows, found, cell, main, learnt, rules)
    swaps = undo_swaps(table, rows, learnt, rules.lag, swapped)
    left, went = end(table, rows, find_staying(table, rows, rules, field, wells))
    here, well_of = count_tracks(table, left, wells), found.well
    for new in range(main.size):
        if main[new] != NOBODY:
            continue
        well = well_of[new]
        if well != NOBODY and here[well] >= wells.holds[well]:
            continue
        bear(table, left, found, new, learnt, power, rules)
        mark_part(table, left, went, whole[new], rules)
        left += 1
        if first and is_pair(found.look[new], learnt):
            bear(table, left, found, new, learnt, power, rules)
            share_blob(table, left - 1, left)
            left += 1
    return left, swaps
