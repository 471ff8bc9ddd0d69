"""What every track looked like over the last hours, in bins of five minutes.

A bin holds the mean of its frames, so a run at twenty seconds a frame and one at five
minutes give the same kind of history. What was not seen, the sizes of what the border
cuts, and what lies in one mask with another cell are not known (NaN). Beside the looks
stand the way from bin to bin, for the dead lie still where others move, and whether
others were touched, for masks of cells in touch are less exact.
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
TRACES = (*CHANNELS, "step", "touch")
"""What features are made of: the looks, the logarithm of the way since the bin before
beside that of the other cells, and the share of frames in which another was touched."""
SIZES = ("mass", "area", "elongation")
"""What is not known of a cell that the border cuts."""
SMALLEST_PROBABILITY = 1e-4
SMALLEST_STEP_UM = 0.2
"""Added to a way before the logarithm: so exactly a centre is known."""
WINDOWS = ((-30, -12), (-12, -6), (-6, -3), (-3, 0), (0, 3), (3, 6), (6, 12))
"""Half-open, in bins from the bin that is judged; the nearest before it is compared
with all others."""
BEFORE = 3
"""That window."""
YOUNG_BINS = 36
"""For so long the age of a cell that was born in the run tells something."""
NOISY = ("logit", "mass")
"""Of these it matters how much they change from bin to bin anyway ..."""
NOISE_BINS = 12
"""... in so many bins before the judged one ..."""
SMALLEST_NOISE = 0.003
"""... and not less than this."""
_PLACE = slice(len(CHANNELS), len(CHANNELS) + 2)
_TOUCH = len(CHANNELS) + 2


@dataclass(slots=True)
class _Rows:
    track_id: NDArray[np.int64]
    total: NDArray[np.float64]  # (track, bin, value) newest last: looks, y, x, touch
    count: NDArray[np.int32]  # (track, bin, value)
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
        value = _values_of(segmented.cells, cells)
        known = np.isfinite(value)
        self._rows.total[rows, -1] += np.where(known, value, 0.0)
        self._rows.count[rows, -1] += known
        return steps

    def features(self, *aheads: int) -> list[NDArray[np.float64]]:
        """Describe what changed at bins so many before the end of the newest.

        Parameters
        ----------
        aheads
            Bins from a judged one to the newest, both included; at least 1.

        Returns
        -------
        For each of them (track, feature), NaN-free: what is not known has not changed.
        The features are named by `feature_names`.
        """
        traces = self._traces()
        return [self._describe(traces, BINS - ahead) for ahead in aheads]

    def _describe(self, traces: NDArray[np.float64], at: int) -> NDArray[np.float64]:
        medians = np.stack(
            [_median(traces[:, max(at + a, 0) : max(at + b, 0)]) for a, b in WINDOWS], 1
        )  # (track, window, trace)
        here = traces[:, at]
        before = medians[:, BEFORE]
        before = np.where(np.isnan(before), medians[:, BEFORE - 1], before)
        before = np.where(np.isnan(before), here, before)
        others = np.delete(medians, BEFORE, axis=1) - before[:, None]
        known = self._rows.count[:, :, 0] > 0
        columns = [
            others.reshape(len(traces), (len(WINDOWS) - 1) * len(TRACES)),
            here - before,
            here - traces[:, at - 1],
            before,
            medians[:, :, 0],
            np.log1p(np.minimum(known[:, :at].sum(axis=1), YOUNG_BINS))[:, None],
            np.log1p(known[:, at + 1 : at + NOISE_BINS].sum(axis=1))[:, None],
            np.minimum(self._rows.age, YOUNG_BINS)[:, None],
            np.log(_restlessness(traces[:, :at]) + SMALLEST_NOISE),
        ]
        return np.nan_to_num(np.concatenate(columns, axis=1), nan=0.0)

    def newest(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the newest look, and the median of the three bins before it.

        Both (track, channel), NaN where not known.
        """
        mean = self._means(4)[:, :, : len(CHANNELS)]
        return mean[:, -1], _median(mean[:, :-1])

    def known(self, ahead: int = 1) -> NDArray[np.bool_]:
        """Say which tracks (track,) the bin knows that `features` judges."""
        return np.asarray(self._rows.count[:, BINS - ahead, 0] > 0)

    def known_before(self, ahead: int) -> NDArray[np.int64]:
        """Count the known bins (track,) before the one that `features` judges."""
        known = self._rows.count[:, : BINS - ahead, 0] > 0
        return np.asarray(known.sum(axis=1), np.int64)

    def _means(self, last: int = BINS) -> NDArray[np.float64]:
        """Give the mean (track, bin, value) of the last bins, NaN where not known."""
        total, count = self._rows.total[:, -last:], self._rows.count[:, -last:]
        mean = np.full(total.shape, np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        return mean

    def _traces(self) -> NDArray[np.float64]:
        """Give the traces (track, bin, trace), NaN where not known."""
        mean = self._means()
        way_um = np.diff(mean[:, :, _PLACE], axis=1)
        way_um -= _median(way_um.transpose(1, 0, 2))  # the field as a whole
        step = np.full((*mean.shape[:2], 1), np.nan)
        step[:, 1:, 0] = np.log(SMALLEST_STEP_UM + np.hypot(*np.moveaxis(way_um, 2, 0)))
        # Cells of a quiet line lie still and live: only among others does it tell.
        step -= _median(step.transpose(1, 0, 2))
        looks, touch = mean[:, :, : len(CHANNELS)], mean[:, :, _TOUCH:]
        return np.concatenate((looks, step, touch), axis=2)

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
    changes = [f"{name} {a}..{b}" for a, b in others for name in TRACES]
    here = [f"{name} here" for name in TRACES]
    jumps = [f"{name} jump" for name in TRACES]
    levels = [f"{name} before" for name in TRACES]
    logits = [f"logit level {a}..{b}" for a, b in WINDOWS]
    noise = [f"{name} noise" for name in NOISY]
    counts = ["known before", "known after", "age"]
    return (*changes, *here, *jumps, *levels, *logits, *counts, *noise)


def _values_of(cells: Cells, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give look, place and touch (row, value) of some cells."""
    touch = np.isin(cells.label[rows], cells.touching)
    return np.column_stack((look_of(cells, rows), cells.centre_um[rows], touch))


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
    shape = (track_id.size, BINS, _TOUCH + 1)
    ages = np.full(track_id.size, age, np.int32)
    return _Rows(track_id, np.zeros(shape), np.zeros(shape, np.int32), ages)


def _restlessness(traces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the median change (track, of `NOISY`) from bin to bin; NaN: not known."""
    columns = [TRACES.index(name) for name in NOISY]
    return _median(np.abs(np.diff(traces[:, -NOISE_BINS:, columns], axis=1)))


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
