"""Figures of pixels by class; background is never one of the classes in a mean.

An image is mostly background, so that a network which finds nothing is right on most
pixels: accuracy is only ever given beside the share of the background.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState
from calibration.metrics.guards import (
    NOT_KNOWN,
    Emptiness,
    judge_emptiness,
    ratio,
)

CLASSES = 3


@dataclass(frozen=True, slots=True)
class PixelFigures:
    """Figures of the pixels of one class, or of cells of any class."""

    precision: float  # NaN where none were found
    recall: float  # NaN where there are none
    f1: float  # the same number as Dice
    iou: float
    true_px: int
    found_px: int
    emptiness: Emptiness

    @property
    def dice(self) -> float:
        """2 x common / (true + found): for masks the same as F1."""
        return self.f1


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right pixels, with what calling everything background would give."""

    accuracy: float
    background_share: float


def count_pixels(
    true: NDArray[np.integer], found: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Count pixels (true class, found class) of two class maps (y, x).

    Counts of several images can be added.

    Raises
    ------
    ValueError
        If the maps differ in shape or hold other codes than `CellState`.
    """
    if true.shape != found.shape:
        raise ValueError(f"class maps differ in shape: {true.shape} and {found.shape}")
    for codes in (true, found):
        if codes.size and (codes.min() < 0 or codes.max() >= CLASSES):
            raise ValueError(
                f"a class map holds codes {codes.min()} to {codes.max()}; known are "
                "0 background, 1 live, 2 dead"
            )
    pair = true.astype(np.int64) * CLASSES + found
    counts = np.bincount(pair.ravel(), minlength=CLASSES**2)
    return counts.reshape(CLASSES, CLASSES)


def class_figures(counts: NDArray[np.int64], state: CellState) -> PixelFigures:
    """Give the figures of one class from the counts of `count_pixels`."""
    both = int(counts[state, state])
    return _figures(both, int(counts[state].sum()), int(counts[:, state].sum()))


def foreground_figures(counts: NDArray[np.int64]) -> PixelFigures:
    """Give the figures of cells of any class against background."""
    both = int(counts[1:, 1:].sum())
    return _figures(both, int(counts[1:].sum()), int(counts[:, 1:].sum()))


def mask_figures(true: NDArray[np.bool_], found: NDArray[np.bool_]) -> PixelFigures:
    """Give the figures of two masks of one shape."""
    both = int(np.count_nonzero(true & found))
    return _figures(both, int(np.count_nonzero(true)), int(np.count_nonzero(found)))


def accuracy(counts: NDArray[np.int64]) -> Accuracy:
    """Give the share of right pixels beside the share of background."""
    pixels = int(counts.sum())
    return Accuracy(
        ratio(int(counts.trace()), pixels),
        ratio(int(counts[CellState.BACKGROUND].sum()), pixels),
    )


def mean_over_classes(live: PixelFigures, dead: PixelFigures, name: str) -> float:
    """Give the mean of a figure over live and dead, of those that are known."""
    known = [
        value
        for value in (getattr(live, name), getattr(dead, name))
        if not np.isnan(value)
    ]
    return float(np.mean(known)) if known else NOT_KNOWN


def _figures(both: int, true: int, found: int) -> PixelFigures:
    return PixelFigures(
        precision=ratio(both, found),
        recall=ratio(both, true),
        f1=ratio(2 * both, true + found),
        iou=ratio(both, true + found - both),
        true_px=true,
        found_px=found,
        emptiness=judge_emptiness(true, found),
    )
