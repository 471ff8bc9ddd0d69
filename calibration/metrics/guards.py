"""What an empty answer is worth: nothing is known, or everything was missed.

Rule I-M4. An image without cells in which none were found says "agree empty": its
figures are NaN, and it is counted. Where only one side is empty the overlap is 0 and
a distance is NaN; it is counted too. A mean is taken over what is known, and the two
counts stand beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

NOT_KNOWN = math.nan


class Emptiness(Enum):
    """Which of the two sides, true and found, hold nothing."""

    NEITHER = "neither"
    AGREE_EMPTY = "agree empty"
    ONE_EMPTY = "one empty"


@dataclass(frozen=True, slots=True)
class Summary:
    """The mean of a figure over images, and how many of them were empty."""

    mean: float  # over the images where the figure is known, NaN without any
    known: int
    agree_empty: int
    one_empty: int


def judge_emptiness(true: int, found: int) -> Emptiness:
    """Tell which sides are empty from how many pixels or objects they hold."""
    if true and found:
        return Emptiness.NEITHER
    return Emptiness.ONE_EMPTY if true or found else Emptiness.AGREE_EMPTY


def ratio(part: float, whole: float) -> float:
    """Give part / whole; what a ratio of nothing is, is not known (NaN)."""
    return float(part) / float(whole) if whole else NOT_KNOWN


def summarise(values: Sequence[float], kinds: Sequence[Emptiness]) -> Summary:
    """Give the mean of a figure of several images, and count the empty ones."""
    known = [value for value in values if not math.isnan(value)]
    return Summary(
        mean=float(np.mean(known)) if known else NOT_KNOWN,
        known=len(known),
        agree_empty=sum(kind is Emptiness.AGREE_EMPTY for kind in kinds),
        one_empty=sum(kind is Emptiness.ONE_EMPTY for kind in kinds),
    )
