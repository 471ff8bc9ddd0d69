"""The camera: electrons to counts with shot noise, read noise and fixed patterns.

Counts are ``(e + sqrt(e + r^2) N) / g + offset`` with the electrons clipped at the
full well. The normal numbers N come from one tile that is laid down at a place fixed
by seed and frame number: a dropped frame changes no other.
"""

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.world import World

CAMERA_STREAM = 3
TILE_PX = 2048


class CameraModel:
    """One camera with its own fixed patterns.

    Parameters
    ----------
    world, seed
        Fix gain, noise and the patterns.
    size_px
        Edge of the square sensor.
    """

    def __init__(self, world: World, seed: int, size_px: int) -> None:
        self._settings = world.camera
        self._seed = seed
        rng = np.random.default_rng([seed, CAMERA_STREAM])
        settings = world.camera
        shape = (size_px, size_px)
        pattern = rng.standard_normal((2, *shape), np.float32)
        self._response = np.maximum(1 + settings.response_spread * pattern[0], 0)
        self._offset = settings.offset_dn + settings.offset_spread_dn * pattern[1]

    def expose(
        self,
        electrons: NDArray[np.float32],
        exposure_ms: float,
        frame_number: int,
        out: NDArray[np.uint16],
    ) -> None:
        """Take one picture.

        Parameters
        ----------
        electrons
            (y, x) expected electrons at the nominal exposure of the world.
        exposure_ms
            Scales the electrons.
        frame_number
            Fixes the noise together with the seed.
        out
            (y, x) counts.
        """
        settings = self._settings
        draw = np.random.default_rng([self._seed, CAMERA_STREAM, frame_number])
        row, column = draw.integers(0, TILE_PX, 2)
        lamp = 1 + settings.flicker * draw.standard_normal()
        gain = max(lamp, 0.0) * exposure_ms / settings.nominal_exposure_ms
        numbers = np.array(
            [gain, settings.full_well_e, settings.read_e, 1 / settings.gain_e_per_dn],
            np.float32,
        )
        read_out(
            electrons,
            (self._response, self._offset, noise_tile()),
            (int(row), int(column)),
            numbers,
            out,
        )


@lru_cache(maxsize=1)
def noise_tile() -> NDArray[np.float32]:
    """Give the tile of normal numbers, (y, x), made once."""
    rng = np.random.default_rng([0, CAMERA_STREAM])
    return rng.standard_normal((TILE_PX, TILE_PX), np.float32)


@njit(nogil=True, cache=True, fastmath=True)
def read_out(
    electrons: NDArray[np.float32],
    maps: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    corner: tuple[int, int],
    numbers: NDArray[np.float32],
    out: NDArray[np.uint16],
) -> None:
    """Turn electrons into counts.

    Steps for each stretch of a row that lies within the noise tile, so that all reads
    are contiguous: scale and clip the electrons, add noise, convert, clip to 16 bits.
    """
    response, offset, tile = maps
    height, width = electrons.shape
    gain, well, read_e, per_e = numbers
    for y in range(height):
        noise = tile[(y + corner[0]) & (TILE_PX - 1)]
        x0 = 0
        start = corner[1]
        while x0 < width:
            stretch = min(width - x0, TILE_PX - start)
            for x in range(x0, x0 + stretch):
                e = min(electrons[y, x] * gain * response[y, x], well)
                e = max(e, np.float32(0.0))
                shot = math.sqrt(e + read_e * read_e)
                counts = (e + shot * noise[start + x - x0]) * per_e + offset[y, x]
                rounded = max(counts + np.float32(0.5), np.float32(0.0))
                out[y, x] = np.uint16(min(rounded, np.float32(65535.0)))
            x0 += stretch
            start = 0
