"""Who met: pairs that touch after they were apart, each reported once.

Two tracks touch when their masks have pixels side by side, and when they share one
mask: a merge of the tracker counts. Cells with a pixel between them touch too, but
masks of the network are too large by about that much. A touch goes on through a few
free frames, for the masks of neighbours flicker.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import Segmented, Tracks
from configs.events import ContactRule
from tracking.events.histories import follow
from tracking.linking.found import held

Pair = tuple[int, int]
MISSED_FRAMES = 2
"""A cell unseen for so long is taken to be where it was; then its count begins anew."""
ALONE_FRAMES = 3
"""Before two tracks can meet in one mask both were seen in so many masks of their own;
others are often one cell that was cut in two."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two tracks that met."""

    pair: Pair
    since_s: float
    merged: bool  # they lie in one mask


class Contacts:
    """The pairs of one stage position."""

    def __init__(self, rule: ContactRule) -> None:
        self._rule = rule
        self._runs = _blank(np.empty(0, np.int64))
        self._pairs: dict[Pair, _Pair] = {}
        self._close: dict[Pair, int] = {}  # frames since at most a pixel lay between
        self.met: set[Pair] = set()  # in the newest frame

    def update(self, segmented: Segmented, tracks: Tracks) -> list[Meeting]:
        """Take one frame and give the pairs that met."""
        merged = _merged(tracks)
        close, touching = _neighbours(segmented, tracks)
        touching |= {pair for pair in merged if self._whole(pair)}
        self._age_close(close | merged)
        time_s = segmented.info.time_s
        met = [
            Meeting(pair, self._pairs[pair].since_s, pair in merged)
            for pair in sorted(touching)
            if self._touch(pair, time_s)
        ]
        present = set(tracks.track_id[tracks.label > 0].tolist())
        self._part(touching, set(tracks.track_id.tolist()), present)
        self._count(tracks)
        self.met = {one.pair for one in met}
        return met

    def near_touch(self) -> set[Pair]:
        """Give the pairs that touch, nearly do, or were apart for too short a time."""
        lately = {pair for pair, state in self._pairs.items() if not state.armed}
        return lately | self._close.keys()

    def _age_close(self, close: set[Pair]) -> None:
        ages = {pair: age + 1 for pair, age in self._close.items()}
        ages |= dict.fromkeys(close, 0)
        last = self._rule.apart_frames
        self._close = {pair: age for pair, age in ages.items() if age < last}

    def touched(self, pair: Pair) -> int:
        """Give the frames in which a pair touched, in the touch that goes on."""
        state = self._pairs.get(pair)
        return state.touching if state is not None else 0

    def _touch(self, pair: Pair, time_s: float) -> bool:
        state = self._pairs.get(pair)
        if state is None:
            # Never touched so far: apart for as long as both are known.
            free = self._least(self._runs.frames, pair)
            state = self._pairs[pair] = _Pair(armed=free >= self._rule.apart_frames)
        state.touching += 1
        state.apart = 0
        if state.touching == 1:
            state.since_s = time_s
        if state.armed and state.touching >= self._rule.on_frames:
            state.armed = False
            return True
        return False

    def _least(self, counts: NDArray[np.int64], pair: Pair) -> int:
        """Give the smaller count of a pair, before this frame; 0 for a new track."""
        names = self._runs.track_id
        rows = np.searchsorted(names, pair)
        known = rows.max() < names.size and (names[rows] == pair).all()
        return int(counts[rows].min()) if known else 0

    def _whole(self, pair: Pair) -> bool:
        known = pair in self._pairs
        return known or self._least(self._runs.alone, pair) >= ALONE_FRAMES

    def _part(self, touching: set[Pair], alive: set[int], present: set[int]) -> None:
        # A pair of which one is unseen may be two cells in one mask: it waits.
        for pair in [pair for pair in self._pairs if pair not in touching]:
            state = self._pairs[pair]
            if not alive.issuperset(pair):
                del self._pairs[pair]
            elif present.issuperset(pair):
                state.apart += 1
                if state.apart >= self._rule.off_frames:
                    state.touching = 0
                state.armed |= state.apart >= self._rule.apart_frames

    def _count(self, tracks: Tracks) -> None:
        """Count the frames of every track for the next frame."""
        runs = self._runs = follow(self._runs, _blank(tracks.track_id))
        seen = tracks.label > 0
        runs.alone += seen & (tracks.merged_with == 0)
        runs.frames += seen
        runs.missed = np.where(seen, 0, runs.missed + 1)
        lost = runs.missed > MISSED_FRAMES
        runs.frames[lost] = runs.alone[lost] = 0


@dataclass(slots=True)
class _Runs:
    """What is known of every track, one row a track, ordered by id."""

    track_id: NDArray[np.int64]
    frames: NDArray[np.int64]  # in which it was seen, but for short gaps
    alone: NDArray[np.int64]  # and had a mask of its own
    missed: NDArray[np.int64]  # since it was last seen


def _blank(track_id: NDArray[np.int64]) -> _Runs:
    zeros = (np.zeros(track_id.size, np.int64) for _ in range(3))
    return _Runs(track_id, *zeros)


@dataclass(slots=True)
class _Pair:
    armed: bool
    touching: int = 0
    apart: int = 0
    since_s: float = 0.0


def _merged(tracks: Tracks) -> set[Pair]:
    riding = tracks.merged_with > 0
    pairs = zip(
        tracks.track_id[riding].tolist(),
        tracks.merged_with[riding].tolist(),
        strict=True,
    )
    return {(min(pair), max(pair)) for pair in pairs}


def _neighbours(segmented: Segmented, tracks: Tracks) -> tuple[set[Pair], set[Pair]]:
    """Give the pairs of tracks with at most a pixel between them, and those without.

    A mask is its carrier's.
    """
    own = (tracks.label > 0) & (tracks.merged_with == 0)
    names = dict(
        zip(tracks.label[own].tolist(), tracks.track_id[own].tolist(), strict=True)
    )
    cells = segmented.cells
    labels = np.ascontiguousarray(cells.touching.reshape(-1, 2), np.int64)
    box_px = cells.box_px[np.searchsorted(cells.label, labels)]  # (pair, 2, 4)
    seen = held(segmented.labels, np.uint16)
    meet = masks_meet(seen, labels, np.ascontiguousarray(box_px, np.int64))
    close, touching = set(), set()
    for (one, other), met in zip(labels.tolist(), meet.tolist(), strict=True):
        if one not in names or other not in names:
            continue
        pair = min(names[one], names[other]), max(names[one], names[other])
        close.add(pair)
        if met:
            touching.add(pair)
    return close, touching


@njit(nogil=True, cache=True)
def masks_meet(
    map_px: NDArray[np.uint16],
    labels: NDArray[np.int64],
    box_px: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Say which pairs of labels have pixels side by side, of the same row or column.

    Parameters
    ----------
    map_px
        (y, x) the labels.
    labels
        (pair, 2)
    box_px
        (pair, 2, 4) where they lie, half open.
    """
    meet = np.zeros(len(labels), np.bool_)
    height, width = map_px.shape
    for pair in range(len(labels)):
        one, other = labels[pair]
        # Of the first, only what lies within a pixel of the box of the second.
        box, far = box_px[pair]
        for y in range(max(box[0], far[0] - 1, 0), min(box[2], far[2] + 1, height)):
            for x in range(max(box[1], far[1] - 1, 0), min(box[3], far[3] + 1, width)):
                if map_px[y, x] != one:
                    continue
                meet[pair] |= y > 0 and map_px[y - 1, x] == other
                meet[pair] |= y + 1 < height and map_px[y + 1, x] == other
                meet[pair] |= x > 0 and map_px[y, x - 1] == other
                meet[pair] |= x + 1 < width and map_px[y, x + 1] == other
    return meet
