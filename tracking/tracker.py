"""Online tracking: every cell keeps its name from frame to frame.

Prediction by a persistent random walk, sparse gate and costs, exact assignment, then a
Kalman update. The state is a struct of arrays, one row a track. Names are
deterministic: they depend neither on the order of the detections nor on their labels.

A frame that is not later than the last one updates nothing: the present tracks come
back, all of them unseen.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Cells, CellState, FrameInfo, Segmented, Tracks
from configs.schema import Tracking
from tracking.assignment import UNMATCHED, assign
from tracking.costs import Bodies, find_candidates
from tracking.motion import motion_of

GATE_SIGMAS = 4.0
"""Measured centres differ by less than this many standard deviations."""
GIVE_UP = 28.0
"""Price of leaving a track unseen: -2 log(P(missed) x new cells per um2), for 2 %
missed and 1e-5 new cells per um2 and frame."""
AREA_MEMORY = 0.3
"""Share of the newest area in the area of a track."""


@dataclass(slots=True)
class _Rows:
    """The tracks, confirmed ones first and by id, then the new ones by age."""

    track_id: NDArray[np.int64]  # 0 until confirmed
    label: NDArray[np.int32]
    centre_um: NDArray[np.float64]  # (row, yx)
    velocity_um_per_s: NDArray[np.float64]  # (row, yx)
    variance: NDArray[np.float64]  # (row, 3) of position, mixed, of velocity
    log_area: NDArray[np.float64]
    whole: NDArray[np.bool_]
    seen: NDArray[np.int32]
    missed: NDArray[np.int32]
    unseen_s: NDArray[np.float64]

    def take(self, rows: NDArray[Any]) -> "_Rows":
        """Give the chosen rows."""
        return _Rows(*(getattr(self, field.name)[rows] for field in fields(self)))

    def join(self, other: "_Rows") -> "_Rows":
        """Give these rows and then the others."""
        pairs = (
            (getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
        )
        return _Rows(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, slots=True)
class _Found:
    """The detections of one frame that can be tracked, from top to bottom."""

    label: NDArray[np.int32]
    bodies: Bodies


class Tracker:
    """Follows the cells of one stage position.

    Parameters
    ----------
    settings
        The section ``[tracking]``.
    ids
        Source of new names; share one among positions to keep names unique in a run.
    """

    def __init__(self, settings: Tracking, ids: Iterator[int] | None = None) -> None:
        self._settings = settings
        self._motion = motion_of(settings)
        self._ids = itertools.count(1) if ids is None else ids
        self._noise_um2 = settings.localisation_um**2
        self._max_speed_um_per_s = settings.max_speed_um_per_min / 60
        self._rows = self._born(_find(None))
        self._time_s: float | None = None

    def update(self, segmented: Segmented) -> Tracks:
        """Take one frame and give the tracks that are alive after it."""
        info = segmented.info
        if self._time_s is not None and info.time_s <= self._time_s:
            self._rows.label = np.zeros_like(self._rows.label)
            return self.present()
        found = _find(segmented.cells)
        first = self._time_s is None
        if not first:
            self._predict(info.time_s - (self._time_s or 0.0))
        detection = self._match(found)
        self._correct(found, detection)
        self._end(info, segmented.labels.shape)
        free = np.ones(found.label.size, np.bool_)
        free[detection[detection != UNMATCHED]] = False
        self._rows = self._rows.join(self._born(found, free))
        self._confirm(1 if first else self._settings.confirm_frames)
        self._time_s = info.time_s
        return self.present()

    def present(self) -> Tracks:
        """Give the tracks that are alive now, by id."""
        rows = self._rows.take(self._rows.track_id > 0)
        count = rows.track_id.size
        return Tracks(
            track_id=rows.track_id,
            label=rows.label,
            centre_um=rows.centre_um,
            velocity_um_per_s=rows.velocity_um_per_s,
            radius_um=np.sqrt(np.exp(rows.log_area) / np.pi).astype(np.float32),
            age_frames=rows.seen,
            missed_frames=rows.missed,
            dead_probability=np.zeros(count, np.float32),
            state=np.full(count, CellState.LIVE, np.uint8),
            unsure=np.ones(count, np.bool_),
            parent=np.zeros(count, np.int64),
            merged_with=np.zeros(count, np.int64),
            quality=np.ones(count, np.float32),
            provisional=rows.seen < self._settings.confirm_frames,
        )

    def _predict(self, step_s: float) -> None:
        rows = self._rows
        left, path_s = self._motion.decay(step_s)
        position, mixed, velocity = self._motion.noise(step_s)
        rows.centre_um = rows.centre_um + path_s * rows.velocity_um_per_s
        rows.velocity_um_per_s = left * rows.velocity_um_per_s
        was = rows.variance
        rows.variance = np.stack(
            (
                was[:, 0] + 2 * path_s * was[:, 1] + path_s**2 * was[:, 2] + position,
                left * (was[:, 1] + path_s * was[:, 2]) + mixed,
                left**2 * was[:, 2] + velocity,
            ),
            axis=1,
        )
        rows.unseen_s = rows.unseen_s + step_s

    def _match(self, found: _Found) -> NDArray[np.int64]:
        rows = self._rows
        variance_um2 = rows.variance[:, 0] + self._noise_um2
        gate_um = (
            GATE_SIGMAS * self._settings.localisation_um
            + self._max_speed_um_per_s * rows.unseen_s
        )
        candidates = find_candidates(
            Bodies(rows.centre_um, rows.log_area, rows.whole),
            variance_um2,
            gate_um,
            found.bodies,
            self._settings.size_weight,
        )
        return assign(
            candidates.first,
            candidates.detection,
            candidates.cost,
            found.label.size,
            GIVE_UP,
        )

    def _correct(self, found: _Found, detection: NDArray[np.int64]) -> None:
        rows = self._rows
        hit = detection != UNMATCHED
        at = detection[hit]
        rows.missed = np.where(hit, 0, rows.missed + 1).astype(np.int32)
        rows.seen = rows.seen + hit.astype(np.int32)
        rows.unseen_s = np.where(hit, 0.0, rows.unseen_s)
        rows.label = np.zeros_like(rows.label)
        rows.label[hit] = found.label[at]

        was = rows.variance[hit]
        gain = was[:, :2] / (was[:, :1] + self._noise_um2)
        surprise_um = found.bodies.centre_um[at] - rows.centre_um[hit]
        rows.centre_um[hit] += gain[:, :1] * surprise_um
        rows.velocity_um_per_s[hit] += gain[:, 1:] * surprise_um
        rows.variance[hit] = np.stack(
            (
                (1 - gain[:, 0]) * was[:, 0],
                (1 - gain[:, 0]) * was[:, 1],
                was[:, 2] - gain[:, 1] * was[:, 1],
            ),
            axis=1,
        )
        change = found.bodies.log_area[at] - rows.log_area[hit]
        rows.log_area[hit] += AREA_MEMORY * change
        rows.whole[hit] = found.bodies.whole[at]

    def _end(self, info: FrameInfo, shape: tuple[int, ...]) -> None:
        # Ends: unseen for too long, unseen before it was believed, or out of the field.
        rows = self._rows
        half_um = np.array(shape) * info.pixel_size_um / 2
        away_um = np.abs(rows.centre_um - np.array(info.stage_yx_um))
        coasting = (
            (rows.missed <= self._settings.memory_frames)
            & (rows.track_id > 0)
            & (away_um <= half_um).all(axis=1)
        )
        self._rows = rows.take((rows.missed == 0) | coasting)

    def _born(self, found: _Found, chosen: Any = slice(None)) -> _Rows:
        label = found.label[chosen]
        count = label.size
        velocity_variance = self._motion.speed_um_per_s**2
        return _Rows(
            track_id=np.zeros(count, np.int64),
            label=label.copy(),
            centre_um=found.bodies.centre_um[chosen].copy(),
            velocity_um_per_s=np.zeros((count, 2)),
            variance=np.tile([self._noise_um2, 0.0, velocity_variance], (count, 1)),
            log_area=found.bodies.log_area[chosen].copy(),
            whole=found.bodies.whole[chosen].copy(),
            seen=np.ones(count, np.int32),
            missed=np.zeros(count, np.int32),
            unseen_s=np.zeros(count),
        )

    def _confirm(self, frames: int) -> None:
        # New names go to the end, so confirmed rows stay ordered by id.
        rows = self._rows
        ready = np.flatnonzero((rows.track_id == 0) & (rows.seen >= frames))
        for row in ready:
            rows.track_id[row] = next(self._ids)
        if ready.size:
            order = np.where(rows.track_id > 0, rows.track_id, np.iinfo(np.int64).max)
            self._rows = rows.take(np.argsort(order, kind="stable"))


def _find(cells: Cells | None) -> _Found:
    if cells is None:
        empty = Bodies(np.empty((0, 2)), np.empty(0), np.empty(0, np.bool_))
        return _Found(np.empty(0, np.int32), empty)
    usable = np.isfinite(cells.centre_um).all(axis=1) & (cells.area_um2 > 0)
    order = np.lexsort((cells.centre_um[:, 1], cells.centre_um[:, 0]))
    order = order[usable[order]]
    return _Found(
        label=cells.label[order],
        bodies=Bodies(
            centre_um=cells.centre_um[order],
            log_area=np.log(cells.area_um2[order].astype(np.float64)),
            whole=~cells.touches_edge[order],
        ),
    )
