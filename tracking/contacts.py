"""Who met: pairs whose masks touch after they were apart, each reported once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Segmented, Tracks
from configs.schema import ContactRule


class Contacts:
    """Pairs that touch after they were apart, each reported once."""

    def __init__(self, rule: ContactRule) -> None:
        self._rule = rule
        self._runs: dict[int, int] = {}  # track -> frames in a row in which it was seen
        self._pairs: dict[tuple[int, int], _Pair] = {}

    def update(
        self, segmented: Segmented, tracks: Tracks
    ) -> list[tuple[tuple[int, int], float]]:
        """Take one frame and give the pairs that met, and since when they touch."""
        seen = tracks.label > 0
        track_of = dict(
            zip(
                tracks.label[seen].tolist(), tracks.track_id[seen].tolist(), strict=True
            )
        )
        touching = _touching_tracks(segmented.cells.touching, track_of)
        time_s = segmented.info.time_s
        met = [pair for pair in sorted(touching) if self._touch(pair, time_s)]
        alive = set(tracks.track_id.tolist())
        present = set(track_of.values())
        self._part(touching, alive, present)
        self._runs = {track: self._runs.get(track, 0) + 1 for track in present}
        return [(pair, self._pairs[pair].since_s) for pair in met]

    def _touch(self, pair: tuple[int, int], time_s: float) -> bool:
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

    def _part(
        self, touching: set[tuple[int, int]], alive: set[int], present: set[int]
    ) -> None:
        # A pair of which one is unseen may be two cells in one mask: it waits.
        for pair in [pair for pair in self._pairs if pair not in touching]:
            state = self._pairs[pair]
            if not alive.issuperset(pair):
                del self._pairs[pair]
            elif present.issuperset(pair):
                state.touching = 0
                state.apart += 1
                state.armed |= state.apart >= self._rule.apart_frames
            else:
                state.apart = 0


@dataclass(slots=True)
class _Pair:
    armed: bool
    touching: int = 0
    apart: int = 0
    since_s: float = 0.0


def _touching_tracks(
    touching: NDArray[np.int32], track_of: dict[int, int]
) -> set[tuple[int, int]]:
    pairs = set()
    for one, other in touching.tolist():
        if one in track_of and other in track_of:
            first, second = sorted((track_of[one], track_of[other]))
            pairs.add((first, second))
    return pairs
