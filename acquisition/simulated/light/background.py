"""What the empty dish shows: uneven light, dust, bubbles, condensation, tilt, speckle.

All of it is fixed in the light path and belongs to the view, not to the dish.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from acquisition.simulated.sections import Optics as OpticsSection

LEAST_LIGHT = 0.02
DROPLETS_PER_MM2 = 260.0
"""Droplets under the lid at full condensation."""

Floats = NDArray[np.float64]
Profile = Callable[[Floats], Floats]
"""Transmission of a round thing at a distance (in its radii) from its middle."""


def illumination(
    settings: OpticsSection, rng: np.random.Generator, size_px: int
) -> NDArray[np.float32]:
    """Light (y, x) in a view relative to the lamp: lamp, lens, dust, bubbles, lid."""
    y, x = np.mgrid[-1 : 1 : size_px * 1j, -1 : 1 : size_px * 1j]
    off = rng.uniform(-0.2, 0.2, 2)
    light = 1 - settings.vignetting * ((y - off[0]) ** 2 + (x - off[1]) ** 2)
    light += 0.25 * settings.vignetting * cloud(rng, size_px, 8)
    for _ in range(settings.dust):
        _shade(light, rng, rng.uniform(6, 16), _dust)
    for _ in range(settings.bubbles):
        _shade(light, rng, rng.uniform(18, 75) / settings.pixel_um, _bubble)
    if settings.condensation > 0:
        _condense(light, rng, settings)
    return np.maximum(light, LEAST_LIGHT).astype(np.float32)


def phase_background(
    settings: OpticsSection, rng: np.random.Generator, size_px: int
) -> NDArray[np.float32]:
    """Slow unevenness of dish and medium, and fine speckle; rad."""
    slow = settings.tilt_rad * cloud(rng, size_px, 6)
    fine = gaussian_filter(rng.standard_normal((size_px, size_px), np.float32), 1.2)
    fine *= settings.speckle_mrad * 1e-3 / max(float(fine.std()), 1e-9)
    return (slow + fine).astype(np.float32)


def cloud(rng: np.random.Generator, size_px: int, waves: int) -> Floats:
    """Smooth random map of unit variance with about ``waves`` bumps along an edge."""
    coarse = gaussian_filter(rng.standard_normal((6 * waves, 6 * waves)), 3)
    fine = zoom(coarse, size_px / len(coarse), order=3, mode="nearest", grid_mode=True)
    return np.asarray(fine[:size_px, :size_px] / max(float(fine.std()), 1e-9))


def _condense(light: Floats, rng: np.random.Generator, settings: OpticsSection) -> None:
    """Fog of small droplets, thick in places, and single larger ones before it."""
    size_px = len(light)
    fog = 1 / (1 + np.exp(-1.5 * cloud(rng, size_px, 10)))
    mottle = np.clip(1 + 0.25 * cloud(rng, size_px, 48), 0.3, 1.7)
    light *= 1 - 0.6 * settings.condensation * np.minimum(fog * mottle, 1.2)
    area_mm2 = (size_px * settings.pixel_um / 1000) ** 2
    for _ in range(rng.poisson(settings.condensation * DROPLETS_PER_MM2 * area_mm2)):
        radius_um = rng.lognormal(np.log(7.0), 0.5)
        _shade(light, rng, min(radius_um, 40) / settings.pixel_um, _droplet)


def _shade(
    light: Floats, rng: np.random.Generator, radius: float, profile: Profile
) -> None:
    """Lay a round thing over the light at a random place."""
    size_px = len(light)
    at = rng.uniform(0, size_px, 2)
    first = np.maximum((at - 3 * radius).astype(int), 0)
    last = np.minimum((at + 3 * radius).astype(int) + 1, size_px)
    rows, columns = np.ogrid[first[0] : last[0], first[1] : last[1]]
    distance = np.hypot(rows - at[0], columns - at[1]) / radius
    light[first[0] : last[0], first[1] : last[1]] *= profile(distance)


def _dust(distance: Floats) -> Floats:
    """Give a faint ring, far out of focus."""
    return 1 - 0.02 * np.exp(-(((distance - 1) / 0.22) ** 2))


def _bubble(distance: Floats) -> Floats:
    """Air refracts the light out of its rim: a wide dark ring around a clear disc."""
    inside = 1 / (1 + np.exp((distance - 0.95) / 0.05))
    rim = np.exp(-(((distance - 0.88) / 0.14) ** 2))
    fringe = np.exp(-(((distance - 1.16) / 0.07) ** 2))
    return (1 - 0.12 * inside) * (1 - 0.6 * rim) * (1 + 0.06 * fringe)


def _droplet(distance: Floats) -> Floats:
    """Give a small lens out of focus: darker edge, brighter middle."""
    rim = np.exp(-(((distance - 0.9) / 0.3) ** 2))
    return 1 - 0.16 * rim + 0.07 * np.exp(-((distance / 0.45) ** 2))
