"""What was said about the last frames, looked at again with what came after.

Three things, none of them a silent rewrite: every track's place of a few frames ago,
smoothed exactly at a fixed lag (`tracking.revisions.window`); contacts that are over,
solved in the background with who-is-who (`tracking.revisions.episodes`,
`tracking.revisions.solver`); and revisions, records that name the track, the frames,
and what was and is now held to be true. Tracks that were given out stay as they were.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Cells, FrameInfo, Refined, Revision, Tracks
from configs.schema import Refine, Tracking
from tracking.revisions.episodes import LOOKS, EpisodeLog, Moment
from tracking.revisions.robust import Rules, Walls
from tracking.revisions.roughness import ASSUMED
from tracking.revisions.solver import PATIENCE_S, Answer, EpisodeSolver, Job
from tracking.revisions.window import Final, Sighting, Window

ANSWER_AFTER = 3
"""Answers are taken no sooner than so many frames after the contact was over, so that
a run that waits for them is the same on every machine."""
WORTH_SAYING_SIGMAS = 2.0
"""A course is revised if a place moves by more than so many deviations of a centre."""


def rules_of(tracking: Tracking) -> Rules:
    """Give what courses may do from the section ``[tracking]``.

    A contact is too short to learn a smoothness from: there ``auto`` is the usual one.
    """
    smoothness = tracking.refine.smoothness
    return Rules(
        lam=ASSUMED if smoothness == "auto" else smoothness,
        noise_um=tracking.localisation_um,
        max_speed_um_per_s=tracking.max_speed_um_per_min / 60,
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    due: int  # number of the frame that takes the answer
    job: Job


class Refiner:
    """Looks back at the tracks of one stage position.

    Parameters
    ----------
    tracking
        The section ``[tracking]``.
    solver
        Solves contacts in the background; share one among positions.
    ids
        Source of revision ids; share one among positions.
    """

    def __init__(
        self,
        tracking: Tracking,
        solver: EpisodeSolver,
        ids: Iterator[int] | None = None,
    ) -> None:
        self._settings: Refine = tracking.refine
        self._rules = rules_of(tracking)
        self._solver = solver
        self._ids = itertools.count(1) if ids is None else ids
        noise_um = tracking.localisation_um
        wanted = tracking.refine.smoothness
        lam = None if wanted == "auto" else wanted
        self._window = Window(tracking.lag_frames, lam, noise_um)
        self._episodes = EpisodeLog()
        self._waiting: deque[_Waiting] = deque()
        self._crowded = 0
        self._frames = 0
        self._time_s = -np.inf

    @property
    def smoothness(self) -> float:
        """Weight of the smoothness of courses, as set or as learnt until now."""
        return self._window.smoothness

    @property
    def is_smoothness_assumed(self) -> bool:
        """Whether the weight was to be learnt, and too little was seen for it."""
        return self._window.is_assumed

    @property
    def left_out(self) -> int:
        """Contacts not looked at again: too large, too long, or too many at once."""
        return self._episodes.left_out + self._crowded

    def update(
        self, info: FrameInfo, shape: tuple[int, ...], cells: Cells, tracks: Tracks
    ) -> tuple[Refined | None, tuple[Revision, ...]]:
        """Take one analysed frame; give what became final, and what is revised.

        A frame that is not later than the last one is passed over.
        """
        if info.time_s <= self._time_s:
            return None, ()
        self._time_s = info.time_s
        self._frames += 1
        moment = observe(info, cells, tracks)
        final = self._window.push(moment.sighting)
        if self._settings.contacts:
            pairs = pairs_in_contact(cells, tracks)
            walls_um = field_of(info, shape)
            for closed in self._episodes.update(moment, pairs):
                job = self._solver.submit(closed, walls_um)
                self._crowded += job is None
                if job is not None:
                    self._waiting.append(_Waiting(self._frames + ANSWER_AFTER, job))
        return _refined(final), self._answers(info)

    def finish(self, info: FrameInfo) -> tuple[Revision, ...]:
        """Give the revisions that are still waited for, at the end of a run."""
        self._frames += ANSWER_AFTER
        return self._answers(info)

    def _answers(self, info: FrameInfo) -> tuple[Revision, ...]:
        """Take the answers that are there, in the order in which they were asked."""
        said: list[Revision] = []
        while self._waiting and self._waiting[0].due <= self._frames:
            job = self._waiting[0].job
            if self._solver.patient:
                job.finished.wait(PATIENCE_S)
            if not job.finished.is_set():
                break
            self._waiting.popleft()
            if job.answer is not None:
                said += self._revise(info, job.answer)
        return tuple(said)

    def _revise(self, info: FrameInfo, answer: Answer) -> Iterator[Revision]:
        """Give names that are exchanged, then the courses that moved, by track."""
        episode = answer.episode
        _, stop = episode.hidden
        names = episode.track_id
        for row, later in enumerate(answer.order):
            if later != row:
                since = int(episode.sequence[stop])
                about = _About("name", int(names[later]), int(names[row]), (since,))
                yield self._say(info, about, answer)
        now_um = answer.places_um.copy()  # by the names that were given out
        now_um[list(answer.order), stop:] = answer.places_um[:, stop:]
        least_um = WORTH_SAYING_SIGMAS * self._rules.noise_um
        for row, track in enumerate(names.tolist()):
            moved_um = np.linalg.norm(now_um[row] - episode.said_um[row], axis=1)
            at = np.flatnonzero(moved_um > least_um)
            if at.size:
                frames = tuple(episode.sequence[at].tolist())
                places = episode.said_um[row, at], now_um[row, at]
                yield self._say(
                    info, _About("course", track, track, frames), answer, places
                )

    def _say(
        self,
        info: FrameInfo,
        about: "_About",
        answer: Answer,
        places: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> Revision:
        old_um, new_um = (np.empty((0, 2)),) * 2 if places is None else places
        return Revision(
            revision_id=next(self._ids),
            kind=about.kind,
            sequence=info.sequence,
            time_s=info.time_s,
            position=info.position,
            track=about.track,
            name=about.name,
            frames=about.frames,
            old_um=_pairs(old_um),
            new_um=_pairs(new_um),
            gain=answer.gain,
            method=answer.method,
        )


def tell_exchanges(
    info: FrameInfo, pairs: tuple[tuple[int, int], ...], ids: Iterator[int]
) -> tuple[Revision, ...]:
    """Give the records of names that the tracker exchanged with this frame."""
    return tuple(
        Revision(
            revision_id=next(ids),
            kind="exchange",
            sequence=info.sequence,
            time_s=info.time_s,
            position=info.position,
            track=one,
            name=other,
            frames=(info.sequence,),
            old_um=(),
            new_um=(),
            gain=0.0,
            method="looks",
        )
        for one, other in pairs
    )


@dataclass(frozen=True, slots=True)
class _About:
    kind: Literal["course", "name"]
    track: int
    name: int
    frames: tuple[int, ...]


def warm_up(rules: Rules) -> None:
    """Compile what looks back, on a made-up cell."""
    window = Window(2, rules.lam, rules.noise_um)
    for frame in range(4):
        centre_um, seen = np.full((1, 2), frame / 2), np.ones(1, np.bool_)
        ids = np.ones(1, np.int64)
        window.push(Sighting(frame, float(frame), ids, centre_um, seen))


def observe(info: FrameInfo, cells: Cells, tracks: Tracks) -> Moment:
    """Give what was measured of every track in a frame.

    A blob that several share is no measurement of any of them.
    """
    shared = tracks.merged_with > 0
    shared |= np.isin(tracks.track_id, tracks.merged_with[shared])
    row = np.searchsorted(cells.label, tracks.label)
    own = np.flatnonzero((tracks.label > 0) & ~shared & (row < cells.label.size))
    own = own[cells.label[row[own]] == tracks.label[own]]
    own = own[np.isfinite(cells.centre_um[row[own]]).all(axis=1)]
    seen = np.zeros(tracks.track_id.size, np.bool_)
    seen[own] = True
    centre_um = np.nan_to_num(tracks.centre_um)
    centre_um[own] = cells.centre_um[row[own]]
    look = np.full((seen.size, LOOKS), np.nan)
    whole = own[~cells.touches_edge[row[own]]]
    look[whole] = _looks(cells)[row[whole]]
    sighting = Sighting(info.sequence, info.time_s, tracks.track_id, centre_um, seen)
    return Moment(sighting, tracks.centre_um, look)


def _looks(cells: Cells) -> NDArray[np.float64]:
    """Give what the cells look like, whatever their place: (cell, LOOKS)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = (
            np.log(cells.area_um2),
            np.log(cells.dry_mass_pg),
            cells.mean_phase_rad,
            np.log(cells.axes_um[:, 0] / cells.axes_um[:, 1]),
        )
    looks = np.stack(columns, axis=1).astype(np.float64)
    looks[~np.isfinite(looks)] = np.nan  # without phase there is no mass
    return looks


def pairs_in_contact(cells: Cells, tracks: Tracks) -> NDArray[np.int64]:
    """Give the tracks that touch or share a blob: (pair, 2)."""
    rides = np.flatnonzero(tracks.merged_with > 0)
    fused = np.stack((tracks.track_id[rides], tracks.merged_with[rides]), axis=1)
    own = np.flatnonzero((tracks.label > 0) & (tracks.merged_with == 0))
    own = own[np.argsort(tracks.label[own], kind="stable")]
    label = tracks.label[own]
    touching = cells.touching.reshape(-1, 2)
    at = np.searchsorted(label, touching)
    known = np.flatnonzero((at < label.size).all(axis=1))
    known = known[(label[at[known]] == touching[known]).all(axis=1)]
    met = tracks.track_id[own][at[known]].reshape(-1, 2)
    pairs: NDArray[np.int64] = np.concatenate((fused, met)).astype(np.int64)
    return pairs


def field_of(info: FrameInfo, shape: tuple[int, ...]) -> Walls:
    """Give the field of view as (y0, x0, y1, x1) in um: no centre lies outside."""
    y_um, x_um = info.stage_yx_um
    height_um, width_um = (edge * info.pixel_size_um / 2 for edge in shape)
    return y_um - height_um, x_um - width_um, y_um + height_um, x_um + width_um


def _refined(final: Final | None) -> Refined | None:
    if final is None:
        return None
    return Refined(
        sequence=final.sequence,
        track_id=final.track_id,
        centre_um=final.centre_um,
        filled=final.filled,
        doubtful=final.doubtful,
    )


def _pairs(places_um: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    return tuple((float(y), float(x)) for y, x in np.round(places_um, 3))
