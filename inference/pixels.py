"""Pixels as the network wants them: grey level, pixel size, and the way back.

The graph of an engine computes (x - offset) * scale itself; this module finds the two
numbers. A network sees phase / 0.7 rad in a slim frame. In any other frame it sees
the grey level less its median, with the distance between the 1st and the 99.8th
percentile stretched to 3, which is about what these percentiles span in a slim frame.
"""

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.errors import BadModel
from acquisition.records import PHASE_RAD_PER_COUNT, PHASE_ZERO_COUNT, Modality
from inference.maps import Maps

PHASE_UNIT_RAD = 0.7
"""A network sees 1 where the phase is this."""
GREY_SPAN = 3.0
"""A network sees this difference between the 1st and the 99.8th percentile."""
SMALLEST_SPAN_DN = 8
"""A flatter frame is empty: its noise must not be stretched to full contrast."""
RESAMPLING_RANGE = (0.4, 2.5)
"""Pixel size of the frame over that of the model; outside a model is refused."""
SAME_PIXEL_SIZE = 0.02
"""Relative difference below which a frame is not resampled."""


def grey_level(image: NDArray[np.uint16], modality: Modality) -> tuple[float, float]:
    """Give offset (counts) and scale (per count) of an image (y, x)."""
    if modality == "slim":
        return slim_grey_level()
    low, median, high = percentiles(image, (1.0, 50.0, 99.8))
    return float(median), GREY_SPAN / max(high - low, SMALLEST_SPAN_DN)


def slim_grey_level() -> tuple[float, float]:
    """Give offset (counts) and scale (per count) of coded phase."""
    return float(PHASE_ZERO_COUNT), PHASE_RAD_PER_COUNT / PHASE_UNIT_RAD


def percentiles(image: NDArray[np.uint16], wanted: tuple[float, ...]) -> list[int]:
    """Give exact percentiles (0 to 100, nearest rank) of an image, in counts."""
    cumulated = np.cumsum(_histogram(plain(image).ravel()))
    ranks = np.ceil(np.asarray(wanted) / 100 * image.size).astype(np.int64)
    return [int(count) for count in np.searchsorted(cumulated, np.maximum(ranks, 1))]


def network_shape(
    shape: tuple[int, int], pixel_size_um: float, card_um_per_px: float | None
) -> tuple[int, int]:
    """Give the shape (y, x) in which the network sees frames of ``shape``.

    Raises
    ------
    BadModel
        When the frame would have to be resampled more than the model can bear.
    """
    if card_um_per_px is None:
        return shape
    ratio = pixel_size_um / card_um_per_px
    lowest, highest = RESAMPLING_RANGE
    if not lowest <= ratio <= highest:
        raise BadModel(
            f"the frames have {pixel_size_um:g} um per pixel, the model was made for "
            f"{card_um_per_px:g} um: a ratio of {ratio:.2f}, outside {lowest:g} to "
            f"{highest:g}; correct microscope.pixel_size_um or choose another model"
        )
    if abs(ratio - 1) < SAME_PIXEL_SIZE:
        return shape
    return max(round(shape[0] * ratio), 1), max(round(shape[1] * ratio), 1)


def resample(image: NDArray[np.uint16], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Give the image (y, x) on a grid of ``shape`` over the same field."""
    if image.shape == shape:
        return image
    shrinks = shape[0] < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=method), np.uint16)


def place_back(maps: Maps, shape: tuple[int, int]) -> Maps:
    """Give the maps on the grid of the frame (y, x): classes by nearest pixel."""
    if maps.classes.shape == shape:
        return maps
    size = shape[::-1]
    return Maps(
        classes=cv2.resize(maps.classes, size, interpolation=cv2.INTER_NEAREST_EXACT),
        dead=cv2.resize(maps.dead, size, interpolation=cv2.INTER_LINEAR),
        separation=cv2.resize(maps.separation, size, interpolation=cv2.INTER_LINEAR),
    )


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """Give the array contiguous and read-only, so that kernels compile only once."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


@njit(nogil=True, cache=True)
def _histogram(values: NDArray[np.uint16]) -> NDArray[np.int64]:
    counts = np.zeros(65536, np.int64)
    for value in values:
        counts[value] += 1
    return counts
