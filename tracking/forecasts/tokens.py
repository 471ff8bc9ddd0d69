"""What the network sees of every track: its last five steps, and what the bank expects.

All lengths are relative: steps to the usual step of the cell, ways to the deviation of
the bank; and every cell looks along its expected way. So a network that was trained on
some cells can be shown any others, in any unit and direction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Cells, Tracks

WINDOW = 5
"""Steps that are seen, as in the paper on irradiated cells."""
STEP_FEATURES = 8
AHEAD_FEATURES = 5
TIME, Y, X, AREA, MASS, DEAD = range(6)
LEAST = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Inputs of the network for some tracks."""

    steps: NDArray[np.float32]  # (track, step, feature), the newest last
    known: NDArray[np.bool_]  # (track, step)
    ahead: NDArray[np.float32]  # (track, horizon, feature)
    along: Array  # (track, yx) unit vector of the expected way


class History:
    """The last sightings of all tracks of a position."""

    def __init__(self) -> None:
        self._ids = np.empty(0, np.int64)
        self._seen = np.empty((0, WINDOW + 1, 6))

    def observe(
        self,
        time_s: float,
        cells: Cells,
        tracks: Tracks,
        seen: NDArray[np.bool_],
        centre_um: Array,
    ) -> None:
        """Take in one frame; tracks that are no more are forgotten."""
        past = np.full((tracks.track_id.size, WINDOW + 1, 6), np.nan)
        _, new, old = np.intersect1d(
            tracks.track_id, self._ids, assume_unique=True, return_indices=True
        )
        past[new] = self._seen[old]
        row = np.flatnonzero(seen)
        order = np.argsort(cells.label)
        cell = order[np.searchsorted(cells.label[order], tracks.label[row])]
        past[row, :-1] = past[row, 1:]
        past[row, -1, TIME] = time_s
        past[row, -1, Y : X + 1] = centre_um[row]
        past[row, -1, AREA] = np.log(np.maximum(cells.area_um2[cell], LEAST))
        past[row, -1, MASS] = np.log(np.maximum(cells.dry_mass_pg[cell], LEAST))
        chance = np.clip(cells.dead_probability[cell], 1e-3, 1 - 1e-3)
        past[row, -1, DEAD] = np.log(chance / (1 - chance))
        self._ids, self._seen = tracks.track_id.copy(), past

    def of(self, track_id: NDArray[np.int64]) -> Array:
        """Give the sightings (track, sighting, column) of tracks of the last frame."""
        return self._seen[np.searchsorted(self._ids, track_id)]


def make_tokens(
    past: Array, noise_um2: Array, way_um: Array, variance_um2: Array, ahead_s: Array
) -> Tokens:
    """Give what the network sees.

    Parameters
    ----------
    past
        (track, sighting, column) of `History`.
    noise_um2
        (track,) of a measured centre.
    way_um, variance_um2
        What the bank expects from where the track is: (track, horizon, yx), and
        (track, horizon).
    ahead_s
        (horizon,).
    """
    moved = np.diff(past[:, :, Y : X + 1], axis=1)
    known: NDArray[np.bool_] = np.isfinite(moved[..., 0]) & np.isfinite(moved[..., 1])
    moved = np.where(known[..., None], moved, 0.0)
    count = np.maximum(known.sum(axis=1), 1)
    square = (moved**2).sum(axis=(1, 2)) / (2 * count)
    scale = np.sqrt(square + noise_um2 + LEAST)  # (track,)
    length = np.linalg.norm(way_um[:, -1], axis=1, keepdims=True)
    along = np.where(length > LEAST, way_um[:, -1] / np.maximum(length, LEAST), [1, 0])
    relative = _turned(moved, along) / scale[:, None, None]
    lasted = np.where(known, np.diff(past[:, :, TIME], axis=1), 1.0)
    last_s = np.maximum(lasted[:, -1:], LEAST)
    steady = np.log(np.maximum(lasted, LEAST) / last_s)
    traits = np.where(known[..., None], past[:, 1:, AREA:] - past[:, -1:, AREA:], 0.0)
    traits[..., -1] = np.where(known, past[:, 1:, DEAD], 0.0) / 5
    noisy = np.log(scale / np.sqrt(noise_um2 + LEAST))
    columns = (relative, steady[..., None], np.nan_to_num(traits))
    rest = np.stack((np.tile(noisy[:, None], WINDOW), known), axis=2)
    steps = np.concatenate((*columns, rest), axis=2)
    sigma = np.sqrt(variance_um2 + LEAST)
    ways = _turned(way_um, along) / sigma[..., None]
    far = np.log(ahead_s / last_s) / 3
    wide = np.log(sigma / scale[:, None])
    horizon = (ways, np.stack((far, wide, np.tile(noisy[:, None], far.shape[1])), 2))
    return Tokens(
        np.clip(steps, -8, 8).astype(np.float32),
        known,
        np.clip(np.concatenate(horizon, axis=2), -8, 8).astype(np.float32),
        along,
    )


def _turned(vector: Array, along: Array) -> Array:
    """Give (track, n, yx) as parts along and across."""
    y, x = along[:, None, 0], along[:, None, 1]
    return np.stack(
        (
            vector[..., 0] * y + vector[..., 1] * x,
            vector[..., 1] * y - vector[..., 0] * x,
        ),
        axis=2,
    )


def turned_back(parts: Array, along: Array) -> Array:
    """Give parts along and across (track, n, 2) as yx."""
    y, x = along[:, None, 0], along[:, None, 1]
    return np.stack(
        (parts[..., 0] * y - parts[..., 1] * x, parts[..., 0] * x + parts[..., 1] * y),
        axis=2,
    )
