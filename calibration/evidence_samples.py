"""From recorded simulated runs to what the evidence of death is fitted on.

The histories are those that the run itself would have had: its own cells and tracks,
mistakes of segmentation and naming included. Only the labels come from the truth.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Segmented, Tracks
from tracking.events.evidence import AHEADS
from tracking.events.foresight import DoseFeatures
from tracking.events.histories import BIN_S, Histories

BEGINS = (0.0, 1 / 3, 0.6)
"""A run is read from these parts of it on, each time as if it began there: so there are
more cells that are seen for the first time, or die soon after."""
FEWEST_SEEN = 2
"""Bins in which a track was seen, at least."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One frame of a run as recorded, and which true cell each track was."""

    segmented: Segmented
    tracks: Tracks
    cell_of: Mapping[int, int]  # track -> true id, where it matched one


@dataclass(frozen=True, slots=True)
class Course:
    """One track, bin by bin, and when the cell that it mostly was truly died.

    Features of a bin that the track did not outlive so far are zero: nobody asks.
    """

    features: NDArray[np.float32]  # (bin, ahead, feature) as seen from each of AHEADS
    doses: NDArray[np.float64]  # (bin, dose feature)
    seen: NDArray[np.bool_]  # (bin,)
    since_s: NDArray[np.float64]  # (bin,) its first frame less the rupture

    @property
    def onset(self) -> int:
        """The bin of the death; 0: dead from the first on, their number: it lives."""
        dead = self.since_s >= 0
        return int(dead.argmax()) if dead.any() else dead.size


@dataclass(slots=True)
class _Open:
    """A course that is being collected."""

    features: list[NDArray[np.float32]] = field(default_factory=list)
    doses: list[NDArray[np.float64]] = field(default_factory=list)
    seen: list[bool] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    number: list[int] = field(default_factory=list)  # of the bin


def collect(
    frames: Sequence[Watched], deaths: Mapping[int, float]
) -> list[tuple[Course, ...]]:
    """Go through a run and collect the courses of its tracks.

    Parameters
    ----------
    frames
        Of one stage position, by time.
    deaths
        True id -> experiment time in s of the rupture.

    Returns
    -------
    The courses as seen from each of `BEGINS`; tracks whose truth is not known are left
    out. ``since_s`` is minus infinity for cells that do not die.
    """
    name_of = _commonest(frames)
    return [
        _follow(frames[int(share * len(frames)) :], name_of, deaths) for share in BEGINS
    ]


def _follow(
    frames: Iterable[Watched], name_of: Mapping[int, int], deaths: Mapping[int, float]
) -> tuple[Course, ...]:
    histories, doses, number = Histories(), DoseFeatures(), 0
    courses: dict[int, _Open] = {}
    for frame in frames:
        info = frame.segmented.info
        dose = doses.update(info.time_s, info.dose_gy)
        steps = histories.update(frame.segmented, frame.tracks)
        if steps == 0:
            continue
        number += steps
        features = np.stack(histories.features(*AHEADS), axis=1).astype(np.float32)
        seen = histories.known()
        for row, track in enumerate(histories.track_id.tolist()):
            if track not in name_of:
                continue
            one = courses.setdefault(track, _Open())
            one.features.append(features[row])
            one.doses.append(dose)
            one.seen.append(bool(seen[row]))
            one.time_s.append(info.time_s)
            one.number.append(number)
    return tuple(
        _close(one, deaths.get(name_of[track], np.inf))
        for track, one in courses.items()
        if sum(one.seen) >= FEWEST_SEEN
    )


def _close(one: _Open, died_s: float) -> Course:
    """Move what was said of a bin later on to the row of that bin."""
    said = np.stack(one.features)
    features = np.zeros_like(said)
    row_of = {number: row for row, number in enumerate(one.number)}
    for which, ahead in enumerate(AHEADS):
        later = np.array([row_of.get(n + ahead - 1, -1) for n in one.number])
        features[later >= 0, which] = said[later[later >= 0], which]
    return Course(
        features, np.stack(one.doses), np.array(one.seen), np.array(one.time_s) - died_s
    )


def count_deaths(courses: Iterable[Course]) -> tuple[int, float]:
    """Give the deaths in these courses, and the hours for which living cells were seen.

    A bin stands for its five minutes.
    """
    deaths, bins = 0, 0
    for course in courses:
        deaths += 0 < course.onset < course.seen.size
        bins += int((course.seen & (course.since_s < 0)).sum())
    return deaths, bins * BIN_S / 3600


def _commonest(frames: Sequence[Watched]) -> dict[int, int]:
    """Give the true cell that each track matched most often."""
    seen: dict[int, Counter[int]] = {}
    for frame in frames:
        for track, cell in frame.cell_of.items():
            seen.setdefault(track, Counter())[cell] += 1
    return {track: min(c, key=lambda k: (-c[k], k)) for track, c in seen.items()}
