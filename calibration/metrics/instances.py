"""Instances of a frame: how many were found, how well they lie, how sure that is."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from calibration.metrics.guards import Emptiness, Summary, judge_emptiness, summarise
from calibration.metrics.intervals import Interval, mean_interval
from calibration.metrics.objects import instance_f1
from calibration.metrics.overlaps import Overlaps, find_overlaps, match_objects

CLOSE_IOU = 0.75


@dataclass(frozen=True, slots=True)
class InstanceCounts:
    """Instances and their pixels of any number of frames; counts can be added."""

    true: int = 0
    found: int = 0
    matched: int = 0  # at one half IoU
    matched_closely: int = 0  # at three quarters
    true_px: int = 0
    found_px: int = 0
    common_px: int = 0  # cell in both, whichever cell

    def __add__(self, other: "InstanceCounts") -> "InstanceCounts":
        mine, theirs = astuple(self), astuple(other)
        return InstanceCounts(*(a + b for a, b in zip(mine, theirs, strict=True)))

    @property
    def f1_50(self) -> float | None:
        """F1 of instances that overlap by half; ``None`` where there are none."""
        return instance_f1(self.matched, self.true, self.found)

    @property
    def f1_75(self) -> float | None:
        """F1 of instances that overlap by three quarters."""
        return instance_f1(self.matched_closely, self.true, self.found)

    @property
    def iou_foreground(self) -> float | None:
        """IoU of all that is cell; ``None`` where nothing is."""
        either = self.true_px + self.found_px - self.common_px
        return self.common_px / either if either else None


def count_instances(
    true: NDArray[np.uint16], found: NDArray[np.uint16]
) -> InstanceCounts:
    """Count the instances of two label maps (y, x) and match them one to one."""
    overlaps = find_overlaps(true, found)
    iou = overlaps.iou[match_objects(overlaps)]
    return InstanceCounts(
        true=overlaps.true_label.size,
        found=overlaps.found_label.size,
        matched=iou.size,
        matched_closely=int((iou >= CLOSE_IOU).sum()),
        true_px=int(overlaps.true_pixels.sum()),
        found_px=int(overlaps.found_pixels.sum()),
        common_px=int(overlaps.pixels.sum()),
    )


def f1_among(overlaps: Overlaps, chosen: NDArray[np.integer]) -> float | None:
    """Give the instance F1 of some true objects, for instance of touching ones.

    A found object that matches nothing counts as false here if the true object that it
    covers most is among the chosen.
    """
    rows = match_objects(overlaps)
    wanted = np.isin(overlaps.true_label, chosen)
    hit = np.isin(overlaps.true[rows], chosen)
    order = np.lexsort((-overlaps.pixels, overlaps.found))
    names, first = np.unique(overlaps.found[order], return_index=True)
    mostly_on = overlaps.true[order][first]
    alone = ~np.isin(names, overlaps.found[rows])
    false = int((alone & np.isin(mostly_on, chosen)).sum())
    matched = int(hit.sum())
    return instance_f1(matched, int(wanted.sum()), matched + false)


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
