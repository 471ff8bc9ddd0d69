"""One frame further: prediction, costs, assignment, update, ends and births.

All of it is compiled into one step on the columns of `tracking.linking.table`; the
parts stand in files of their own.
"""

import math

import numpy as np
from numba import njit

from tracking.linking.assignment import UNMATCHED, solve
from tracking.linking.births import bear, mark_part, parts, share_blob
from tracking.linking.costs import GIVE_UP, find_candidates
from tracking.linking.divisions import find_whole, is_pair
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
    WELL,
    WHOLE,
)
from tracking.linking.wells import (
    count_cells,
    count_tracks,
    keep_inside,
)

LONGEST_RIDE = 20
"""A track rides on the blob of another for so many memories at most."""
LEARN_FROM = 3
"""Tracks seen in so many frames, and as long apart from others, teach about all."""
SIZE_STEP = 1e-3
"""A sighting moves the typical logarithm of the area by so much, up or down."""


@njit(nogil=True, cache=True, error_model="numpy")
def advance(table, rows, steps, wells, learnt, step_s):  # type: ignore[no-untyped-def]
    """Take what the tracks teach of all, and carry them to the time of the frame."""
    # NOTE: columns taken out of their table once, here and elsewhere, need no counting
    # of references for every track, which took longer than the arithmetic.
    number, value, anchor, state, expected, look, _ = table
    total, count, size, held = np.zeros(LANES, np.float32), 0, learnt.size, wells.holds
    for row in range(rows):
        if seen_alone(number, row):
            count += 1
            add_weights(state, row, total)
            if number[row, WHOLE]:
                size[0] += SIZE_STEP if look[row, LOG_AREA] > size[0] else -SIZE_STEP
        value[row, UNSEEN_S] += step_s
        predict(state, row, steps)
        if held.size:
            keep_inside(table, row, wells)
        summarise(state, anchor, expected, row)
    learn_prior(total, count, learnt.prior)


@njit(nogil=True, cache=True, error_model="numpy")
def seen_alone(number, row):  # type: ignore[no-untyped-def]
    """Say whether the last frame tells of a track how all cells are."""
    seen = number[row, MISSED] == 0 and number[row, CARRIER] == NOBODY
    old = number[row, SEEN] >= LEARN_FROM and number[row, APART] > LEARN_FROM
    return seen and old


@njit(nogil=True, cache=True, error_model="numpy")
def link(table, rows, found, masks, learnt, rules):  # type: ignore[no-untyped-def]
    """Match tracks to cells; sets the carriers in the table.

    Steps: costs; seats on blobs; exact assignment; tracks without a cell may ride on
    that of another; quality.

    Returns
    -------
    ``cell`` (row,) that the track has or rides on, and ``main`` (cell,) the row that
    carries it; `NOBODY` where none.
    """
    cells, number = found.label.size, table.number
    first, cell_of, cost = find_candidates(table, rows, found, rules)
    if rules.contact_weight > 0:
        add_contact_terms(table, found, first, cell_of, cost, learnt, rules)
    if masks.before.size:
        add_overlaps(table, first, cell_of, cost, found, masks)
    pairs = find_pairs(table, first, cell_of, found, rules)
    wide, column, price = add_seats(first, cell_of, cost, pairs, cells)
    chosen = solve(wide, column, price, cells + pairs[1].size, GIVE_UP)

    cell, main = np.full(rows, NOBODY, np.int64), np.full(cells, NOBODY, np.int64)
    for row in range(rows):
        number[row, CARRIER] = NOBODY
        if chosen[row] != UNMATCHED and chosen[row] < cells:
            cell[row], main[chosen[row]] = chosen[row], row
    for row in range(rows):
        if chosen[row] >= cells:
            at = pairs[1][chosen[row] - cells]
            cell[row] = at
            if main[at] == NOBODY:
                main[at] = row
            else:
                number[row, CARRIER] = main[at]
    ride(table, rows, found, cell, main, first, cell_of, rules)
    judge(table, rows, first, cell_of, cost, cell)
    return cell, main


@njit(nogil=True, cache=True, error_model="numpy")
def ride(table, rows, found, cell, main, first, cell_of, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns
    """Let tracks without a cell ride on blobs that are too large for their own."""
    number, look = table.number, table.look
    wanted = np.zeros(main.size, np.bool_)
    for row in range(rows):
        if cell[row] == NOBODY and number[row, TRACK_ID] > 0:
            for at in range(first[row], first[row + 1]):
                wanted[cell_of[at]] = True
    taken = np.zeros(main.size)
    for row in range(rows):
        at = cell[row]
        if at != NOBODY and wanted[at] and number[row, TRACK_ID] > 0:
            taken[at] += math.exp(look[row, LOG_AREA])
    for row in range(rows):
        if cell[row] != NOBODY or number[row, TRACK_ID] == 0:
            continue
        at = ride_along(table, row, found, taken, first, cell_of, rules)
        if at != NOBODY and number[main[at], TRACK_ID] > 0:
            cell[row], number[row, CARRIER] = at, main[at]
            taken[at] += math.exp(look[row, LOG_AREA])


@njit(nogil=True, cache=True, error_model="numpy")
def judge(table, rows, first, cell_of, cost, cell):  # type: ignore[no-untyped-def]
    """Update the quality of the tracks: how much dearer the next best choice was."""
    number, value = table.number, table.value
    for row in range(rows):
        sure = 0.0
        if cell[row] != NOBODY and number[row, CARRIER] == NOBODY:
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
        if number[row, CARRIER] != NOBODY:
            after[row] = head[cell[row]]
            head[cell[row]] = row
    group = np.empty(rows + 1, np.int64)
    seen, changed = 0, np.zeros(DESCRIPTORS)
    limit, noise = 3 * np.sqrt(learnt.look), np.float32(rules.noise_um2)
    for row in range(rows):
        number[row, APART] += 1
        if cell[row] == NOBODY:
            number[row, MISSED] += 1
            number[row, LABEL] = 0
            continue
        number[row, LABEL] = label[cell[row]]
        number[row, MISSED], value[row, UNSEEN_S] = 0, 0.0
        if number[row, CARRIER] != NOBODY:
            number[row, RIDES] += 1
            continue
        number[row, RIDES] = 0
        number[row, SEEN] += 1
        if head[cell[row]] < 0:
            y, x = centre[cell[row], 0], centre[cell[row], 1]
            see(state, anchor, row, y, x, prior, noise)
            if not whole[cell[row]]:
                continue
            if not number[row, WHOLE]:
                look[row] = looks[cell[row]]
                number[row, WHOLE] = 1
            if number[row, APART] <= rules.lag and number[row, PARTNER] != NOBODY:
                for at in range(DESCRIPTORS):
                    fresh[row, at] += looks[cell[row], at]
                fresh[row, DESCRIPTORS] += 1
            else:
                remember(look, row, looks, cell[row], limit, changed)
                seen += 1
            continue
        size, rider = 1, head[cell[row]]
        group[0] = row
        while rider >= 0:
            group[size] = rider
            size += 1
            rider = after[rider]
        correct_blob(table, group, size, found, cell[row], rules)
        for at in range(size):
            one = group[at]
            summarise(state, anchor, expected, one)
        for at in range(1, size):
            pull_together(table, row, group[at], 0.5)
            touch(table, row, group[at])
            touch(table, group[at], row)
    learn_looks(changed, seen, learnt.look)
    for row in range(rows):
        summarise(state, anchor, expected, row)
    for at in range(len(found.touching)):
        one, other = main[found.touching[at, 0]], main[found.touching[at, 1]]
        if one != NOBODY and other != NOBODY:
            touch(table, one, other)
            touch(table, other, one)


@njit(nogil=True, cache=True, error_model="numpy")
def see(state, anchor, row, y, x, prior, noise):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns
    """Correct a track by the place of a cell that is its own."""
    away_y, away_x = np.float32(y - anchor[row, 0]), np.float32(x - anchor[row, 1])
    correct(state, row, away_y, away_x, noise, prior)
    anchor[row, 0], anchor[row, 1] = y, x


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
        missed = number[row, MISSED]
        known = number[row, TRACK_ID] > 0
        coasting = missed <= rules.memory and known and inside
        ridden = number[row, RIDES] > LONGEST_RIDE * max(rules.memory, 1)
        well = number[row, WELL]
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
    close_all(table, went)
    for row in range(left):
        if number[row, CARRIER] != NOBODY:
            number[row, CARRIER] = went[number[row, CARRIER]]
        for which in range(2):
            if number[row, PARTNER + which] != NOBODY:
                number[row, PARTNER + which] = went[number[row, PARTNER + which]]
    return left, went


@njit(nogil=True, cache=True, error_model="numpy")
def close_up(column, went):  # type: ignore[no-untyped-def]
    """Put the values of a column where their tracks went."""
    for row in range(went.size):
        if went[row] != NOBODY and went[row] != row:
            column[went[row]] = column[row]


@njit(nogil=True, cache=True, error_model="numpy")
def close_all(table, went):  # type: ignore[no-untyped-def]
    """Put the values of all columns where their tracks went."""
    close_up(table.number, went)
    close_up(table.value, went)
    close_up(table.anchor, went)
    close_up(table.state, went)
    close_up(table.expected, went)
    close_up(table.look, went)
    close_up(table.fresh, went)


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
    advance(table, rows, steps, wells, learnt, rules.step_s)
    cell, main = link(table, rows, found, masks, learnt, rules)
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
