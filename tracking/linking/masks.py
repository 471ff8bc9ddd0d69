"""Masks laid on one another: the mask of a track, carried to where it is expected.

The share of its pixels that meet each candidate tells neighbours apart that centres
alone do not. Every third row is enough, and where nobody else could have the one
candidate of a track, the overlap would change no link and is not looked at.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import Segmented
from tracking.linking.costs import GIVE_UP
from tracking.linking.found import held
from tracking.linking.table import LABEL, LOG_AREA, MISSED

STRIDE = 3
"""Rows of pixels from one that is looked at to the next."""
WEIGHT = 2.0
"""Of twice the negative logarithm of the overlap."""
LEAST = 0.05
"""An overlap is taken to be no smaller, for masks are not perfect."""
USUAL = 0.5
"""An overlap that speaks neither for nor against a pair."""
MOST = -2 * WEIGHT * math.log(LEAST / USUAL)
"""What a pair without overlap pays."""


class Masks(NamedTuple):
    """The label maps of this frame and the last; ``before`` is empty without one."""

    before: NDArray[np.uint16]  # (y, x)
    now: NDArray[np.uint16]  # (y, x)
    box_px: NDArray[np.int32]  # (label, 4) in the last frame: y0 x0 y1 x1, half open
    moved_px: NDArray[np.float64]  # (yx) from a pixel of the last frame to this one
    um_to_px: float
    centre_um: NDArray[np.float64]  # (label, yx) in the last frame


def no_masks(labels: NDArray[np.uint16]) -> Masks:
    """Give the masks of a frame without one before it."""
    none = np.empty((0, 0), np.uint16)
    nothing = np.empty((0, 4), np.int32)
    empty = np.empty((0, 2))
    return Masks(
        held(none, np.uint16), held(labels, np.uint16), nothing, np.zeros(2), 1.0, empty
    )


def lay_masks(before: Segmented, now: Segmented) -> Masks:
    """Give the masks of two frames of one shape; the stage may have moved a little."""
    cells, pixel_um = before.cells, now.info.pixel_size_um
    if (
        cells.label.size == 0
        or before.info.pixel_size_um != pixel_um
        or not (cells.box_px[:, 2] > cells.box_px[:, 0]).any()
    ):
        return no_masks(now.labels)
    box_px = np.zeros((int(cells.label.max()) + 1, 4), np.int32)
    centre_um = np.zeros((len(box_px), 2))
    box_px[cells.label], centre_um[cells.label] = cells.box_px, cells.centre_um
    stage_um = np.subtract(before.info.stage_yx_um, now.info.stage_yx_um)
    return Masks(
        before=held(before.labels, np.uint16),
        now=held(now.labels, np.uint16),
        box_px=box_px,
        moved_px=stage_um / pixel_um,
        um_to_px=1 / pixel_um,
        centre_um=centre_um,
    )


@njit(nogil=True, cache=True, error_model="numpy")
def add_overlaps(table, first, cell_of, cost, found, masks):  # type: ignore[no-untyped-def]
    """Add what the overlap says to every candidate, in place.

    Steps for each track that was seen in the last frame and has a choice: shift its
    mask by the way to where it is expected; count the pixels that meet each candidate;
    intersection over union from these and the areas.
    """
    number, expected, box_px = table.number, table.expected, masks.box_px
    centre_um, moved_px = masks.centre_um, masks.moved_px
    claims = np.zeros(found.label.size, np.int32)
    for at in range(cell_of.size):
        claims[cell_of[at]] += 1
    for row in range(first.size - 1):
        begin, end = first[row], first[row + 1]
        label = number[LABEL, row]
        if begin == end or label <= 0 or label >= len(box_px):
            continue
        alone = end == begin + 1 and claims[cell_of[begin]] == 1
        if number[MISSED, row] > 0 or (alone and cost[begin] < GIVE_UP - MOST):
            continue
        away_y = expected[row, 0] - centre_um[label, 0]
        away_x = expected[row, 1] - centre_um[label, 1]
        shift_y = round(away_y * masks.um_to_px + moved_px[0])
        shift_x = round(away_x * masks.um_to_px + moved_px[1])
        own = count_pixels(masks, label)
        if own == 0:
            continue
        for at in range(begin, end):
            to = found.label[cell_of[at]]
            meets = count_meeting(masks, label, to, shift_y, shift_x)
            area = math.exp(found.look[cell_of[at], LOG_AREA]) * masks.um_to_px**2
            union = own + area / STRIDE - meets
            share = meets / max(union, 1.0)
            cost[at] -= WEIGHT * 2 * math.log(max(share, LEAST) / USUAL)


@njit(nogil=True, cache=True, error_model="numpy")
def count_pixels(masks, label):  # type: ignore[no-untyped-def]
    """Give the pixels of a mask in the rows that are looked at."""
    before, wanted = masks.before, np.uint16(label)
    top, left, bottom, right = masks.box_px[label]
    count = 0
    for y in range(max(top, 0), min(bottom, before.shape[0]), STRIDE):
        line = before[y, max(left, 0) : min(right, before.shape[1])]
        for x in range(line.size):
            count += line[x] == wanted
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def count_meeting(masks, label, other, shift_y, shift_x):  # type: ignore[no-untyped-def]
    """Give those of them that meet a mask of this frame, once shifted."""
    before, now = masks.before, masks.now
    wanted, met = np.uint16(label), np.uint16(other)
    top, left, bottom, right = masks.box_px[label]
    left = max(left, 0, -shift_x)
    right = min(right, before.shape[1], now.shape[1] - shift_x)
    if right <= left:
        return 0
    count = 0
    for y in range(max(top, 0), min(bottom, before.shape[0]), STRIDE):
        if not 0 <= y + shift_y < now.shape[0]:
            continue
        line = before[y, left:right]
        there = now[y + shift_y, left + shift_x : right + shift_x]
        for x in range(line.size):
            count += (line[x] == wanted) & (there[x] == met)
    return count
