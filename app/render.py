"""One frame to RGBA at the size of the screen: crop, scale, levels, outlines.

The cost follows the pixels of the screen and not those of the camera, and one kernel
does it all: 500 plot items and a full-size colour overlay took 615 ms a frame, this
way takes a few. Scaling is an exact box average, so small cells do not flicker.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import PHASE_RAD_PER_COUNT, PHASE_ZERO_COUNT, Modality
from app.view import Mark

COLOURS: dict[Mark, tuple[int, int, int]] = {
    Mark.LIVE: (0x00, 0x9E, 0x73),
    Mark.DEAD: (0xD5, 0x5E, 0x00),
    Mark.UNSURE: (0xF0, 0xE4, 0x42),
}
"""Colours that colour-blind people tell apart (Okabe and Ito); dead is also dashed."""

DASH_PX = 5.0
"""Length of a dash, and of the gap after it, on the screen."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the frame, in pixels of the frame, and its size on the screen."""

    top: float
    left: float
    height: float
    width: float
    rows: int
    columns: int

    @property
    def step(self) -> tuple[float, float]:
        """Frame pixels per screen pixel, y and x."""
        return self.height / self.rows, self.width / self.columns


def phase_levels(levels_rad: tuple[float, float]) -> tuple[float, float]:
    """Give the counts of two phases in radian."""
    low, high = levels_rad
    return (
        PHASE_ZERO_COUNT + low / PHASE_RAD_PER_COUNT,
        PHASE_ZERO_COUNT + high / PHASE_RAD_PER_COUNT,
    )


def fixed_levels(
    levels: tuple[float, float] | None, modality: Modality
) -> tuple[float, float] | None:
    """Give the levels of the settings in counts; they are radian for slim."""
    if levels is None or modality != "slim":
        return levels
    return phase_levels(levels)


def automatic_levels(pixels: NDArray[np.uint16]) -> tuple[float, float]:
    """Give levels in counts from a sixty-fourth of the pixels ``(y, x)``."""
    low, high = np.percentile(pixels[::8, ::8], (0.5, 99.7))
    return float(low), float(max(high, low + 1.0))


def paint_table(
    mark: NDArray[np.uint8],
    centre_px: NDArray[np.float64],
    radius_px: NDArray[np.float64],
    fill: float = 0.0,
) -> NDArray[np.float32]:
    """Tell the kernel how each label is drawn.

    Parameters
    ----------
    mark
        ``(label,)`` Mark codes.
    centre_px
        ``(label, yx)`` centres in the frame; dashes turn round them.
    radius_px
        ``(label,)`` radius in frame pixels; it sets the number of dashes.
    fill
        Share of the colour inside the outline, 0 to 1.

    Returns
    -------
    ``(label, 7)``: red, green, blue, fill, dashes per turn and frame pixel of screen
    scale, centre y, centre x; a label that is not drawn has a negative fill.
    """
    table = np.zeros((mark.size, 7), np.float32)
    table[:, 3] = -1.0
    for code, colour in COLOURS.items():
        rows = mark == code
        table[rows, :3] = colour
        table[rows, 3] = fill
    dashed = mark == Mark.DEAD
    table[dashed, 4] = np.pi * radius_px[dashed] / DASH_PX
    table[:, 5:] = np.nan_to_num(centre_px)
    return table


def compose(
    pixels: NDArray[np.uint16],
    labels: NDArray[np.uint16],
    paint: NDArray[np.float32],
    crop: Crop,
    levels: tuple[float, float],
    outline_px: int = 1,
) -> NDArray[np.uint8]:
    """Draw a part of a frame.

    Parameters
    ----------
    pixels, labels
        ``(y, x)`` frame and instance map of the same shape.
    paint
        Table of `paint_table`.
    crop
        What to draw, inside the frame, and how large.
    levels
        Counts drawn black and white.
    outline_px
        Width of the outlines in screen pixels; 0 draws none.

    Returns
    -------
    ``(crop.rows, crop.columns, rgba)`` bytes.
    """
    out = np.empty((crop.rows, crop.columns, 4), np.uint8)
    place = (crop.top, crop.left, *crop.step)
    gain = 255.0 / max(levels[1] - levels[0], 1e-9)
    _compose(pixels, labels, paint, place, (levels[0], gain, outline_px), out)
    return out


@njit(nogil=True, cache=True)
def _boxes(start, step, count, size):  # type: ignore[no-untyped-def]
    """Give for each screen pixel its first and last frame pixel and the one inside."""
    first = np.empty(count, np.int64)
    last = np.empty(count, np.int64)
    middle = np.empty(count, np.int64)
    for i in range(count):
        low = start + i * step
        first[i] = min(max(int(np.floor(low)), 0), size - 1)
        last[i] = min(max(int(np.ceil(low + step)) - 1, first[i]), size - 1)
        middle[i] = min(max(int(np.floor(low + 0.5 * step)), 0), size - 1)
    return first, last, middle


@njit(nogil=True, cache=True)
def _compose(pixels, labels, paint, place, style, out):  # type: ignore[no-untyped-def]  # noqa: C901
    """Fuse all steps of a picture, row by row of the screen.

    1. the box average of the frame rows under the screen row, then of the columns;
    2. levels; 3. the label in the middle of each screen pixel; 4. the fill, or the
    outline where a neighbour at the width of the outline has another label, broken
    into dashes by the angle round the centre of the cell.
    """
    top, left, step_y, step_x = place
    black, gain, reach = style
    rows, columns = out.shape[0], out.shape[1]
    y_first, y_last, y_middle = _boxes(top, step_y, rows, pixels.shape[0])
    x_first, x_last, x_middle = _boxes(left, step_x, columns, pixels.shape[1])
    x_low, x_high = x_first[0], x_last[columns - 1] + 1
    line = np.empty(x_high - x_low, np.float32)
    for i in range(rows):
        line[:] = 0.0
        y_start = top + i * step_y
        for y in range(y_first[i], y_last[i] + 1):
            share = min(y_start + step_y, y + 1.0) - max(y_start, y + 0.0)
            weight = np.float32(share / step_y)
            for x in range(x_low, x_high):
                line[x - x_low] += weight * pixels[y, x]
        for j in range(columns):
            x_start = left + j * step_x
            value = 0.0
            for x in range(x_first[j], x_last[j] + 1):
                share = min(x_start + step_x, x + 1.0) - max(x_start, x + 0.0)
                value += share * line[x - x_low]
            grey = min(max((value / step_x - black) * gain, 0.0), 255.0)
            label = labels[y_middle[i], x_middle[j]]
            cover = 0.0
            if 0 < label < paint.shape[0] and paint[label, 3] >= 0.0:
                cover = paint[label, 3]
                up, down = (
                    y_middle[max(i - reach, 0)],
                    y_middle[min(i + reach, rows - 1)],
                )
                west = x_middle[max(j - reach, 0)]
                east = x_middle[min(j + reach, columns - 1)]
                if (
                    labels[up, x_middle[j]] != label
                    or labels[down, x_middle[j]] != label
                    or labels[y_middle[i], west] != label
                    or labels[y_middle[i], east] != label
                ):
                    cover = 1.0
                    dashes = paint[label, 4] / step_y
                    if dashes > 0.0:
                        angle = np.arctan2(
                            y_middle[i] + 0.5 - paint[label, 5],
                            x_middle[j] + 0.5 - paint[label, 6],
                        )
                        turn = max(np.round(dashes), 3.0) * (angle / (2 * np.pi) + 0.5)
                        if turn - np.floor(turn) > 0.6:
                            cover = paint[label, 3]
            for k in range(3):
                out[i, j, k] = np.uint8(
                    grey + cover * (paint[label, k] - grey) + 0.5
                    if cover > 0.0
                    else grey + 0.5
                )
            out[i, j, 3] = 255
