"""Numbers that a simple program could measure on a cell, given its true mask.

Six first-order ones, in which a careless specimen gives its dead away, and fifteen
more that a person would think of: shape, contrast of the middle, fine structure.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FIRST_ORDER = ("mean", "p98", "std", "area", "gradient", "mass")
"""Names of the six first-order features."""
FURTHER = (
    "elongation",
    "filling",
    "cubed",
    "core_over_rim",
    "core_std",
    "rim_gradient",
    "depth",
)
BANDS_PX = (0.7, 1.4, 2.8, 5.6)
BANDS = tuple(f"{place}_{px:g}px" for place in ("band", "core") for px in BANDS_PX)
FEATURES = FIRST_ORDER + FURTHER + BANDS
"""Names of all 21 features, in their order."""

GRADIENT_PX = 1.0
RIM_UM = 1.3

Floats = NDArray[np.float64]


class FeatureMaps:
    """Maps of one picture from which the features of its cells are read."""

    def __init__(self, picture: NDArray[np.float32], pixel_um: float) -> None:
        self.picture = picture
        self.pixel_um = pixel_um
        self.gradient = ndimage.gaussian_gradient_magnitude(picture, GRADIENT_PX)
        blurred = {
            sigma: ndimage.gaussian_filter(picture, sigma)
            for sigma in (*BANDS_PX, 2 * BANDS_PX[-1])
        }
        steps = zip(BANDS_PX, (*BANDS_PX[1:], 2 * BANDS_PX[-1]), strict=True)
        self.bands = np.stack(
            [np.abs(blurred[fine] - blurred[coarse]) for fine, coarse in steps]
        )

    def measure(self, box: tuple[slice, slice], mask: NDArray[np.bool_]) -> Floats:
        """Give the features of the cell whose ``mask`` (y, x) lies in ``box``."""
        picture = self.picture[box]
        values = picture[mask].astype(np.float64)
        gradient = self.gradient[box]
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        core = depth > 0.5 * depth.max()
        rim = mask & (depth * self.pixel_um < max(RIM_UM, 2 * self.pixel_um))
        area = mask.sum() * self.pixel_um**2
        first = [
            values.mean(),
            np.percentile(values, 98),
            values.std(),
            area,
            gradient[mask].mean(),
            values.sum() * self.pixel_um**2,
        ]
        long, broad = half_axes(mask)
        further = [
            long / broad,
            mask.sum() / (np.pi * long * broad),
            (values**3).mean(),
            picture[core].mean() - picture[rim].mean(),
            picture[core].std(),
            gradient[rim].mean(),
            depth.max() * self.pixel_um,
        ]
        bands = self.bands[(slice(None), *box)]
        fine = [*bands[:, mask].mean(axis=1), *bands[:, core].mean(axis=1)]
        return np.array([*first, *further, *fine], np.float64)


def half_axes(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Give the half axes (long, short; px) of the ellipse with the mask's moments."""
    spread = np.cov(np.stack(np.nonzero(mask))) + np.eye(2) / 12  # of a pixel itself
    short, long = np.linalg.eigvalsh(spread)
    return 2 * float(np.sqrt(long)), 2 * float(np.sqrt(short))
