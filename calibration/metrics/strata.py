"""Figures of cells at the edge, out of focus or crowded, beside those of the others.

A stratum is a property of true cells, so that what was made up belongs to none: its
figures say what became of the cells in it. Magnifications are compared by giving the
tables of each apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from acquisition.records import CellState
from calibration.metrics.objects import ObjectTable, missed_share
from inference.measure import near_pairs

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StratumFigures:
    """What became of the true cells of a stratum; NaN without cells of a class."""

    objects: int
    missed: float | None
    right_live: float  # share of the live cells found and called live, sure
    right_dead: float


def edge_labels(labels: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Give the labels of the cells that the border of the map (y, x) cuts."""
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    names = np.unique(rim)
    return names[names > 0].astype(np.int64)


def touching_labels(labels: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Give the labels of the cells that lie within 2 px of another."""
    codes = np.unique(near_pairs(labels))
    return np.unique(np.concatenate([codes >> 16, codes & 0xFFFF])).astype(np.int64)


def gradient_energy(
    image: NDArray[np.generic], labels: NDArray[np.uint16]
) -> dict[int, float]:
    """Give the mean squared gradient inside every cell, by label: low is out of focus.

    The unit is (grey level per px) squared, so that only cells of one channel compare.
    """
    plane = image.astype(np.float32)
    slope = [
        cv2.Sobel(plane, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))
    ]
    energy = slope[0] ** 2 + slope[1] ** 2
    area = np.bincount(labels.ravel())
    total = np.bincount(labels.ravel(), energy.ravel())
    present = np.flatnonzero(area)
    return {int(cell): total[cell] / area[cell] for cell in present if cell > 0}


def count_neighbours(labels: NDArray[np.uint16], radius_px: float) -> dict[int, int]:
    """Give for every cell, by label, how many others have their middle within reach."""
    area = np.bincount(labels.ravel())
    present = np.flatnonzero(area)
    present = present[present > 0]
    if not present.size:
        return {}
    y, x = np.indices(labels.shape)
    middle = [np.bincount(labels.ravel(), axis.ravel())[present] for axis in (y, x)]
    places = np.stack(middle, axis=1) / area[present, None]
    counts = KDTree(places).query_ball_point(places, radius_px, return_length=True)
    return dict(zip(present.tolist(), (counts - 1).tolist(), strict=True))


def low_quantile(values: Floats, share: float) -> NDArray[np.bool_]:
    """Tell which values belong to the lowest share of their set."""
    return values <= np.quantile(values, share) if values.size else values > 0


def figures_by_stratum(
    table: ObjectTable, strata: Mapping[str, NDArray[np.bool_]]
) -> dict[str, tuple[StratumFigures, StratumFigures]]:
    """Give the figures of every stratum and of the cells outside it.

    Parameters
    ----------
    table
        Objects of any number of frames.
    strata
        By name, (row of the table,) whether the row belongs to the stratum.
    """
    true = table.true_state > 0
    return {
        name: (_figures(table, true & inside), _figures(table, true & ~inside))
        for name, inside in strata.items()
    }


def select_objects(table: ObjectTable, kept: NDArray[np.bool_]) -> ObjectTable:
    """Give the rows of a table for which ``kept`` holds."""
    return ObjectTable(
        *(getattr(table, column)[kept] for column in ObjectTable.__slots__)
    )


def _figures(table: ObjectTable, kept: NDArray[np.bool_]) -> StratumFigures:
    chosen = select_objects(table, kept)
    right = (chosen.true_state == chosen.found_state) & ~chosen.unsure
    shares = [
        float(right[of_class].mean()) if of_class.any() else float("nan")
        for of_class in (
            chosen.true_state == state for state in (CellState.LIVE, CellState.DEAD)
        )
    ]
    return StratumFigures(int(kept.sum()), missed_share(chosen), *shares)
