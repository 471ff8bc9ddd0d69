"""How a tracker did on a scene, and what vigil shows of one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from acquisition.records import Cells, Segmented, blank_info
from calibration.benchmarks.tracking_peers import Objects, Shown
from configs.schema import Tracking
from tracking.linking.tracker import Tracker
from tracking.metrics import TrackScore, TrackTable, score_tracks
from tracking.partners import ClosePairs, keep_partners

SHOWN_MISSED = 1
"""A track unseen for so many frames is shown where it is expected; in a well always."""
WIDE_UM = 1e6


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a tracker made of a scene."""

    shown: Shown
    ms_per_frame: float  # processor time
    filled: Shown  # the same once gaps are closed, as places are after the lag


def track(
    frames: Objects,
    settings: Tracking,
    step_s: float,
    labels: Sequence[NDArray[np.uint16]] | None = None,
) -> Tracked:
    """Let vigil follow the objects, one frame after the other.

    ``labels`` are their label maps of one um a pixel, object k with the label k + 1.
    """
    tracker = Tracker(settings)
    shown: Shown = []
    unseen: list[NDArray[np.bool_]] = []
    spent = []
    for number, objects in enumerate(frames):
        plane = None if labels is None else labels[number]
        segmented = as_segmented(objects, number, step_s, plane)
        began = time.thread_time()
        tracks = tracker.update(segmented)
        spent.append(time.thread_time() - began)
        seen = tracks.missed_frames <= SHOWN_MISSED
        if settings.chip is not None:
            seen[:] = True
        shown.append((tracks.track_id[seen], tracks.centre_um[seen]))
        unseen.append(tracks.missed_frames[seen] > 0)
    return Tracked(shown, 1e3 * float(np.median(spent)), fill(shown, unseen))


def fill(shown: Shown, unseen: Sequence[NDArray[np.bool_]]) -> Shown:
    """Put tracks that were unseen on the line between the sightings around a gap."""
    place = [where.copy() for _, where in shown]
    seen: dict[int, list[tuple[int, int]]] = {}
    for number, (names, _) in enumerate(shown):
        for row in np.flatnonzero(~unseen[number]):
            seen.setdefault(int(names[row]), []).append((number, int(row)))
    for number, (names, _) in enumerate(shown):
        for row in np.flatnonzero(unseen[number]):
            known = seen.get(int(names[row]), [])
            if not known or not known[0][0] < number < known[-1][0]:
                continue
            times = [at for at, _ in known]
            for axis in range(2):
                values = [shown[at][1][one, axis] for at, one in known]
                place[number][row, axis] = np.interp(number, times, values)
    return [(names, where) for (names, _), where in zip(shown, place, strict=True)]


def as_segmented(
    objects: NDArray[np.float64],
    number: int,
    step_s: float,
    labels: NDArray[np.uint16] | None = None,
) -> Segmented:
    """Give a frame with these objects (y x radius, maybe phase) as cells."""
    count, radius = len(objects), objects[:, 2]
    area = np.pi * radius**2
    phase = objects[:, 3] if objects.shape[1] > 3 else np.ones(count)
    column = np.ones(count, np.float32)
    no = np.zeros(count, np.bool_)
    low, high = (objects[:, :2] + way * radius[:, None] for way in (-1, 1))
    box = np.hstack((low, high + 2)).astype(np.int32)
    plane = np.zeros((1, 1), np.uint16) if labels is None else labels
    middle_um = np.array(plane.shape) / 2 if labels is not None else np.zeros(2)
    cells = Cells(
        label=np.arange(1, count + 1, dtype=np.int32),
        centre_um=objects[:, :2].copy(),
        area_um2=area.astype(np.float32),
        axes_um=np.repeat(2 * radius[:, None], 2, axis=1).astype(np.float32),
        angle_rad=column,
        mean_phase_rad=phase.astype(np.float32),
        dry_mass_pg=np.zeros(count, np.float32),
        dead_probability=0 * column,
        state=np.ones(count, np.uint8),
        unsure=no,
        touches_edge=no,
        box_px=box if labels is not None else np.zeros((count, 4), np.int32),
        touching=np.empty((0, 2), np.int32),
    )
    info = replace(
        blank_info("slim", 1.0 if labels is not None else WIDE_UM),
        sequence=number + 1,
        time_s=step_s * number,
        stage_yx_um=(float(middle_um[0]), float(middle_um[1])),
    )
    return Segmented(info, plane, plane, cells, "none", "none", 0, 0, 0, 0)


def score(truth: NDArray[np.float64], shown: Shown, near: float) -> TrackScore:
    """Score what was shown beside the truth (frame, cell, yx), matched if ``near``."""
    frames, cells = truth.shape[:2]
    rows = [
        (number, cell, int(names[at]), float(np.linalg.norm(place[at] - here[cell])))
        for number, (here, (names, place)) in enumerate(zip(truth, shown, strict=True))
        if names.size
        for cell, close in enumerate(cKDTree(place).query_ball_point(here, near))
        for at in close
    ]
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    frame, true, found = (np.array(column, np.int64) for column in columns[:3])
    away = np.array(columns[3], np.float64)
    close_pairs = ClosePairs(frame, true, found, away)
    matched = keep_partners(close_pairs)
    count = [names.size for names, _ in shown]
    table = TrackTable(
        true_frame=np.repeat(np.arange(frames), cells),
        true_id=np.tile(np.arange(1, cells + 1), frames),
        found_frame=np.repeat(np.arange(frames), count),
        found_id=np.concatenate([np.empty(0, np.int64), *(n for n, _ in shown)]),
        match_frame=matched.frame,
        match_true=matched.true,
        match_found=matched.found,
    )
    return score_tracks(table, close_pairs)
