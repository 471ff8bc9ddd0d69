"""Contacts that are over: who went in, and who came out.

Cells whose masks touch, or that share a blob, are in contact; together with the cells
that those touch they make a group. When all of a group have been apart for a few
frames the episode is closed, and its frames are handed over, with some before and
after.
"""

import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tracking.revisions.robust import FRAMES, MOST_CELLS
from tracking.revisions.smoothing import (
    DETECTED,
    FILLED,
    Places,
    differences,
    fill_gaps,
    smooth_course,
)
from tracking.revisions.window import Sighting

LEAD = 5
"""Frames before a contact that belong to the episode."""
APART = 5
"""Frames apart that end it; they belong to it too."""
MOST_FRAMES = FRAMES[-1]
LOOKS = 4
"""Columns of a look: logarithms of area and dry mass, mean phase, elongation."""
SAME_LOOK = np.array([0.05, 0.05, 0.05, 0.1])
"""A cell keeps its look to within these standard deviations, however often seen."""
MOST_UNLIKE = 9.0
"""No property of a look counts for more than so many variances."""
GAIN = 12.0
"""The names are exchanged if that explains the episode better by so many variances:
about 400 to 1, for the tracker saw the same frames and thought otherwise."""
MOST_BENT = 9.0
"""The courses alone count for no more: cells that meet turn round as often as not."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What an episode needs to know about one frame."""

    sighting: Sighting
    said_um: NDArray[np.float64]  # (track, yx) where the cell was said to be
    look: NDArray[np.float64]  # (track, LOOKS) NaN where the cell was not seen whole


@dataclass(frozen=True, slots=True)
class Episode:
    """One group of cells from before its contact until after it."""

    track_id: NDArray[np.int64]  # (cell,)
    sequence: NDArray[np.int64]  # (frame,)
    time_s: NDArray[np.float64]  # (frame,)
    centre_um: Places  # (cell, frame, yx) as measured
    said_um: Places  # (cell, frame, yx) as said at the time
    seen: NDArray[np.bool_]  # (cell, frame)
    look: NDArray[np.float64]  # (cell, frame, LOOKS)

    @property
    def hidden(self) -> tuple[int, int]:
        """The frames (half open) in which a cell had no outline of its own."""
        rows = np.flatnonzero(~self.seen.all(axis=0))
        return (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)


@dataclass(frozen=True, slots=True)
class Closed:
    """A group of cells whose contact is over, and its frames as they came."""

    track_id: NDArray[np.int64]  # (cell,)
    moments: tuple[Moment, ...]
    frames: int  # of the moments, from the first contact on


class EpisodeLog:
    """Watches the contacts of one stage position."""

    def __init__(self) -> None:
        self.left_out = 0  # groups too large or too long, contacts in endless ones
        self._diary: deque[Moment] = deque(maxlen=MOST_FRAMES)
        self._count = 0
        self._pair = np.empty((0, 2), np.int64)  # (pair, 2) track ids in order
        self._first = np.empty(0, np.int64)  # (pair,) number of the frame
        self._last = np.empty(0, np.int64)

    def update(self, moment: Moment, pairs: NDArray[np.int64]) -> list[Closed]:
        """Take one frame with its pairs in contact; give the episodes that closed."""
        self._diary.append(moment)
        self._count += 1
        self._note(np.unique(np.sort(pairs.reshape(-1, 2), axis=1), axis=0))
        self._forget()
        if not (self._last == self._count - APART).any():
            return []
        return self._close()

    def _note(self, pairs: NDArray[np.int64]) -> None:
        known, here = _keys(self._pair), _keys(pairs)
        self._last[np.isin(known, here)] = self._count
        new = pairs[~np.isin(here, known)]
        now = np.full(len(new), self._count)
        self._pair = np.concatenate((self._pair, new))
        self._first = np.concatenate((self._first, now))
        self._last = np.concatenate((self._last, now))

    def _forget(self) -> None:
        """Give up contacts that ended long ago, in groups that never come to an end.

        Where cells are dense a group always has a contact that goes on; it would grow
        without bound.
        """
        long_ago = self._last <= self._count - MOST_FRAMES
        if long_ago.any():
            self.left_out += int(long_ago.sum())
            self._pair, self._first = self._pair[~long_ago], self._first[~long_ago]
            self._last = self._last[~long_ago]

    def _close(self) -> list[Closed]:
        names, at = np.unique(self._pair, return_inverse=True)
        ends = at.reshape(-1, 2)
        links = (np.ones(len(ends)), (ends[:, 0], ends[:, 1]))
        graph = coo_array(links, shape=(names.size, names.size))
        _, group = connected_components(graph, directed=False)
        of_pair = group[ends[:, 0]]
        open_ones = np.unique(of_pair[self._last > self._count - APART])
        over = ~np.isin(of_pair, open_ones)
        sizes = np.bincount(group)
        closed = []
        for number in np.unique(of_pair[over]):
            frames = self._count - int(self._first[of_pair == number].min()) + 1
            fits = sizes[number] <= MOST_CELLS and frames + LEAD <= MOST_FRAMES
            self.left_out += not fits
            if fits:
                moments = tuple(self._diary)[-frames - LEAD :]
                closed.append(Closed(names[group == number], moments, frames))
        self._pair, self._first = self._pair[~over], self._first[~over]
        self._last = self._last[~over]
        return closed


def assemble(closed: Closed) -> Episode | None:
    """Put together the frames of an episode; None if it cannot be told apart.

    That is so if its cells were not all there before they touched, and ever since.
    """
    track_id, moments = closed.track_id, list(closed.moments)
    while moments and not _holds(moments[0], track_id):
        moments.pop(0)
    if len(moments) <= closed.frames:
        return None
    if not all(_holds(moment, track_id) for moment in moments):
        return None
    rows = [np.searchsorted(m.sighting.track_id, track_id) for m in moments]
    both = list(zip(moments, rows, strict=True))
    return Episode(
        track_id=track_id,
        sequence=np.array([m.sighting.sequence for m in moments]),
        time_s=np.array([m.sighting.time_s for m in moments]),
        centre_um=np.stack([m.sighting.centre_um[r] for m, r in both], axis=1),
        said_um=np.stack([m.said_um[r] for m, r in both], axis=1),
        seen=np.stack([m.sighting.seen[r] for m, r in both], axis=1),
        look=np.stack([m.look[r] for m, r in both], axis=1),
    )


def _keys(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    return pairs[:, 0] << 32 | pairs[:, 1]


def _holds(moment: Moment, track_id: NDArray[np.int64]) -> bool:
    return bool(np.isin(track_id, moment.sighting.track_id).all())


def rejoin(
    episode: Episode, lam: float, noise_um: float
) -> tuple[tuple[int, ...], float]:
    """Say who came out: for every cell before, the cell (row) whose later part it is.

    All permutations of the parts after the hidden frames are tried: smoothness of the
    whole course, and likeness of the looks before and after. Without hidden frames, or
    with a cell that was not seen on both sides, everyone stays who they were.

    Returns
    -------
    The rows, and by how much (in variances) they explain it better than no exchange.
    """
    cells = episode.track_id.size
    stay = tuple(range(cells))
    start, stop = episode.hidden
    sides = episode.seen[:, :start], episode.seen[:, stop:]
    if start == stop or min(side.sum(axis=1).min(initial=9) for side in sides) < 2:
        return stay, 0.0
    unlike = _unlikeness(episode, start, stop)
    bent = np.zeros_like(unlike)
    for pair in itertools.product(stay, stay):
        bent[pair] = _bend(episode, pair, lam) / noise_um**2
    rows = np.arange(cells)

    def gain(order: tuple[int, ...]) -> float:
        looks = unlike.trace() - unlike[rows, order].sum()
        courses = bent.trace() - bent[rows, order].sum()
        return float(looks + np.clip(courses, -MOST_BENT, MOST_BENT))

    best = max(itertools.permutations(stay), key=gain)
    return (best, gain(best)) if gain(best) > GAIN else (stay, 0.0)


def exchange(
    episode: Episode, order: tuple[int, ...]
) -> tuple[Places, NDArray[np.bool_]]:
    """Give centres and sightings with the parts after the hidden frames in order."""
    centre_um, seen = episode.centre_um.copy(), episode.seen.copy()
    _, stop = episode.hidden
    centre_um[:, stop:] = episode.centre_um[list(order), stop:]
    seen[:, stop:] = episode.seen[list(order), stop:]
    return centre_um, seen


def _unlikeness(episode: Episode, start: int, stop: int) -> NDArray[np.float64]:
    """Give how differently cells before and after look, in variances: (cell, cell)."""
    before, after = episode.look[:, :start], episode.look[:, stop:]
    means, doubts = [], []
    for part in (before, after):
        known = np.isfinite(part)
        count = known.sum(axis=1)
        mean = np.where(known, part, 0).sum(axis=1) / np.maximum(count, 1)
        spread = np.where(known, part - mean[:, None], 0) ** 2
        variance = spread.sum(axis=1) / np.maximum(count - 1, 1)
        means.append(np.where(count > 1, mean, np.nan))
        doubts.append(variance / np.maximum(count, 1))
    away = means[0][:, None] - means[1][None]
    variance = doubts[0][:, None] + doubts[1][None] + SAME_LOOK**2
    squares = np.minimum(np.nan_to_num(away) ** 2 / variance, MOST_UNLIKE)
    total: NDArray[np.float64] = squares.sum(axis=2)
    return total


def _bend(episode: Episode, rows: tuple[int, int], lam: float) -> float:
    """Give what the course costs (um2) that is one cell before and another after."""
    start, stop = episode.hidden
    before, after = rows
    centre_um = episode.centre_um[before].copy()
    centre_um[stop:] = episode.centre_um[after, stop:]
    seen = episode.seen[before].copy()
    seen[start:stop] = False
    seen[stop:] = episode.seen[after, stop:]
    course = smooth_course(episode.time_s, centre_um[None], seen[None], lam)[0]
    terms = differences(episode.time_s)
    bends = sum(
        terms[:, at : at + 1] * course[at : len(course) - 2 + at] for at in range(3)
    )
    misses = (course - centre_um)[seen]
    return float((misses**2).sum() + lam * (bends**2).sum())


def filled(
    centre_um: Places, seen: NDArray[np.bool_]
) -> tuple[Places, NDArray[np.float64]]:
    """Give places without gaps (cell, frame, yx) and their weights (cell, frame)."""
    places = centre_um.copy()
    fill_gaps(places, seen)
    return places, np.where(seen, DETECTED, FILLED)
