"""Mean IoU of the instances of a frame, with its interval over images or videos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from calibration.metrics.guards import Emptiness, Summary, judge_emptiness, summarise
from calibration.metrics.intervals import Interval, mean_interval
from calibration.metrics.overlaps import Overlaps, find_overlaps


@dataclass(frozen=True, slots=True)
class FrameIou:
    """How well the instances of a frame lie on the true ones."""

    mean_iou: float  # NaN where neither side holds any
    emptiness: Emptiness


@dataclass(frozen=True, slots=True)
class AverageIou:
    """The mean over frames, its interval, and how many frames were empty."""

    interval: Interval
    summary: Summary


def frame_iou(true: NDArray[np.uint16], found: NDArray[np.uint16]) -> FrameIou:
    """Give the mean IoU under the best one-to-one pairing of all instances.

    Every instance of either side counts once: a missed or made-up one as 0.
    """
    overlaps = find_overlaps(true, found)
    many, others = overlaps.true_label.size, overlaps.found_label.size
    kind = judge_emptiness(many, others)
    if kind is Emptiness.AGREE_EMPTY:
        return FrameIou(float("nan"), kind)
    paired = pair_best(overlaps)
    return FrameIou(float(paired.sum()) / (many + others - paired.size), kind)


def pair_best(overlaps: Overlaps) -> NDArray[np.float64]:
    """Give the IoU of the pairs of the best one-to-one pairing, of those that touch."""
    table = np.zeros((overlaps.true_label.size, overlaps.found_label.size))
    row = np.searchsorted(overlaps.true_label, overlaps.true)
    column = np.searchsorted(overlaps.found_label, overlaps.found)
    table[row, column] = overlaps.iou
    paired = table[linear_sum_assignment(table, maximize=True)]
    return np.asarray(paired[paired > 0])


def average_iou(
    frames: Sequence[FrameIou], groups: Sequence[str], seed: int = 0
) -> AverageIou:
    """Give the mean over frames; whole groups (images, videos) are drawn anew."""
    values = [frame.mean_iou for frame in frames]
    kinds = [frame.emptiness for frame in frames]
    return AverageIou(mean_interval(values, groups, seed), summarise(values, kinds))
