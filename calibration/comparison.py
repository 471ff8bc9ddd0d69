"""A recorded run beside the exact truth of its simulated specimen, frame by frame.

An object is what shows at least the smallest area that the run looked for: a sliver at
the border that no setting could find is left out on both sides. Cells cut by the border
otherwise count like all others. What the run said about a cell is the state that it
showed: the filtered one of its track, or of the frame alone while it has no track.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Cells, CellState, Event, Tracks
from acquisition.simulated.truth.file import TruthFrame
from calibration.metrics.objects import ObjectTable, tabulate
from calibration.metrics.overlaps import find_overlaps, match_objects
from calibration.metrics.strata import edge_labels
from tracking.metrics import EVENT_WINDOW_S, Happening, TrackTable

APART_FRAMES = 5
"""A true contact is a pair apart for so many frames, both in view, that then touches;
a true death is one of a cell in view for as many frames before."""
FOLLOW_UP_S = 600.0
"""Deaths of cells in view for less than this afterwards are left out on both sides."""
FOLLOW_UP_FRAMES = 2
"""Contacts within so many frames of the end are left out on both sides."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One frame: who was there, who was found, and which were the same."""

    sequence: int
    time_s: float
    true_id: NDArray[np.int64]  # (object,) true cells in view
    true_live: int
    touching: tuple[tuple[int, int], ...]  # true ids in order, both in view
    track_id: NDArray[np.int64]  # (tracked object,)
    match_true: NDArray[np.int64]  # (match,) true id
    match_track: NDArray[np.int64]  # (match,)
    objects: ObjectTable  # with the states that were shown
    frame_objects: ObjectTable  # with the states of the frame alone
    on_edge: NDArray[np.bool_]  # (row of the tables) true cells cut by the border
    in_contact: NDArray[np.bool_]  # (row of the tables) true cells that touch another
    matched: int  # objects, tracked or not
    matched_closely: int  # at three quarters IoU
    found: int
    left_out: int  # true objects below the smallest area


def compare_frame(
    truth: TruthFrame,
    labels: NDArray[np.uint16],
    cells: Cells,
    tracks: Tracks,
    smallest_px: float,
) -> Comparison:
    """Compare what was found in one frame with what was there.

    Parameters
    ----------
    truth
        The exact truth of the frame.
    labels, cells, tracks
        What the run recorded of it.
    smallest_px
        Smallest area of an object.
    """
    overlaps = find_overlaps(truth.labels, labels)
    small = overlaps.true_label[overlaps.true_pixels < smallest_px]
    rows = match_objects(overlaps)
    on_small = np.isin(overlaps.true[rows], small)
    ignored_found = overlaps.found[rows[on_small]]
    rows = rows[~on_small]
    true_id = overlaps.true_label[~np.isin(overlaps.true_label, small)]
    found = overlaps.found_label[~np.isin(overlaps.found_label, ignored_found)]

    own = (tracks.label > 0) & (tracks.merged_with == 0)  # a blob is one object
    tracked = own & np.isin(tracks.label, found)
    track_of = dict(
        zip(
            tracks.label[tracked].tolist(),
            tracks.track_id[tracked].tolist(),
            strict=True,
        )
    )
    known = [row for row in rows.tolist() if int(overlaps.found[row]) in track_of]
    in_view = set(true_id.tolist())
    pairs = (tuple(sorted(pair)) for pair in truth.touching.tolist())
    touching = tuple(sorted({(a, b) for a, b in pairs if {a, b} <= in_view}))
    dead = dict(zip(truth.id.tolist(), truth.dead.tolist(), strict=True))
    state = {
        cell: CellState.DEAD if dead[cell] else CellState.LIVE
        for cell in true_id.tolist()
    }
    objects = tabulate(overlaps, rows, state, found, show(cells, tracks))
    return Comparison(
        sequence=truth.sequence,
        time_s=truth.time_s,
        true_id=true_id,
        true_live=sum(not dead[cell] for cell in in_view),
        touching=touching,
        track_id=tracks.track_id[tracked],
        match_true=overlaps.true[known],
        match_track=np.array(
            [track_of[int(overlaps.found[row])] for row in known], np.int64
        ),
        objects=objects,
        frame_objects=tabulate(overlaps, rows, state, found, cells),
        on_edge=_mark(true_id, edge_labels(truth.labels), objects),
        in_contact=_mark(true_id, np.array(touching, np.int64), objects),
        matched=rows.size,
        matched_closely=int((overlaps.iou[rows] >= 0.75).sum()),
        found=found.size,
        left_out=small.size,
    )


def _mark(
    true_id: NDArray[np.int64], chosen: NDArray[np.int64], table: ObjectTable
) -> NDArray[np.bool_]:
    """Mark the rows of the chosen true cells; what was made up follows, unmarked."""
    marked = np.zeros(table.true_state.size, np.bool_)
    marked[: true_id.size] = np.isin(true_id, chosen)
    return marked


def show(cells: Cells, tracks: Tracks) -> Cells:
    """Give the cells with the filtered state of their tracks, where they have one."""
    own = (tracks.label > 0) & (tracks.merged_with == 0)
    seen = own & np.isin(tracks.label, cells.label)
    row = np.searchsorted(cells.label, tracks.label[seen])
    changed = {}
    for name in ("dead_probability", "state", "unsure"):
        changed[name] = getattr(cells, name).copy()
        changed[name][row] = getattr(tracks, name)[seen]
    return replace(cells, **changed)


def collect_tracks(frames: Sequence[Comparison]) -> TrackTable:
    """Give the columns of true, tracked and matched cells of one position."""
    columns = []
    for name in ("true_id", "track_id", "match_true", "match_track"):
        parts = [getattr(frame, name) for frame in frames]
        number = np.repeat(np.arange(len(parts)), [part.size for part in parts])
        columns += [number, np.concatenate([np.empty(0, np.int64), *parts])]
    true_frame, true_id, found_frame, found_id, match_frame, match_true = columns[:6]
    return TrackTable(
        true_frame, true_id, found_frame, found_id, match_frame, match_true, columns[7]
    )


@dataclass(frozen=True, slots=True)
class Truth:
    """What truly happened: events that count, and such at the rim of observation."""

    counted: tuple[Happening, ...]
    open: tuple[Happening, ...]


def true_deaths(
    frames: Sequence[Comparison], deaths: Sequence[tuple[int, float]]
) -> Truth:
    """Sort the deaths of the cells in view by whether they could be judged.

    Parameters
    ----------
    frames
        All frames of a position, by time.
    deaths
        True id and experiment time in s of every membrane rupture.
    """
    seen_s: dict[int, list[float]] = {}
    for frame in frames:
        for cell in frame.true_id.tolist():
            seen_s.setdefault(cell, []).append(frame.time_s)
    counted: list[Happening] = []
    rest: list[Happening] = []
    for cell, time_s in deaths:
        times_s = np.array(seen_s.get(cell, []))
        before, after_s = int((times_s < time_s).sum()), times_s[times_s >= time_s]
        if times_s.size == 0:
            continue
        followed = after_s.size > 0 and after_s[-1] - time_s >= FOLLOW_UP_S
        judged = before >= APART_FRAMES and followed
        (counted if judged else rest).append(Happening(time_s, (cell,)))
    return Truth(tuple(counted), tuple(rest))


def true_contacts(frames: Sequence[Comparison]) -> Truth:
    """Find the pairs that touch after they were apart for `APART_FRAMES` frames."""
    run: dict[int, int] = {}  # cell -> frames in a row in view, before this one
    last: dict[tuple[int, int], int] = {}  # pair -> last frame in which it touched
    counted: list[Happening] = []
    rest: list[Happening] = []
    for number, frame in enumerate(frames):
        for pair in frame.touching:
            apart = min(*(run.get(cell, 0) for cell in pair), number)
            if pair in last:
                apart = min(apart, number - last[pair] - 1)
            last[pair] = number
            if apart >= APART_FRAMES:
                judged = number < len(frames) - FOLLOW_UP_FRAMES
                (counted if judged else rest).append(Happening(frame.time_s, pair))
        run = {cell: run.get(cell, 0) + 1 for cell in frame.true_id.tolist()}
    return Truth(tuple(counted), tuple(rest))


def name_reports(
    frames: Sequence[Comparison], events: Sequence[Event]
) -> tuple[Happening, ...]:
    """Give reported events in terms of true cells.

    A track stands for the true cell that it matched most often within the window of
    events around the report; without any, or if both tracks of a pair are one cell,
    the report names nobody.
    """
    time_of = {frame.sequence: frame.time_s for frame in frames}
    matches: dict[int, list[tuple[float, int]]] = {}
    for frame in frames:
        for track, cell in zip(
            frame.match_track.tolist(), frame.match_true.tolist(), strict=True
        ):
            matches.setdefault(track, []).append((frame.time_s, cell))
    named = []
    for event in events:
        cells = {
            _commonest(matches.get(track, []), event.time_s) for track in event.tracks
        }
        known = len(cells) == len(event.tracks) and None not in cells
        ids = tuple(sorted(cell for cell in cells if cell is not None))
        decided_s = time_of.get(event.sequence)
        named.append(Happening(event.time_s, ids if known else (), decided_s))
    return tuple(named)


def _commonest(matches: Sequence[tuple[float, int]], time_s: float) -> int | None:
    near = [cell for at_s, cell in matches if abs(at_s - time_s) <= EVENT_WINDOW_S]
    return max(sorted(set(near)), key=near.count, default=None)
