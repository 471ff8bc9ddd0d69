"""The figures of a set of fields, and their median and worst over several sets."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState
from calibration.metrics.confidence import calibration_error, chance_calibration_error
from calibration.metrics.intervals import bootstrap
from calibration.metrics.objects import (
    DEAD_SHARE,
    FEWEST_OBJECTS,
    ObjectTable,
    balanced_accuracy,
    false_share,
    instance_f1,
    join_objects,
    missed_share,
    object_f1,
    pics_f1,
)
from calibration.metrics.ranking import auroc
from calibration.models.analyst import Judged

Row = dict[str, Any]

SUMMARISED = (
    "mean_object_f1",
    "mean_pics_f1",
    "mean_pics_f1_even",
    "instance_f1_50",
    "touching_f1_50",
    "auroc_dead",
    "ece",
)
BETTER_LOW = ("ece",)
RESAMPLES = 500


def figures_of(fields: Sequence[Judged]) -> Row:
    """Give the figures of all cells of some fields.

    ``object_f1_*`` are re-weighted to 25 % dead, where the product corrects no
    probability; ``*_natural`` and ``ece`` are at the share that is there, with the
    probabilities that the product corrects to it; ``*_even`` are called for as many
    dead as living. ``unsure`` counts as wrong, except in ``pics_f1_*``. A figure
    of a class with fewer than 50 cells is None. ``ece``, ``auroc_dead`` and
    ``balanced_accuracy`` are of the cells that were found.
    """
    table = join_objects([field.objects for field in fields])
    natural = join_objects([field.natural for field in fields])
    live, dead = (
        int((table.true_state == state).sum())
        for state in (CellState.LIVE, CellState.DEAD)
    )
    true, found, matched, closely = (
        sum(getattr(field, name) for field in fields)
        for name in ("true", "found", "matched", "matched_closely")
    )
    error, by_chance = _calibration(natural)
    return {
        **_classes(table, natural, _even(fields)),
        "missed": missed_share(table),
        "false": false_share(table),
        "instance_f1_50": instance_f1(matched, true, found),
        "instance_f1_75": instance_f1(closely, true, found),
        "touching_f1_50": _mean_over(fields),
        **_shares(table, fields),
        **_probabilities(table),
        "ece": error,
        "ece_by_chance": by_chance,
        "ece_uncorrected": _calibration(table)[0],
        "n_objects": true,
        "n_live": live,
        "n_dead": dead,
        "n_fields": len(fields),
    }


def _classes(table: ObjectTable, natural: ObjectTable, even: ObjectTable | None) -> Row:
    """Give the figures of live and dead cells; those of few cells are not stated."""
    figures: dict[str, Callable[[CellState], float | None]] = {
        "object_f1{}": lambda state: object_f1(table, state, DEAD_SHARE),
        "object_f1{}_natural": lambda state: object_f1(natural, state),
        "pics_f1{}": lambda state: pics_f1(table, state),
        "pics_f1{}_even": lambda state: None if even is None else pics_f1(even, state),
    }
    enough = {
        state: (table.true_state == state).sum() >= FEWEST_OBJECTS
        for state in (CellState.LIVE, CellState.DEAD)
    }
    row: Row = {}
    for key, figure in figures.items():
        live, dead = (figure(state) if told else None for state, told in enough.items())
        row[key.format("_live")], row[key.format("_dead")] = live, dead
        mean = None if live is None or dead is None else (live + dead) / 2
        row["mean_" + key.format("")] = mean
    return row


def _even(fields: Sequence[Judged]) -> ObjectTable | None:
    """Give the cells of all fields called for as many dead as living, if they are."""
    tables = [field.even for field in fields if field.even is not None]
    return join_objects(tables) if len(tables) == len(fields) else None


def _probabilities(table: ObjectTable) -> Row:
    """Give how well live and dead are told apart among the found cells."""
    both = (table.true_state > 0) & (table.found_state > 0)
    told = both & ~np.isnan(table.dead_probability)
    probability = table.dead_probability[told]
    dead = table.true_state[told] == CellState.DEAD
    called = table.found_state[told] == CellState.DEAD
    enough = min(int(dead.sum()), int((~dead).sum())) >= FEWEST_OBJECTS
    return {
        "auroc_dead": auroc(probability, dead) if enough else None,
        "balanced_accuracy": balanced_accuracy(called, dead) if enough else None,
        "unsure_share": float(table.unsure[both].mean()) if both.any() else None,
    }


def _calibration(table: ObjectTable) -> tuple[float | None, float | None]:
    """Give the calibration error of the found cells, and what of it chance alone makes.

    None of fewer than 50.
    """
    told = (table.true_state > 0) & ~np.isnan(table.dead_probability)
    if told.sum() < FEWEST_OBJECTS:
        return None, None
    probability = table.dead_probability[told]
    dead = table.true_state[told] == CellState.DEAD
    error = calibration_error(probability, dead)
    return error, chance_calibration_error(probability)


def _shares(table: ObjectTable, fields: Sequence[Judged]) -> Row:
    """Give the recall of touching cells, and how many errors a flag announces.

    A true cell is flagged at the edge of the field or out of focus; it is an error if
    it is missed, called wrong or unsure.
    """
    touching, edge, blurred = (
        np.concatenate([getattr(field, name) for field in fields])
        for name in ("touching", "on_edge", "blurred")
    )
    true = table.true_state > 0
    right = (table.true_state == table.found_state) & ~table.unsure
    flagged = edge | blurred
    return {
        "touching_recall_50": _share(table.found_state > 0, touching),
        "flagged_errors": _share(flagged, true & ~right),
        "flagged_cells": _share(flagged, true),
    }


def _share(hit: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    """Give the share of some rows that is hit; None of fewer than 50."""
    return float(hit[among].mean()) if among.sum() >= FEWEST_OBJECTS else None


def intervals_of(fields: Sequence[Judged]) -> dict[str, list[float] | None]:
    """Give the 95 % intervals (low, high) of the summarised figures over fields.

    Whole fields are drawn: cells of one field share optics and culture. None where a
    figure is not stated, or there is one field alone.
    """

    @cache
    def row(drawn: tuple[int, ...]) -> Row:
        return figures_of([fields[at] for at in drawn])

    def figure(key: str, rows: NDArray[np.int64]) -> float:
        value = row(tuple(sorted(rows.tolist())))[key]
        return float("nan") if value is None else float(value)

    names = [str(at) for at in range(len(fields))]
    found = {
        key: bootstrap(partial(figure, key), names, resamples=RESAMPLES)
        for key in SUMMARISED
    }
    return {
        key: None if np.isnan([one.estimate, one.low]).any() else [one.low, one.high]
        for key, one in found.items()
    }


def _mean_over(fields: Sequence[Judged]) -> float | None:
    """Give the instance F1 of touching cells, each field by how many it holds."""
    known = [
        (field.touching_f1, int(field.touching.sum()))
        for field in fields
        if field.touching_f1 is not None
    ]
    if sum(weight for _, weight in known) < FEWEST_OBJECTS:
        return None
    return float(
        np.average([f1 for f1, _ in known], weights=[weight for _, weight in known])
    )


def summarise_rows(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str] = SUMMARISED
) -> Row:
    """Give median and worst over rows; a row that does not state a figure is left out.

    The worst names its row.
    """
    summary: Row = {"median": {}, "worst": {}}
    for key in keys:
        known = [(row[key], row["name"]) for row in rows if row.get(key) is not None]
        if not known:
            summary["median"][key] = summary["worst"][key] = None
            continue
        value, name = (max if key in BETTER_LOW else min)(known)
        summary["median"][key] = float(np.median([one for one, _ in known]))
        summary["worst"][key] = {"value": value, "name": name}
    return summary
