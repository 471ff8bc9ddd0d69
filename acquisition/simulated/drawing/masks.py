"""Whole masks: what a cell covers, also where a neighbour hides it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

MASK = 127
"""Bits of a rank that are not zero inside the cell."""

MASK_ROW = np.dtype(
    [
        ("id", "<u4"),
        ("top", "<i4"),  # of the box in the view, px
        ("left", "<i4"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("byte_stop", "<i8"),  # the packed bits end here, and begin where others end
    ]
)


class Placed(NamedTuple):
    """Where the drawings of the cells in a view lie."""

    id: NDArray[np.int64]  # (cell,) ascending
    corner: NDArray[np.int64]  # (cell, yx) pixel of the middle of the drawing
    slot: NDArray[np.int64]  # (cell,)
    halves: NDArray[np.int32]  # (slot,) half edge
    ranks: NDArray[np.uint8]  # (slot, y, x) 0 outside the cell


@dataclass(frozen=True, slots=True)
class WholeMasks:
    """The whole masks of the cells that a neighbour covers in part."""

    rows: NDArray[np.void]  # (cell,) of `MASK_ROW`
    bits: NDArray[np.uint8]  # packed, box after box, row by row


def covered_masks(placed: Placed, labels: NDArray[np.uint16]) -> WholeMasks:
    """Give the whole masks of all cells that own fewer pixels than they cover."""
    boxes = np.zeros((len(placed.id), 5), np.int64)
    find_covered(placed, labels, boxes)
    hidden = np.flatnonzero(boxes[:, 4] > 0)
    size = boxes[hidden, 2] * boxes[hidden, 3]
    stops = np.cumsum((size + 7) // 8)
    bits = np.zeros(int(stops[-1]) if len(stops) else 0, np.uint8)
    pack_masks(placed, hidden, boxes, stops, bits)
    rows = np.zeros(len(hidden), MASK_ROW)
    rows["id"] = placed.id[hidden]
    for column, name in enumerate(("top", "left", "height", "width")):
        rows[name] = boxes[hidden, column]
    rows["byte_stop"] = stops
    return WholeMasks(rows, bits)


def overlaps_px(placed: Placed, pairs: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Give how many pixels the whole masks of each pair of ids share."""
    shared = np.zeros(len(pairs), np.int64)
    if len(pairs):
        rows = np.searchsorted(placed.id, pairs.astype(np.int64))
        count_shared(placed, rows, shared)
    return shared


def unpack(row: np.void, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Give the whole mask (y, x) of a row of `MASK_ROW`, within its box."""
    height, width = int(row["height"]), int(row["width"])
    flat = np.unpackbits(bits, count=height * width)
    return flat.reshape(height, width).astype(np.bool_)


@njit(nogil=True, cache=True)
def find_covered(
    placed: Placed, labels: NDArray[np.uint16], boxes: NDArray[np.int64]
) -> None:
    """Fill top, left, height, width and hidden pixels of each whole mask in the view.

    Steps: over the part of each drawing that lies in the view, count on vectors the
    pixels of the mask and those that bear another label; then find the extent of the
    mask in the rows that have any.
    """
    height, width = labels.shape
    for n in range(len(placed.id)):
        slot = placed.slot[n]
        top = placed.corner[n, 0] - placed.halves[slot]
        left = placed.corner[n, 1] - placed.halves[slot]
        edge = 2 * placed.halves[slot] + 1
        start = max(left, 0)
        stop = max(start, min(left + edge, width))  # a slice to -1 is not empty
        label = np.uint16(placed.id[n])
        first, last, low, high = height, -1, width, -1
        hidden = 0
        for y in range(max(top, 0), min(top + edge, height)):
            rank = placed.ranks[slot, y - top, start - left : stop - left]
            row = labels[y, start:stop]
            inside = np.int32(0)
            lost = np.int32(0)
            for x in range(len(rank)):
                mine = (rank[x] & MASK) != 0
                inside += mine
                lost += mine & (row[x] != label)
            if inside:
                hidden += int(lost)
                first, last = min(first, y), y
                low = find_first(rank, start, low, 1)
                high = find_first(rank, start, high, -1)
        boxes[n, 0] = first
        boxes[n, 1] = low
        boxes[n, 2] = last - first + 1
        boxes[n, 3] = high - low + 1
        boxes[n, 4] = hidden


@njit(nogil=True, cache=True)
def find_first(rank: NDArray[np.uint8], start: int, known: int, way: int) -> int:
    """Give the outermost column of a row's mask, seen from one side, or the known one.

    ``way`` is 1 from the left and -1 from the right; ``start`` is the first column.
    """
    at = 0 if way > 0 else len(rank) - 1
    while not rank[at] & MASK:
        at += way
    return min(known, start + at) if way > 0 else max(known, start + at)


@njit(nogil=True, cache=True)
def pack_masks(
    placed: Placed,
    which: NDArray[np.int64],
    boxes: NDArray[np.int64],
    stops: NDArray[np.int64],
    bits: NDArray[np.uint8],
) -> None:
    """Write the masks within their boxes, eight pixels a byte, the first one highest.

    Steps: for each mask, over its box row by row, set the bit of every pixel inside.
    """
    for k in range(len(which)):
        n = which[k]
        slot = placed.slot[n]
        top = placed.corner[n, 0] - placed.halves[slot]
        left = placed.corner[n, 1] - placed.halves[slot]
        start = stops[k - 1] if k else 0
        at = 0
        for y in range(boxes[n, 0] - top, boxes[n, 0] - top + boxes[n, 2]):
            for x in range(boxes[n, 1] - left, boxes[n, 1] - left + boxes[n, 3]):
                if placed.ranks[slot, y, x] & MASK:
                    bits[start + at // 8] |= np.uint8(128 >> (at % 8))
                at += 1


@njit(nogil=True, cache=True)
def count_shared(
    placed: Placed, rows: NDArray[np.int64], shared: NDArray[np.int64]
) -> None:
    """Count the pixels that both whole masks of each pair of rows cover.

    Steps: over the common part of both drawings.
    """
    for k in range(len(rows)):
        a, b = placed.slot[rows[k, 0]], placed.slot[rows[k, 1]]
        top_a = placed.corner[rows[k, 0], 0] - placed.halves[a]
        left_a = placed.corner[rows[k, 0], 1] - placed.halves[a]
        top_b = placed.corner[rows[k, 1], 0] - placed.halves[b]
        left_b = placed.corner[rows[k, 1], 1] - placed.halves[b]
        bottom = min(top_a + 2 * placed.halves[a], top_b + 2 * placed.halves[b])
        right = min(left_a + 2 * placed.halves[a], left_b + 2 * placed.halves[b])
        for y in range(max(top_a, top_b), bottom + 1):
            mine = placed.ranks[a, y - top_a]
            other = placed.ranks[b, y - top_b]
            for x in range(max(left_a, left_b), right + 1):
                if (mine[x - left_a] & MASK) and (other[x - left_b] & MASK):
                    shared[k] += 1
