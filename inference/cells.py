"""From the maps of a network to cells: instances, and what is measured of each."""

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from acquisition.records import (
    PHASE_RAD_PER_COUNT,
    PHASE_ZERO_COUNT,
    Cells,
    CellState,
    FrameInfo,
)
from configs.schema import Inference, Stand
from inference.cards import Parting
from inference.flood import flood
from inference.maps import Maps
from inference.measure import (
    AREA,
    SUM_PHASE,
    SUM_X,
    SUM_XX,
    SUM_XY,
    SUM_Y,
    SUM_YY,
    measure,
    near_pairs,
)
from inference.phase import dry_mass_factor
from inference.pixels import plain

HOLE_SHARE = 0.2
"""Holes below this share of the smallest cell are filled."""
MOST_LABELS = 65535


def find_cells(
    maps: Maps,
    info: FrameInfo,
    phase: NDArray[np.uint16],
    settings: Inference,
    stand: Stand,
    parting: Parting,
) -> tuple[NDArray[np.uint16], Cells]:
    """Give the label map (y, x) of a frame and the cells in it.

    ``maps`` and ``phase`` (coded phase, or the pixels of a one-shot frame) lie on the
    grid of the frame; ``parting`` is that of :func:`inference.cards.parting_of`.

    Raises
    ------
    BadModel
        When the maps hold more objects than labels exist.
    """
    labels, count = part(maps, info.pixel_size_um, settings.min_area_um2, parting)
    sums, logit, box = measure(labels, plain(phase), plain(maps.dead), count)
    area = sums[:, AREA]
    middle_px = sums[:, [SUM_Y, SUM_X]] / area[:, None]
    axes_px, angle = _ellipse(sums, middle_px)
    size = np.array(labels.shape)
    from_middle = (middle_px - (size - 1) / 2) * info.pixel_size_um
    probability = 1 / (1 + np.exp(-logit))
    state, unsure = call_cells(probability, settings.unsure_band)
    mean_phase, dry_mass = _phase_columns(sums, info, stand)
    cells = Cells(
        label=np.arange(1, count + 1, dtype=np.int32),
        centre_um=np.asarray(info.stage_yx_um, np.float64) + from_middle,
        area_um2=(area * info.pixel_size_um**2).astype(np.float32),
        axes_um=(axes_px * info.pixel_size_um).astype(np.float32),
        angle_rad=angle.astype(np.float32),
        mean_phase_rad=mean_phase.astype(np.float32),
        dry_mass_pg=dry_mass.astype(np.float32),
        dead_probability=probability.astype(np.float32),
        state=state,
        unsure=unsure,
        touches_edge=(box[:, :2] == 0).any(axis=1) | (box[:, 2:] == size).any(axis=1),
        box_px=box,
        touching=_touching(labels),
    )
    return labels, cells


def call_cells(
    probability: NDArray[np.float64], unsure_band: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Give state (cell,) and doubt (cell,) of cells with these P(dead)."""
    low, high = unsure_band
    state = np.where(probability > 0.5, CellState.DEAD, CellState.LIVE)
    return state.astype(np.uint8), (probability >= low) & (probability <= high)


def part(
    maps: Maps, pixel_size_um: float, min_area_um2: float, parting: Parting
) -> tuple[NDArray[np.uint16], int]:
    """Give the label map (y, x) of the maps, and the number of its labels.

    Labels follow reading order. Pixels that are cell in the class map are parted at
    the valleys of the smoothed separation map.
    """
    min_area_px = min_area_um2 / pixel_size_um**2
    foreground = _fill_holes(maps.classes, HOLE_SHARE * min_area_px)
    sigma_px = parting.separation_um / pixel_size_um
    height = cv2.GaussianBlur(maps.separation, (0, 0), sigma_px)
    min_height = parting.separation_height * 255
    labels, count = flood(height, foreground, min_height, min_area_px)
    if count > MOST_LABELS:
        raise BadModel(
            f"the network found {count} objects in one frame, a label map holds "
            f"{MOST_LABELS}: it does not suit these images; choose another model or "
            "raise inference.min_area_um2"
        )
    return labels, count


def _fill_holes(classes: NDArray[np.uint8], largest_px: float) -> NDArray[np.bool_]:
    """Give the foreground (y, x), small holes that do not touch the border filled."""
    background = (classes == CellState.BACKGROUND).view(np.uint8)
    _, parts, found, _ = cv2.connectedComponentsWithStats(background, connectivity=8)
    x0, y0 = found[:, cv2.CC_STAT_LEFT], found[:, cv2.CC_STAT_TOP]
    x1, y1 = x0 + found[:, cv2.CC_STAT_WIDTH], y0 + found[:, cv2.CC_STAT_HEIGHT]
    inside = (x0 > 0) & (y0 > 0) & (y1 < classes.shape[0]) & (x1 < classes.shape[1])
    holes = inside & (found[:, cv2.CC_STAT_AREA] < largest_px)
    holes[0] = False  # the foreground itself
    foreground = classes != CellState.BACKGROUND
    for hole in np.flatnonzero(holes):
        window = np.s_[y0[hole] : y1[hole], x0[hole] : x1[hole]]
        foreground[window] |= parts[window] == hole
    return foreground


def _ellipse(
    sums: NDArray[np.int64], middle_px: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the axes (cell, major minor) in px and the angle of equal second moments."""
    area, (y, x) = sums[:, AREA], middle_px.T
    yy = sums[:, SUM_YY] / area - y * y
    xx = sums[:, SUM_XX] / area - x * x
    xy = sums[:, SUM_XY] / area - x * y
    half_sum, difference = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    variances = np.stack((half_sum + difference, half_sum - difference), axis=1)
    axes: NDArray[np.float64] = 4 * np.sqrt(np.maximum(variances, 0))
    angle: NDArray[np.float64] = 0.5 * np.arctan2(2 * xy, xx - yy)
    return axes, angle


def _phase_columns(
    sums: NDArray[np.int64], info: FrameInfo, stand: Stand
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the mean phase (rad) and the dry mass (pg); NaN where there is no phase."""
    area = sums[:, AREA]
    if info.modality != "slim":
        missing = np.full(len(area), np.nan)
        return missing, missing
    counts = (sums[:, SUM_PHASE] - PHASE_ZERO_COUNT * area).astype(np.float64)
    mean_rad = counts / area * PHASE_RAD_PER_COUNT
    return mean_rad, mean_rad * area * dry_mass_factor(stand, info.pixel_size_um)


def _touching(labels: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Give the pairs (pair, 2) of labels within 2 px, sorted, smaller label first."""
    codes = np.unique(near_pairs(labels))
    return np.stack((codes >> 16, codes & 0xFFFF), axis=1).astype(np.int32)
