"""The trackers that vigil is measured against, each near its defaults.

All get the same points, the same gate and the same memory. A peer that is not installed
is left out by name; norfair cannot stand beside NumPy 2 and is never here.
"""

import importlib.metadata
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

Objects = Sequence[NDArray[np.float64]]
"""A frame: (object, y x radius)."""
Shown = list[tuple[NDArray[np.int64], NDArray[np.float64]]]
"""A frame: the names that a tracker showed, and where (object, yx)."""

FAR = 1e5
MEMORY = 4
"""Frames for which every tracker may look for an unseen cell."""
BOX_RADII = 1.5
"""Half the edge of a box in radii, for trackers of boxes."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tracker."""

    name: str
    package: str
    track: Callable[[Objects, float], Shown]  # of the frames and the gate
    frames: int  # that it gets of a scene of thousands of cells: fewer if it is slow

    @property
    def version(self) -> str | None:
        """What is installed, if anything."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None


def hungarian(frames: Objects, gate: float) -> Shown:
    """Link by the least sum of squared distances from the last frame; no memory."""
    shown: Shown = []
    count = 0
    for objects in frames:
        place = objects[:, :2]
        names = np.zeros(len(place), np.int64)
        if shown:
            before, where = shown[-1]
            distance = cdist(where, place)
            cost = np.where(distance < gate, distance**2, FAR)
            row, column = linear_sum_assignment(cost)
            near = cost[row, column] < FAR
            names[column[near]] = before[row[near]]
        new = names == 0
        names[new] = count + 1 + np.arange(new.sum())
        count += int(new.sum())
        shown.append((names, place))
    return shown


def trackpy(frames: Objects, gate: float) -> Shown:
    """Link with trackpy; where a subnet is too large, with its adaptive search."""
    import pandas
    import trackpy as package

    package.quiet()
    table = pandas.DataFrame(_table(frames), columns=["frame", "y", "x"])
    options = {"pos_columns": ["y", "x"], "memory": MEMORY - 1}
    try:
        linked = package.link(table, gate, **options)
    except package.linking.utils.SubnetOversizeException:
        adaptive = {"adaptive_stop": gate / 4, "adaptive_step": 0.9}
        linked = package.link(table, gate, **options, **adaptive)
    names = linked.sort_index()["particle"].to_numpy()
    return _shown(frames, names)


def laptrack(frames: Objects, gate: float) -> Shown:
    """Link with laptrack, gaps closed, splitting and merging off."""
    import pandas
    from laptrack import LapTrack

    table = pandas.DataFrame(_table(frames), columns=["frame", "y", "x"])
    table["frame"] = table["frame"].astype(int)
    tracker = LapTrack(
        metric="sqeuclidean",
        cutoff=gate**2,
        gap_closing_cutoff=gate**2,
        gap_closing_max_frame_count=MEMORY - 1,
        splitting_cutoff=False,
        merging_cutoff=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linked, _splits, _merges = tracker.predict_dataframe(
            table, ["y", "x"], frame_col="frame", only_coordinate_cols=False
        )
    if "frame" not in linked.columns:
        linked = linked.reset_index()
    frame = linked["frame" if "frame" in linked.columns else "frame_y"].to_numpy()
    names, place = linked["track_id"].to_numpy() + 1, linked[["y", "x"]].to_numpy()
    return [
        (names[frame == number].astype(np.int64), place[frame == number])
        for number in range(len(frames))
    ]


def bytetrack(frames: Objects, gate: float) -> Shown:  # noqa: ARG001 - boxes have their own
    """Track boxes with ByteTrack; all detections are equally sure."""
    import supervision
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(
        lost_track_buffer=MEMORY,
        minimum_consecutive_frames=1,
        track_activation_threshold=0.3,
        high_conf_det_threshold=0.3,
        minimum_iou_threshold=0.05,
    )
    shown: Shown = []
    for objects in frames:
        place, half = objects[:, [1, 0]], BOX_RADII * objects[:, 2:]
        found = supervision.Detections(
            xyxy=np.hstack((place - half, place + half)).astype(np.float32),
            confidence=np.full(len(place), 0.9, np.float32),
            class_id=np.zeros(len(place), int),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tracked = tracker.update(found)
        names = np.asarray(tracked.tracker_id if len(tracked) else [], np.int64)
        named = names >= 0
        box = tracked.xyxy[named].reshape(-1, 2, 2)
        shown.append((names[named] + 1, box.mean(axis=1)[:, ::-1].astype(np.float64)))
    return shown


PEERS = (
    Peer("trackpy", "trackpy", trackpy, 8),
    Peer("laptrack", "laptrack", laptrack, 3),
    Peer("ByteTrack", "trackers", bytetrack, 3),
    Peer("scipy Hungarian", "scipy", hungarian, 8),
)
ABSENT = {"norfair": "it refuses NumPy 2 and cannot be installed beside vigil"}


def _table(frames: Objects) -> NDArray[np.float64]:
    number = np.repeat(np.arange(len(frames)), [len(objects) for objects in frames])
    return np.column_stack((number, np.concatenate(frames)[:, :2]))


def _shown(frames: Objects, names: NDArray[np.int64]) -> Shown:
    ends = np.cumsum([len(objects) for objects in frames])[:-1]
    parts = np.split(np.asarray(names, np.int64) + 1, ends)
    return [(part, objects[:, :2]) for part, objects in zip(parts, frames, strict=True)]
