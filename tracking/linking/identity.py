"""Who is who after a contact: what a cell looked like before it touched another.

A cell keeps the looks that it had while alone. When it parts from the cells that it
touched, a candidate that looks like one of those costs more for it; and when both have
been seen for a while again, the names are exchanged if that fits the looks better.
"""

from numba import njit

from tracking.linking.table import (
    APART,
    DESCRIPTORS,
    NOBODY,
    PARENT,
    PARTNER,
    SEEN,
    TRACK_ID,
    WHOLE,
)

MEMORY = 0.2
"""Share of the newest look."""
MARGIN = 4.0
"""Another must look so much more like it (squared deviations, summed) to count."""
MOST = 25.0
"""The contact-switch term costs no more than this."""
OUTLIER = 9.0
"""A squared change of look counts no more than this many variances."""
LEAST_VARIANCE = 1e-4
LEARNING = 0.002
"""Share of one sighting in the variance of the looks."""


@njit(nogil=True, cache=True, error_model="numpy")
def unlikeness(one, other, variance):  # type: ignore[no-untyped-def]
    """Give how differently two looks (descriptor,) are, in variances."""
    total = 0.0
    for at in range(DESCRIPTORS):
        away = one[at] - other[at]
        total += min(away * away / variance[at], OUTLIER)
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def add_contact_terms(table, found, first, cell_of, cost, learnt, rules):  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns
    """Add to the cost of cells that look like a former neighbour, in place."""
    number, look, whole = table.number, table.look, found.whole
    looks, variance = found.look, learnt.look
    for row in range(first.size - 1):
        if number[TRACK_ID, row] == 0 or number[APART, row] > rules.lag:
            continue
        for which in range(2):
            other = number[PARTNER + which, row]
            if other == NOBODY:
                continue
            if not (number[WHOLE, row] and number[WHOLE, other]):
                continue
            for at in range(first[row], first[row + 1]):
                cell = cell_of[at]
                if not whole[cell]:
                    continue
                own = unlikeness(looks[cell], look[row], variance)
                theirs = unlikeness(looks[cell], look[other], variance)
                more = min(max(own - theirs - MARGIN, 0.0), MOST)
                cost[at] += rules.contact_weight * more


@njit(nogil=True, cache=True, error_model="numpy")
def remember(look, row, new, cell, limit, changed):  # type: ignore[no-untyped-def]
    """Take the look of a cell seen alone and whole; adds its squared change."""
    for at in range(DESCRIPTORS):
        bounded = min(max(new[cell, at] - look[row, at], -limit[at]), limit[at])
        changed[at] += bounded * bounded
        look[row, at] += MEMORY * bounded


@njit(nogil=True, cache=True, error_model="numpy")
def learn_looks(changed, count, variance):  # type: ignore[no-untyped-def]
    """Move the variances of looks towards the mean of so many squared changes."""
    if count:
        share = 1 - (1 - LEARNING) ** count
        for at in range(DESCRIPTORS):
            change = changed[at] / count - variance[at]
            variance[at] = max(variance[at] + share * change, LEAST_VARIANCE)


@njit(nogil=True, cache=True, error_model="numpy")
def touch(table, row, other):  # type: ignore[no-untyped-def]
    """Note that a track touches another now."""
    number, fresh = table.number, table.fresh
    before = number[PARTNER, row]
    new = (number[TRACK_ID, other] != 0) & (before != other)
    number[APART, row] = 0
    number[PARTNER + 1, row] = before if new else number[PARTNER + 1, row]
    number[PARTNER, row] = other if new else before
    for at in range(DESCRIPTORS + 1):
        fresh[row, at] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def undo_swaps(table, rows, learnt, lag, swapped):  # type: ignore[no-untyped-def]
    """Exchange names that fit better the other way; gives how many pairs.

    A track is judged once, when ``lag`` frames have passed since it touched another.
    ``swapped`` (pair, 2) is filled with the names.
    """
    number, fresh, look = table.number, table.fresh, table.look
    count = 0
    for row in range(rows):
        if number[APART, row] != lag or fresh[row, DESCRIPTORS] < lag / 2:
            continue
        other = number[PARTNER, row]
        if other == NOBODY or number[APART, other] < lag:
            continue
        mutual = number[PARTNER, other] == row
        enough = fresh[other, DESCRIPTORS] >= lag / 2
        if not mutual or not enough or number[TRACK_ID, row] == 0:
            continue
        mine = fresh[row, :DESCRIPTORS] / fresh[row, DESCRIPTORS]
        theirs = fresh[other, :DESCRIPTORS] / fresh[other, DESCRIPTORS]
        straight = unlikeness(mine, look[row], learnt.look)
        straight += unlikeness(theirs, look[other], learnt.look)
        crossed = unlikeness(mine, look[other], learnt.look)
        crossed += unlikeness(theirs, look[row], learnt.look)
        if crossed + MARGIN < straight and count < len(swapped):
            swapped[count, 0] = number[TRACK_ID, row]
            swapped[count, 1] = number[TRACK_ID, other]
            exchange(table, row, other)
            count += 1
        settle(table, row)
        settle(table, other)
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def exchange(table, one, other):  # type: ignore[no-untyped-def]
    """Exchange the names of two tracks, and what belongs to a name."""
    for column in (TRACK_ID, PARENT, SEEN):
        name = table.number[column, one]
        table.number[column, one] = table.number[column, other]
        table.number[column, other] = name
    for at in range(DESCRIPTORS):
        look = table.look[one, at]
        table.look[one, at] = table.look[other, at]
        table.look[other, at] = look


@njit(nogil=True, cache=True, error_model="numpy")
def settle(table, row):  # type: ignore[no-untyped-def]
    """Let the looks since a contact count, and end the memory of it."""
    number = table.fresh[row, DESCRIPTORS]
    if number > 0:
        for at in range(DESCRIPTORS):
            change = table.fresh[row, at] / number - table.look[row, at]
            table.look[row, at] += 0.5 * change
    table.fresh[row] = 0.0
    table.number[PARTNER : PARTNER + 2, row] = NOBODY
