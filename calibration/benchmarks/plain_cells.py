"""From maps to cells the usual way, with SciPy and scikit-image.

The same steps with the same meaning as ``inference.cells``, each one call of a library:
holes, smoothing, h-maxima, watershed, small objects, properties of regions. Pairs that
touch are left out here, since neither library finds them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from configs.schema import Inference
from inference.cards import Parting
from inference.maps import Maps

_PROPERTIES = (
    "label",
    "area",
    "bbox",
    "centroid",
    "axis_major_length",
    "axis_minor_length",
    "orientation",
    "intensity_mean",
)


def plain_cells(
    maps: Maps, phase: NDArray[np.uint16], pixel_size_um: float, parting: Parting
) -> tuple[NDArray[np.int32], dict[str, Any]]:
    """Give label map (y, x) and a table of the cells."""
    from skimage.measure import label, regionprops_table
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    foreground = ndimage.binary_fill_holes(maps.classes > 0)
    sigma_px = parting.separation_um / pixel_size_um
    height = ndimage.gaussian_filter(maps.separation, sigma_px)
    inside = np.where(foreground, height, 0).astype(np.uint8)
    markers = label(h_maxima(inside, round(255 * parting.separation_height)))
    labels = watershed(-height.astype(np.int16), markers, mask=foreground)
    area = np.bincount(labels.ravel())
    area[0] = 0
    keep = area >= Inference().min_area_um2 / pixel_size_um**2
    labels = np.where(keep[labels], labels, 0).astype(np.int32)
    dead = np.clip(maps.dead / 255.0, 1e-3, 1 - 1e-3)
    pictures = np.stack([phase.astype(np.float64), np.log(dead / (1 - dead))], axis=-1)
    return labels, regionprops_table(labels, pictures, properties=_PROPERTIES)


def same_instance_share(
    found: NDArray[np.integer], reference: NDArray[np.integer]
) -> float:
    """Give the share of reference foreground whose instance is the same in ``found``.

    Instances are paired by their largest overlap.
    """
    inside = reference > 0
    pairs, pixels = np.unique(
        np.stack([reference[inside], found[inside]]), axis=1, return_counts=True
    )
    best = np.zeros(int(reference.max()) + 1, np.int64)
    real = pairs[1] > 0
    np.maximum.at(best, pairs[0][real], pixels[real])
    return float(best.sum() / max(1, np.count_nonzero(inside)))
