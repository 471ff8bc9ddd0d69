"""The cells of a frame that can be tracked, from top to bottom, and how they look.

What cannot be tracked is passed over by rule: cells whose centre is not a number or
that have no area, and of cells with the same label all but the first.
"""

import math
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import Cells
from configs.schema import Chip
from inference.pixels import plain
from tracking.linking.table import (
    DESCRIPTORS,
    ELONGATION,
    LOG_AREA,
    LOG_MASS,
    NOBODY,
    PHASE,
    Found,
)
from tracking.linking.wells import Wells, wells_of

Number = TypeVar("Number", bound=np.generic)


def take_cells(cells: Cells, chip: Chip | None, wells: Wells) -> Found:
    """Give the cells of a frame as the tracker takes them."""
    label = held(cells.label, np.int32)
    repeated = held(_repeated(label), np.bool_)
    centre = held(cells.centre_um, np.float64)
    area = held(cells.area_um2, np.float32)
    rows = np.argsort(centre[:, 0])
    order = rows[: _put_in_order(rows, centre, area, repeated)]
    found = Found(
        label=np.empty(order.size, np.int32),
        centre_um=np.empty((order.size, 2)),
        look=np.empty((order.size, DESCRIPTORS)),
        whole=np.empty(order.size, np.bool_),
        touching=_touching_rows(cells, order),
        well=np.full(order.size, NOBODY),
    )
    describe(
        order,
        area,
        held(cells.dry_mass_pg, np.float32),
        held(cells.mean_phase_rad, np.float32),
        held(cells.axes_um, np.float32),
        found.look,
    )
    place(order, label, centre, held(cells.touches_edge, np.bool_), found)
    if chip is None:
        return found
    return found._replace(well=wells_of(found.centre_um, chip, wells))


def held(column: NDArray[Any], kind: type[Number]) -> NDArray[Number]:
    """Give a view that cannot be written: what was handed over is no other type.

    The step is compiled for each type anew, which takes many seconds of a run.
    """
    return plain(np.asarray(column, kind))


@njit(nogil=True, cache=True, error_model="numpy")
def _put_in_order(rows, centre, area, repeated):  # type: ignore[no-untyped-def]
    """Keep the usable ones of rows sorted by y, those of one y by x; gives how many."""
    count = 0
    for at in range(rows.size):
        row = rows[at]
        y, x = centre[row, 0], centre[row, 1]
        if repeated[row] or not (math.isfinite(y) and math.isfinite(x)):
            continue
        if not area[row] > 0:
            continue
        to = count
        while to > 0 and centre[rows[to - 1], 0] == y:
            before = centre[rows[to - 1], 1]
            if before < x or (before == x and rows[to - 1] < row):
                break
            rows[to] = rows[to - 1]
            to -= 1
        rows[to] = row
        count += 1
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def describe(order, area, mass, phase, axes, look):  # type: ignore[no-untyped-def]
    """Fill the looks (cell, descriptor) of the cells in this order."""
    for to in range(order.size):
        cell = order[to]
        look[to, LOG_AREA] = math.log(area[cell])
        # Frames without phase know no mass; the area balances as well then.
        known = mass[cell] > 0
        look[to, LOG_MASS] = math.log(mass[cell]) if known else look[to, LOG_AREA]
        finite = math.isfinite(phase[cell])
        look[to, PHASE] = phase[cell] if finite else 0.0
        long, short = axes[cell, 0], axes[cell, 1]
        look[to, ELONGATION] = math.log(long / short) if long > short > 0 else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def place(order, label, centre, cut, found):  # type: ignore[no-untyped-def]
    """Fill labels, places, and which are whole, of the cells in this order."""
    labels, centre_um, whole = found.label, found.centre_um, found.whole
    for to in range(order.size):
        cell = order[to]
        labels[to], whole[to] = label[cell], not cut[cell]
        centre_um[to, 0], centre_um[to, 1] = centre[cell, 0], centre[cell, 1]


def _repeated(label: NDArray[np.int32]) -> NDArray[np.bool_]:
    if (label[1:] > label[:-1]).all():
        return np.zeros(label.size, np.bool_)
    repeated = np.ones(label.size, np.bool_)
    repeated[np.unique(label, return_index=True)[1]] = False
    return repeated


def _touching_rows(cells: Cells, order: NDArray[np.intp]) -> NDArray[np.int64]:
    if cells.touching.size == 0:
        return np.empty((0, 2), np.int64)
    row = np.full(int(cells.label.max(initial=0)) + 1, NOBODY)
    row[cells.label[order]] = np.arange(order.size)
    known = (cells.touching >= 0) & (cells.touching < row.size)
    pairs = row[np.where(known, cells.touching, 0)]
    return pairs[(pairs != NOBODY).all(axis=1) & known.all(axis=1)].astype(np.int64)
