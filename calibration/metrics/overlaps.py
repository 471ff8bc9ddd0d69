"""Which objects of two label maps share pixels, and which are the same object.

Objects are matched one to one at an intersection over union (IoU) of at least one half.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

SAME_OBJECT_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Pairs of objects of two label maps that share pixels, by label."""

    true: NDArray[np.int64]  # (pair,) label in the first map
    found: NDArray[np.int64]  # (pair,) label in the second map
    pixels: NDArray[np.int64]  # (pair,) in both
    iou: NDArray[np.float64]  # (pair,)
    true_label: NDArray[np.int64]  # (object,) every object of the first map
    true_pixels: NDArray[np.int64]
    found_label: NDArray[np.int64]  # (object,) every object of the second map
    found_pixels: NDArray[np.int64]


def find_overlaps(true: NDArray[np.uint16], found: NDArray[np.uint16]) -> Overlaps:
    """Count the pixels that the objects of two label maps (y, x) share.

    Raises
    ------
    ValueError
        If the maps differ in shape.
    """
    if true.shape != found.shape:
        raise ValueError(f"label maps differ in shape: {true.shape} and {found.shape}")
    key, length = _runs(true, found)
    pair, at = np.unique(key, return_inverse=True)
    pixels = np.bincount(at, length, minlength=pair.size).astype(np.int64)
    first, second = pair >> 16, pair & 0xFFFF
    true_label, true_pixels = _areas(first, pixels)
    found_label, found_pixels = _areas(second, pixels)
    both = (first > 0) & (second > 0)
    first, second, shared = first[both], second[both], pixels[both]
    union = (
        true_pixels[np.searchsorted(true_label, first)]
        + found_pixels[np.searchsorted(found_label, second)]
        - shared
    )
    return Overlaps(
        first,
        second,
        shared,
        shared / union,
        true_label,
        true_pixels,
        found_label,
        found_pixels,
    )


@njit(nogil=True, cache=True)
def _runs(true, found):  # type: ignore[no-untyped-def]
    # Stretches of one pair of labels along a row: far fewer than pixels.
    height, width = true.shape
    key = np.empty(height * width, np.int64)
    length = np.empty(height * width, np.int64)
    count = 0
    for y in range(height):
        last = np.int64(-1)
        for x in range(width):
            pair = (np.int64(true[y, x]) << 16) | np.int64(found[y, x])
            if pair != last:
                key[count] = pair
                length[count] = 0
                count += 1
                last = pair
            length[count - 1] += 1
    return key[:count].copy(), length[:count].copy()


def _areas(
    label: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    names, at = np.unique(label, return_inverse=True)
    areas = np.bincount(at, pixels, minlength=names.size).astype(np.int64)
    return names[names > 0], areas[names > 0]


def match_objects(
    overlaps: Overlaps, smallest_iou: float = SAME_OBJECT_IOU
) -> NDArray[np.int64]:
    """Give the pairs that are the same object, one to one.

    Above one half no object can have two partners; ties at exactly one half go to the
    smaller labels.

    Returns
    -------
    (match,) rows of ``overlaps``.
    """
    rows = np.flatnonzero(overlaps.iou >= smallest_iou)
    rows = rows[
        np.lexsort((overlaps.found[rows], overlaps.true[rows], -overlaps.iou[rows]))
    ]
    _, first = np.unique(overlaps.true[rows], return_index=True)
    rows = rows[np.sort(first)]
    _, first = np.unique(overlaps.found[rows], return_index=True)
    return np.sort(rows[first])
