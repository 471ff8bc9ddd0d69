"""How sure a figure is: intervals of shares, and of means over images or videos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

from calibration.metrics.guards import NOT_KNOWN

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the ends of its interval; NaN where nothing is known."""

    estimate: float
    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Give the score interval of a share (Wilson 1927)."""
    if not trials:
        return Interval(NOT_KNOWN, NOT_KNOWN, NOT_KNOWN)
    z = float(norm.isf((1 - confidence) / 2))
    share = successes / trials
    shrink = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / shrink
    half = z * np.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2) / shrink
    return Interval(share, max(0.0, float(middle - half)), min(1.0, middle + half))


def beta_interval(
    successes: int, trials: int, confidence: float = CONFIDENCE
) -> Interval:
    """Give the central interval of Beta(1 + successes, 1 + failures).

    This is what is believed of a share after the trials if before them every share
    was as likely; the estimate is its mean. Without trials it is the whole range.
    """
    believed = beta(1 + successes, 1 + trials - successes)
    low, high = believed.interval(confidence)
    return Interval(float(believed.mean()), float(low), float(high))


def bootstrap(
    figure: Callable[[NDArray[np.int64]], float],
    groups: Sequence[str],
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """Give the percentile interval of a figure, drawing whole groups with return.

    What belongs together is drawn together: pixels or cells of one image are no
    independent witnesses (Efron and Tibshirani 1993).

    Parameters
    ----------
    figure
        Gives the figure of the rows that were drawn; a row may come several times.
    groups
        Image, video, well or world of every row.
    seed, confidence, resamples
        Where the draws begin, what share the interval covers, how often is drawn.
    """
    rows = np.arange(len(groups))
    names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    members = [rows[member == number] for number in range(names.size)]
    if len(members) < 2:  # a single witness says nothing of others
        return Interval(figure(rows) if members else NOT_KNOWN, NOT_KNOWN, NOT_KNOWN)
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [
            figure(np.concatenate([members[at] for at in chosen]))
            for chosen in rng.integers(names.size, size=(resamples, names.size))
        ],
        np.float64,
    )
    known = drawn[~np.isnan(drawn)]
    tail = 50 * (1 - confidence)
    ends = np.percentile(known, [tail, 100 - tail]) if known.size else (NOT_KNOWN,) * 2
    return Interval(figure(rows), float(ends[0]), float(ends[1]))


def mean_interval(
    values: Sequence[float], groups: Sequence[str], seed: int = 0
) -> Interval:
    """Give the mean of a figure of images with its interval over their groups.

    Images whose figure is not known (NaN) are left out.
    """
    known = ~np.isnan(np.asarray(values, np.float64))
    kept = np.asarray(values, np.float64)[known]
    names = np.asarray(groups, dtype=np.str_)[known]
    return bootstrap(lambda rows: float(kept[rows].mean()), names.tolist(), seed)
