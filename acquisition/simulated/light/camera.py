"""The camera: electrons to counts with shot noise, read noise and fixed patterns.

Counts are ``(e + sqrt(e + r^2) N) / g + offset`` with the electrons clipped at the
full well. The normal numbers N come from one long stretch: every row of every exposure
reads it from a place of its own, drawn from seed and frame number, so that no two
frames share a pattern and a dropped frame changes no other.
"""

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.world import World

CAMERA_STREAM = 3
NOISE_NUMBERS = 2**22
GLOW_E = 400.0
"""Mean electrons of a hot pixel at the nominal exposure."""
SPECK_E = 3_000.0
"""Mean electrons that an x-ray photon leaves in a pixel."""

Floats = NDArray[np.float32]


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
        self._noise = noise(size_px)
        rng = np.random.default_rng([seed, CAMERA_STREAM])
        settings = world.camera
        shape = (size_px, size_px)
        pattern = rng.standard_normal((2, *shape), np.float32)
        self._response = np.maximum(1 + settings.response_spread * pattern[0], 0)
        # The half rounds to the nearest count.
        offset = settings.offset_dn + settings.offset_spread_dn * pattern[1] + 0.5
        self._offset = offset.astype(np.float32)
        hot = rng.poisson(settings.hot_pixels_per_mpx * size_px**2 / 1e6)
        self._hot = rng.integers(0, size_px, (hot, 2))
        self._glow = rng.exponential(GLOW_E, hot).astype(np.float32)

    def expose(
        self,
        electrons: Floats,
        exposure_ms: float,
        frame_number: int,
        out: NDArray[np.uint16],
        *,
        beam_open: bool = False,
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
        beam_open
            Whether x-rays hit the sensor.
        """
        settings = self._settings
        draw = np.random.default_rng([self._seed, CAMERA_STREAM, frame_number])
        starts = draw.integers(0, NOISE_NUMBERS, len(out))
        lamp = max(1 + settings.flicker * draw.standard_normal(), 0.0)
        time = exposure_ms / settings.nominal_exposure_ms
        per_e = 1 / settings.gain_e_per_dn
        shift = settings.row_noise_e * per_e * draw.standard_normal(len(out))
        read_out(
            electrons,
            (self._response, self._offset, self._noise),
            (starts, shift.astype(np.float32)),
            (lamp * time, settings.full_well_e, settings.read_e**2, per_e),
            out,
        )
        if len(self._hot):
            glow = np.minimum(self._glow * time, settings.full_well_e)
            add_light(out, self._hot, glow * per_e)
        if beam_open and settings.beam_specks:
            count = draw.poisson(settings.beam_specks)
            at = draw.integers(0, len(out), (count, 2))
            add_light(out, at, draw.exponential(SPECK_E, count) * per_e)


def add_light(
    counts: NDArray[np.uint16], at: NDArray[np.int64], light_dn: NDArray[np.floating]
) -> None:
    """Add counts at single pixels (y, x), as far as 16 bits hold them."""
    rows, columns = at.T
    more = counts[rows, columns] + np.rint(light_dn)
    counts[rows, columns] = np.minimum(more, 65535).astype(np.uint16)


@lru_cache(maxsize=2)
def noise(width: int) -> Floats:
    """Give the stretch of normal numbers, with room for a last row of a width."""
    rng = np.random.default_rng([0, CAMERA_STREAM])
    numbers = rng.standard_normal(NOISE_NUMBERS, np.float32)
    return np.concatenate([numbers, numbers[:width]])


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def read_out(
    electrons: Floats,
    maps: tuple[Floats, Floats, Floats],
    rows: tuple[NDArray[np.int64], Floats],
    numbers: tuple[float, float, float, float],
    out: NDArray[np.uint16],
) -> None:
    """Turn electrons into counts.

    ``maps`` are response, offset (counts) and the stretch of noise; ``rows`` the start
    of each row in that stretch and its own shift (counts); ``numbers`` the factor on
    the electrons, full well, variance of the read noise, counts per electron.

    Steps for each row: scale and clip the electrons, add noise, convert, clip to 16
    bits. All in float32 along contiguous rows, so that it runs on vectors.
    """
    response, offset, normal = maps
    starts, shifts = rows
    height, width = electrons.shape
    gain = np.float32(numbers[0])
    well = np.float32(numbers[1])
    read2 = np.float32(numbers[2])
    per_e = np.float32(numbers[3])
    zero = np.float32(0)
    largest = np.float32(65535)
    for y in range(height):
        light, reply, dark, counts = electrons[y], response[y], offset[y], out[y]
        chance = normal[starts[y] : starts[y] + width]
        shift = shifts[y]
        for x in range(width):
            e = min(max(light[x] * gain * reply[x], zero), well)
            value = (e + np.sqrt(e + read2) * chance[x]) * per_e + (dark[x] + shift)
            counts[x] = np.uint16(np.int32(min(max(value, zero), largest)))
