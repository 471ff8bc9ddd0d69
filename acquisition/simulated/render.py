"""From the specimen to a phase map and its label map, seen from a stage position.

Every visible cell owns a sprite that is put at whole pixels each time; a sprite is
drawn anew when the cell changes state, changes fast, or has drifted most from its own
drawing, at least a twentieth of them each time.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.looks import LARGEST_RADIUS_UM, look_at
from acquisition.simulated.population import LifeState
from acquisition.simulated.specimen import Specimen
from acquisition.simulated.sprites import (
    NUCLEUS,
    OUTLINE_SAMPLES,
    draw_cell,
    granule_tile,
    reach_um,
    trace_outline,
)
from acquisition.simulated.world import World

SHARE_BY_TURNS = 0.05
"""Part of the sprites that is drawn anew whatever happens."""
SHARE_AT_MOST = 0.15
"""Part that is drawn anew for small shifts; changed cells are always drawn."""
SHIFT_PX = 0.25
UNDER = 0.3
"""Share of a covered cell's phase that shows through its cover."""
SpriteStore = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.uint8]]
"""Half edges (slot), phase (slot, y, x) and rank (slot, y, x) of all sprites."""
FAST_MIN = 12.0
"""A cell changes fast for this long after a change of state."""


class Renderer:
    """Draws a specimen; keeps the sprites between calls.

    Parameters
    ----------
    world
        Gives pixel size and the relation of phase and mass.
    size_px
        Edge of the square view.
    """

    def __init__(self, world: World, size_px: int) -> None:
        self.world = world
        self.size_px = size_px
        self._pixel_um = world.optics.pixel_um
        self._half = math.ceil(LARGEST_RADIUS_UM / self._pixel_um)
        self._tiles = np.stack(
            [granule_tile(0.02, 0.11, 1), granule_tile(0.08, 0.24, 2)]
        )
        self._slots: dict[int, int] = {}
        self._resize(64)

    def _resize(self, capacity: int) -> None:
        edge = 2 * self._half + 1
        self._sprites = np.zeros((capacity, edge, edge), np.float32)
        self._ranks = np.zeros((capacity, edge, edge), np.uint8)
        self._halves = np.zeros(capacity, np.int32)
        self._shifts = np.zeros((capacity, 2))  # of the centre within its pixel
        self._drawn_state = np.full(capacity, -1)
        self._drawn_min = np.full(capacity, -np.inf)
        self._free = list(range(capacity - 1, -1, -1))
        self._slots.clear()

    def render(
        self,
        specimen: Specimen,
        centre_um: tuple[float, float],
        phase: NDArray[np.float32],
        labels: NDArray[np.uint16],
        nuclei: NDArray[np.uint16],
    ) -> None:
        """Fill the phase map (rad) and the label maps (ids) of cells and of nuclei.

        All maps are (y, x); the middle of the frame is at ``centre_um`` (y, x) of the
        specimen.
        """
        looks = look_at(specimen.cells, specimen.minutes, self.world)
        middle = (self.size_px - 1) / 2
        at_px = (looks["centre_um"] - centre_um) / self._pixel_um + middle
        reach = self._half + 1
        seen = np.flatnonzero(
            np.all((at_px > -reach) & (at_px < self.size_px + reach), axis=1)
        )
        ids = specimen.cells["id"][seen].astype(np.int64)
        slots = self._assign(ids)
        looks, at_px = looks[seen], at_px[seen]
        self._refresh(looks, at_px, slots, specimen.minutes)
        corner = np.rint(at_px - self._shifts[slots]).astype(np.int64)
        rank = np.full(phase.shape, 255, np.uint8)
        phase.fill(0)
        labels.fill(0)
        nuclei.fill(0)
        compose(
            corner,
            ids.astype(np.uint16),
            slots,
            (self._halves, self._sprites, self._ranks),
            (phase, labels, nuclei, rank),
        )

    def look(self, specimen: Specimen) -> None:
        """Give the cells their sizes without drawing them."""
        look_at(specimen.cells, specimen.minutes, self.world)

    def sprite_areas(self, ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Give the pixels of the whole mask of each visible cell, covered or not."""
        areas = []
        for cell in ids.tolist():
            slot = self._slots[cell]
            edge = 2 * int(self._halves[slot]) + 1
            areas.append(int(np.count_nonzero(self._ranks[slot, :edge, :edge])))
        return np.array(areas, np.int64)

    def _assign(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give every visible cell a sprite of its own; those that left lose theirs."""
        if len(ids) > len(self._sprites):
            self._resize(max(2 * len(self._sprites), len(ids) + 32))
        visible = set(ids.tolist())
        for gone in [cell for cell in self._slots if cell not in visible]:
            self._free.append(self._slots.pop(gone))
        for cell in ids.tolist():
            if cell not in self._slots:
                slot = self._free.pop()
                self._slots[cell] = slot
                self._drawn_state[slot] = -1
                self._drawn_min[slot] = -np.inf
        return np.array([self._slots[cell] for cell in ids.tolist()], np.int64)

    def _refresh(
        self,
        looks: NDArray[np.void],
        at_px: NDArray[np.float64],
        slots: NDArray[np.int64],
        now_min: float,
    ) -> None:
        """Choose the sprites that are worth drawing, and draw them."""
        fraction = at_px - np.rint(at_px)
        off = self._shifts[slots] - fraction
        off = np.abs(off - np.rint(off)).max(axis=1, initial=0)
        stale_min = now_min - self._drawn_min[slots]
        changed = self._drawn_state[slots] != looks["state"]
        mitotic = looks["state"] == LifeState.MITOSIS
        fast = (mitotic | (looks["age_min"] < FAST_MIN)) & (stale_min > 0.5)
        must = changed | fast
        count = len(slots)
        worth = np.where(must, -np.inf, stale_min)
        by_turns = np.argsort(-worth, kind="stable")[
            : math.ceil(SHARE_BY_TURNS * count)
        ]
        must[by_turns[stale_min[by_turns] > 0]] = True
        room = math.ceil(SHARE_AT_MOST * count) - int(must.sum())
        shifted = np.flatnonzero((off > SHIFT_PX) & ~must)
        shifted = shifted[np.argsort(-off[shifted], kind="stable")][: max(0, room)]
        must[shifted] = True
        which = np.flatnonzero(must)
        self._shifts[slots[which]] = fraction[which]
        self._drawn_state[slots[which]] = looks["state"][which]
        self._drawn_min[slots[which]] = now_min
        draw_cells_into(
            looks[which],
            slots[which],
            self._shifts,
            (self.world.phase_rad_um2_per_pg, self._pixel_um),
            self._tiles,
            (self._halves, self._sprites, self._ranks),
        )


@njit(nogil=True, cache=True, fastmath=True)
def draw_cells_into(
    looks: Any,
    slots: NDArray[np.int64],
    shifts: NDArray[np.float64],
    scales: tuple[float, float],
    tiles: NDArray[np.float32],
    store: SpriteStore,
) -> None:
    """Draw several cells into their sprites, each in the smallest box that holds it."""
    halves, sprites, ranks = store
    outline = np.empty(OUTLINE_SAMPLES, np.float32)
    largest_half = (sprites.shape[1] - 1) // 2
    for n in range(len(slots)):
        look = looks[n]
        slot = slots[n]
        largest, along, across = trace_outline(look, outline)
        reach = max(largest, reach_um(look)) + math.hypot(along, across)
        half = min(largest_half, int(reach / scales[1]) + 2)
        halves[slot] = half
        edge = 2 * half + 1
        draw_cell(
            look,
            scales,
            (shifts[slot, 0], shifts[slot, 1], along, across, largest),
            tiles,
            outline,
            (sprites[slot, :edge, :edge], ranks[slot, :edge, :edge]),
        )


@njit(nogil=True, cache=True, fastmath=True)
def compose(
    corner: NDArray[np.int64],
    label: NDArray[np.uint16],
    slots: NDArray[np.int64],
    store: SpriteStore,
    maps: tuple[
        NDArray[np.float32], NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint8]
    ],
) -> None:
    """Put the sprites into the maps of phase, cells, nuclei and rank.

    Steps for each pixel of each sprite: where two cells meet, the one with the lower
    rank (nearer to its own middle) owns the pixel; the other shows through a little,
    for adherent cells abut rather than stack.
    """
    halves, sprites, ranks = store
    phase, labels, nuclei, rank = maps
    height, width = phase.shape
    for n in range(len(slots)):
        half = halves[slots[n]]
        top = corner[n, 0] - half
        left = corner[n, 1] - half
        edge = 2 * half + 1
        first = max(0, -left)
        last = min(edge, width - left)
        for row in range(max(0, -top), min(edge, height - top)):
            y = top + row
            for column in range(first, last):
                drawn = ranks[slots[n], row, column]
                if drawn == 0:
                    continue
                mine = drawn & (NUCLEUS - 1)
                x = left + column
                value = sprites[slots[n], row, column]
                if mine < rank[y, x]:
                    under = phase[y, x]
                    phase[y, x] = value + UNDER * under
                    labels[y, x] = label[n]
                    nuclei[y, x] = label[n] if drawn & NUCLEUS else 0
                    rank[y, x] = mine
                else:
                    phase[y, x] += UNDER * value
