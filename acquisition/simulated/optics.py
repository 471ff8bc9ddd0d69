"""From a phase map to noiseless camera frames: the forward model of the phase module.

Direct light ``U0`` is a low-pass of the field ``U = exp(i phase)``, scattered light is
the rest, ``U1 = U - U0``. The ring passes the direct light with amplitude ``t`` and
steps its phase by quarters, ``I_n = L |t U0 exp(i n pi / 2) + U1|^2`` (structure of
Nguyen et al. 2017, halo-free phase contrast; the Gaussian low-pass is a
simplification). Halo, shade-off, wrapping and saturation follow from it.
With this step direction ``I_1 - I_3`` is positive in cells.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from acquisition.simulated.world import World

OPTICS_STREAM = 2
DEFOCUS_BLUR = 0.25
"""Blur in um, one standard deviation, for each um out of focus."""


class Optics:
    """Everything between the specimen and the sensor, for one view size.

    Parameters
    ----------
    world, seed
        Fix illumination, dust, particles and phase background.
    size_px
        Edge of the view.
    field_um
        Edge of the field in which particles lie.
    """

    def __init__(self, world: World, seed: int, size_px: int, field_um: float) -> None:
        self.world = world
        rng = np.random.default_rng([seed, OPTICS_STREAM])
        settings = world.optics
        self._light = _illumination(world, rng, size_px)
        self._background = _phase_background(world, rng, size_px)
        self._field_um = field_um
        self._settled = _particles(rng, settings.debris_per_mm2, field_um)
        self._settled[:, 2:] = _settled_sizes(rng, len(self._settled))
        self._floating = _particles(rng, settings.floaters_per_mm2, field_um)
        self._floating[:, 2:] = _floating_sizes(rng, len(self._floating))
        self._flow = rng.normal(0, 4.0, (len(self._floating), 2))  # um a minute
        self._block = _block_size(settings.halo_um / 2 / settings.pixel_um)
        coarse = size_px // self._block
        self._low = np.empty((2, coarse, coarse), np.float32)
        self._scratch = np.empty((3, size_px, size_px), np.float32)

    def add_particles(
        self, phase: NDArray[np.float32], centre_um: tuple[float, float], minutes: float
    ) -> None:
        """Add settled debris and drifting floaters to a phase map, in place."""
        place = self._settled.copy()
        drift = self._floating.copy()
        half = self._field_um / 2
        moved = drift[:, :2] + self._flow * minutes
        drift[:, :2] = (moved + half) % self._field_um - half
        spots = np.concatenate([place, drift])
        pixel = self.world.optics.pixel_um
        spots[:, :2] = (spots[:, :2] - centre_um) / pixel + (len(phase) - 1) / 2
        spots[:, 2] /= pixel
        add_spots(phase, spots)

    def frames(
        self, phase: NDArray[np.float32], defocus_um: float, out: NDArray[np.float32]
    ) -> None:
        """Fill the four noiseless frames, in electrons at the nominal exposure.

        The second is positive phase contrast, the fourth negative.

        Parameters
        ----------
        phase
            (y, x) rad; is blurred in place.
        defocus_um
            Distance from the focal plane.
        out
            (step, y, x) electrons.
        """
        settings = self.world.optics
        self._blur(phase, defocus_um)
        _, cosine, sine = self._scratch
        phasor(phase, self._background, cosine, sine)
        block_means(cosine, sine, self._block, self._low)
        coarse_sigma = settings.halo_um / 2 / settings.pixel_um / self._block
        direct = gaussian_filter(
            self._low, (0, coarse_sigma, coarse_sigma), mode="nearest"
        )
        steps = np.arange(4) * math.pi / 2 + np.array(settings.step_error_rad)
        turn = np.stack([np.cos(steps), np.sin(steps)], 1).astype(np.float32)
        turn *= settings.ring_amplitude
        interfere(cosine, sine, direct, turn, self._light, out)

    def brightfield(
        self, phase: NDArray[np.float32], defocus_um: float, out: NDArray[np.float32]
    ) -> None:
        """Fill one noiseless brightfield frame (y, x), as `frames` does.

        Transport of intensity: ``I = L (1 - z lambda / 2 pi  laplacian(phase))``.
        """
        settings = self.world.optics
        self._blur(phase, defocus_um)
        reach = (defocus_um + settings.brightfield_defocus_um) * settings.wavelength_um
        strength = reach / (2 * math.pi) / settings.pixel_um**2
        bend_light(phase, self._light, strength, settings.ring_amplitude**2, out)

    def _blur(self, phase: NDArray[np.float32], defocus_um: float) -> None:
        settings = self.world.optics
        fuzzy = DEFOCUS_BLUR * abs(defocus_um)
        sigma = math.hypot(0.21 * settings.wavelength_um / settings.na, fuzzy)
        blur(phase, self._scratch[0], _taps(sigma / settings.pixel_um))


def _illumination(
    world: World, rng: np.random.Generator, size_px: int
) -> NDArray[np.float32]:
    """Electrons at unit intensity: uneven lamp, vignetting, out-of-focus dust."""
    settings = world.optics
    y, x = np.mgrid[-1 : 1 : size_px * 1j, -1 : 1 : size_px * 1j]
    off = rng.uniform(-0.2, 0.2, 2)
    light = 1 - settings.vignetting * ((y - off[0]) ** 2 + (x - off[1]) ** 2)
    light += 0.25 * settings.vignetting * _cloud(rng, size_px, 8)
    rows, columns = np.mgrid[:size_px, :size_px]
    for _ in range(settings.dust):
        at = rng.uniform(0, size_px, 2)
        radius = rng.uniform(6, 16)
        ring = (np.hypot(rows - at[0], columns - at[1]) - radius) / 2.5
        light *= 1 - 0.02 * np.exp(-(ring**2))
    light = np.maximum(light, 0.02)
    per_unit = world.camera.background_e / settings.ring_amplitude**2
    return (light * per_unit).astype(np.float32)


def _phase_background(
    world: World, rng: np.random.Generator, size_px: int
) -> NDArray[np.float32]:
    """Slow unevenness of dish and medium, and fine speckle; rad."""
    slow = world.optics.tilt_rad * _cloud(rng, size_px, 6)
    fine = gaussian_filter(rng.standard_normal((size_px, size_px), np.float32), 1.2)
    fine *= world.optics.speckle_mrad * 1e-3 / max(float(fine.std()), 1e-9)
    return (slow + fine).astype(np.float32)


def _cloud(rng: np.random.Generator, size_px: int, waves: int) -> NDArray[np.float64]:
    """Smooth random map of unit variance with about ``waves`` bumps along an edge."""
    coarse = gaussian_filter(rng.standard_normal((6 * waves, 6 * waves)), 3)
    fine = zoom(coarse, size_px / len(coarse), order=3, mode="nearest", grid_mode=True)
    return np.asarray(fine[:size_px, :size_px] / max(float(fine.std()), 1e-9))


def _particles(
    rng: np.random.Generator, per_mm2: float, field_um: float
) -> NDArray[np.float64]:
    """Rows of y, x (um), radius (um, filled later), height (rad, filled later)."""
    count = rng.poisson(per_mm2 * (field_um / 1000) ** 2)
    rows = np.zeros((count, 4))
    rows[:, :2] = rng.uniform(-field_um / 2, field_um / 2, (count, 2))
    return rows


def _settled_sizes(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    radius = rng.uniform(0.25, 0.8, count) * np.where(rng.random(count) < 0.08, 3, 1)
    height = rng.uniform(0.3, 1.1, count)
    return np.stack([radius, height], 1)


def _floating_sizes(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return np.stack([rng.uniform(2, 7, count), rng.uniform(0.05, 0.25, count)], 1)


def _block_size(sigma_px: float) -> int:
    """Coarse enough to be fast, fine enough to hold the low-pass."""
    for block in (16, 8, 4, 2):
        if sigma_px >= 1.4 * block:
            return block
    return 1


def _taps(sigma_px: float) -> NDArray[np.float32]:
    """Half a Gaussian kernel, middle first, with unit sum of both halves."""
    reach = max(2, math.ceil(3 * sigma_px))
    taps = np.exp(-(np.arange(reach + 1) ** 2) / (2 * sigma_px * sigma_px))
    return (taps / (taps[0] + 2 * taps[1:].sum())).astype(np.float32)


@njit(nogil=True, cache=True, fastmath=True)
def add_spots(phase: NDArray[np.float32], spots: NDArray[np.float64]) -> None:
    """Add Gaussian bumps given as rows of y, x, radius (px) and height (rad)."""
    height, width = phase.shape
    for n in range(len(spots)):
        cy, cx, radius = spots[n, 0], spots[n, 1], spots[n, 2]
        reach = int(3 * radius) + 2
        for y in range(max(0, int(cy) - reach), min(height, int(cy) + reach + 1)):
            for x in range(max(0, int(cx) - reach), min(width, int(cx) + reach + 1)):
                d2 = ((y - cy) ** 2 + (x - cx) ** 2) / (radius * radius)
                phase[y, x] += spots[n, 3] * math.exp(-0.5 * d2)


@njit(nogil=True, cache=True, fastmath=True)
def blur(
    image: NDArray[np.float32], tmp: NDArray[np.float32], taps: NDArray[np.float32]
) -> None:
    """Separable symmetric filter in place; the border is repeated."""
    height, width = image.shape
    reach = len(taps) - 1
    for y in range(height):
        for x in range(width):
            tmp[y, x] = taps[0] * image[y, x]
        for k in range(1, reach + 1):
            w = taps[k]
            for x in range(k, width - k):
                tmp[y, x] += w * (image[y, x - k] + image[y, x + k])
            for x in range(min(k, width)):
                tmp[y, x] += w * (image[y, max(x - k, 0)] + image[y, x + k])
                z = width - 1 - x
                tmp[y, z] += w * (image[y, z - k] + image[y, min(z + k, width - 1)])
    for y in range(height):
        for x in range(width):
            image[y, x] = taps[0] * tmp[y, x]
        for k in range(1, reach + 1):
            w = taps[k]
            above = max(y - k, 0)
            below = min(y + k, height - 1)
            for x in range(width):
                image[y, x] += w * (tmp[above, x] + tmp[below, x])


@njit(nogil=True, cache=True, fastmath=True)
def phasor(
    phase: NDArray[np.float32],
    background: NDArray[np.float32],
    cosine: NDArray[np.float32],
    sine: NDArray[np.float32],
) -> None:
    """Cosine and sine of the sum of two phase maps.

    Steps: halve and reduce the angle to +-pi/2; Taylor polynomials (error below
    1e-6); double the angle. Branch-free, so that it vectorises.
    """
    two_pi = np.float32(2 * math.pi)
    per_turn = np.float32(1 / (2 * math.pi))
    height, width = phase.shape
    for y in range(height):
        for x in range(width):
            angle = phase[y, x] + background[y, x]
            angle -= two_pi * np.float32(math.floor(angle * per_turn + np.float32(0.5)))
            h = np.float32(0.5) * angle
            z = h * h
            s = h * (
                np.float32(1.0)
                + z
                * (
                    np.float32(-1 / 6)
                    + z
                    * (
                        np.float32(1 / 120)
                        + z
                        * (
                            np.float32(-1 / 5040)
                            + z
                            * (np.float32(1 / 362880) - z * np.float32(2.5052108e-8))
                        )
                    )
                )
            )
            c = np.float32(1.0) + z * (
                np.float32(-1 / 2)
                + z
                * (
                    np.float32(1 / 24)
                    + z
                    * (
                        np.float32(-1 / 720)
                        + z * (np.float32(1 / 40320) - z * np.float32(2.7557319e-7))
                    )
                )
            )
            cosine[y, x] = c * c - s * s
            sine[y, x] = np.float32(2.0) * s * c


@njit(nogil=True, cache=True, fastmath=True)
def block_means(
    cosine: NDArray[np.float32],
    sine: NDArray[np.float32],
    block: int,
    out: NDArray[np.float32],
) -> None:
    """Average both parts of the field over square blocks into ``out`` (2, y, x)."""
    _, height, width = out.shape
    share = np.float32(1.0 / (block * block))
    out[:] = 0
    for y in range(height):
        for j in range(block):
            for x in range(width):
                c = np.float32(0.0)
                s = np.float32(0.0)
                for i in range(block):
                    c += cosine[y * block + j, x * block + i]
                    s += sine[y * block + j, x * block + i]
                out[0, y, x] += c * share
                out[1, y, x] += s * share


@njit(nogil=True, cache=True, fastmath=True)
def interfere(
    cosine: NDArray[np.float32],
    sine: NDArray[np.float32],
    direct: NDArray[np.float32],
    turn: NDArray[np.float32],
    light: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Intensities of direct and scattered light for every step.

    Steps for each row: interpolate the direct light between its coarse rows, then
    along the row; scattered light is the rest; turn the direct light by each step
    (``turn`` holds t cos, t sin) and add.
    """
    height, width = cosine.shape
    _, rows, columns = direct.shape
    block = width // columns
    line = np.empty((2, columns), np.float32)
    real = np.empty(width, np.float32)
    imag = np.empty(width, np.float32)
    for y in range(height):
        gy = (y + 0.5) / block - 0.5
        y0 = math.floor(gy)
        wy = np.float32(gy - y0)
        ya = min(max(y0, 0), rows - 1)
        yb = min(max(y0 + 1, 0), rows - 1)
        for part in range(2):
            for c in range(columns):
                low = direct[part, ya, c]
                line[part, c] = low + wy * (direct[part, yb, c] - low)
        for x in range(width):
            gx = (x + 0.5) / block - 0.5
            x0 = math.floor(gx)
            wx = np.float32(gx - x0)
            xa = min(max(x0, 0), columns - 1)
            xb = min(max(x0 + 1, 0), columns - 1)
            real[x] = line[0, xa] + wx * (line[0, xb] - line[0, xa])
            imag[x] = line[1, xa] + wx * (line[1, xb] - line[1, xa])
        for n in range(len(turn)):
            tc = turn[n, 0]
            ts = turn[n, 1]
            for x in range(width):
                a = real[x]
                b = imag[x]
                re = a * tc - b * ts + cosine[y, x] - a
                im = b * tc + a * ts + sine[y, x] - b
                out[n, y, x] = light[y, x] * (re * re + im * im)


@njit(nogil=True, cache=True, fastmath=True)
def bend_light(
    phase: NDArray[np.float32],
    light: NDArray[np.float32],
    strength: float,
    scale: float,
    out: NDArray[np.float32],
) -> None:
    """Defocused intensity of a phase object that absorbs a little."""
    height, width = phase.shape
    for y in range(height):
        up = max(y - 1, 0)
        down = min(y + 1, height - 1)
        for x in range(width):
            left = max(x - 1, 0)
            right = min(x + 1, width - 1)
            centre = phase[y, x]
            bend = phase[up, x] + phase[down, x] + phase[y, left] + phase[y, right]
            bend -= 4 * centre
            value = 1 - strength * bend - 0.015 * centre
            out[y, x] = light[y, x] * scale * max(value, 0.0)
