"""One cycle: what the stand shows during the steps of one frame, and what is in it."""

from dataclasses import dataclass, fields

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.drawing.masks import WholeMasks
from acquisition.simulated.specimen.dish import SpecimenCells

TOUCH_PX = 2
"""Masks that lie this close, from pixel centre to pixel centre, touch."""
STRETCH_PX = 32
"""Pixels of a row that are skipped together when nothing meets in them."""


@dataclass(frozen=True, slots=True)
class VisibleCells:
    """The truth of the cells in view, one row a cell, ordered by id."""

    id: NDArray[np.uint32]  # (cell,) their value in the label map
    parent: NDArray[np.uint32]  # (cell,) 0 unknown
    kind: NDArray[np.uint8]  # (cell,) CellKind
    well: NDArray[np.uint32]  # (cell,) 0 in an open dish
    killer: NDArray[np.uint32]  # (cell,) effector it has begun to die of, 0 none
    centre_um: NDArray[np.float64]  # (cell, yx) stage coordinates
    lift_um: NDArray[np.float64]  # (cell,) height above the others
    state: NDArray[np.uint8]  # (cell,) LifeState
    dead: NDArray[np.bool_]  # (cell,) membrane ruptured
    minutes_since_commit: NDArray[np.float64]  # (cell,) of dying; NaN: it has not
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before, NaN unknown
    mass_pg: NDArray[np.float64]  # (cell,) true dry mass
    dose_gy: NDArray[np.float64]  # (cell,) absorbed so far
    velocity_um_per_min: NDArray[np.float64]  # (cell, yx) of the persistent walk
    jitter_um: NDArray[np.float64]  # (cell, yx) part of the centre
    mobility: NDArray[np.float64]  # (cell,) the path is mobility x velocity
    area_px: NDArray[np.int64]  # (cell,) visible pixels
    nucleus_px: NDArray[np.int64]  # (cell,) visible pixels of the nucleus
    touching: NDArray[np.uint32]  # (pair, 2) ids whose masks lie <= 2 px apart
    gap_px: NDArray[np.float64]  # (pair,) between the nearest pixel centres


@dataclass(frozen=True, slots=True)
class Insight:
    """What costs more to know of a cycle than what is in view."""

    later_um: NDArray[np.float64]  # (cell, horizon, yx) stage coordinates, NaN: ended
    haloed_mass_pg: NDArray[np.float64]  # (cell,) as a phase image has it, or NaN
    onset_s: NDArray[np.float64]  # (pair,) first seen touching; NaN: since before
    overlap_px: NDArray[np.int64]  # (pair,) that both whole masks cover
    masks: WholeMasks  # of the cells that a neighbour covers in part
    given: tuple[tuple[float, float], ...]  # doses nobody planned: time in s, Gy


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
    channel: str = "SLIM"  # what stood in the light path
    insight: Insight | None = None  # where the truth is kept in full


def visible_cells(
    cells: SpecimenCells,
    labels: NDArray[np.uint16],
    nuclei: NDArray[np.uint16],
    off_um: tuple[float, float],
) -> VisibleCells:
    """Pick the cells that own a pixel, and find out which of them touch.

    ``off_um`` (y, x) is how far the specimen lies from where the stage says.
    """
    largest = int(cells.id.max(initial=0))
    area = label_areas(labels, largest)
    rows = np.argsort(cells.id)
    rows = rows[area[cells.id[rows]] > 0]
    touching, gap_px = meetings(labels)
    picked = {field.name: getattr(cells, field.name)[rows] for field in fields(cells)}
    picked["centre_um"] = picked["centre_um"] - np.asarray(off_um)
    return VisibleCells(
        **picked,
        area_px=area[cells.id[rows]],
        nucleus_px=label_areas(nuclei, largest)[cells.id[rows]],
        touching=touching,
        gap_px=gap_px,
    )


def touching_pairs(labels: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """Give the pairs of ids (smaller, larger) whose masks lie at most 2 px apart."""
    return meetings(labels)[0]


def meetings(
    labels: NDArray[np.uint16],
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Give the pairs of `touching_pairs`, (pair, 2), and their gaps (pair,) in px."""
    room = 4096
    while True:
        keys = np.empty(room, np.int64)
        count = collect_neighbours(labels, keys)
        if count <= room:
            break
        room = count
    found = np.unique(keys[:count])
    # The squared gap is the lowest part of a key: the first of a pair is the nearest.
    pairs, first = np.unique(found >> 3, return_index=True)
    ids = np.stack([pairs >> 16, pairs & 0xFFFF], axis=1).astype(np.uint32)
    return ids, np.sqrt((found[first] & 7).astype(np.float64))


@njit(nogil=True, cache=True, error_model="numpy")
def label_areas(labels: NDArray[np.uint16], largest: int) -> NDArray[np.int64]:
    """Count the pixels of every label up to the largest, run by run."""
    area = np.zeros(largest + 1, np.int64)
    height, width = labels.shape
    for y in range(height):
        row = labels[y]
        start = 0
        for x in range(1, width):
            if row[x] != row[x - 1]:
                area[row[start]] += x - start
                start = x
        area[row[start]] += width - start
    area[0] = 0
    return area


@njit(nogil=True, cache=True, error_model="numpy")
def collect_neighbours(  # noqa: C901, PLR0912 (fused kernel, steps in the docstring)
    labels: NDArray[np.uint16], keys: NDArray[np.int64]
) -> int:
    """Write keys of neighbouring labels, with repeats.

    A key is the smaller id, the larger id (16 bits) and the squared distance in px (3
    bits). Gives the number of keys found, which may exceed the room in ``keys``.

    Steps for each row: copy it and the next two with an empty margin; mark on vectors
    the pixels with a label that meet another one in the half of the disc of radius
    2 px that lies ahead; skip the stretches without a mark; at every mark look again
    and write the keys, but not one that was just written.
    """
    height, width = labels.shape
    rows = np.zeros((TOUCH_PX + 1, width + 2 * TOUCH_PX), np.uint16)
    marks = np.empty(width, np.uint16)
    count = 0
    before = 0
    for y in range(height):
        for d in range(TOUCH_PX + 1):
            into = rows[d, TOUCH_PX : TOUCH_PX + width]
            row = labels[min(y + d, height - 1)]
            for x in range(width):
                into[x] = row[x] if y + d < height else np.uint16(0)
        here, below = rows[0], rows[1]
        mark_meetings(
            here[2 : width + 2],
            (here[3 : width + 3], here[4:]),
            (below[1 : width + 1], below[2 : width + 2], below[3 : width + 3]),
            rows[2, 2 : width + 2],
            marks,
        )
        for start in range(0, width, STRETCH_PX):
            stretch = marks[start : start + STRETCH_PX]
            found = np.uint16(0)
            for mark in stretch:
                found |= mark
            if found == 0:
                continue
            for x in range(start, start + len(stretch)):
                if marks[x] == 0:
                    continue
                mine = np.int64(here[x + TOUCH_PX])
                for dy in range(TOUCH_PX + 1):
                    for dx in range(-TOUCH_PX, TOUCH_PX + 1):
                        ahead = dy > 0 or dx > 0
                        if not ahead or dy * dy + dx * dx > TOUCH_PX * TOUCH_PX:
                            continue
                        other = np.int64(rows[dy, x + dx + TOUCH_PX])
                        if other != 0 and other != mine:
                            key = int((min(mine, other) << 16) | max(mine, other))
                            key = int((key << 3) | (dy * dy + dx * dx))
                            if key != before:
                                if count < len(keys):
                                    keys[count] = key
                                count += 1
                                before = key
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def mark_meetings(
    here: NDArray[np.uint16],
    right: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    below: tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16]],
    lowest: NDArray[np.uint16],
    marks: NDArray[np.uint16],
) -> None:
    """Mark where a label meets another one in the half disc of radius 2 px ahead."""
    a, b = right
    c, d, e = below
    zero = np.uint16(0)
    for x in range(len(marks)):
        label = here[x]
        other = label ^ a[x] if a[x] else zero
        other |= label ^ b[x] if b[x] else zero
        other |= label ^ c[x] if c[x] else zero
        other |= label ^ d[x] if d[x] else zero
        other |= label ^ e[x] if e[x] else zero
        other |= label ^ lowest[x] if lowest[x] else zero
        marks[x] = other if label else zero
