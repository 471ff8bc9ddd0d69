"""What the network sees of every track: its last five steps, and what the bank expects.

All lengths are relative: steps to the usual step of the cell, ways to the deviation of
the bank; and every cell looks along its expected way. So a network that was trained on
some cells can be shown any others, in any unit and direction.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import Cells, Tracks

WINDOW = 5
"""Steps that are seen, as in the paper on irradiated cells."""
STEP_FEATURES = 8
AHEAD_FEATURES = 5
TIME, Y, X, AREA, MASS, DEAD = range(6)
LEAST = 1e-6
WIDEST = 8.0
"""Features are bounded by this."""

Array = NDArray[np.float64]


class Tokens(NamedTuple):
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
    count, ahead = variance_um2.shape
    tokens = Tokens(
        np.empty((count, WINDOW, STEP_FEATURES), np.float32),
        np.empty((count, WINDOW), np.bool_),
        np.empty((count, ahead, AHEAD_FEATURES), np.float32),
        np.empty((count, 2)),
    )
    fill_tokens(past, noise_um2, way_um, variance_um2, ahead_s, tokens)
    for features in (tokens.steps, tokens.ahead):
        np.clip(features, -WIDEST, WIDEST, out=features)
    return tokens


@njit(nogil=True, cache=True)
def fill_tokens(  # noqa: PLR0915 (fused kernel, steps in the docstring)
    past: Array,
    noise_um2: Array,
    way_um: Array,
    variance_um2: Array,
    ahead_s: Array,
    tokens: Tokens,
) -> None:
    """Fill the tokens, whose shapes are those of `make_tokens`.

    Steps for each track: which steps are known, and the usual one; the direction of
    the farthest way; the features of every step (along and across in usual steps, how
    long it lasted, area, mass, log odds of death, noise, known); those of every horizon
    (way along and across in deviations, how far, how wide, noise). What is not known
    is 0.
    """
    steps, known, ahead, along = tokens
    for row in range(len(past)):
        seen = past[row]
        square, count = 0.0, 0
        for step in range(WINDOW):
            moved_y = seen[step + 1, Y] - seen[step, Y]
            moved_x = seen[step + 1, X] - seen[step, X]
            known[row, step] = math.isfinite(moved_y) and math.isfinite(moved_x)
            if known[row, step]:
                square += moved_y**2 + moved_x**2
                count += 1
        scale = math.sqrt(square / (2 * max(count, 1)) + noise_um2[row] + LEAST)
        noisy = math.log(scale / math.sqrt(noise_um2[row] + LEAST))
        y, x = way_um[row, -1, 0], way_um[row, -1, 1]
        length = math.hypot(y, x)
        y, x = (y / length, x / length) if length > LEAST else (1.0, 0.0)
        along[row, 0], along[row, 1] = y, x
        last_s = 1.0
        if known[row, -1]:
            last_s = max(seen[-1, TIME] - seen[-2, TIME], LEAST)
        steps[row] = 0.0
        for step in range(WINDOW):
            if known[row, step]:
                now, before = seen[step + 1], seen[step]
                features = steps[row, step]
                moved_y, moved_x = now[Y] - before[Y], now[X] - before[X]
                features[0] = (moved_y * y + moved_x * x) / scale
                features[1] = (moved_x * y - moved_y * x) / scale
                features[3] = _known(now[AREA] - seen[-1, AREA])
                features[4] = _known(now[MASS] - seen[-1, MASS])
                features[5] = _known(now[DEAD] / 5)
                lasted = now[TIME] - before[TIME]
            else:
                lasted = 1.0
            steps[row, step, 2] = math.log(max(lasted, LEAST) / last_s)
            steps[row, step, 6] = noisy
            steps[row, step, 7] = known[row, step]
        for horizon in range(ahead_s.size):
            sigma = math.sqrt(variance_um2[row, horizon] + LEAST)
            way_y, way_x = way_um[row, horizon, 0], way_um[row, horizon, 1]
            features = ahead[row, horizon]
            features[0] = (way_y * y + way_x * x) / sigma
            features[1] = (way_x * y - way_y * x) / sigma
            features[2] = math.log(ahead_s[horizon] / last_s) / 3
            features[3] = math.log(sigma / scale)
            features[4] = noisy


@njit(nogil=True, cache=True, inline="always")
def _known(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def turned_back(parts: Array, along: Array) -> Array:
    """Give parts along and across (track, n, 2) as yx."""
    y, x = along[:, None, 0], along[:, None, 1]
    return np.stack(
        (parts[..., 0] * y - parts[..., 1] * x, parts[..., 0] * x + parts[..., 1] * y),
        axis=2,
    )
