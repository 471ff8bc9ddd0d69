"""From an analysed frame to what is drawn over it: marks, arrows, pixel positions."""

import numpy as np
from numpy.typing import NDArray

from acquisition.records import (
    BAND_SIGMAS,
    FORECAST_AFTER_FRAMES,
    Analysed,
    Cells,
    CellState,
    FrameInfo,
    Tracks,
)
from app.view import Mark, Target


class Place:
    """Where a frame lies: stage micrometres to pixels of the frame."""

    def __init__(self, info: FrameInfo, shape: tuple[int, int]) -> None:
        self.pixel_um = info.pixel_size_um
        self._centre_um = np.array(info.stage_yx_um)
        self._middle_px = np.array(shape) / 2

    def to_px(self, points_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give pixel positions ``(..., yx)`` of stage positions ``(..., yx)``."""
        return (points_um - self._centre_um) / self.pixel_um + self._middle_px


def marks_by_label(
    cells: Cells, tracks: Tracks
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Give mark, track and P(dead) of every label.

    The filtered state of the track counts; a cell without a track has only the state
    of this frame.

    Returns
    -------
    Three columns ``(label,)``; entry 0 is the background.
    """
    size = int(cells.label.max(initial=0)) + 1
    mark = np.zeros(size, np.uint8)
    track = np.zeros(size, np.int64)
    probability = np.zeros(size, np.float32)
    mark[cells.label] = _marks(cells.state, cells.unsure)
    probability[cells.label] = cells.dead_probability
    own = (tracks.label > 0) & (tracks.merged_with == 0)
    seen = own & (tracks.label < size)
    label = tracks.label[seen]
    mark[label] = _marks(tracks.state[seen], tracks.unsure[seen])
    track[label] = tracks.track_id[seen]
    probability[label] = tracks.dead_probability[seen]
    return mark, track, probability


def _marks(state: NDArray[np.uint8], unsure: NDArray[np.bool_]) -> NDArray[np.uint8]:
    mark = np.where(state == CellState.DEAD, Mark.DEAD, Mark.LIVE)
    return np.where(unsure, Mark.UNSURE, mark).astype(np.uint8)


def centres_by_label(cells: Cells, place: Place) -> NDArray[np.float64]:
    """Give pixel centres ``(label, yx)``; NaN for labels that do not exist."""
    centres = np.full((int(cells.label.max(initial=0)) + 1, 2), np.nan)
    centres[cells.label] = place.to_px(cells.centre_um)
    return centres


def radii_by_label(cells: Cells, place: Place) -> NDArray[np.float64]:
    """Give the radius in pixels of the disc of equal area, ``(label,)``."""
    radii = np.zeros(int(cells.label.max(initial=0)) + 1)
    radii[cells.label] = np.sqrt(cells.area_um2 / np.pi) / place.pixel_um
    return radii


def contact_lines(cells: Cells, centre_px: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give a short stroke where two cells touch, as pairs of points ``(2 pair, yx)``.

    It is the middle third of the line between the centres.
    """
    first, second = centre_px[cells.touching[:, 0]], centre_px[cells.touching[:, 1]]
    third = (second - first) / 3
    strokes = np.stack((first + third, second - third), axis=1)
    return strokes.reshape(-1, 2).astype(np.float32)


def forecast_arrows(analysed: Analysed, place: Place) -> NDArray[np.float32]:
    """Give arrows to the last horizon as pairs of points ``(2 arrow, yx)``, pixels.

    Left out are tracks younger than three frames, dead cells, and horizons from the one
    on whose band reaches farther than a cell diameter.
    """
    row, ahead, horizon = _told(analysed)
    here = place.to_px(analysed.tracks.centre_um[row])
    there = place.to_px(analysed.forecast.centre_um[ahead, horizon])
    return np.stack((here, there), axis=1).reshape(-1, 2).astype(np.float32)


def _told(
    analysed: Analysed,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Give the rows of tracks and of forecasts that are fit to be shown, and how far.

    The third is the last horizon up to which no band is wider than the cell.
    """
    tracks, forecast = analysed.tracks, analysed.forecast
    if forecast.horizon_s.size == 0:
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.intp)
    _, row, ahead = np.intersect1d(
        tracks.track_id, forecast.track_id, assume_unique=True, return_indices=True
    )
    wide = BAND_SIGMAS * forecast.sigma_um[ahead] > 2 * tracks.radius_um[row, None]
    horizons = np.where(wide.any(axis=1), wide.argmax(axis=1), wide.shape[1])
    told = (
        (tracks.label[row] > 0)
        & (tracks.age_frames[row] >= FORECAST_AFTER_FRAMES)
        & (tracks.state[row] == CellState.LIVE)
        & (horizons > 0)
    )
    return row[told], ahead[told], horizons[told] - 1


def find_target(
    analysed: Analysed, track_id: int | None, place: Place
) -> Target | None:
    """Give the place of a track, seen or coasting; ``None`` when it has ended."""
    tracks = analysed.tracks
    rows = np.flatnonzero(tracks.track_id == track_id)
    if track_id is None or rows.size == 0:
        return None
    y, x = place.to_px(tracks.centre_um[rows[0]])
    radius = float(tracks.radius_um[rows[0]]) / place.pixel_um
    shown, ahead, horizon = _told(analysed)
    band = None
    for at in zip(ahead[shown == rows[0]], horizon[shown == rows[0]], strict=True):
        there = place.to_px(analysed.forecast.centre_um[at])
        reach_um = BAND_SIGMAS * float(analysed.forecast.sigma_um[at])
        band = (float(there[0]), float(there[1]), reach_um / place.pixel_um)
    return Target(track_id, (float(y), float(x)), radius, band)
