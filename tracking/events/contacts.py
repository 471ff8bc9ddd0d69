"""Who met: pairs that touch after they were apart, each reported once.

Two tracks touch when their masks lie at most two pixels apart, and when they share one
mask: a merge of the tracker counts. A touch goes on through a few free frames, for the
masks of neighbours flicker.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Segmented, Tracks
from configs.events import ContactRule

Pair = tuple[int, int]


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
        self._runs: dict[int, int] = {}  # track -> frames in a row in which it was seen
        self._pairs: dict[Pair, _Pair] = {}

    def update(self, segmented: Segmented, tracks: Tracks) -> list[Meeting]:
        """Take one frame and give the pairs that met."""
        merged = _merged(tracks)
        touching = _touching(segmented, tracks) | merged
        time_s = segmented.info.time_s
        met = [
            Meeting(pair, self._pairs[pair].since_s, pair in merged)
            for pair in sorted(touching)
            if self._touch(pair, time_s)
        ]
        present = set(tracks.track_id[tracks.label > 0].tolist())
        self._part(touching, set(tracks.track_id.tolist()), present)
        self._runs = {track: self._runs.get(track, 0) + 1 for track in present}
        return met

    def near_touch(self) -> set[Pair]:
        """Give the pairs that touch, or that have not been apart for long enough."""
        return {pair for pair, state in self._pairs.items() if not state.armed}

    def touched(self, pair: Pair) -> int:
        """Give the frames in which a pair touched, in the touch that goes on."""
        state = self._pairs.get(pair)
        return state.touching if state is not None else 0

    def _touch(self, pair: Pair, time_s: float) -> bool:
        state = self._pairs.get(pair)
        if state is None:
            # Never touched so far: apart for as long as both were seen in a row.
            free = min(self._runs.get(track, 0) for track in pair)
            state = self._pairs[pair] = _Pair(armed=free >= self._rule.apart_frames)
        state.touching += 1
        state.apart = 0
        if state.touching == 1:
            state.since_s = time_s
        if state.armed and state.touching >= self._rule.on_frames:
            state.armed = False
            return True
        return False

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
            else:
                state.apart = 0


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


def _touching(segmented: Segmented, tracks: Tracks) -> set[Pair]:
    """Give the pairs of tracks whose masks touch; a mask is its carrier's."""
    own = (tracks.label > 0) & (tracks.merged_with == 0)
    names = dict(
        zip(tracks.label[own].tolist(), tracks.track_id[own].tolist(), strict=True)
    )
    labels: NDArray[np.int32] = segmented.cells.touching
    pairs = labels.reshape(-1, 2).tolist()
    found = ((names.get(one), names.get(other)) for one, other in pairs)
    return {
        (min(one, other), max(one, other))
        for one, other in found
        if one is not None and other is not None
    }
