"""A drawn field of touching cells, and what a perfect network would say of it.

Speed depends on how many cells a frame has, and the answer of an untrained network is
noise; so every network is timed on the same frame and followed by these maps.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState, Frame
from calibration.shots import frame_of
from configs.schema import Stand
from inference.maps import Engine, Maps

PIXELS_A_CELL = 1024 * 1024 / 500
"""At least 500 cells in a frame of 1024 pixels."""
PIXEL_UM = 0.65
CELL_RAD = 1.0
_LIGHT_DN = 1500.0
_NOISE_DN = 15.0


@dataclass(frozen=True)
class DrawnField:
    """One frame with its answer."""

    frame: Frame
    maps: Maps
    cells: int


def draw_field(size_px: int, seed: int, stand: Stand) -> DrawnField:
    """Draw ellipses on a jittered grid, some touching; every third one is dead."""
    random = np.random.default_rng(seed)
    pitch = np.sqrt(PIXELS_A_CELL)
    per_side = math.ceil(size_px / pitch)
    classes = np.zeros((size_px, size_px), np.uint8)
    separation = np.zeros((size_px, size_px), np.float32)
    for number in range(per_side**2):
        place = np.array(divmod(number, per_side)) + 0.5
        middle = (place + random.uniform(-0.25, 0.25, 2)) * size_px / per_side
        axes = random.uniform(0.26, 0.4, 2) * pitch
        code = CellState.DEAD if number % 3 == 0 else CellState.LIVE
        _draw_cell(classes, separation, (middle, axes, random.uniform(0, 180)), code)
    maps = Maps(
        classes=classes,
        dead=np.where(classes == CellState.DEAD, 240, 20).astype(np.uint8),
        separation=np.rint(255 * separation).astype(np.uint8),
    )
    frame = frame_of(_four_steps(separation, random, stand), "slim", PIXEL_UM)
    return DrawnField(frame, maps, per_side**2)


def _draw_cell(
    classes: NDArray[np.uint8],
    separation: NDArray[np.float32],
    ellipse: tuple[NDArray[np.float64], NDArray[np.float64], float],
    code: int,
) -> None:
    """Draw a cell over what lies there."""
    middle, axes, angle = ellipse
    mask = np.zeros_like(classes)
    y, x = np.rint(middle).astype(int).tolist()
    cv2.ellipse(mask, (x, y), np.rint(axes).astype(int).tolist(), angle, 0, 360, 1, -1)
    reach = int(axes.max()) + 2
    window = np.s_[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach]
    own = mask[window] > 0
    depth = cv2.distanceTransform(mask[window], cv2.DIST_L2, 5)
    classes[window][own] = code
    separation[window][own] = (depth / max(float(depth.max()), 1e-6))[own]


def _four_steps(
    height: NDArray[np.float32], random: np.random.Generator, stand: Stand
) -> NDArray[np.uint16]:
    """Give the pictures (step, y, x) that the stand would take of such cells."""
    scattered = np.exp(1j * CELL_RAD * np.sqrt(height)) - 1
    steps = np.exp(0.5j * np.pi * stand.step_sign * np.arange(4))[:, None, None]
    light = np.abs(stand.ring_amplitude * steps + scattered) ** 2
    counts = _LIGHT_DN * light + stand.camera_offset_dn
    counts += random.normal(0, _NOISE_DN, counts.shape)
    return np.asarray(counts.clip(0, 65_535), np.uint16)


class Prompted:
    """An engine whose network runs in full and whose answer is replaced."""

    def __init__(self, engine: Engine, maps: Maps) -> None:
        self._engine = engine
        self._maps = maps

    @property
    def name(self) -> str:
        """Of the engine within."""
        return self._engine.name

    @property
    def model(self) -> str:
        """Of the engine within."""
        return self._engine.model

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Run the network and give the drawn maps."""
        self._engine.infer(frame, offset, scale)
        return self._maps

    def close(self) -> None:
        """Nothing of its own to let go of."""
