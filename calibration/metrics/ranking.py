"""How well a score ranks: area under the ROC curve, and a test of two of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


def auroc(score: Floats, positive: Bools) -> float | None:
    """Give the chance that a positive scores above a negative; ties count half.

    ``None`` where one of the two kinds is missing.
    """
    many, others = int(positive.sum()), int((~positive).sum())
    if not many or not others:
        return None
    above = float(_ranks(score)[positive].sum()) - many * (many + 1) / 2
    return above / (many * others)


def average_precision(score: Floats, positive: Bools) -> float | None:
    """Give the area under the curve of precision over recall, step by step.

    Equal scores are taken together. ``None`` without a positive.
    """
    many = int(positive.sum())
    if not many:
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.diff(score[order]) != 0, True)  # of the equal ones
    precision = hits[last] / (np.flatnonzero(last) + 1)
    gained = np.diff(hits[last], prepend=0)
    return float((precision * gained).sum() / many)


def _ranks(values: Floats) -> NDArray[np.float64]:
    """Give ranks from 1; equal values share the mean of theirs."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(shared[at], np.float64)


@dataclass(frozen=True, slots=True)
class AurocTest:
    """Two areas on the same cases, and whether they differ."""

    first: float
    second: float
    variance: float  # of their difference
    p: float  # two-sided; 1 where the two scores rank alike


def compare_aurocs(first: Floats, second: Floats, positive: Bools) -> AurocTest | None:
    """Test two scores of the same cases (DeLong et al. 1988, by ranks: Sun, Xu 2014).

    ``None`` unless there are two cases of each kind, which a variance needs.
    """
    if min(int(positive.sum()), int((~positive).sum())) < 2:
        return None
    placed = [_placements(score, positive) for score in (first, second)]
    areas = [float(above.mean()) for above, _ in placed]
    gap_above = placed[0][0] - placed[1][0]
    gap_below = placed[0][1] - placed[1][1]
    variance = float(
        gap_above.var(ddof=1) / gap_above.size + gap_below.var(ddof=1) / gap_below.size
    )
    difference = areas[0] - areas[1]
    if variance > 0:
        p = 2 * float(norm.sf(abs(difference) / np.sqrt(variance)))
    else:
        p = 1.0 if difference == 0 else 0.0
    return AurocTest(areas[0], areas[1], variance, p)


def _placements(
    score: Floats, positive: Bools
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give for every positive the share of negatives below it, and the reverse."""
    high, low = score[positive], score[~positive]
    among_all = _ranks(np.concatenate([high, low]))
    above = (among_all[: high.size] - _ranks(high)) / low.size
    below = 1 - (among_all[high.size :] - _ranks(low)) / high.size
    return above, below
