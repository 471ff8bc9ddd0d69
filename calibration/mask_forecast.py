"""The map of the cells some time ahead: every mask moved by its forecast, as a whole.

Dead cells stay. Beside it stands the map of now, which any forecast of masks must beat;
foreground IoU is stated of all cells and of the living alone, since the dead make any
average look good. The map of the later frame is the one that was segmented then.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.archive.reader import RunReader
from acquisition.records import CellState, Forecast, Tracks

STEPS = 2
"""Frames ahead, as in the paper; beside it stands the first horizon."""
EVERY_S = 600.0
"""A map is judged once in so much experiment time."""
LATE = 1.5
"""Of a frame that comes this many times later than it should, nothing is said."""


def move_masks(
    labels: NDArray[np.uint16],
    shift_px: NDArray[np.float64],
    first: NDArray[np.int64],
) -> NDArray[np.uint16]:
    """Give the map with every mask moved by whole pixels.

    Parameters
    ----------
    labels
        (y, x).
    shift_px
        (label, yx), row 0 for the background.
    first
        Labels in the order in which they are drawn: the surest last, on top.
    """
    moved = np.zeros_like(labels)
    y, x = np.nonzero(labels)
    label = labels[y, x].astype(np.int64)
    rank = np.zeros(len(shift_px), np.int64)
    rank[first] = 1 + np.arange(first.size)
    order = np.argsort(rank[label], kind="stable")
    y, x, label = y[order], x[order], label[order]
    whole = np.rint(shift_px).astype(np.int64)
    y, x = y + whole[label, 0], x + whole[label, 1]
    inside = (y >= 0) & (x >= 0) & (y < labels.shape[0]) & (x < labels.shape[1])
    moved[y[inside], x[inside]] = label[inside]
    return moved


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float | None:
    """Give intersection over union of two masks; ``None``: both are empty."""
    union = np.count_nonzero(first | second)
    return None if union == 0 else float(np.count_nonzero(first & second) / union)


def expected_shift(
    tracks: Tracks, forecast: Forecast, ahead_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the way (track, yx) and deviation (track,) in um at any time ahead.

    On the line to the nearest horizon of the forecast, for which it was made.
    """
    near = int(np.abs(np.log(forecast.horizon_s / ahead_s)).argmin())
    share = min(1.0, ahead_s / forecast.horizon_s[near])
    way_um = forecast.centre_um[:, near] - tracks.centre_um
    way_um[tracks.state == CellState.DEAD] = 0.0
    return share * way_um, forecast.sigma_um[:, near]


def map_rows(run: RunReader) -> list[dict[str, Any]]:
    """Judge the maps of a run two frames and one horizon ahead.

    Returns
    -------
    A row for each of the two: seconds ahead, maps, and the mean IoU of the moved and of
    the copied map, of all cells and of the living.
    """
    positions: dict[str, list[tuple[float, int]]] = {}
    for number in run.analysed_sequences.tolist():
        info = run.info(number)
        if not info.is_aside:
            positions.setdefault(info.position, []).append((info.time_s, number))
    judged: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for frames in positions.values():
        for what, now, later in _pairs(run, sorted(frames)):
            found = _judge(run, now[1], later[1], later[0] - now[0])
            if found is not None:
                judged.setdefault(what, []).append((later[0] - now[0], found))
    rows = []
    for what, maps in judged.items():
        names = maps[0][1]
        means = {
            name: round(float(np.mean([one[name] for _, one in maps])), 4)
            for name in names
        }
        ahead_s = round(float(np.mean([seconds for seconds, _ in maps])), 1)
        rows.append({"ahead": what, "ahead_s": ahead_s, "maps": len(maps), **means})
    return rows


def _pairs(
    run: RunReader, frames: list[tuple[float, int]]
) -> list[tuple[str, tuple[float, int], tuple[float, int]]]:
    """Choose frames with one two steps and one a horizon later."""
    if len(frames) <= STEPS:
        return []
    times = np.array([time_s for time_s, _ in frames])
    pairs, due_s = [], times[0] + EVERY_S / 10
    for at, now in enumerate(frames[:-STEPS]):
        if now[0] < due_s:
            continue
        due_s = now[0] + EVERY_S
        pairs.append((f"{STEPS} frames", now, frames[at + STEPS]))
        horizons_s = run.forecast(now[1]).horizon_s
        if not horizons_s.size:
            continue
        later = int(np.searchsorted(times, now[0] + horizons_s[0]))
        if later < len(frames) and times[later] - now[0] <= LATE * horizons_s[0]:
            pairs.append(("first horizon", now, frames[later]))
    return pairs


def _judge(
    run: RunReader, now: int, later: int, ahead_s: float
) -> dict[str, float] | None:
    before, after = run.labels(now), run.labels(later)
    if before is None or after is None or before.shape != after.shape:
        return None
    tracks, forecast = run.tracks(now), run.forecast(now)
    if not forecast.horizon_s.size or not tracks.track_id.size:
        return None
    way_um, sigma_um = expected_shift(tracks, forecast, ahead_s)
    seen = (tracks.label > 0) & (tracks.merged_with == 0)
    label = tracks.label[seen].astype(np.int64)
    size = int(max(before.max(), after.max(), label.max(initial=0))) + 1
    shift_px = np.zeros((size, 2))
    shift_px[label] = way_um[seen] / run.info(now).pixel_size_um
    surest_last = label[np.argsort(-sigma_um[seen], kind="stable")]
    moved = move_masks(before, shift_px, surest_last)
    living = _living(tracks, size)
    living_then = _living(run.tracks(later), size)[after]
    found: dict[str, float | None] = {
        "iou_all": iou(moved > 0, after > 0),
        "iou_all_copied": iou(before > 0, after > 0),
        "iou_live": iou(living[moved], living_then),
        "iou_live_copied": iou(living[before], living_then),
    }
    known = {name: value for name, value in found.items() if value is not None}
    return known if len(known) == len(found) else None


def _living(tracks: Tracks, size: int) -> NDArray[np.bool_]:
    """Give which labels are living tracks, (label,)."""
    living = np.zeros(size, np.bool_)
    living[tracks.label[tracks.state == CellState.LIVE]] = True
    living[0] = False
    return living
