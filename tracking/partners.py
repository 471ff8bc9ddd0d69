"""Which true and found cells are the same, where nearness leaves a choice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking.linking.assignment import assign


@dataclass(frozen=True, slots=True)
class ClosePairs:
    """Every true and found object of a frame that lie close enough to be the same."""

    frame: NDArray[np.int64]  # (pair,)
    true: NDArray[np.int64]  # (pair,) names
    found: NDArray[np.int64]  # (pair,)
    distance: NDArray[np.float64]  # (pair,) in any unit, at least 0


def keep_partners(close: ClosePairs) -> ClosePairs:
    """Choose one-to-one matches as CLEAR does: an earlier partner stays while close.

    What is left of a frame is matched as often as it can be, at the least total
    distance. Needed for points and boxes only: of masks matched at half IoU none has a
    choice.
    """
    order = np.lexsort((close.found, close.true, close.frame))
    last: dict[int, int] = {}
    chosen: list[int] = []
    ends = np.flatnonzero(np.diff(close.frame[order], append=-1)) + 1
    for rows in np.split(order, ends[:-1]):
        kept = _kept(close, rows, last)
        names = {int(close.true[row]) for row in kept}
        taken = {int(close.found[row]) for row in kept}
        rest = [
            int(row)
            for row in rows
            if int(close.true[row]) not in names and int(close.found[row]) not in taken
        ]
        kept += _nearest(close, np.array(rest, np.int64))
        last |= {int(close.true[row]): int(close.found[row]) for row in kept}
        chosen += sorted(kept)
    at = np.array(chosen, np.int64)
    return ClosePairs(
        close.frame[at], close.true[at], close.found[at], close.distance[at]
    )


def _kept(
    close: ClosePairs, rows: NDArray[np.int64], last: dict[int, int]
) -> list[int]:
    kept: list[int] = []
    taken: set[int] = set()
    for row in rows.tolist():
        found = int(close.found[row])
        if last.get(int(close.true[row])) == found and found not in taken:
            kept.append(row)
            taken.add(found)
    return kept


def _nearest(close: ClosePairs, rows: NDArray[np.int64]) -> list[int]:
    """Match the pairs of a frame, by true and found name, at the least distance."""
    if rows.size == 0:
        return []
    _, row = np.unique(close.true[rows], return_inverse=True)
    names, column = np.unique(close.found[rows], return_inverse=True)
    first = np.searchsorted(row, np.arange(row[-1] + 2))
    cost = close.distance[rows]
    alone = 1.0 + 2.0 * float(cost.sum())  # dearer than any set of matches
    matched = assign(first, column.astype(np.int64), cost, names.size, alone)
    return [int(one) for one in rows[matched[row] == column]]
