"""Figures of whole cells: found, told apart, missed and made up.

An object is a whole cell. What a ratio of nothing is, is not known: such figures are
``None``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Cells, CellState
from calibration.metrics.overlaps import Overlaps

DEAD_SHARE = 0.25
"""Share of dead cells to which headline figures are re-weighted: F1 of a rare class
follows its share."""
FEWEST_OBJECTS = 50
"""Figures of a class with fewer objects are not stated."""


@dataclass(frozen=True, slots=True)
class ObjectTable:
    """True and found objects of any number of frames, matched or alone."""

    true_state: NDArray[np.uint8]  # (row,) CellState, BACKGROUND for a false object
    found_state: NDArray[np.uint8]  # (row,) CellState, BACKGROUND for a missed one
    unsure: NDArray[np.bool_]  # (row,) the found object carries the flag
    dead_probability: NDArray[np.float64]  # (row,) of the found object, NaN without
    inside_state: NDArray[np.uint8]  # (row,) commonest found state inside the true one


def tabulate(
    overlaps: Overlaps,
    rows: NDArray[np.int64],
    true: Mapping[int, int],
    found: NDArray[np.int64],
    cells: Cells,
) -> ObjectTable:
    """Give the table of one frame: every true object in order, then the false ones.

    Parameters
    ----------
    overlaps
        Of the true with the found label map.
    rows
        The matches among them, as `calibration.metrics.overlaps.match_objects` gives.
    true
        CellState by label of the true objects that count, in order of the labels.
    found
        Labels of the found objects that count.
    cells
        What was said of the found objects.
    """
    true_label = np.array(list(true), np.int64)
    partner = dict(
        zip(overlaps.true[rows].tolist(), overlaps.found[rows].tolist(), strict=True)
    )
    false = sorted(set(found.tolist()) - set(partner.values()))
    found_label = np.array(
        [partner.get(cell, 0) for cell in true_label.tolist()] + false, np.int64
    )
    nobody = cells.label.size  # a row of nothing, after the last cell
    at = np.where(found_label > 0, np.searchsorted(cells.label, found_label), nobody)
    nothing = np.full(len(false), CellState.BACKGROUND, np.uint8)
    return ObjectTable(
        true_state=np.append(np.array(list(true.values()), np.uint8), nothing),
        found_state=np.append(cells.state, np.uint8(CellState.BACKGROUND))[at],
        unsure=np.append(cells.unsure, False)[at],
        dead_probability=np.append(cells.dead_probability, np.nan)[at].astype(float),
        inside_state=np.append(_inside(overlaps, true_label, cells), nothing),
    )


def _inside(
    overlaps: Overlaps, true_label: NDArray[np.int64], cells: Cells
) -> NDArray[np.uint8]:
    """Give the commonest of background, live and dead inside every true object."""
    pixels = np.zeros((true_label.size, 3), np.int64)
    area = overlaps.true_pixels[np.searchsorted(overlaps.true_label, true_label)]
    kept = np.isin(overlaps.true, true_label)
    row = np.searchsorted(true_label, overlaps.true[kept])
    cell = np.searchsorted(cells.label, overlaps.found[kept])
    np.add.at(pixels, (row, cells.state[cell]), overlaps.pixels[kept])
    pixels[:, CellState.BACKGROUND] = area - pixels.sum(axis=1)
    return pixels.argmax(axis=1).astype(np.uint8)


def tabulate_calls(
    called_dead: NDArray[np.bool_], dead: NDArray[np.bool_]
) -> ObjectTable:
    """Give the table of cells whose masks were given and which were only called."""
    true, found = (
        np.where(column, CellState.DEAD, CellState.LIVE).astype(np.uint8)
        for column in (dead, called_dead)
    )
    unknown = np.full(dead.size, np.nan)
    return ObjectTable(true, found, np.zeros(dead.size, np.bool_), unknown, found)


def join_objects(tables: Sequence[ObjectTable]) -> ObjectTable:
    """Put the objects of several frames into one table."""
    empty = (np.uint8, np.uint8, np.bool_, np.float64, np.uint8)
    return ObjectTable(
        *(
            np.concatenate(
                [np.empty(0, kind), *(getattr(one, column.name) for one in tables)]
            )
            for column, kind in zip(fields(ObjectTable), empty, strict=True)
        )
    )


def object_f1(
    table: ObjectTable, state: CellState, dead_share: float | None = None
) -> float | None:
    """Give F1 = 2TP / (2TP + FP + FN) of a class over objects.

    TP has the class on both sides and is sure; a found object of the class without
    that is FP, a true one FN. With ``dead_share`` d, every truly dead object counts
    w = d L / ((1 - d) D) times, where L and D are the numbers of truly live and dead
    ones, so that the dead are the share d; false objects count once.
    """
    true, found = table.true_state == state, table.found_state == state
    weight = np.ones(true.size)
    if dead_share is not None:
        dead = table.true_state == CellState.DEAD
        live = table.true_state == CellState.LIVE
        if not dead.any() or not live.any():
            return None
        weight[dead] = dead_share * live.sum() / ((1 - dead_share) * dead.sum())
    right = true & found & ~table.unsure
    wrong = (weight * (true & ~right)).sum() + (weight * (found & ~right)).sum()
    twice = 2 * (weight * right).sum()
    return _ratio(twice, twice + wrong)


def pics_confusion(table: ObjectTable) -> NDArray[np.float64]:
    """Give shares (live dead, background live dead) of what lies inside true cells.

    Every row sums to 1: both classes weigh the same, whatever their number (Hu et al.,
    "Live-dead assay on unlabeled cells using phase imaging with computational
    specificity", 2022). Without cells of a class its row is NaN. Cells covered less
    than half count as background.
    """
    shares = np.full((2, 3), np.nan)
    for row, state in enumerate((CellState.LIVE, CellState.DEAD)):
        inside = table.inside_state[table.true_state == state]
        if inside.size:
            shares[row] = np.bincount(inside, minlength=3) / inside.size
    return shares


def pics_f1(table: ObjectTable, state: CellState) -> float | None:
    """Give F1 of a class from the confusion of PICS, see `pics_confusion`."""
    confusion = pics_confusion(table)
    if np.isnan(confusion).any():
        return None
    own = 0 if state == CellState.LIVE else 1
    hit, false = confusion[own, state], confusion[1 - own, state]
    return _ratio(2 * hit, 2 * hit + (1 - hit) + false)


def instance_f1(matched: int, true: int, found: int) -> float | None:
    """Give F1 of objects of any class."""
    return _ratio(2 * matched, true + found)


def missed_share(table: ObjectTable) -> float | None:
    """Give the share of the true objects that nothing found matches."""
    true = table.true_state > 0
    return _ratio((true & (table.found_state == 0)).sum(), true.sum())


def false_share(table: ObjectTable) -> float | None:
    """Give the share of the found objects that match nothing true."""
    found = table.found_state > 0
    return _ratio((found & (table.true_state == 0)).sum(), found.sum())


def balanced_accuracy(
    called_dead: NDArray[np.bool_], dead: NDArray[np.bool_]
) -> float | None:
    """Give the mean of the shares of live and of dead cells that are called right."""
    if dead.all() or not dead.any():
        return None
    return float(called_dead[dead].mean() + 1 - called_dead[~dead].mean()) / 2


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None
