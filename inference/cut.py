"""Single cells cut out of a frame, as a classifier of cells sees them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

EDGE_PX = 48
"""Edge of the square around a cell: 31 um at 10x, which holds a spread cell."""


def middles(box_px: NDArray[np.int32]) -> NDArray[np.int64]:
    """Give the pixels (cell, yx) in the middle of boxes (cell, y0 x0 y1 x1)."""
    return np.asarray((box_px[:, :2] + box_px[:, 2:]) // 2, np.int64)


@njit(nogil=True, cache=True, error_model="numpy")
def cut(
    frame: NDArray[np.uint16],
    labels: NDArray[np.uint16],
    wanted: NDArray[np.int64],
    grey_level: tuple[float, float],
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` (cell, 2, edge, edge) with grey level and mask around cells.

    ``wanted`` (cell, 3) holds label, y and x of the pixel in the middle. The grey level
    is (count - offset) scale within -4 to 8; beyond the frame it is 0, as is an empty
    field.

    Steps: for every cell and row, the part inside the frame.
    """
    offset, scale = np.float32(grey_level[0]), np.float32(grey_level[1])
    height, width = frame.shape
    edge = out.shape[2]
    out[:] = 0
    for n in range(len(wanted)):
        label, top, left = wanted[n]
        top -= edge // 2
        left -= edge // 2
        for y in range(max(0, -top), min(edge, height - top)):
            for x in range(max(0, -left), min(edge, width - left)):
                count = np.float32(frame[top + y, left + x])
                level = (count - offset) * scale
                out[n, 0, y, x] = min(max(level, np.float32(-4)), np.float32(8))
                out[n, 1, y, x] = labels[top + y, left + x] == label
