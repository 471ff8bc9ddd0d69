"""Ten changes of where things lie, each a map of the places that pixels come from.

Stage 2 of the set of `calibration.training.augmentation`. Image and mask are drawn
through the same map, so that they cannot come apart. Beyond the border the image is
mirrored, its mask with it.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.float32]  # (2, y, x) the y and x that each pixel comes from
Shape = tuple[int, int]
Move = Callable[[Shape, np.random.Generator], Places]
Rng = np.random.Generator


def elastic(shape: Shape, rng: Rng) -> Places:
    """Push every place by a smooth random field of a few pixels."""
    reach = 0.04 * min(shape)
    sigma = 0.08 * min(shape)
    pushes = []
    for _ in range(2):
        field = rng.uniform(-1, 1, shape).astype(np.float32)
        smooth = cv2.GaussianBlur(field, (0, 0), sigma)
        pushes.append(
            smooth * np.float32(reach / max(float(np.abs(smooth).max()), 1e-6))
        )
    return _grid(shape) + np.stack(pushes)


def grid_distortion(shape: Shape, rng: Rng) -> Places:
    """Stretch and squeeze the five columns and rows of a grid by up to 30 %."""
    axes = []
    for extent in shape:
        widths = rng.uniform(0.7, 1.3, 5)
        knots = np.concatenate([[0], np.cumsum(widths / widths.sum())]) * (extent - 1)
        even = np.linspace(0, extent - 1, 6)
        axes.append(np.interp(np.arange(extent), even, knots))
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def affine(shape: Shape, rng: Rng) -> Places:
    """Scale, shift, turn and shear: cells move apart, or crowd where it shrinks."""
    turn, shear = np.deg2rad(rng.uniform(-30, 30)), np.deg2rad(rng.uniform(-10, 10))
    scale = np.exp(rng.uniform(np.log(0.7), np.log(1.4)))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = matrix @ np.array([[1, np.tan(shear)], [0, 1]]) / scale
    shift = rng.uniform(-0.1, 0.1, 2) * shape
    middle = (np.array(shape) - 1) / 2
    away = _grid(shape) - middle[:, None, None]
    turned = np.einsum("ij,jyx->iyx", matrix, away)
    return (turned + (middle + shift)[:, None, None]).astype(np.float32)


def motion_crop(shape: Shape, rng: Rng) -> Places:
    """Move a window of 80 to 95 % of the size and look at that alone."""
    side = rng.uniform(0.8, 0.95)
    return _window(shape, (side, side), rng)


def random_resized_crop(shape: Shape, rng: Rng) -> Places:
    """Cut 30 to 100 % of the area at a ratio of 3:4 to 4:3 and bring it to size."""
    area = rng.uniform(0.3, 1.0)
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)) / 2)
    root = np.sqrt(area)
    return _window(shape, (min(1.0, root * ratio), min(1.0, root / ratio)), rng)


def pad_and_crop(shape: Shape, rng: Rng) -> Places:
    """Pad by an eighth with the mirrored image, and cut the old size out of it."""
    shift = [rng.integers(-(extent // 8), extent // 8 + 1) for extent in shape]
    return _grid(shape) + np.array(shift, np.float32)[:, None, None]


def flip_horizontally(shape: Shape, rng: Rng) -> Places:  # noqa: ARG001
    """Mirror left and right."""
    return _grid(shape)[:, :, ::-1]


def flip_vertically(shape: Shape, rng: Rng) -> Places:  # noqa: ARG001
    """Mirror top and bottom."""
    return _grid(shape)[:, ::-1]


def quarter_turn(shape: Shape, rng: Rng) -> Places:
    """Turn by 90, 180 or 270 degrees."""
    return np.rot90(_grid(shape), int(rng.integers(1, 4)), axes=(1, 2))


def transpose(shape: Shape, rng: Rng) -> Places:  # noqa: ARG001
    """Exchange rows and columns."""
    return _grid(shape).transpose(0, 2, 1)


MOVES: tuple[Move, ...] = (
    elastic,
    grid_distortion,
    affine,
    motion_crop,
    random_resized_crop,
    pad_and_crop,
    flip_horizontally,
    flip_vertically,
    quarter_turn,
    transpose,
)
"""All kinds, in the order of the brightfield paper."""


def draw_through(
    plane: NDArray[np.generic], places: Places, *, nearest: bool
) -> NDArray[np.generic]:
    """Draw an image, or labels with ``nearest``, as the map of places says."""
    y, x = (np.ascontiguousarray(axis, np.float32) for axis in places)
    way = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    if nearest:
        y, x = np.rint(y), np.rint(x)  # OpenCV rounds places coarsely by itself
    return np.asarray(cv2.remap(plane, x, y, way, borderMode=cv2.BORDER_REFLECT_101))


def _grid(shape: Shape) -> Places:
    return np.indices(shape).astype(np.float32)


def _window(shape: Shape, sides: tuple[float, float], rng: Rng) -> Places:
    axes = []
    for extent, side in zip(shape, sides, strict=True):
        length = side * (extent - 1)
        start = rng.uniform(0, extent - 1 - length) if side < 1 else 0.0
        axes.append(np.linspace(start, start + length, extent))
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
