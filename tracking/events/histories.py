"""What every track looked like over the last hours, in bins of five minutes.

A bin holds the mean of its frames, so a run at twenty seconds a frame and one at five
minutes give the same kind of history. What was not seen, the sizes of what the border
cuts, and what lies in one mask with another cell are not known (NaN).
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Cells, Segmented, Tracks

BIN_S = 300.0
BINS = 48
"""Length of the memory."""
CHANNELS = ("logit", "mass", "area", "phase", "elongation")
"""Log odds of the network, logarithms of dry mass and area, mean phase in rad, and the
logarithm of the ratio of the axes."""
SIZES = ("mass", "area", "elongation")
"""What is not known of a cell that the border cuts."""
SMALLEST_PROBABILITY = 1e-4
WINDOWS = ((-30, -12), (-12, -6), (-6, -3), (-3, 0), (0, 3), (3, 6))
"""Half-open, in bins from the bin that is judged; the nearest before it is compared
with all others."""
BEFORE = 3
"""That window."""
YOUNG_BINS = 36
"""For so long the age of a cell that was born in the run tells something."""


@dataclass(slots=True)
class _Rows:
    track_id: NDArray[np.int64]
    total: NDArray[np.float64]  # (track, bin, channel) newest bin last
    count: NDArray[np.int32]  # (track, bin, channel)
    age: NDArray[np.int32]  # (track,) bins since birth, `YOUNG_BINS` where unknown


class Histories:
    """The histories of the tracks of one stage position, ordered by id."""

    def __init__(self) -> None:
        self._rows = _blank(np.empty(0, np.int64), YOUNG_BINS)
        self._bin: int | None = None

    @property
    def track_id(self) -> NDArray[np.int64]:
        """The tracks that have a history."""
        return self._rows.track_id

    def update(self, segmented: Segmented, tracks: Tracks) -> int:
        """Take one frame; gives how many bins have begun since the frame before.

        A frame of no time (NaN or infinite) belongs to no bin, and changes nothing.
        """
        if not np.isfinite(segmented.info.time_s):
            return 0
        now = int(segmented.info.time_s // BIN_S)
        first = self._bin is None
        steps = 1 if self._bin is None else now - self._bin
        self._bin = now
        age = YOUNG_BINS if first else 0
        self._rows = follow(self._rows, _blank(tracks.track_id, age))
        self._shift(0 if first else steps)
        alone = (tracks.label > 0) & ~shares_blob(tracks)
        rows = np.flatnonzero(alone)
        cells = np.searchsorted(segmented.cells.label, tracks.label[rows])
        value = look_of(segmented.cells, cells)  # (row, channel)
        known = np.isfinite(value)
        self._rows.total[rows, -1] += np.where(known, value, 0.0)
        self._rows.count[rows, -1] += known
        return steps

    def features(self, ahead: int) -> NDArray[np.float64]:
        """Describe what changed at the bin so many bins before the end of the newest.

        Parameters
        ----------
        ahead
            Bins from the judged one to the newest, both included; at least 1.

        Returns
        -------
        (track, feature), NaN-free: what is not known has not changed. The features are
        named by `feature_names`.
        """
        mean = self._means()
        at = BINS - ahead
        medians = np.stack(
            [_median(mean[:, max(at + a, 0) : max(at + b, 0)]) for a, b in WINDOWS], 1
        )  # (track, window, channel)
        here = mean[:, at]
        before = medians[:, BEFORE]
        before = np.where(np.isnan(before), medians[:, BEFORE - 1], before)
        before = np.where(np.isnan(before), here, before)
        others = np.delete(medians, BEFORE, axis=1) - before[:, None]
        jump = here - mean[:, at - 1]
        columns = [
            others.reshape(len(mean), (len(WINDOWS) - 1) * len(CHANNELS)),
            jump,
            before,
            np.nan_to_num(medians[:, :, 0], nan=0.0),
            np.minimum(self._rows.age, YOUNG_BINS)[:, None],
        ]
        return np.nan_to_num(np.concatenate(columns, axis=1), nan=0.0)

    def newest(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the newest look, and the median of the three bins before it.

        Both (track, channel), NaN where not known.
        """
        mean = self._means()[:, -4:]
        return mean[:, -1], _median(mean[:, :-1])

    def known_now(self) -> NDArray[np.bool_]:
        """Say which tracks (track,) the newest bin knows."""
        return np.asarray(self._rows.count[:, -1, 0] > 0)

    def known_before(self, ahead: int) -> NDArray[np.int64]:
        """Count the known bins (track,) before the one that `features` judges."""
        known = self._rows.count[:, : BINS - ahead, 0] > 0
        return np.asarray(known.sum(axis=1), np.int64)

    def _means(self) -> NDArray[np.float64]:
        count = self._rows.count
        with np.errstate(invalid="ignore"):
            return np.where(count > 0, self._rows.total / count, np.nan)

    def _shift(self, bins: int) -> None:
        rows = self._rows
        rows.age += bins
        if bins <= 0:
            return
        keep = max(BINS - bins, 0)
        for name in ("total", "count"):
            old = getattr(rows, name)
            new = np.zeros_like(old)
            new[:, :keep] = old[:, BINS - keep :]
            setattr(rows, name, new)


def feature_names() -> tuple[str, ...]:
    """Name the columns of `Histories.features`."""
    others = [one for n, one in enumerate(WINDOWS) if n != BEFORE]
    changes = [f"{name} {a}..{b}" for a, b in others for name in CHANNELS]
    jumps = [f"{name} jump" for name in CHANNELS]
    levels = [f"{name} before" for name in CHANNELS]
    logits = [f"logit level {a}..{b}" for a, b in WINDOWS]
    return (*changes, *jumps, *levels, *logits, "age")


def look_of(cells: Cells, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the look (row, channel) of some cells; NaN where it is not known."""
    probability = np.clip(
        cells.dead_probability[rows].astype(np.float64),
        SMALLEST_PROBABILITY,
        1 - SMALLEST_PROBABILITY,
    )
    axes_um = cells.axes_um[rows].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        look = np.stack(
            (
                np.log(probability / (1 - probability)),
                np.log(cells.dry_mass_pg[rows].astype(np.float64)),
                np.log(cells.area_um2[rows].astype(np.float64)),
                cells.mean_phase_rad[rows].astype(np.float64),
                np.log(axes_um[:, 0] / axes_um[:, 1]),
            ),
            axis=1,
        )
    look[~np.isfinite(look)] = np.nan
    # Of a cell that the border cuts, only what is visible can be judged.
    cut = np.ix_(cells.touches_edge[rows], np.isin(CHANNELS, SIZES))
    look[cut] = np.nan
    return look


def shares_blob(tracks: Tracks) -> NDArray[np.bool_]:
    """Say which tracks lie in one mask with another, as carrier or as rider."""
    riding = tracks.merged_with > 0
    carries = np.isin(tracks.track_id, tracks.merged_with[riding])
    return np.asarray(riding | carries)


def follow(old: Any, new: Any) -> Any:
    """Carry the rows of tracks that go on over into blank rows of the present ones.

    Both are dataclasses of columns with one ``track_id``, ascending. Where no track has
    come or gone the old rows are given back as they are.
    """
    if np.array_equal(old.track_id, new.track_id):
        return old
    _, before, now = np.intersect1d(
        old.track_id, new.track_id, assume_unique=True, return_indices=True
    )
    for field in fields(new):
        getattr(new, field.name)[now] = getattr(old, field.name)[before]
    return new


def _blank(track_id: NDArray[np.int64], age: int) -> _Rows:
    shape = (track_id.size, BINS, len(CHANNELS))
    ages = np.full(track_id.size, age, np.int32)
    return _Rows(track_id, np.zeros(shape), np.zeros(shape, np.int32), ages)


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the lower median (track, channel) of the known bins; NaN without any."""
    tracks, bins, channels = values.shape
    if bins == 0:
        return np.full((tracks, channels), np.nan)
    ordered = np.sort(values, axis=1)  # what is not known goes to the end
    known = np.isfinite(ordered).sum(axis=1)
    at = np.maximum(known - 1, 0) // 2
    middle = np.take_along_axis(ordered, at[:, None], axis=1)[:, 0]
    return np.asarray(middle)
