"""From recorded simulated runs to what the evidence of death is fitted on.

The histories are those that the run itself would have had: its own cells and tracks,
mistakes of segmentation and naming included. Only the labels come from the truth.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Segmented, Tracks
from tracking.events.evidence import AHEADS
from tracking.events.foresight import DoseFeatures
from tracking.events.histories import BIN_S, Histories

FEWEST_BEFORE = 3
"""A bin is judged when at least so many before it are known."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One frame of a run as recorded, and which true cell each track was."""

    segmented: Segmented
    tracks: Tracks
    cell_of: Mapping[int, int]  # track -> true id, where it matched one


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows of features for one look-ahead, and what was true of them."""

    features: NDArray[np.float64]  # (row, feature)
    doses: NDArray[np.float64]  # (row, dose feature)
    since_s: NDArray[np.float64]  # (row,) end of the judged bin less the rupture
    group: NDArray[np.int64]  # (row,) true cell, for splits by cell


def collect(
    frames: Iterable[Watched], deaths: Mapping[int, float]
) -> dict[int, Samples]:
    """Go through a run and collect the samples of every look-ahead.

    Parameters
    ----------
    frames
        Of one stage position, by time.
    deaths
        True id -> experiment time in s of the rupture.

    Returns
    -------
    Samples by look-ahead; cells whose truth is not known are left out. ``since_s`` is
    minus infinity for cells that do not die.
    """
    frames = list(frames)
    name_of = _commonest(frames)
    histories = Histories()
    doses = DoseFeatures()
    parts: dict[int, list[tuple[NDArray[np.float64], ...]]] = {a: [] for a in AHEADS}
    for frame in frames:
        info = frame.segmented.info
        dose = doses.update(info.time_s, info.dose_gy)
        if histories.update(frame.segmented, frame.tracks) == 0:
            continue
        cell = np.array([name_of.get(t, 0) for t in histories.track_id.tolist()])
        died_s = np.array([deaths.get(c, np.inf) for c in cell.tolist()])
        for ahead, rows in parts.items():
            good = (cell > 0) & (histories.known_before(ahead) >= FEWEST_BEFORE)
            end_s = info.time_s - (ahead - 1) * BIN_S
            features = histories.features(ahead)[good]
            repeated = np.tile(dose, (len(features), 1))
            rows.append((features, repeated, (end_s - died_s)[good], cell[good]))
    return {
        a: Samples(*map(np.concatenate, zip(*p, strict=True)))
        for a, p in parts.items()
        if p
    }


def _commonest(frames: list[Watched]) -> dict[int, int]:
    """Give the true cell that each track matched most often."""
    seen: dict[int, Counter[int]] = {}
    for frame in frames:
        for track, cell in frame.cell_of.items():
            seen.setdefault(track, Counter())[cell] += 1
    return {track: min(c, key=lambda k: (-c[k], k)) for track, c in seen.items()}
