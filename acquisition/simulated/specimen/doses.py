"""What is done to the cells: doses of x-rays, and drugs in the medium.

Dose response: lethal lesions per cell are Poisson with mean
``s (alpha RBE D + beta G D^2)``; ``s`` is the sensitivity in the cell cycle and ``G``
the Lea-Catcheside factor for repair during a protracted exposure,
``G = 2 (x - 1 + exp(-x)) / x^2`` with ``x = ln 2 T / T_half`` (linear-quadratic model).
A hit cell divides or dies over hours to days, as seen in cinemicrography; clonogenic
survival and visible death are different things.
"""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from acquisition.simulated.specimen.population import LifeState
from acquisition.simulated.world import World

CYCLE_AT = (0.0, 0.35, 0.6, 0.8, 0.95, 1.0)
SENSITIVITY = (1.0, 0.9, 0.6, 0.9, 1.5, 1.8)
"""Relative sensitivity over the cycle: late S resists, G2 and mitosis do not."""

MEAN_SENSITIVITY = float(np.trapezoid(SENSITIVITY, CYCLE_AT))
"""Its mean over a cycle, so that the dose response is that of the population."""

ARREST = 0.9
"""Part of the progress through the cycle that a drug at work stops."""


def protraction(minutes: float, half_min: float) -> float:
    """Lea-Catcheside factor G of an exposure of constant rate, 0 to 1."""
    x = math.log(2) * minutes / half_min
    if x < 1e-4:
        return 1.0 - x / 3.0
    return 2.0 * (x - 1.0 + math.exp(-x)) / (x * x)


def mean_lesions(
    gy: float, cycle: NDArray[np.float64], world: World
) -> NDArray[np.float64]:
    """Give the mean number of lethal lesions of cells at these points of the cycle."""
    model = world.radiation
    g = protraction(gy / model.gy_per_min, model.repair_half_min)
    per_cell = model.alpha * model.rbe * gy + model.beta * g * gy * gy
    sensitivity = np.interp(cycle, CYCLE_AT, SENSITIVITY)
    return np.asarray(per_cell * sensitivity / MEAN_SENSITIVITY)


def irradiate(
    cells: NDArray[np.void], gy: float, at_min: float, world: World, rng: Generator
) -> None:
    """Give every cell its lesions and, to some, a time of death; in place."""
    model = world.radiation
    hits = rng.poisson(mean_lesions(gy, cells["cycle"], world))
    cells["lesions"] += hits
    delay = np.clip(rng.normal(1.0, 0.3, len(cells)), 0.2, None)
    cells["cycle_min"] += delay * model.delay_h_per_gy * gy * 60  # in G2
    dies = (hits > 0) & (rng.random(len(cells)) < model.interphase_fraction)
    when = np.ceil(at_min + rng.lognormal(math.log(9 * 60), 0.5, len(cells)))
    # A dose before the start leaves only those who have outlived it until now.
    dies &= (cells["state"] == LifeState.INTERPHASE) & (when > 0)
    cells["die_min"] = np.where(
        dies, np.minimum(cells["die_min"], when), cells["die_min"]
    )


def drug_hazard_per_h(world: World, now_min: float) -> float:
    """Give the hazard of apoptosis that the drugs in the medium add by now."""
    return sum(
        drug.hazard_per_h * _onset(drug.t_h, drug.delay_h, now_min)
        for drug in world.protocol.drugs
    )


def progress_left(world: World, now_min: float) -> float:
    """Give the factor by which drugs slow the cell cycle, 1 without any."""
    onsets = [_onset(drug.t_h, drug.delay_h, now_min) for drug in world.protocol.drugs]
    return 1 - ARREST * max(onsets, default=0.0)


def _onset(t_h: float, delay_h: float, now_min: float) -> float:
    """Give how far a drug has come on, 0 to 1."""
    working_h = now_min / 60 - t_h - delay_h
    if delay_h <= 0:
        return float(working_h >= 0)
    return min(max(working_h / delay_h, 0.0), 1.0)
