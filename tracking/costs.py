"""Which detections a track may take, and what each would cost.

A uniform grid finds the candidates inside the gate of every track. The cost is twice
the negative logarithm of a heavy-tailed (Student t) density of the distance, plus the
same of the logarithm of the area ratio: contact pushes cells off any motion model, and
a Gaussian would then rather give a cell up.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

TAIL = 4.0
"""Degrees of freedom of both densities."""
AREA_SIGMA = 0.2
"""Standard deviation of the logarithm of the area ratio of a cell seen twice."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Sparse rows (CSR): the detections inside the gate of every track."""

    first: NDArray[np.int64]  # (track + 1,)
    detection: NDArray[np.int64]  # (candidate,)
    cost: NDArray[np.float64]  # (candidate,)


@dataclass(frozen=True, slots=True)
class Bodies:
    """Where cells are expected or found, and how large they are."""

    centre_um: NDArray[np.float64]  # (cell, yx)
    log_area: NDArray[np.float64]  # (cell,) natural logarithm of um2
    whole: NDArray[np.bool_]  # (cell,) not cut by the border, so its area counts


def find_candidates(
    expected: Bodies,
    variance_um2: NDArray[np.float64],
    gate_um: NDArray[np.float64],
    found: Bodies,
    size_weight: float,
) -> Candidates:
    """Give every pair of a track and a detection inside its gate, with its cost.

    Parameters
    ----------
    expected
        Predicted tracks.
    variance_um2
        (track,) variance of an axis of the predicted measurement.
    gate_um
        (track,) largest distance that is considered at all.
    found
        Detections.
    size_weight
        Weight of the area term.
    """
    if expected.centre_um.size == 0 or found.centre_um.size == 0:
        first = np.zeros(len(expected.centre_um) + 1, np.int64)
        return Candidates(first, np.empty(0, np.int64), np.empty(0))
    pitch_um = float(gate_um.max())
    corner = found.centre_um.min(axis=0)
    shape = ((found.centre_um.max(axis=0) - corner) // pitch_um).astype(np.int64) + 1
    grid = _fill_grid(found.centre_um, corner, shape, pitch_um)
    first, detection = _gate(
        expected.centre_um, gate_um, found.centre_um, corner, shape, pitch_um, *grid
    )
    cost = _price(
        first,
        detection,
        expected.centre_um,
        variance_um2,
        expected.log_area,
        expected.whole,
        found.centre_um,
        found.log_area,
        found.whole,
        size_weight,
    )
    return Candidates(first, detection, cost)


@njit(nogil=True, cache=True)
def _fill_grid(centre_um, corner, shape, pitch_um):  # type: ignore[no-untyped-def]
    # Chains of detections per grid square: ``head`` starts them, ``after`` goes on.
    head = np.full(shape[0] * shape[1], -1, np.int64)
    after = np.empty(len(centre_um), np.int64)
    for at in range(len(centre_um) - 1, -1, -1):
        row = int((centre_um[at, 0] - corner[0]) // pitch_um)
        square = row * shape[1] + int((centre_um[at, 1] - corner[1]) // pitch_um)
        after[at] = head[square]
        head[square] = at
    return head, after


@njit(nogil=True, cache=True)
def _gate(  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns of two records
    expected_um, gate_um, found_um, corner, shape, pitch_um, head, after
):
    # Two passes over the squares around every track: count, then write.
    tracks = len(expected_um)
    first = np.zeros(tracks + 1, np.int64)
    detection = np.empty(0, np.int64)
    for writing in range(2):
        total = 0
        for track in range(tracks):
            row = int(np.floor((expected_um[track, 0] - corner[0]) / pitch_um))
            col = int(np.floor((expected_um[track, 1] - corner[1]) / pitch_um))
            first[track] = total
            for near_row in range(max(row - 1, 0), min(row + 2, shape[0])):
                for near_col in range(max(col - 1, 0), min(col + 2, shape[1])):
                    at = head[near_row * shape[1] + near_col]
                    while at >= 0:
                        dy = found_um[at, 0] - expected_um[track, 0]
                        dx = found_um[at, 1] - expected_um[track, 1]
                        if dy * dy + dx * dx <= gate_um[track] ** 2:
                            if writing:
                                detection[total] = at
                            total += 1
                        at = after[at]
        first[tracks] = total
        if not writing:
            detection = np.empty(total, np.int64)
    return first, detection


@njit(nogil=True, cache=True)
def _price(  # type: ignore[no-untyped-def]  # noqa: PLR0913 - columns of two records
    first,
    detection,
    expected_um,
    variance_um2,
    expected_log_area,
    expected_whole,
    found_um,
    found_log_area,
    found_whole,
    size_weight,
):
    # The logarithm of the variance keeps uncertain tracks from taking every cell.
    cost = np.empty(detection.size)
    for track in range(len(expected_um)):
        variance = variance_um2[track]
        for at in range(first[track], first[track + 1]):
            cell = detection[at]
            dy = found_um[cell, 0] - expected_um[track, 0]
            dx = found_um[cell, 1] - expected_um[track, 1]
            distance = (dy * dy + dx * dx) / (TAIL * variance)
            price = 2 * np.log(variance) + (TAIL + 2) * np.log1p(distance)
            if expected_whole[track] and found_whole[cell]:
                change = (expected_log_area[track] - found_log_area[cell]) / AREA_SIGMA
                price += size_weight * (TAIL + 1) * np.log1p(change * change / TAIL)
            cost[at] = price
    return cost
