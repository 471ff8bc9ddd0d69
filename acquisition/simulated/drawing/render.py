"""From the specimen to a phase map and its label map, seen from a stage position.

Every visible cell owns a sprite, which is put at its exact place each time. A sprite is
drawn anew when its cell changes state or changes fast, the others in turn, so many that
each of them is at most `REFRESH_MIN` of experiment time old: next to none in real time,
all of them where the frames of a run lie far apart.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.drawing.composition import (
    SpriteStore,
    clear,
    compose,
    find_spans,
)
from acquisition.simulated.drawing.looks import LARGEST_RADIUS_UM, look_at
from acquisition.simulated.drawing.masks import Placed
from acquisition.simulated.drawing.sprites import (
    NUCLEUS,
    OUTLINE_SAMPLES,
    draw_cell,
    reach_um,
    soften,
    texture_tiles,
    trace_outline,
)
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.population import LifeState
from acquisition.simulated.world import World

REFRESH_MIN = 8.0
"""No sprite is older; outlines wobble and granules stream more slowly than this."""
FAST_MIN = 12.0
"""A cell changes fast for this long after a change of state."""
FAST_REFRESH_MIN = 0.5
"""A cell that changes fast is drawn anew after this time."""
TURN_RAD = 0.15
"""A cell that has turned further is drawn anew; effectors turn within a minute."""
LIFT_BLUR = 0.25
"""Blur in um, one standard deviation, of a cell that hangs a um above the others."""
LEAST_BLUR_PX = 0.8
ALWAYS_FAST = (LifeState.MITOSIS, LifeState.EARLY_APOPTOSIS)


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
        self._tiles = texture_tiles()
        self._slots: dict[int, int] = {}
        self._rank = np.empty((size_px, size_px), np.uint8)
        self._rendered_min = -np.inf
        self._turns = 0.0
        self._resize(64)

    def _resize(self, capacity: int) -> None:
        edge = 2 * self._half + 1
        self._sprites = np.zeros((capacity, edge, edge), np.float32)
        self._ranks = np.zeros((capacity, edge, edge), np.uint8)
        self._spans = np.zeros((capacity, edge, 2), np.int32)
        self._halves = np.zeros(capacity, np.int32)
        self._shifts = np.zeros((capacity, 2))  # of the centre within its pixel
        self._drawn_state = np.full(capacity, -1)
        self._drawn_min = np.full(capacity, -np.inf)
        self._drawn_pg = np.ones(capacity)
        self._drawn_angle = np.zeros(capacity)
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
        self.draw(specimen, centre_um)
        self.compose(phase, labels, nuclei)

    def draw(self, specimen: Specimen, centre_um: tuple[float, float]) -> None:
        """First part of `render`: draw the sprites that are worth it, and place all."""
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
        exact = at_px - self._shifts[slots]
        corner = np.rint(exact).astype(np.int64)
        places = np.empty((len(slots), 3), np.float32)
        places[:, :2] = exact - corner
        places[:, 2] = looks["mass_pg"] / self._drawn_pg[slots]
        self._places = places
        self._placed = Placed(ids, corner, slots, self._halves, self._ranks)

    def compose(
        self,
        phase: NDArray[np.float32],
        labels: NDArray[np.uint16],
        nuclei: NDArray[np.uint16],
    ) -> None:
        """Last part of `render`: put the sprites into the maps."""
        ids, corner, slots, halves, ranks = self._placed
        maps = (phase, labels, nuclei, self._rank)
        clear(maps)
        store = (halves, self._sprites, ranks, self._spans)
        compose(corner, ids.astype(np.uint16), slots, self._places, store, maps)

    @property
    def placed(self) -> Placed:
        """Where the drawings of the last view lie; the next one overwrites them."""
        return self._placed

    def sprite_areas(self, ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Give the pixels of the whole mask of each visible cell, covered or not."""
        areas = []
        for cell in ids.tolist():
            slot = self._slots[cell]
            edge = 2 * int(self._halves[slot]) + 1
            areas.append(int(np.count_nonzero(self._ranks[slot, :edge, :edge])))
        return np.array(areas, np.int64)

    def nucleus_areas(self, ids: NDArray[np.uint32]) -> dict[int, int]:
        """Give the pixels of the whole nucleus of each visible cell, by id."""
        areas = {}
        for cell in ids.tolist():
            slot = self._slots[cell]
            edge = 2 * int(self._halves[slot]) + 1
            inside = self._ranks[slot, :edge, :edge] & NUCLEUS
            areas[cell] = int(np.count_nonzero(inside))
        return areas

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
        """Draw the sprites that are worth it."""
        which = np.flatnonzero(self._worth_drawing(looks, slots, now_min))
        fraction = at_px[which] - np.rint(at_px[which])
        self._shifts[slots[which]] = fraction
        self._drawn_state[slots[which]] = looks["state"][which]
        self._drawn_min[slots[which]] = now_min
        self._drawn_pg[slots[which]] = looks["mass_pg"][which]
        self._drawn_angle[slots[which]] = looks["angle"][which]
        draw_cells_into(
            looks[which],
            slots[which],
            self._shifts,
            (self.world.phase_rad_um2_per_pg, self._pixel_um),
            self._tiles,
            (self._halves, self._sprites, self._ranks, self._spans),
        )

    def _worth_drawing(
        self, looks: NDArray[np.void], slots: NDArray[np.int64], now_min: float
    ) -> NDArray[np.bool_]:
        """Choose the sprites that no longer show their cells, and whose turn it is."""
        stale_min = now_min - self._drawn_min[slots]
        state = looks["state"]
        young = (state != LifeState.INTERPHASE) & (looks["age_min"] < FAST_MIN)
        fast = young | np.isin(state, ALWAYS_FAST)
        worth = (self._drawn_state[slots] != state) | (
            fast & (stale_min > FAST_REFRESH_MIN)
        )
        worth |= np.abs(looks["angle"] - self._drawn_angle[slots]) > TURN_RAD
        passed = min(now_min - self._rendered_min, REFRESH_MIN)
        self._rendered_min = now_min
        self._turns += len(slots) * passed / REFRESH_MIN
        turns = min(int(self._turns), len(slots))
        self._turns -= turns
        waiting = np.flatnonzero(~worth & (stale_min > 0))
        oldest = np.argsort(-stale_min[waiting], kind="stable")[:turns]
        worth[waiting[oldest]] = True
        return worth


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
    halves, sprites, ranks, spans = store
    outline = np.empty(OUTLINE_SAMPLES, np.float32)
    largest_half = (sprites.shape[1] - 1) // 2
    for n in range(len(slots)):
        look = looks[n]
        slot = slots[n]
        largest, along, across = trace_outline(look, outline)
        fibre = look.fibre_um.max() * (look.fibre_height > 0)
        reach = max(largest + fibre, reach_um(look)) + math.hypot(along, across)
        blur_px = LIFT_BLUR * look.lift_um / scales[1]
        half = min(largest_half, int(reach / scales[1] + 2 * blur_px) + 2)
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
        if blur_px > LEAST_BLUR_PX:
            soften(sprites[slot, :edge, :edge], blur_px)
        find_spans(sprites[slot], ranks[slot], edge, spans[slot])
