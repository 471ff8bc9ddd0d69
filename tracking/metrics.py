"""How well tracks and events agree with the truth.

Pure functions on columns. What a ratio of nothing is, is not known: such figures are
``None``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking.linking.assignment import UNMATCHED, assign
from tracking.partners import ClosePairs

EVENT_WINDOW_S = 20 * 60.0
"""An event is right if it lies within this experiment time of the true one."""


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
        share = _ratio(wrong, self.true)
        return None if share is None else 1 - share

    @property
    def idf1(self) -> float | None:
        """F1 of objects under the best one-to-one pairing of whole tracks."""
        return _ratio(2 * self.identity_matched, self.true + self.found)

    @property
    def switches_per_1000(self) -> float | None:
        """Changes of name per 1000 true objects."""
        return _ratio(1000 * self.switches, self.true)


def score_tracks(table: TrackTable, close: ClosePairs | None = None) -> TrackScore:
    """Count after CLEAR (Bernardin and Stiefelhagen 2008) and IDF1 (Ristani 2016).

    With masks matched at half IoU a match is never a choice, so the rule to keep an
    earlier partner has nothing to decide. A switch is a true cell whose track differs
    from the one that last matched it.

    Parameters
    ----------
    table
        Objects and matches.
    close
        All pairs that could have been matches, by which identities are paired; absent:
        the matches are all there are.
    """
    order = np.lexsort((table.match_frame, table.match_true))
    true, found = table.match_true[order], table.match_found[order]
    same_cell = true[1:] == true[:-1]
    switches = int((same_cell & (found[1:] != found[:-1])).sum())
    if close is not None:
        order = np.lexsort((close.frame, close.true))
    pairs = (true, found) if close is None else (close.true[order], close.found[order])
    return TrackScore(
        true=table.true_id.size,
        found=table.found_id.size,
        matched=true.size,
        switches=switches,
        identity_matched=_identity_matches(*pairs),
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
