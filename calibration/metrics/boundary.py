"""How far two outlines lie apart, and how alike two images look.

Distances are in pixels between the boundary pixels of the masks. SSIM is offered for
images only: on masks an empty answer scores above 0.99, so it is no headline.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.metrics.guards import NOT_KNOWN

_K1, _K2 = 0.01, 0.03
_SIGMA_PX = 1.5
_RADIUS_PX = 5  # 3.5 sigma, as usual


def hausdorff(
    true: NDArray[np.bool_], found: NDArray[np.bool_], percent: float = 100.0
) -> float:
    """Give the symmetric Hausdorff distance in px; NaN if a mask is empty.

    ``percent`` 95 gives the 95 % form: the larger of the two percentiles of the
    distances from one boundary to the other (Huttenlocher et al. 1993), which a few
    stray pixels do not decide.
    """
    if true.shape != found.shape:
        raise ValueError(f"masks differ in shape: {true.shape} and {found.shape}")
    if not true.any() or not found.any():
        return NOT_KNOWN
    edges = (boundary(true), boundary(found))
    away = [_distance_to(edge) for edge in edges]
    both_ways = (away[1][edges[0]], away[0][edges[1]])
    return float(max(np.percentile(one_way, percent) for one_way in both_ways))


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give the pixels of a mask (y, x) with a neighbour outside it or the image."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    padded = np.pad(mask.astype(np.uint8), 1)
    inner = cv2.erode(padded, cross)[1:-1, 1:-1] > 0
    return mask & ~inner


def _distance_to(edge: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the exact Euclidean distance of every pixel to the nearest edge pixel."""
    return np.asarray(
        cv2.distanceTransform(
            (~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
    )


def ssim(
    true: NDArray[np.floating], found: NDArray[np.floating], data_range: float
) -> float:
    """Give the mean structural similarity of two images (Wang et al. 2004).

    Gaussian windows of sigma 1.5 px, K1 = 0.01, K2 = 0.03; windows that reach over the
    border are left out.

    Raises
    ------
    ValueError
        If the images differ in shape or are smaller than a window.
    """
    if true.shape != found.shape or min(true.shape) <= 2 * _RADIUS_PX:
        raise ValueError(
            f"SSIM wants two images of one shape of more than {2 * _RADIUS_PX} px, got "
            f"{true.shape} and {found.shape}"
        )
    x, y = true.astype(np.float64), found.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    both = _blur(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    alike = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    inner = slice(_RADIUS_PX, -_RADIUS_PX)
    return float(alike[inner, inner].mean())


def _blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    size = 2 * _RADIUS_PX + 1
    return np.asarray(cv2.GaussianBlur(image, (size, size), _SIGMA_PX))
