"""No network: what varies locally is cell, and a distance transform parts cells.

The yardstick that any network has to beat, and an engine for stands without a model.
Cells scatter and refract, so their texture stands above that of empty background in
every contrast (local variance: Wu et al. 1995). It says nothing about viability: every
cell is called live.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState
from inference.maps import Maps

_WINDOW_PX = 7
_ERODE_PX = 5
"""The window reaches beyond the border of a cell by about half its width."""
_CLOSE_PX = 7
_OPEN_PX = 5
_BACKGROUND_QUANTILE = 0.1
_MIN_CONTRAST = 3.0
"""Foreground varies at least this many times as much as the calmest background."""
_MIN_AREA_PX = 150


class ClassicalEngine:
    """Local variance and distance transform; see :class:`inference.maps.Engine`."""

    name = "classical"
    model = "classical"

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Give the maps of a frame ``(y, x)``; P(dead) is 0 everywhere."""
        image = (frame.astype(np.float32) - np.float32(offset)) * np.float32(scale)
        foreground = _foreground(_local_deviation(image))
        return Maps(
            classes=foreground * np.uint8(CellState.LIVE),
            dead=np.zeros(frame.shape, np.uint8),
            separation=_separation(foreground),
        )

    def close(self) -> None:
        """Nothing to let go of."""


def _local_deviation(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the standard deviation ``(y, x)`` in a small window around every pixel."""
    window = (_WINDOW_PX, _WINDOW_PX)
    centred = image - image.mean()  # keeps the difference of squares exact enough
    mean = cv2.blur(centred, window)
    variance = cv2.blur(centred * centred, window) - mean * mean
    return np.sqrt(np.maximum(variance, 0.0))


def _foreground(deviation: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Part busy from calm pixels (Otsu 1979, on the logarithm); 1 is cell."""
    floor = float(np.quantile(deviation[::4, ::4], _BACKGROUND_QUANTILE))
    floor = max(floor, 1e-6)
    levels = np.log(np.maximum(deviation, floor) / floor)
    span = max(float(levels.max()), 1e-6)
    grey = (levels * (255.0 / span)).astype(np.uint8)
    otsu, _ = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    cut = max(otsu * span / 255.0, float(np.log(_MIN_CONTRAST)))
    busy = (levels > cut).astype(np.uint8)
    busy = cv2.erode(busy, _disc(_ERODE_PX))
    busy = cv2.morphologyEx(busy, cv2.MORPH_CLOSE, _disc(_CLOSE_PX))
    outlines, _ = cv2.findContours(busy, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [line for line in outlines if cv2.contourArea(line) >= _MIN_AREA_PX]
    filled = np.zeros_like(busy)
    cv2.drawContours(filled, large, -1, 1, cv2.FILLED)
    return np.asarray(cv2.morphologyEx(filled, cv2.MORPH_OPEN, _disc(_OPEN_PX)))


def _separation(foreground: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give 255 times the distance to the border, 1 at the middle of each clump."""
    distance = cv2.distanceTransform(foreground, cv2.DIST_L2, 5)
    count, parts = cv2.connectedComponents(foreground, connectivity=4)
    peak = np.full(count, 1e-6, np.float32)
    np.maximum.at(peak, parts.ravel(), distance.ravel())
    return np.asarray(np.rint(255.0 * distance / peak[parts]), dtype=np.uint8)


def _disc(diameter: int) -> NDArray[np.uint8]:
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    return np.asarray(element)
