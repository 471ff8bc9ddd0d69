"""`vigil bench tracking --tracks`: names on real tracks, thinned in time.

The points are true; only the names are asked for. Every tracker has the same gate: the
median distance of a point to its nearest neighbour in the same frame. No point is
false, so vigil believes each at once; it is told no motion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calibration.benchmarks.tracking import Tell, installed_peers
from calibration.benchmarks.tracking_figures import as_segmented
from calibration.benchmarks.tracking_peers import MEMORY, Objects, Shown
from calibration.datasets.tracks import PointTracks, load_tracks
from configs.schema import Tracking
from tracking.linking.tracker import Tracker
from tracking.metrics import TrackTable, score_tracks

BODY = 0.35
"""Radius of a point in gates, for trackers that want boxes."""
SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Course:
    """The frames of one set, thinned."""

    name: str
    thin: int
    names: tuple[NDArray[np.int64], ...]  # a frame: true name of every point
    objects: Objects
    interval_s: float
    gate_um: float


def bench_real_tracks(
    paths: Sequence[Path],
    thin: Sequence[int],
    scale: tuple[float | None, float | None] = (None, None),
    tell: Tell = lambda *_: None,
) -> dict[str, Any]:
    """Give IDF1 and the share of right links of all trackers on real tracks.

    Parameters
    ----------
    paths
        Tables of points with ``frame``, ``track_id``, ``x_px`` and ``y_px``.
    thin
        Every so-manieth frame is taken.
    scale
        Um a pixel and s a frame, where no manifest says them.
    tell
        Is told what is being done.

    Raises
    ------
    BadImages, RunFailed
        For a table that cannot be read; for fewer than three peers.
    """
    peers = installed_peers()
    rows = []
    for number, path in enumerate(paths):
        points = load_tracks(path, *scale)
        tell(points.name, number / len(paths))
        for every in thin:
            course = lay_course(points, every)
            rows.append(_row("vigil", course, follow(course)))
            rows += [
                _row(peer.name, course, peer.track(course.objects, course.gate_um))
                for peer in peers
            ]
    return {"rows": rows, "peers": {peer.name: peer.version for peer in peers}}


def lay_course(points: PointTracks, every: int) -> Course:
    """Give every so-manieth frame of a set; frames without points stay, empty."""
    kept = points.thin(every)
    first, last = int(kept.frame[0]), int(kept.frame[-1])
    rows = [kept.frame == frame for frame in range(first, last + 1, every)]
    gate_um = _spacing_um([kept.centre_um[row] for row in rows])
    radius = BODY * gate_um
    return Course(
        name=points.name,
        thin=every,
        names=tuple(kept.track_id[row] for row in rows),
        objects=[
            np.column_stack((kept.centre_um[row], np.full(row.sum(), radius)))
            for row in rows
        ],
        interval_s=every * points.frame_interval_s,
        gate_um=gate_um,
    )


def _spacing_um(frames: Sequence[NDArray[np.float64]]) -> float:
    nearest = [
        cKDTree(place).query(place, 2)[0][:, 1] for place in frames if len(place) > 1
    ]
    return float(np.median(np.concatenate(nearest)))


def follow(course: Course) -> Shown:
    """Let vigil name the points; a point without a name is left out."""
    per_min = 60 * course.gate_um / course.interval_s
    tracker = Tracker(
        Tracking(max_speed_um_per_min=per_min, memory_frames=MEMORY, confirm_frames=1)
    )
    shown: Shown = []
    for number, objects in enumerate(course.objects):
        segmented = as_segmented(objects, number, course.interval_s)
        tracks = tracker.update(segmented)
        own = (tracks.label > 0) & (tracks.merged_with == 0)
        place = objects[tracks.label[own] - 1, :2]
        shown.append((tracks.track_id[own], place))
    return shown


def _row(tracker: str, course: Course, shown: Shown) -> dict[str, Any]:
    found = [
        _names(objects, *one)
        for objects, one in zip(course.objects, shown, strict=True)
    ]
    frame = np.repeat(np.arange(len(found)), [names.size for names in found])
    true, name = np.concatenate(course.names), np.concatenate(found)
    named = name > 0
    table = TrackTable(
        frame, true, frame[named], name[named], frame[named], true[named], name[named]
    )
    figures = score_tracks(table)
    return {
        "tracker": tracker,
        "scene": course.name,
        "thin": course.thin,
        "n": true.size,
        "idf1": round(figures.idf1 or 0.0, 4),
        "right_links": round(_right_links(course.names, found), 4),
        "switches_per_1000": round(figures.switches_per_1000 or 0.0, 2),
        "gate_um": round(course.gate_um, 2),
    }


def _names(
    objects: NDArray[np.float64], names: NDArray[np.int64], place: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Give the name of every point, 0 for none."""
    named = np.zeros(len(objects), np.int64)
    if len(objects) and len(place):
        away, at = cKDTree(objects[:, :2]).query(place)
        near = away < SAME + 0.01 * objects[0, 2]
        named[at[near]] = names[near]
    return named


def _right_links(
    true: Sequence[NDArray[np.int64]], found: Sequence[NDArray[np.int64]]
) -> float:
    """Give the share of true steps of a frame over which the found name stayed."""
    right, links = 0, 0
    for at in range(1, len(true)):
        _, before, now = np.intersect1d(true[at - 1], true[at], return_indices=True)
        same = found[at - 1][before] == found[at][now]
        right += int((same & (found[at][now] > 0)).sum())
        links += before.size
    return right / links if links else 0.0
