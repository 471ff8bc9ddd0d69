"""A contact sheet: a few frames of a data set with the outlines of its cells."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadInput
from acquisition.records import Modality
from app.render import Crop, automatic_levels, compose, fixed_levels, paint_table
from app.view import Mark
from calibration.data_set import Shown

TILES = 6
COLUMNS = 3
TILE_PX = 512
GAP_PX = 6
PHASE_RAD = (-0.6, 2.4)
"""Phases that are drawn black and white."""


class ContactSheet:
    """Collects evenly spaced frames and lays them side by side.

    Parameters
    ----------
    frames
        How many frames will be shown to it.
    modality
        Phase is drawn at fixed levels, counts at levels of their own.
    """

    def __init__(self, frames: int, modality: Modality) -> None:
        wanted = np.linspace(0, frames - 1, min(frames, TILES))
        self._wanted = set(np.rint(wanted).astype(int).tolist())
        self._modality = modality
        self._tiles: list[NDArray[np.uint8]] = []

    def add(self, shown: Shown) -> None:
        """Take in a frame, if it is one of the evenly spaced ones."""
        if shown.number in self._wanted:
            self._tiles.append(self._tile(shown))

    def save(self, path: Path) -> None:
        """Write the sheet as a PNG."""
        columns = min(COLUMNS, len(self._tiles))
        rows = -(-len(self._tiles) // columns)
        step = TILE_PX + GAP_PX
        sheet = np.zeros((rows * step - GAP_PX, columns * step - GAP_PX, 4), np.uint8)
        sheet[..., 3] = 255
        for number, tile in enumerate(self._tiles):
            top, left = (number // columns) * step, (number % columns) * step
            sheet[top : top + TILE_PX, left : left + TILE_PX] = tile
        data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGBA2BGRA))[1]
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            raise BadInput(f"{path}: the preview cannot be written: {error}") from error

    def _tile(self, shown: Shown) -> NDArray[np.uint8]:
        labels = shown.labels
        count = int(max(labels.max(), shown.ids.max(initial=0))) + 1
        mark = np.full(count, Mark.LIVE, np.uint8)
        mark[shown.ids[shown.dead]] = Mark.DEAD
        area = np.maximum(np.bincount(labels.ravel(), minlength=count), 1)
        grids = np.indices(labels.shape)
        centre = np.stack(
            [
                np.bincount(labels.ravel(), weights=grid.ravel(), minlength=count)
                / area
                for grid in grids
            ],
            axis=1,
        )
        paint = paint_table(mark, centre, np.sqrt(area / np.pi))
        levels = fixed_levels(PHASE_RAD, self._modality)
        if self._modality != "slim" or levels is None:
            levels = automatic_levels(shown.picture)
        edge = len(labels)
        crop = Crop(0, 0, edge, edge, TILE_PX, TILE_PX)
        return compose(shown.picture, labels, paint, crop, levels)
