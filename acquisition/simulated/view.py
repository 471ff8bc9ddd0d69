"""One cycle: what the stand shows during the steps of one frame, and what is in it."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.specimen import SpecimenCells

TOUCH_PX = 2
"""Masks that lie this close, from pixel centre to pixel centre, touch."""


@dataclass(frozen=True, slots=True)
class VisibleCells:
    """The truth of the cells in view, one row a cell, ordered by id."""

    id: NDArray[np.uint32]  # (cell,) their value in the label map
    parent: NDArray[np.uint32]  # (cell,) 0 unknown
    centre_um: NDArray[np.float64]  # (cell, yx) stage coordinates
    state: NDArray[np.uint8]  # (cell,) LifeState
    dead: NDArray[np.bool_]  # (cell,) membrane ruptured
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before, NaN unknown
    mass_pg: NDArray[np.float64]  # (cell,) true dry mass
    area_px: NDArray[np.int64]  # (cell,) visible pixels
    touching: NDArray[np.uint32]  # (pair, 2) ids whose masks lie <= 2 px apart


@dataclass(frozen=True, slots=True)
class Cycle:
    """The specimen as it stands still for one frame."""

    time_s: float  # experiment time of the specimen
    stage_yx_um: tuple[float, float]
    focus_um: float
    frames: NDArray[np.float32]  # (step, y, x) electrons at the nominal exposure
    labels: NDArray[np.uint16]  # (y, x) ids, 0 background
    nuclei: NDArray[np.uint16]  # (y, x) the same ids, only inside the nuclei
    cells: VisibleCells


def visible_cells(
    cells: SpecimenCells, labels: NDArray[np.uint16], drift_um: tuple[float, float]
) -> VisibleCells:
    """Pick the cells that own a pixel, and find out which of them touch.

    ``drift_um`` (y, x) is how far the specimen has crept under the stage.
    """
    largest = int(cells.id.max(initial=0))
    area = label_areas(labels, largest)
    rows = np.argsort(cells.id)
    rows = rows[area[cells.id[rows]] > 0]
    return VisibleCells(
        id=cells.id[rows],
        parent=cells.parent[rows],
        centre_um=cells.centre_um[rows] - np.asarray(drift_um),
        state=cells.state[rows],
        dead=cells.dead[rows],
        minutes_since_rupture=cells.minutes_since_rupture[rows],
        mass_pg=cells.mass_pg[rows],
        area_px=area[cells.id[rows]],
        touching=touching_pairs(labels),
    )


def touching_pairs(labels: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """Give the pairs of ids (smaller, larger) whose masks lie at most 2 px apart."""
    room = 4096
    while True:
        keys = np.empty(room, np.int64)
        count = collect_neighbours(labels, keys)
        if count <= room:
            break
        room = count
    pairs = np.unique(keys[:count])
    return np.stack([pairs >> 16, pairs & 0xFFFF], axis=1).astype(np.uint32)


@njit(nogil=True, cache=True)
def label_areas(labels: NDArray[np.uint16], largest: int) -> NDArray[np.int64]:
    """Count the pixels of every label up to the largest."""
    area = np.zeros(largest + 1, np.int64)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            area[labels[y, x]] += 1
    area[0] = 0
    return area


@njit(nogil=True, cache=True)
def collect_neighbours(labels: NDArray[np.uint16], keys: NDArray[np.int64]) -> int:
    """Write a key ``smaller << 16 | larger`` for neighbouring labels, with repeats.

    Gives the number of keys found, which may exceed the room in ``keys``.

    Steps: at every pixel that has a label, look at the half of the disc of radius
    2 px that lies ahead; a key that was just written is not written again.
    """
    height, width = labels.shape
    count = 0
    before = 0
    for y in range(height):
        for x in range(width):
            mine = np.int64(labels[y, x])
            if mine == 0:
                continue
            for dy in range(TOUCH_PX + 1):
                for dx in range(-TOUCH_PX, TOUCH_PX + 1):
                    ahead = dy > 0 or dx > 0
                    near = dy * dy + dx * dx <= TOUCH_PX * TOUCH_PX
                    inside = y + dy < height and 0 <= x + dx < width
                    if not (ahead and near and inside):
                        continue
                    other = np.int64(labels[y + dy, x + dx])
                    if other != 0 and other != mine:
                        key = int((min(mine, other) << 16) | max(mine, other))
                        if key != before:
                            if count < len(keys):
                                keys[count] = key
                            count += 1
                            before = key
    return count
