"""`vigil bench display`: what the picture of the window costs, beside plain NumPy.

A field of the simulated microscope with its true outlines, drawn at the size of a
screen. The plain way colours the frame at full size and lets OpenCV shrink it.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.fields import render_field
from acquisition.simulated.world import World
from app.render import COLOURS, Crop, automatic_levels, compose, paint_table
from app.view import Mark
from calibration.benchmarks.timing import check_wishes, row_of, time_step
from inference.phase import PhaseRetrieval

WORLD = "cho_10x"
SCREEN_PX = 800
"""Edge of the picture on the screen."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the window draws of one frame."""

    phase: NDArray[np.uint16]  # (y, x)
    labels: NDArray[np.uint16]  # (y, x)
    mark: NDArray[np.uint8]  # (label,)

    @classmethod
    def of(cls, size: int, seed: int) -> "Shown":
        """Render a field with its truth."""
        world = World.load(WORLD)
        field = render_field(world, seed, size)
        phase = PhaseRetrieval(stand_of(world), field.labels.shape)(field.frames)
        mark = np.zeros(int(field.labels.max()) + 1, np.uint8)
        dead = field.state == CellState.DEAD
        mark[field.ids] = np.where(dead, Mark.DEAD, Mark.LIVE)
        return cls(phase, field.labels, mark)

    def paint(self) -> NDArray[np.float32]:
        """Give the table of the kernel."""
        sizes = np.bincount(self.labels.ravel(), minlength=self.mark.size)
        centre = np.full((self.mark.size, 2), 0.5 * len(self.labels))
        return paint_table(self.mark, centre, np.sqrt(sizes / np.pi))

    def plain(self) -> NDArray[np.uint8]:
        """Draw the same with NumPy, at full size, and shrink it."""
        low, high = automatic_levels(self.phase)
        grey = ((self.phase - low) * (255 / (high - low))).clip(0, 255)
        picture = np.repeat(grey[..., None].astype(np.uint8), 3, axis=2)
        rim = np.zeros(self.labels.shape, np.bool_)
        for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            rim |= self.labels != np.roll(self.labels, shift, axis)
        for code, colour in COLOURS.items():
            picture[rim & (self.mark[self.labels] == code)] = colour
        edges = (SCREEN_PX, SCREEN_PX)
        return np.asarray(cv2.resize(picture, edges, interpolation=cv2.INTER_AREA))


def bench_display(size: int = 1024, repeat: int = 20, seed: int = 1) -> dict[str, Any]:
    """Measure drawing; the rows of ``vigil bench display --json``.

    Raises
    ------
    BadConfig
        If a number is out of its range.
    """
    check_wishes("bench display", size, repeat)
    shown = Shown.of(size, seed)
    paint = shown.paint()

    def draw(crop: Crop, outline_px: int) -> None:
        levels = automatic_levels(shown.phase)
        compose(shown.phase, shown.labels, paint, crop, levels, outline_px)

    part = size / 4
    whole = Crop(0.0, 0.0, size, size, SCREEN_PX, SCREEN_PX)
    near = Crop(part, part, part, part, SCREEN_PX, SCREEN_PX)
    plain = time_step(lambda _: shown.plain(), max(2, repeat // 5))
    rows = [
        row_of("whole frame", time_step(lambda _: draw(whole, 1), repeat), plain),
        row_of("without outlines", time_step(lambda _: draw(whole, 0), repeat)),
        row_of("a sixteenth of it", time_step(lambda _: draw(near, 2), repeat)),
        row_of("table of colours", time_step(lambda _: shown.paint(), repeat)),
    ]
    cells = int(np.count_nonzero(shown.mark))
    return {"rows": rows, "size": size, "screen_px": SCREEN_PX, "cells": cells}
