"""Masks laid on one another: the mask of a track, carried to where it is expected.

The share of its pixels that meet each candidate tells neighbours apart that centres
alone do not. Every second pixel of every second row is enough.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import Segmented
from tracking.linking.table import LABEL, MISSED

STRIDE = 2
"""Pixels from one that is looked at to the next, on both axes."""
WEIGHT = 2.0
"""Of twice the negative logarithm of the overlap."""
LEAST = 0.05
"""An overlap is taken to be no smaller, for masks are not perfect."""
USUAL = 0.5
"""An overlap that speaks neither for nor against a pair."""


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
    return Masks(_held(none), _held(labels), nothing, np.zeros(2), 1.0, empty)


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
        before=_held(before.labels),
        now=_held(now.labels),
        box_px=box_px,
        moved_px=stage_um / pixel_um,
        um_to_px=1 / pixel_um,
        centre_um=centre_um,
    )


def _held(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Give a view that cannot be written: what was handed over is no other type.

    The step is compiled for each type anew, which takes many seconds of a run.
    """
    view = np.ascontiguousarray(labels).view()
    view.setflags(write=False)
    return view


@njit(nogil=True, cache=True)
def add_overlaps(table, first, cell_of, cost, found, masks):  # type: ignore[no-untyped-def]  # noqa: C901 - one kernel
    """Add what the overlap says to every candidate, in place.

    Steps for each track that was seen in the last frame: shift its mask by the way to
    where it is expected; count the pixels that meet each candidate; intersection over
    union from these and the areas.
    """
    before, now = masks.before, masks.now
    meets = np.zeros(int(found.label.max()) + 1 if found.label.size else 1, np.int64)
    seen = np.empty_like(meets)
    for row in range(first.size - 1):
        label = table.number[row, LABEL]
        here = first[row] < first[row + 1] and table.number[row, MISSED] == 0
        if not here or label <= 0 or label >= len(masks.box_px):
            continue
        away_y = table.expected[row, 0] - masks.centre_um[label, 0]
        away_x = table.expected[row, 1] - masks.centre_um[label, 1]
        shift_y = round(away_y * masks.um_to_px + masks.moved_px[0])
        shift_x = round(away_x * masks.um_to_px + masks.moved_px[1])
        top, left, bottom, right = masks.box_px[label]
        own, reached = 0, 0
        for y in range(max(top, 0), min(bottom, before.shape[0]), STRIDE):
            for x in range(max(left, 0), min(right, before.shape[1]), STRIDE):
                if before[y, x] != label:
                    continue
                own += 1
                to_y, to_x = y + shift_y, x + shift_x
                if 0 <= to_y < now.shape[0] and 0 <= to_x < now.shape[1]:
                    other = now[to_y, to_x]
                    if other < meets.size and meets[other] == 0:
                        seen[reached] = other
                        reached += 1
                    if other < meets.size:
                        meets[other] += 1
        if own == 0:
            continue
        for at in range(first[row], first[row + 1]):
            cell = found.label[cell_of[at]]
            area = math.exp(found.look[cell_of[at], 0]) * masks.um_to_px**2
            union = own + area / STRIDE**2 - meets[cell]
            share = meets[cell] / max(union, 1.0)
            cost[at] -= WEIGHT * 2 * math.log(max(share, LEAST) / USUAL)
        for at in range(reached):
            meets[seen[at]] = 0
