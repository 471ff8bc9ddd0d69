"""Whether groups differ: t tests, many at once, and against a bar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from calibration.metrics.guards import NOT_KNOWN


@dataclass(frozen=True, slots=True)
class TTest:
    """A t test; NaN where a side has too few values or none varies."""

    t: float
    degrees: float
    p: float  # two-sided
    effect: float  # Cohen's d


def compare_means(first: NDArray[np.floating], second: NDArray[np.floating]) -> TTest:
    """Compare two independent groups without assuming equal spread (Welch 1947).

    Cohen's d divides the difference by the pooled standard deviation.
    """
    if min(first.size, second.size) < 2:
        return TTest(NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, NOT_KNOWN)
    spread = np.array([first.var(ddof=1), second.var(ddof=1)], np.float64)
    of_means = spread / (first.size, second.size)
    free = np.array([first.size - 1, second.size - 1])
    if of_means.sum() == 0:
        return TTest(NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, NOT_KNOWN)
    difference = float(first.mean() - second.mean())
    t = difference / float(np.sqrt(of_means.sum()))
    degrees = float(of_means.sum() ** 2 / (of_means**2 / free).sum())
    pooled = float(np.sqrt((spread * free).sum() / free.sum()))
    return TTest(
        t, degrees, 2 * float(student.sf(abs(t), degrees)), difference / pooled
    )


def compare_with_bar(values: NDArray[np.floating], bar: float) -> TTest:
    """Compare the mean of a group with a fixed bar; d is in its own deviations."""
    if values.size < 2 or values.std(ddof=1) == 0:
        return TTest(NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, NOT_KNOWN)
    effect = float((values.mean() - bar) / values.std(ddof=1))
    t = effect * float(np.sqrt(values.size))
    degrees = values.size - 1
    return TTest(t, float(degrees), 2 * float(student.sf(abs(t), degrees)), effect)


def correct_holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Give p values corrected for being many (Holm 1979); NaN stays and is no test."""
    given = np.asarray(p, np.float64)
    corrected = np.full(given.size, NOT_KNOWN)
    tests = np.flatnonzero(~np.isnan(given))
    order = tests[np.argsort(given[tests], kind="stable")]
    scaled = given[order] * np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return corrected
