"""How well cells, tracks and events agree with the truth.

Pure functions on label maps and columns. Objects are matched one to one at an
intersection over union (IoU) of at least one half. What a ratio of nothing is, is not
known: such figures are ``None``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import CellState
from tracking.assignment import UNMATCHED, assign

SAME_OBJECT_IOU = 0.5
EVENT_WINDOW_S = 20 * 60.0
"""An event is right if it lies within this experiment time of the true one."""


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Pairs of objects of two label maps that share pixels, by label."""

    true: NDArray[np.int64]  # (pair,) label in the first map
    found: NDArray[np.int64]  # (pair,) label in the second map
    pixels: NDArray[np.int64]  # (pair,) in both
    iou: NDArray[np.float64]  # (pair,)
    true_label: NDArray[np.int64]  # (object,) every object of the first map
    true_pixels: NDArray[np.int64]
    found_label: NDArray[np.int64]  # (object,) every object of the second map
    found_pixels: NDArray[np.int64]


def find_overlaps(true: NDArray[np.uint16], found: NDArray[np.uint16]) -> Overlaps:
    """Count the pixels that the objects of two label maps (y, x) share.

    Raises
    ------
    ValueError
        If the maps differ in shape.
    """
    if true.shape != found.shape:
        raise ValueError(f"label maps differ in shape: {true.shape} and {found.shape}")
    key, length = _runs(true, found)
    pair, at = np.unique(key, return_inverse=True)
    pixels = np.bincount(at, length, minlength=pair.size).astype(np.int64)
    first, second = pair >> 16, pair & 0xFFFF
    true_label, true_pixels = _areas(first, pixels)
    found_label, found_pixels = _areas(second, pixels)
    both = (first > 0) & (second > 0)
    first, second, shared = first[both], second[both], pixels[both]
    union = (
        true_pixels[np.searchsorted(true_label, first)]
        + found_pixels[np.searchsorted(found_label, second)]
        - shared
    )
    return Overlaps(
        first,
        second,
        shared,
        shared / union,
        true_label,
        true_pixels,
        found_label,
        found_pixels,
    )


@njit(nogil=True, cache=True)
def _runs(true, found):  # type: ignore[no-untyped-def]
    # Stretches of one pair of labels along a row: far fewer than pixels.
    height, width = true.shape
    key = np.empty(height * width, np.int64)
    length = np.empty(height * width, np.int64)
    count = 0
    for y in range(height):
        last = np.int64(-1)
        for x in range(width):
            pair = (np.int64(true[y, x]) << 16) | np.int64(found[y, x])
            if pair != last:
                key[count] = pair
                length[count] = 0
                count += 1
                last = pair
            length[count - 1] += 1
    return key[:count].copy(), length[:count].copy()


def _areas(
    label: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    names, at = np.unique(label, return_inverse=True)
    areas = np.bincount(at, pixels, minlength=names.size).astype(np.int64)
    return names[names > 0], areas[names > 0]


def match_objects(
    overlaps: Overlaps, smallest_iou: float = SAME_OBJECT_IOU
) -> NDArray[np.int64]:
    """Give the pairs that are the same object, one to one.

    Above one half no object can have two partners; ties at exactly one half go to the
    smaller labels.

    Returns
    -------
    (match,) rows of ``overlaps``.
    """
    rows = np.flatnonzero(overlaps.iou >= smallest_iou)
    rows = rows[
        np.lexsort((overlaps.found[rows], overlaps.true[rows], -overlaps.iou[rows]))
    ]
    _, first = np.unique(overlaps.true[rows], return_index=True)
    rows = rows[np.sort(first)]
    _, first = np.unique(overlaps.found[rows], return_index=True)
    return np.sort(rows[first])


@dataclass(frozen=True, slots=True)
class ObjectTable:
    """True and found objects of any number of frames, matched or alone."""

    true_state: NDArray[np.uint8]  # (row,) CellState, BACKGROUND for a false object
    found_state: NDArray[np.uint8]  # (row,) CellState, BACKGROUND for a missed one
    unsure: NDArray[np.bool_]  # (row,) the found object carries the flag
    dead_probability: NDArray[np.float64]  # (row,) of the found object
    inside_state: NDArray[np.uint8]  # (row,) commonest found state inside the true one


def object_f1(
    table: ObjectTable, state: CellState, dead_share: float | None = None
) -> float | None:
    """Give F1 = 2TP / (2TP + FP + FN) of a class over objects.

    TP has the class on both sides and is sure; a found object of the class without
    that is FP, a true one FN. With ``dead_share`` d, every truly dead object counts
    w = d L / ((1 - d) D) times, where L and D are the numbers of truly live and dead
    ones, so that the dead are the share d; false objects count once.
    """
    true, found = table.true_state == state, table.found_state == state
    weight = np.ones(true.size)
    if dead_share is not None:
        dead = table.true_state == CellState.DEAD
        live = table.true_state == CellState.LIVE
        if not dead.any() or not live.any():
            return None
        weight[dead] = dead_share * live.sum() / ((1 - dead_share) * dead.sum())
    right = true & found & ~table.unsure
    wrong = (weight * (true & ~right)).sum() + (weight * (found & ~right)).sum()
    twice = 2 * (weight * right).sum()
    return _ratio(twice, twice + wrong)


def pics_f1(table: ObjectTable, state: CellState) -> float | None:
    """Give F1 of a class after PICS: commonest label inside each true cell.

    The confusion is normalised per true class, so both classes weigh the same (Hu et
    al., "Live-dead assay on unlabeled cells using phase imaging with computational
    specificity", 2022). Cells covered less than half count as missed.
    """
    other = CellState.LIVE if state == CellState.DEAD else CellState.DEAD
    own = table.inside_state[table.true_state == state]
    foreign = table.inside_state[table.true_state == other]
    if own.size == 0 or foreign.size == 0:
        return None
    hit = float((own == state).mean())
    false = float((foreign == state).mean())
    return _ratio(2 * hit, 2 * hit + (1 - hit) + false)


def instance_f1(matched: int, true: int, found: int) -> float | None:
    """Give F1 of objects of any class."""
    return _ratio(2 * matched, true + found)


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Give the chance that a positive scores above a negative, ties count half."""
    rank = np.empty(score.size)
    values, at, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[at] if values.size else rank
    many, others = int(positive.sum()), int((~positive).sum())
    above = rank[positive].sum() - many * (many + 1) / 2
    return _ratio(float(above), many * others)


@dataclass(frozen=True, slots=True)
class TrackTable:
    """Who was where: every true and every tracked cell, and which were the same."""

    true_frame: NDArray[np.int64]  # (true object,) in order of time
    true_id: NDArray[np.int64]
    found_frame: NDArray[np.int64]  # (tracked object,)
    found_id: NDArray[np.int64]
    match_frame: NDArray[np.int64]  # (match,) IoU at least one half, one to one
    match_true: NDArray[np.int64]
    match_found: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrackScore:
    """CLEAR and identity figures; add several before taking the ratios."""

    true: int
    found: int
    matched: int
    switches: int
    identity_matched: int

    @property
    def mota(self) -> float | None:
        """1 - (FN + FP + switches) / true objects; can be below zero."""
        wrong = self.true + self.found - 2 * self.matched + self.switches
        return _ratio(self.true - wrong, self.true)

    @property
    def idf1(self) -> float | None:
        """F1 of objects under the best one-to-one pairing of whole tracks."""
        return _ratio(2 * self.identity_matched, self.true + self.found)

    @property
    def switches_per_1000(self) -> float | None:
        """Changes of name per 1000 true objects."""
        return _ratio(1000 * self.switches, self.true)


def score_tracks(table: TrackTable) -> TrackScore:
    """Count after CLEAR (Bernardin and Stiefelhagen 2008) and IDF1 (Ristani 2016).

    With masks matched at half IoU a match is never a choice, so the rule to keep an
    earlier partner has nothing to decide. A switch is a true cell whose track differs
    from the one that last matched it.
    """
    order = np.lexsort((table.match_frame, table.match_true))
    true, found = table.match_true[order], table.match_found[order]
    same_cell = true[1:] == true[:-1]
    switches = int((same_cell & (found[1:] != found[:-1])).sum())
    return TrackScore(
        true=table.true_id.size,
        found=table.found_id.size,
        matched=true.size,
        switches=switches,
        identity_matched=_identity_matches(true, found),
    )


def _identity_matches(true: NDArray[np.int64], found: NDArray[np.int64]) -> int:
    if true.size == 0:
        return 0
    pair, count = np.unique(np.stack((true, found), axis=1), axis=0, return_counts=True)
    _, row = np.unique(pair[:, 0], return_inverse=True)
    names, column = np.unique(pair[:, 1], return_inverse=True)
    first = np.searchsorted(row, np.arange(row[-1] + 2))
    cost = -count.astype(np.float64)
    chosen = assign(first, column.astype(np.int64), cost, names.size, 0.0)
    taken = (chosen[row] == column) & (chosen[row] != UNMATCHED)
    return int(count[taken].sum())


@dataclass(frozen=True, slots=True)
class Happening:
    """An event in terms of true cells."""

    time_s: float  # when it began, truly or as reported
    cells: tuple[int, ...]  # true ids in order; empty where a track has no true cell
    decided_s: float | None = None  # of a report: the frame that decided it


@dataclass(frozen=True, slots=True)
class EventScore:
    """Found against true events of one kind."""

    true: int
    found: int
    true_hit: int  # true events that were reported
    found_right: int  # reports that were right
    delays_s: tuple[float, ...]  # reported less true beginning, of the true_hit
    alerts_s: tuple[float, ...]  # the same to the deciding frame, where it is known
    found_repeated: int  # wrong reports near a true event that another report has

    @property
    def recall(self) -> float | None:
        """Share of the true events that were reported."""
        return _ratio(self.true_hit, self.true)

    @property
    def precision(self) -> float | None:
        """Share of the reports that were right."""
        return _ratio(self.found_right, self.found)


def match_events(
    true: Sequence[Happening],
    found: Sequence[Happening],
    window_s: float = EVENT_WINDOW_S,
) -> EventScore:
    """Match events one to one, as `pair_events` does, and count."""
    report_of = pair_events(true, found, window_s)
    right = set(report_of.values())
    hits = [(found[number], true[at]) for at, number in sorted(report_of.items())]
    near = {number for _, _, number in _near(true, found, window_s)}
    return EventScore(
        true=len(true),
        found=len(found),
        true_hit=len(report_of),
        found_right=len(right),
        delays_s=tuple(one.time_s - two.time_s for one, two in hits),
        alerts_s=tuple(
            one.decided_s - two.time_s for one, two in hits if one.decided_s is not None
        ),
        found_repeated=len(near - right),
    )


def pair_events(
    true: Sequence[Happening],
    found: Sequence[Happening],
    window_s: float = EVENT_WINDOW_S,
) -> dict[int, int]:
    """Pair events on the same cells within a window of experiment time, one to one.

    A true event excuses a single report, the nearest in time. A further report of it
    finds no partner, unless the same cells truly had another such event near: a cell
    dies once, a pair may part and meet again.

    Returns
    -------
    The index of the report by that of the true event.
    """
    report_of: dict[int, int] = {}
    taken: set[int] = set()
    for _, at, number in _near(true, found, window_s):
        if at not in report_of and number not in taken:
            report_of[at] = number
            taken.add(number)
    return report_of


def _near(
    true: Sequence[Happening], found: Sequence[Happening], window_s: float
) -> list[tuple[float, int, int]]:
    """List (distance in s, true event, report) on the same cells, nearest first."""
    return sorted(
        (abs(report.time_s - real.time_s), at, number)
        for at, real in enumerate(true)
        for number, report in enumerate(found)
        if report.cells == real.cells and abs(report.time_s - real.time_s) <= window_s
    )


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None
