"""Life and death: the cell cycle, the ways to die, and the answer to a dose.

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

from acquisition.simulated.population import (
    MITOSIS_MIN,
    NEVER,
    SPREADING_MIN,
    LifeState,
)
from acquisition.simulated.world import World

CYCLE_AT = (0.0, 0.35, 0.6, 0.8, 0.95, 1.0)
SENSITIVITY = (1.0, 0.9, 0.6, 0.9, 1.5, 1.8)
"""Relative sensitivity over the cycle: late S resists, G2 and mitosis do not."""

MEAN_SENSITIVITY = float(np.trapezoid(SENSITIVITY, CYCLE_AT))
"""Its mean over a cycle, so that the dose response is that of the population."""

LARGEST_ID = 65_534
"""Label maps hold 16 bits; a specimen that has used them up divides no more."""


def protraction(minutes: float, half_min: float) -> float:
    """Lea-Catcheside factor G of an exposure of constant rate, 0 to 1."""
    x = math.log(2) * minutes / half_min
    if x < 1e-4:
        return 1.0 - x / 3.0
    return 2.0 * (x - 1.0 + math.exp(-x)) / (x * x)


def irradiate(
    cells: NDArray[np.void], gy: float, at_min: float, world: World, rng: Generator
) -> None:
    """Give every cell its lesions and, to some, a time of death; in place."""
    model = world.radiation
    g = protraction(gy / model.gy_per_min, model.repair_half_min)
    per_cell = model.alpha * model.rbe * gy + model.beta * g * gy * gy
    sensitivity = np.interp(cells["cycle"], CYCLE_AT, SENSITIVITY)
    hits = rng.poisson(per_cell * sensitivity / MEAN_SENSITIVITY)
    cells["lesions"] += hits
    delay = np.clip(rng.normal(1.0, 0.3, len(cells)), 0.2, None)
    cells["cycle_min"] += delay * model.delay_h_per_gy * gy * 60  # in G2
    dies = (hits > 0) & (rng.random(len(cells)) < model.interphase_fraction)
    when = at_min + rng.lognormal(math.log(9 * 60), 0.5, len(cells))
    # A dose before the start leaves only those who have outlived it until now.
    dies &= (cells["state"] == LifeState.INTERPHASE) & (when > 0)
    cells["die_min"] = np.where(
        dies, np.minimum(cells["die_min"], when), cells["die_min"]
    )


def age_cells(
    cells: NDArray[np.void],
    now_min: float,
    step_min: float,
    world: World,
    rng: Generator,
) -> None:
    """Let the cells grow and change state over one step that ends now; in place."""
    death = world.death
    state = cells["state"]
    resting = state == LifeState.INTERPHASE
    hazard = death.spontaneous_per_h * death.stain_factor / 60
    struck = resting & (rng.random(len(cells)) < -math.expm1(-hazard * step_min))
    cells["die_min"][struck] = np.minimum(cells["die_min"][struck], now_min)

    over = cells["until_min"] <= now_min
    early_over = over & (state == LifeState.EARLY_APOPTOSIS)
    late_over = over & (state == LifeState.LATE_APOPTOSIS)
    swollen = over & (state == LifeState.SWELLING)
    spread_out = over & (state == LifeState.SPREADING)
    _change(cells, early_over, LifeState.LATE_APOPTOSIS, cells["rupture_min"])
    _change(cells, late_over, LifeState.SECONDARY_NECROSIS, NEVER)
    _change(cells, swollen, LifeState.GHOST, NEVER)
    _change(cells, spread_out, LifeState.INTERPHASE, NEVER)

    dying = resting & (cells["die_min"] <= now_min)
    necrotic = dying & (rng.random(len(cells)) < death.necrotic_fraction)
    _begin_apoptosis(cells, dying & ~necrotic, now_min, world, rng)
    _begin_necrosis(cells, necrotic, now_min, world, rng)

    divides = (cells["state"] == LifeState.INTERPHASE) & (cells["cycle"] >= 1)
    length = MITOSIS_MIN * rng.lognormal(0, 0.15, len(cells))
    cells["since_min"][divides] = now_min
    cells["state"][divides] = LifeState.MITOSIS
    cells["until_min"][divides] = now_min + length[divides]


def _change(
    cells: NDArray[np.void],
    who: NDArray[np.bool_],
    state: LifeState,
    until_min: NDArray[np.float64] | float,
) -> None:
    """Enter a state at the moment the one before it was due to end."""
    cells["since_min"][who] = cells["until_min"][who]
    cells["state"][who] = state
    cells["until_min"][who] = np.broadcast_to(until_min, who.shape)[who]


def _begin_apoptosis(
    cells: NDArray[np.void],
    who: NDArray[np.bool_],
    now_min: float,
    world: World,
    rng: Generator,
) -> None:
    shrinking = rng.uniform(*world.death.apoptosis_min, len(cells))
    rupture = rng.uniform(*world.death.rupture_h, len(cells)) * 60
    cells["since_min"][who] = now_min
    cells["state"][who] = LifeState.EARLY_APOPTOSIS
    cells["until_min"][who] = now_min + shrinking[who]
    cells["rupture_min"][who] = now_min + np.maximum(rupture, shrinking + 10)[who]


def _begin_necrosis(
    cells: NDArray[np.void],
    who: NDArray[np.bool_],
    now_min: float,
    world: World,
    rng: Generator,
) -> None:
    swelling = rng.uniform(*world.death.swelling_min, len(cells))
    cells["since_min"][who] = now_min
    cells["state"][who] = LifeState.SWELLING
    cells["until_min"][who] = cells["rupture_min"][who] = now_min + swelling[who]


def divide(
    cells: NDArray[np.void], now_min: float, next_id: int, world: World, rng: Generator
) -> NDArray[np.void]:
    """End the mitoses that are over: two daughters, or catastrophe for damaged cells.

    A mother's id ends; both daughters carry it as their parent.
    """
    ending = np.flatnonzero(
        (cells["state"] == LifeState.MITOSIS) & (cells["until_min"] <= now_min)
    )
    if not len(ending):
        return cells
    hurt = cells["lesions"][ending] > 0
    doomed = hurt & (rng.random(len(ending)) < world.radiation.mitotic_fraction)
    _arrest(cells, ending[doomed], world, rng)
    mothers = ending[~doomed][: max(0, (LARGEST_ID + 1 - next_id) // 2)]
    if not len(mothers):
        return cells
    one = _daughters(cells[mothers], 1.0, world, rng)
    two = _daughters(cells[mothers], -1.0, world, rng)
    both = np.concatenate([one, two])
    both["id"] = next_id + np.arange(len(both))
    return np.concatenate([np.delete(cells, mothers), both])


def _arrest(
    cells: NDArray[np.void], who: NDArray[np.intp], world: World, rng: Generator
) -> None:
    """Mitotic catastrophe: the rounded cell goes straight to apoptotic bodies."""
    cells["since_min"][who] = cells["until_min"][who]
    cells["state"][who] = LifeState.EARLY_APOPTOSIS
    shrinking = rng.uniform(*world.death.apoptosis_min, len(who))
    rupture = rng.uniform(*world.death.rupture_h, len(who)) * 60
    cells["until_min"][who] = cells["since_min"][who] + shrinking
    cells["rupture_min"][who] = cells["since_min"][who] + np.maximum(
        rupture, shrinking + 10
    )


def _daughters(
    mothers: NDArray[np.void], side: float, world: World, rng: Generator
) -> NDArray[np.void]:
    count = len(mothers)
    born = mothers.copy()
    born["parent"] = mothers["id"]
    born["state"] = LifeState.SPREADING
    born["since_min"] = mothers["until_min"]
    born["until_min"] = mothers["until_min"] + SPREADING_MIN
    born["cycle"] = 0
    cycle = world.cells.cycle_h
    born["cycle_min"] = np.maximum(
        rng.normal(cycle.mean * 60, cycle.sd * 60, count), 0.6 * cycle.mean * 60
    )
    # Size control: daughters return half way to the typical birth mass.
    typical = world.cells.mass_pg.median
    noise = rng.lognormal(0, 0.7 * world.cells.mass_pg.sigma, count)
    born["birth_mass_pg"] = np.sqrt(mothers["birth_mass_pg"] * typical) * noise
    axis = np.stack([np.sin(mothers["angle_rad"]), np.cos(mothers["angle_rad"])], 1)
    born["centre_um"] = mothers["centre_um"] + side * 5.0 * axis
    born["velocity_um_per_min"] = rng.normal(
        0, world.cells.speed_um_per_h / 60 / math.sqrt(2), (count, 2)
    )
    born["wobble"] = rng.standard_normal(born["wobble"].shape)
    born["texture_at"] += rng.uniform(0, 200, (count, 2))
    return born
