"""From a phase map to noiseless camera frames: the forward model of the phase module.

Direct light ``U0`` is a low-pass of the field ``U = exp(i phase)``, scattered light is
the rest, ``U1 = U - U0``. The ring passes the direct light with amplitude ``t`` and
steps its phase by quarters, ``I_n = L |t U0 exp(i n pi / 2) + U1|^2`` (structure of
Nguyen et al. 2017, halo-free phase contrast; the Gaussian low-pass is a
simplification). Halo, shade-off, wrapping and saturation follow from it.
With this step direction ``I_1 - I_3`` is positive in cells.

Out of focus the field is blurred and takes the amplitude ``1 - z lambda / 4 pi
laplacian(phase)`` (transport of intensity, first order), so that edges are fringed.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from acquisition.simulated.light.background import illumination, phase_background
from acquisition.simulated.light.optics_kernels import (
    bend_light,
    block_means,
    interfere,
    make_field,
    soften,
)
from acquisition.simulated.light.particles import Particles
from acquisition.simulated.specimen.chip import Walls
from acquisition.simulated.world import World

OPTICS_STREAM = 2
DEFOCUS_BLUR = 0.25
"""Blur in um, one standard deviation, for each um out of focus."""

Pattern = Callable[[NDArray[np.float32], tuple[float, float]], None]
"""Adds the phase of what is fixed in the dish to a map (y, x), whose middle lies at a
place (y, x) in um of the dish."""


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
    pattern
        What else is fixed in the dish; ``None``: the walls of the wells, if any.

    Attributes
    ----------
    lamp
        (y, x) electrons at unit intensity and nominal exposure.
    background
        (y, x) phase of the empty dish, rad.
    """

    def __init__(
        self,
        world: World,
        seed: int,
        size_px: int,
        field_um: float,
        pattern: Pattern | None = None,
    ) -> None:
        self.world = world
        rng = np.random.default_rng([seed, OPTICS_STREAM])
        settings = world.optics
        per_unit = world.camera.background_e / settings.ring_amplitude**2
        self.lamp = illumination(settings, rng, size_px) * np.float32(per_unit)
        self.background = phase_background(settings, rng, size_px)
        self._particles = Particles(settings, rng, field_um)
        self._pattern = Walls.of(world, seed) if pattern is None else pattern
        sigma = settings.halo_um / 2 / settings.pixel_um
        self._block = _block_size(sigma)
        # The blocks and the interpolation between them blur as well.
        finer = sigma**2 - (self._block**2 / 4 if self._block > 1 else 0)
        self._coarse_sigma = math.sqrt(finer) / self._block
        coarse = size_px // self._block
        self._low = np.empty((2, coarse, coarse), np.float32)
        self._soft = np.empty((size_px, size_px), np.float32)
        self._field = np.empty((2, size_px, size_px), np.float32)

    def add_scenery(
        self, phase: NDArray[np.float32], centre_um: tuple[float, float], minutes: float
    ) -> None:
        """Add what lies in the dish beside the cells to a phase map, in place.

        Parameters
        ----------
        phase
            (y, x) rad.
        centre_um
            Place of its middle (y, x) in the dish.
        minutes
            Time of the specimen, for what drifts.
        """
        if self._pattern is not None:
            self._pattern(phase, centre_um)
        self._particles.add_to(phase, centre_um, minutes)

    def frames(
        self, phase: NDArray[np.float32], defocus_um: float, out: NDArray[np.float32]
    ) -> None:
        """Fill the four noiseless frames, in electrons at the nominal exposure.

        The second is positive phase contrast, the fourth negative.

        Parameters
        ----------
        phase
            (y, x) rad.
        defocus_um
            Distance from the focal plane.
        out
            (step, y, x) electrons.
        """
        self.blur(phase, defocus_um)
        self.make_light(defocus_um)
        self.interfere(out)

    @property
    def light(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Field (part, y, x) of the last `frames`, and its direct light on blocks."""
        return self._field, self._low

    def brightfield(
        self, phase: NDArray[np.float32], defocus_um: float, out: NDArray[np.float32]
    ) -> None:
        """Fill one noiseless brightfield frame (y, x), as `frames` does.

        Transport of intensity: ``I = L (1 - z lambda / 2 pi  laplacian(phase))``, less
        a weak absorption.
        """
        settings = self.world.optics
        self.blur(phase, defocus_um)
        bend = 2 * self._bend(defocus_um + settings.brightfield_defocus_um)
        numbers = (bend, settings.absorption_per_rad, settings.ring_amplitude**2)
        bend_light(self._soft, self.lamp, numbers, out)

    def blur(self, phase: NDArray[np.float32], defocus_um: float) -> None:
        """First part of `frames`: the point spread of the objective."""
        settings = self.world.optics
        fuzzy = DEFOCUS_BLUR * abs(defocus_um)
        sigma = math.hypot(0.21 * settings.wavelength_um / settings.na, fuzzy)
        soften(phase, _taps(sigma / settings.pixel_um), self._soft)

    def make_light(self, defocus_um: float) -> None:
        """Second part of `frames`: the field, and its direct light on a coarse grid."""
        cosine, sine = self._field
        bend = self._bend(defocus_um)
        make_field(self._soft, self.background, bend, cosine, sine)
        block_means(cosine, self._block, self._low[0])
        block_means(sine, self._block, self._low[1])
        sigma = (0, self._coarse_sigma, self._coarse_sigma)
        gaussian_filter(self._low, sigma, output=self._low, mode="reflect")

    def interfere(self, out: NDArray[np.float32]) -> None:
        """Last part of `frames`: direct and scattered light meet on the sensor."""
        settings = self.world.optics
        steps = np.arange(4) * math.pi / 2 + np.array(settings.step_error_rad)
        turn = np.stack([np.cos(steps), np.sin(steps)], 1).astype(np.float32)
        turn *= np.float32(settings.ring_amplitude)
        interfere((self._field[0], self._field[1]), self._low, turn, self.lamp, out)

    def _bend(self, defocus_um: float) -> float:
        """Give what defocus takes from the amplitude for a unit Laplacian, in px^2."""
        settings = self.world.optics
        reach = defocus_um * settings.wavelength_um
        return reach / (4 * math.pi) / settings.pixel_um**2


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
