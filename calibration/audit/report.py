"""The audit of one world: all figures, and which of them break its gates."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadWorld
from acquisition.simulated.sections import Audit
from acquisition.simulated.world import World
from calibration.audit.cells import AuditCells, Progress, collect
from calibration.audit.classifiers import (
    FOLDS,
    auroc,
    best_column,
    even_pics_f1,
    forest,
    held_out,
    held_out_calls,
    linear,
    oracle,
    weighted_f1,
)
from calibration.audit.controls import (
    control_faults,
    product_controls,
    sham_deaths,
    shuffled_labels,
)
from calibration.audit.features import FEATURES, FIRST_ORDER
from calibration.audit.latent import DEAD_SHARE, LatentCells, collect_latent
from calibration.audit.network import Training, look_and_learn

BAND_MIN = 30.0
"""Minutes around the rupture in which nobody can be sure."""
FEWEST_CELLS = 200


@dataclass(frozen=True, slots=True)
class Effort:
    """How many cells an audit looks at, and whether it trains the network."""

    feature_cells: int = 3000
    latent_cells: int = 8000
    network_cells: int = 9000
    """0: no network."""
    shuffled: bool = True
    sham: bool = True
    product: bool = False
    """Whether the product looks at an empty dish and at a frozen specimen."""
    training: Training = field(default_factory=Training)


QUICK = Effort(feature_cells=900, network_cells=0, shuffled=False, sham=False)
"""Seconds instead of minutes; figures are uncertain by about 0.01."""


def audit_world(
    world: World, seed: int, tell: Progress, effort: Effort | None = None
) -> dict[str, Any]:
    """Give the figures of a world; ``passed`` and ``faults`` judge them.

    Raises
    ------
    BadWorld
        If the world has too few cells to be judged.
    """
    effort = Effort() if effort is None else effort
    started = time.monotonic()
    wanted = max(effort.feature_cells, effort.network_cells)
    cells = collect(world, seed, wanted, tell, crops=effort.network_cells > 0)
    if len(cells.dead) < FEWEST_CELLS or len(np.unique(cells.field)) < FOLDS:
        more = "cells.n" if world.nanowell is None else "nanowell.effectors or targets"
        raise BadWorld(
            f"{world.name}: its fields gave {len(cells.dead)} whole cells to judge, an "
            f"audit needs {FEWEST_CELLS}: raise {more}"
        )
    result: dict[str, Any] = {
        "world": world.name,
        "world_hash": world.hash,
        "modality": world.optics.modality,
        "seed": seed,
        "n_cells": len(cells.dead),
        "dead_share": float(cells.dead.mean()),
    }
    result |= feature_figures(cells.first_fields(effort.feature_cells), tell)
    latent = collect_latent(world, seed, effort.latent_cells)
    result |= latent_figures(latent, tell)
    own = collect_latent(
        world, seed, effort.latent_cells, world.mix.with_dead(DEAD_SHARE)
    )
    score = held_out(oracle(), own.columns, own.dead, own.field)
    result["oracle_pics_f1_even"] = even_pics_f1(score, own.dead)
    result["auroc_cnn"] = None
    if effort.network_cells:
        result |= network_figures(cells, effort.training, tell)
    if world.nanowell is not None:
        result |= type_figures(cells, latent, effort, tell)
    result |= _controls(world, seed, cells, effort, tell)
    faults = broken_gates(result, world.audit) + control_faults(result)
    result["passed"] = not faults
    result["faults"] = faults
    result["seconds"] = time.monotonic() - started
    return result


def _controls(
    world: World, seed: int, cells: AuditCells, effort: Effort, tell: Progress
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if effort.shuffled:
        figures |= shuffled_labels(cells.first_fields(effort.feature_cells), tell)
    if effort.sham:
        figures |= sham_deaths(world, seed, tell)
    if effort.product:
        figures |= product_controls(world, seed, tell)
    return figures


def feature_figures(cells: AuditCells, tell: Progress) -> dict[str, Any]:
    """Give what simple features tell."""
    six = cells.features[:, : len(FIRST_ORDER)]
    name, single = best_column(cells.dead, cells.features, FEATURES)
    tell("linear", 0.0)
    line = held_out(linear(), six, cells.dead, cells.field)
    tell("forest", 0.0)
    trees = held_out(forest(), cells.features, cells.dead, cells.field)
    called = held_out_calls(trees, cells.dead, cells.field)
    f1 = weighted_f1(called, cells.dead)
    return {
        "feature_single": name,
        "auroc_single_max": single,
        "auroc_linear6": auroc(cells.dead, line),
        "auroc_forest21": auroc(cells.dead, trees),
        "forest21_f1_live": f1.live,
        "forest21_f1_dead": f1.dead,
    }


def latent_figures(cells: LatentCells, tell: Progress) -> dict[str, Any]:
    """Give what the numbers behind the drawing tell, one by one and all together."""
    name, single = best_column(cells.dead, cells.columns, cells.names)
    tell("oracle", 0.0)
    score = held_out(oracle(), cells.columns, cells.dead, cells.field)
    called = held_out_calls(score, cells.dead, cells.field)
    return {
        "latent_single": name,
        "auroc_latent_max": single,
        "oracle_cells": len(cells.dead),
        "oracle_auroc": auroc(cells.dead, score),
        **f1_figures("oracle", called, cells.dead, cells.minutes_since_rupture),
    }


def network_figures(
    cells: AuditCells, training: Training, tell: Progress
) -> dict[str, Any]:
    """Give what a small network sees on the fields that it was not trained on."""
    seen = look_and_learn(cells, cells.dead, training, tell)
    dead, group = cells.dead[seen.rows], cells.field[seen.rows]
    called = held_out_calls(seen.score, dead, group)
    since = cells.minutes_since_rupture[seen.rows]
    return {
        "cnn_cells": len(cells.dead) - len(seen.rows),
        "cnn_cells_held_out": len(seen.rows),
        "auroc_cnn": auroc(dead, seen.score),
        **f1_figures("cnn", called, dead, since),
    }


def type_figures(
    cells: AuditCells, latent: LatentCells, effort: Effort, tell: Progress
) -> dict[str, Any]:
    """Give how well living effectors and targets can be told apart.

    What is left of a dead cell has lost the shape and the granules of its type.
    """
    few = cells.first_fields(effort.feature_cells).living()
    cells = cells.living()
    answer, group = few.effector, few.field
    name, single = best_column(answer, few.features, FEATURES)
    line = held_out(linear(), few.features[:, : len(FIRST_ORDER)], answer, group)
    trees = held_out(forest(), few.features, answer, group)
    alive = ~latent.dead
    columns, effector = latent.columns[alive], latent.effector[alive]
    score = held_out(oracle(), columns, effector, latent.field[alive])
    figures = {
        "type_feature_single": name,
        "type_auroc_single_max": single,
        "type_auroc_linear6": auroc(answer, line),
        "type_auroc_forest21": auroc(answer, trees),
        "type_auroc_cnn": None,
        "type_auroc_oracle": auroc(effector, score),
    }
    if effort.network_cells:
        seen = look_and_learn(cells, cells.effector, effort.training, tell)
        figures["type_auroc_cnn"] = auroc(cells.effector[seen.rows], seen.score)
    return figures


def f1_figures(
    who: str,
    called: NDArray[np.bool_],
    dead: NDArray[np.bool_],
    minutes_since_rupture: NDArray[np.float64],
) -> dict[str, Any]:
    """Give F1 over all cells, without those near rupture, and by time since death."""
    far = ~(np.abs(minutes_since_rupture) < BAND_MIN)  # NaN: rupture is nowhere near
    young = ~dead | ~far
    old = ~dead | far
    whole = weighted_f1(called, dead)
    clear = weighted_f1(called, dead, far)
    return {
        f"{who}_f1_live": whole.live,
        f"{who}_f1_dead": whole.dead,
        f"{who}_f1_live_clear": clear.live,
        f"{who}_f1_dead_clear": clear.dead,
        f"{who}_f1_dead_before_30_min": _or_none(weighted_f1(called, dead, young).dead),
        f"{who}_f1_dead_after_30_min": _or_none(weighted_f1(called, dead, old).dead),
    }


def broken_gates(figures: dict[str, Any], gates: Audit) -> list[str]:
    """Say in words which demands of the world are not met."""
    low, high = gates.auroc_forest21
    feature, cue = figures["feature_single"], figures["latent_single"]
    at_most = [
        ("auroc_single_max", gates.max_auroc_single, f"{feature} alone tells too much"),
        ("auroc_linear6", gates.max_auroc_linear6, "six plain features tell too much"),
        ("auroc_forest21", high, "hand-made features tell too much"),
        ("auroc_latent_max", gates.max_auroc_latent, f"{cue} alone tells too much"),
    ]
    at_least = [
        ("auroc_forest21", low, "hand-made features tell too little"),
        ("auroc_cnn", gates.min_auroc_cnn, "a network sees too little"),
        ("type_auroc_cnn", gates.min_auroc_cnn, "a network cannot tell the types"),
        ("oracle_f1_live", gates.min_oracle_f1_live, "the drawing is too ambiguous"),
        ("oracle_f1_dead", gates.min_oracle_f1_dead, "the drawing is too ambiguous"),
    ]
    faults = []
    for key, limit, why in at_most:
        if figures.get(key) is not None and figures[key] > limit:
            faults.append(f"{why}: {key} {figures[key]:.3f}, at most {limit:g}")
    for key, limit, why in at_least:
        if figures.get(key) is not None and figures[key] < limit:
            faults.append(f"{why}: {key} {figures[key]:.3f}, at least {limit:g}")
    return faults


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
