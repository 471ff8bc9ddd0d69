"""A chip of square wells: where each well lies in the dish, and what its walls do.

The lattice has two levels, wells in blocks and blocks on the chip (LFT): the middle of
well (row, column) is ``o + Rot(turn) (p column + g floor(column / n), the same of the
row)`` with pitch p, n wells along the edge of a block, and g by which the wall between
two blocks is wider. It has no end. All places are (y, x) in um of the dish, so that
drift and moves of the stage change no number.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.sections import Nanowell
from acquisition.simulated.world import World

CHIP_STREAM = 13
SPAN = 10_000
"""Well (row, column) has the number 1 + SPAN (SPAN / 2 + row) + SPAN / 2 + column."""
EDGE_UM = 0.6
"""Softness of the walls, one standard deviation."""
CORNER_UM = 2.5
"""Radius of the corners: no mould is sharp."""
LIP = 0.9
"""Mean height of the lip that the mould leaves along a rim, relative to the wall."""
LIP_UM = 1.2
"""Where the lip is highest, from the edge of the well, and how wide it is."""
SIZE_SPREAD_UM = 0.25
"""By which a well may be narrower or wider than the others, at most."""
TALL_SPREAD = 0.12
"""By which the wall around one well may be lower or higher than elsewhere, at most."""
PLACE_UM = 1 / 64
"""Walls are drawn at places on this grid, so that a view that stands is drawn once."""
EDGE_HALF_UM = EDGE_UM * math.sqrt(5)
"""Half the width of the smooth step whose slope has the standard deviation above."""
RIM_UM = 4 * LIP_UM


@dataclass(frozen=True, slots=True)
class Chip:
    """The lattice of the wells of one chip."""

    pitch_um: float
    well_um: float
    block: int  # wells along the edge of a block
    gap_um: float  # wider wall between two blocks, beyond the pitch
    turn_rad: float  # from x towards y, about the origin of the stage
    origin_um: tuple[float, float]  # y, x of the middle of well (0, 0)

    @classmethod
    def lay(cls, settings: Nanowell, seed: int) -> "Chip":
        """Put a chip into the dish; the seed says where it comes to lie."""
        period = settings.block * settings.pitch_um + settings.block_gap_um
        rng = np.random.default_rng([seed, CHIP_STREAM])
        y, x = rng.uniform(-period, 0, 2)
        turn = math.radians(settings.turn_deg)
        c, s = math.cos(turn), math.sin(turn)
        return cls(
            pitch_um=settings.pitch_um,
            well_um=settings.well_um,
            block=settings.block,
            gap_um=settings.block_gap_um,
            turn_rad=turn,
            origin_um=(c * y + s * x, c * x - s * y),
        )

    @property
    def turn(self) -> tuple[float, float]:
        """Cosine and sine of the turn."""
        return math.cos(self.turn_rad), math.sin(self.turn_rad)

    def centres_um(self, wells: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Give the middles (well, yx) of wells by their numbers."""
        rows, columns = row_and_column(wells)
        y, x = (self._along(index) for index in (rows, columns))
        c, s = self.turn
        return np.stack(
            [self.origin_um[0] + c * y + s * x, self.origin_um[1] + c * x - s * y], 1
        )

    def inside(self, places_um: NDArray[np.float64]) -> NDArray[np.uint32]:
        """Give the wells in which places (place, yx) lie, 0 on the walls."""
        own = self._on_chip(places_um)
        index = self._nearest(own)
        off = np.abs(own - self._along(index)).max(axis=1)
        wells = number(index[:, 0], index[:, 1])
        return np.where(off <= self.well_um / 2, wells, 0).astype(np.uint32)

    def touching(
        self, centre_um: tuple[float, float], edge_um: float
    ) -> NDArray[np.uint32]:
        """Give the numbers, ascending, of all wells that reach into an upright square.

        ``centre_um`` (y, x) is the middle of the square, ``edge_um`` its edge.
        """
        half = edge_um / 2
        corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * half
        own = self._on_chip(corners + np.asarray(centre_um))
        first, last = self._nearest(own.min(axis=0)), self._nearest(own.max(axis=0))
        rows, columns = np.meshgrid(
            np.arange(first[0], last[0] + 1),
            np.arange(first[1], last[1] + 1),
            indexing="ij",
        )
        wells = number(rows.ravel(), columns.ravel())
        reach = half + self.well_um / 2 * sum(map(abs, self.turn))
        off = np.abs(self.centres_um(wells) - centre_um).max(axis=1)
        return wells[off < reach]

    def _on_chip(self, places_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give places (place, yx) on the axes of the chip, from well (0, 0)."""
        y, x = (places_um - np.asarray(self.origin_um)).T
        c, s = self.turn
        return np.stack([c * y - s * x, c * x + s * y], 1)

    def _along(self, index: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Give the place of rows or columns along their axis of the chip."""
        return self.pitch_um * index + self.gap_um * (index // self.block)

    def _nearest(self, along_um: NDArray[np.float64]) -> NDArray[np.int64]:
        """Give the row or column whose middle is nearest."""
        period = self.block * self.pitch_um + self.gap_um
        shifted = along_um + (self.pitch_um + self.gap_um) / 2
        block = np.floor(shifted / period)
        rest = shifted - block * period - self.gap_um / 2
        within = np.clip(np.floor(rest / self.pitch_um), 0, self.block - 1)
        return (block * self.block + within).astype(np.int64)


def number(
    rows: NDArray[np.integer[Any]], columns: NDArray[np.integer[Any]]
) -> NDArray[np.uint32]:
    """Give the numbers of wells; never 0, which is the open dish."""
    half = SPAN // 2
    return (1 + SPAN * (rows + half) + columns + half).astype(np.uint32)


def row_and_column(
    wells: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give rows and columns of wells by their numbers."""
    row, column = np.divmod(np.asarray(wells, np.int64) - 1, SPAN)
    return row - SPAN // 2, column - SPAN // 2


class Walls:
    """The phase of the walls above the bottom of the wells.

    Parameters
    ----------
    settings, seed
        Fix the chip.
    pixel_um
        Edge of a pixel of the maps.
    """

    def __init__(self, settings: Nanowell, seed: int, pixel_um: float) -> None:
        self._chip = Chip.lay(settings, seed)
        self._wall_rad = settings.wall_rad
        self._pixel_um = pixel_um
        self._place: tuple[int, int] | None = None
        self._map = np.zeros((0, 0), np.float32)

    @classmethod
    def of(cls, world: World, seed: int) -> "Walls | None":
        """Give the walls of a world, ``None`` for an open dish."""
        if world.nanowell is None:
            return None
        return cls(world.nanowell, seed, world.optics.pixel_um)

    def __call__(
        self, phase: NDArray[np.float32], centre_um: tuple[float, float]
    ) -> None:
        """Add the walls to a map (y, x) whose middle lies at a place of the dish."""
        place = (round(centre_um[0] / PLACE_UM), round(centre_um[1] / PLACE_UM))
        if place != self._place or self._map.shape != phase.shape:
            self._map = np.empty_like(phase)
            middle = (place[0] * PLACE_UM, place[1] * PLACE_UM)
            self._draw(middle)
            self._place = place
        np.add(phase, self._map, out=phase)

    def _draw(self, middle_um: tuple[float, float]) -> None:
        chip = self._chip
        away = (middle_um[0] - chip.origin_um[0], middle_um[1] - chip.origin_um[1])
        lattice = (chip.pitch_um, chip.well_um, float(chip.block), chip.gap_um)
        draw_walls(
            self._map, away, (self._pixel_um, *chip.turn), lattice, self._wall_rad
        )


@njit(nogil=True, cache=True)
def moulding(row: int, column: int, which: int) -> float:
    """Give a number in -1 to 1 that belongs to a well: an integer hash of its place."""
    mixed = np.uint64(row + 5000) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= np.uint64(column + 5000) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= np.uint64(which + 1) * np.uint64(0x165667B19E3779F9)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return 2.0 * float(mixed & np.uint64(0xFFFFFF)) / 16_777_215.0 - 1.0


@njit(nogil=True, cache=True, fastmath=True)
def draw_walls(
    out: NDArray[np.float32],
    away_um: tuple[float, float],
    view: tuple[float, float, float],
    lattice: tuple[float, float, float, float],
    wall_rad: float,
) -> None:
    """Fill a map (y, x) with the phase of the walls, the bottom of the wells being 0.

    ``away_um`` is the middle of the map from the middle of well (0, 0); ``view`` holds
    pixel, cosine and sine of the turn; ``lattice`` pitch, well, block and gap.

    Steps for each pixel: place on the axes of the chip; nearest well on each axis;
    signed distance from its rounded square; smooth step, and a lip beside the edge.
    """
    pixel, c, s = view
    pitch, well, block, gap = lattice
    period = block * pitch + gap
    height, width = out.shape
    last_row, last_column = -1_000_000, -1_000_000
    half, tall, lip = 0.0, 1.0, 0.0
    for iy in range(height):
        y = away_um[0] + (iy - (height - 1) / 2) * pixel
        for ix in range(width):
            x = away_um[1] + (ix - (width - 1) / 2) * pixel
            v, row = _from_nearest(c * y - s * x, pitch, block, gap, period)
            u, column = _from_nearest(c * x + s * y, pitch, block, gap, period)
            if row != last_row or column != last_column:
                last_row, last_column = row, column
                half = well / 2 + SIZE_SPREAD_UM * moulding(row, column, 0)
                tall = 1 + TALL_SPREAD * moulding(row, column, 1)
                lip = LIP * (1 + 0.8 * moulding(row, column, 2))
            qu = abs(u) - half + CORNER_UM
            qv = abs(v) - half + CORNER_UM
            beyond = max(qu, qv)
            if qu > 0 and qv > 0:
                beyond = math.sqrt(qu * qu + qv * qv)
            beyond -= CORNER_UM
            if beyond <= -EDGE_HALF_UM:
                out[iy, ix] = 0
                continue
            value = wall_rad
            if beyond < RIM_UM:
                off = (beyond - LIP_UM) / LIP_UM
                fades = 1 - beyond / RIM_UM
                value *= 1 + (tall - 1 + lip * math.exp(-off * off)) * fades
            if beyond < EDGE_HALF_UM:
                t = (beyond / EDGE_HALF_UM + 1) / 2
                value *= t * t * (3 - 2 * t)
            out[iy, ix] = value


@njit(nogil=True, cache=True, fastmath=True)
def _from_nearest(
    along: float, pitch: float, block: float, gap: float, period: float
) -> tuple[float, int]:
    """Give the distance from the nearest row or column, and its index."""
    shifted = along + (pitch + gap) / 2
    turn = math.floor(shifted / period)
    rest = shifted - turn * period - gap / 2
    within = min(max(math.floor(rest / pitch), 0.0), block - 1)
    return rest - (within + 0.5) * pitch, int(turn * block + within)
