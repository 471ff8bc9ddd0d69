"""Life and death: the cell cycle, the ways to die, division and detachment.

Fates are decided on whole minutes of the specimen: whatever is drawn to end at some
time ends at the next whole minute, so that a state never outlasts the time announced.
"""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from acquisition.simulated.specimen.doses import drug_hazard_per_h
from acquisition.simulated.specimen.population import (
    IS_DEAD,
    MITOSIS_MIN,
    NEVER,
    SPREADING_MIN,
    LifeState,
    draw_cells,
)
from acquisition.simulated.world import World

LARGEST_ID = 65_534
"""Label maps hold 16 bits; a specimen that has used them up divides no more."""
FRAGMENTATION_MIN = 150.0
"""From the first fragments to nothing but apoptotic bodies."""
BIRTH_UM = 5.0
"""Distance of a daughter from the middle of her mother."""
INHERITED = [
    "kind",
    "well",
    "lesions",
    "centre_um",
    "angle_rad",
    "speed_um_per_min",
    "persistence_min",
    "pace",
    "spread",
    "ball_um",
    "nucleoli",
    "lift_um",
    "hangs",
    "squeeze",
    "granules",
]
"""What daughters have from their mother; everything else is drawn anew."""
DETACHED_UM = (10.0, 40.0)
MITOTIC_LIFT_UM = (1.5, 6.0)
MITOTIC_LIFT_FRACTION = 0.25
"""Mitotic cells that rise a little: being out of focus is no sign of death."""


def begin(cells: NDArray[np.void], world: World, rng: Generator) -> None:
    """Complete cells that were given states for time 0; in place.

    Their times move to whole minutes, the dying get a past, some dead float already.
    """
    for column in ("until_min", "rupture_min"):
        cells[column] = np.ceil(cells[column])
    state = cells["state"]
    shrinking = rng.uniform(*world.death.apoptosis_min, len(cells))
    intact = rng.uniform(*world.death.rupture_h, len(cells)) * 60
    swelling = rng.uniform(*world.death.swelling_min, len(cells))
    before = np.select(
        [
            np.isin(state, (LifeState.EARLY_APOPTOSIS, LifeState.SWELLING)),
            state == LifeState.LATE_APOPTOSIS,
            state == LifeState.SECONDARY_NECROSIS,
            state == LifeState.GHOST,
        ],
        [0.0, shrinking, intact, swelling],
        np.nan,
    )
    dying = np.isfinite(before)
    cells["commit_min"] = np.where(dying, cells["since_min"] - before, NEVER)
    after = state == LifeState.SECONDARY_NECROSIS
    apart = np.clip((intact - shrinking) / FRAGMENTATION_MIN, 0, 1)
    cells["apart"] = np.where(after, apart, 0.0)
    _detach(cells, IS_DEAD[state], world, rng)
    risen = -np.expm1(np.minimum(cells["since_min"], 0) / 7.0)
    floats = IS_DEAD[state] & ~cells["hangs"]
    cells["lift_um"][floats] = (cells["lift_to_um"] * risen)[floats]


def age_cells(
    cells: NDArray[np.void],
    now_min: float,
    step_min: float,
    world: World,
    rng: Generator,
) -> None:
    """Let the cells change state over one step that ends now; in place."""
    _end_states(cells, now_min, world, rng)
    death = world.death
    resting = cells["state"] == LifeState.INTERPHASE
    hazard = death.spontaneous_per_h * death.stain_factor / 60
    chance = rng.random(len(cells))
    struck = resting & (chance < -math.expm1(-hazard * step_min))
    cells["die_min"][struck] = np.minimum(cells["die_min"][struck], now_min)
    dying = resting & (cells["die_min"] <= now_min)
    necrotic = dying & (rng.random(len(cells)) < death.necrotic_fraction)
    necrotic &= cells["killer"] == 0  # what effectors kill dies by apoptosis
    poison = drug_hazard_per_h(world, now_min) / 60
    poisoned = np.zeros(len(cells), np.bool_)
    if poison > 0:
        chance = rng.random(len(cells))
        poisoned = resting & ~dying & (chance < -math.expm1(-poison * step_min))
    _begin_apoptosis(cells, (dying & ~necrotic) | poisoned, now_min, world, rng)
    _begin_necrosis(cells, necrotic, now_min, world, rng)
    divides = (cells["state"] == LifeState.INTERPHASE) & (cells["cycle"] >= 1)
    _round_up(cells, np.flatnonzero(divides & ~cells["hangs"]), now_min, rng)


def forget_appointments(
    cells: NDArray[np.void], now_min: float, world: World, rng: Generator
) -> None:
    """Draw anew when present states will end, given how long they have lasted.

    A cell does not know when its membrane will open: whoever forecasts it may not
    know either. Nothing ends before now.
    """
    state = cells["state"]
    young = now_min - cells["since_min"]
    doomed = np.where(np.isfinite(cells["commit_min"]), cells["commit_min"], now_min)
    shrinking = doomed + _left(now_min - doomed, world.death.apoptosis_min, rng)
    hours = world.death.rupture_h
    opening = doomed + _left(now_min - doomed, (hours[0] * 60, hours[1] * 60), rng)
    swelling = doomed + _left(now_min - doomed, world.death.swelling_min, rng)
    mitosis = MITOSIS_MIN * rng.lognormal(0, 0.15, len(cells))
    dividing = cells["since_min"] + np.maximum(mitosis, young)
    early = state == LifeState.EARLY_APOPTOSIS
    late = state == LifeState.LATE_APOPTOSIS
    swells = state == LifeState.SWELLING
    opening = np.where(late, opening, np.maximum(opening, shrinking + 10))
    soonest = math.floor(now_min) + 1
    for who, until in (
        (early, shrinking),
        (late, opening),
        (swells, swelling),
        (state == LifeState.MITOSIS, dividing),
    ):
        cells["until_min"][who] = np.maximum(np.ceil(until), soonest)[who]
    cells["rupture_min"][early] = np.maximum(np.ceil(opening), soonest)[early]
    held = late | swells
    cells["rupture_min"][held] = cells["until_min"][held]


def _left(
    age_min: NDArray[np.float64], bounds_min: tuple[float, float], rng: Generator
) -> NDArray[np.float64]:
    """Draw evenly how long something lasts that has lasted so long already."""
    low = np.clip(age_min, *bounds_min)
    return low + (bounds_min[1] - low) * rng.random(len(age_min))


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
    caught = np.zeros(len(cells), np.bool_)
    caught[ending[doomed]] = True
    _begin_apoptosis(cells, caught, now_min, world, rng)
    cells["round_at_start"][caught] = 1.0  # mitotic catastrophe begins as a sphere
    mothers = ending[~doomed][: max(0, (LARGEST_ID + 1 - next_id) // 2)]
    if not len(mothers):
        return cells
    both = _daughters(cells[mothers], now_min, world, rng)
    both["id"] = next_id + np.arange(len(both))
    return np.concatenate([np.delete(cells, mothers), both])


def dry_mass_pg(
    cells: NDArray[np.void], now_min: float, world: World
) -> NDArray[np.float64]:
    """Give the true dry mass: growth, loss in apoptosis, leakage after rupture."""
    state = cells["state"]
    mass = cells["birth_mass_pg"] * (1 + cells["cycle"])
    age = now_min - cells["since_min"]
    shrunk = np.isin(state, (LifeState.LATE_APOPTOSIS, LifeState.SECONDARY_NECROSIS))
    early = state == LifeState.EARLY_APOPTOSIS
    share = np.where(shrunk, 1.0, np.where(early, np.clip(age / 80, 0, 1), 0.0))
    mass = mass * (1 - 0.25 * share)
    death = world.death
    late = 1 - np.exp(-np.maximum(age, 0) / death.loss_tau_min)
    rest = np.maximum(cells["mass_loss"] - death.instant_loss, 0)
    lost = np.where(IS_DEAD[state], death.instant_loss + rest * late, 0.0)
    return np.asarray(mass * (1 - lost))


def _end_states(
    cells: NDArray[np.void], now_min: float, world: World, rng: Generator
) -> None:
    """Let every state that is over pass into the next one."""
    over = cells["until_min"] <= now_min
    if not over.any():
        return
    state = cells["state"].copy()
    early = over & (state == LifeState.EARLY_APOPTOSIS)
    late = over & (state == LifeState.LATE_APOPTOSIS)
    swollen = over & (state == LifeState.SWELLING)
    fragmented = np.clip((now_min - cells["since_min"]) / FRAGMENTATION_MIN, 0, 1)
    cells["apart"][late] = fragmented[late]
    _change(cells, early, LifeState.LATE_APOPTOSIS, cells["rupture_min"])
    _change(cells, late, LifeState.SECONDARY_NECROSIS, NEVER)
    _change(cells, swollen, LifeState.GHOST, NEVER)
    spread_out = over & (state == LifeState.SPREADING)
    _change(cells, spread_out, LifeState.INTERPHASE, NEVER)
    _detach(cells, late | swollen, world, rng)


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


def _round_up(
    cells: NDArray[np.void], who: NDArray[np.intp], now_min: float, rng: Generator
) -> None:
    """Enter mitosis; some cells rise a little as they round up."""
    if not len(who):
        return
    lasts = MITOSIS_MIN * rng.lognormal(0, 0.15, len(who))
    cells["since_min"][who] = now_min
    cells["state"][who] = LifeState.MITOSIS
    cells["until_min"][who] = now_min + np.ceil(lasts)
    rises = rng.random(len(who)) < MITOTIC_LIFT_FRACTION
    height = rng.uniform(*MITOTIC_LIFT_UM, len(who))
    cells["lift_to_um"][who] = np.where(rises, height, 0.0)


def _begin_apoptosis(
    cells: NDArray[np.void],
    who: NDArray[np.bool_],
    now_min: float,
    world: World,
    rng: Generator,
) -> None:
    rows = np.flatnonzero(who)
    shrinking = np.ceil(rng.uniform(*world.death.apoptosis_min, len(rows)))
    rupture = np.ceil(rng.uniform(*world.death.rupture_h, len(rows)) * 60)
    _begin_to_die(cells, rows, LifeState.EARLY_APOPTOSIS, now_min)
    cells["until_min"][rows] = now_min + shrinking
    cells["rupture_min"][rows] = now_min + np.maximum(rupture, shrinking + 10)


def _begin_necrosis(
    cells: NDArray[np.void],
    who: NDArray[np.bool_],
    now_min: float,
    world: World,
    rng: Generator,
) -> None:
    rows = np.flatnonzero(who)
    swelling = np.ceil(rng.uniform(*world.death.swelling_min, len(rows)))
    _begin_to_die(cells, rows, LifeState.SWELLING, now_min)
    cells["until_min"][rows] = cells["rupture_min"][rows] = now_min + swelling


def _begin_to_die(
    cells: NDArray[np.void],
    rows: NDArray[np.intp],
    first: LifeState,
    now_min: float,
) -> None:
    """Enter the first state of a death."""
    cells["since_min"][rows] = cells["commit_min"][rows] = now_min
    cells["state"][rows] = first


def _detach(
    cells: NDArray[np.void], who: NDArray[np.bool_], world: World, rng: Generator
) -> None:
    """Let some of the cells that have just died go from the dish."""
    rows = np.flatnonzero(who & ~cells["hangs"])
    lets_go = rng.random(len(rows)) < world.death.detach_fraction
    height = rng.uniform(*DETACHED_UM, len(rows))
    cells["lift_to_um"][rows] = np.where(lets_go, height, 0.0)


def _daughters(
    mothers: NDArray[np.void], now_min: float, world: World, rng: Generator
) -> NDArray[np.void]:
    """Give the first daughters of all mothers, then the second ones."""
    mothers = np.concatenate([mothers, mothers])
    count = len(mothers)
    born = draw_cells(world, rng, count)
    for column in INHERITED:
        born[column] = mothers[column]
    born["parent"] = mothers["id"]
    born["state"] = LifeState.SPREADING
    born["since_min"] = mothers["until_min"]
    born["until_min"] = mothers["until_min"] + SPREADING_MIN
    born["cycle"] = 0
    born["lift_to_um"] = 0
    born["apart"] = 0
    # A death that awaits the mother awaits her daughters, each in her own time.
    wait = (mothers["die_min"] - now_min) * rng.lognormal(0, 0.3, count)
    born["die_min"] = now_min + np.ceil(np.maximum(wait, 0))
    # Size control: daughters return half way to the typical birth mass.
    typical = world.cells.mass_pg.median
    noise = rng.lognormal(0, 0.7 * world.cells.mass_pg.sigma, count)
    born["birth_mass_pg"] = np.sqrt(mothers["birth_mass_pg"] * typical) * noise
    axis = np.stack([np.sin(mothers["angle_rad"]), np.cos(mothers["angle_rad"])], 1)
    side = np.repeat([BIRTH_UM, -BIRTH_UM], count // 2)
    born["centre_um"] += side[:, None] * axis
    spread = (born["speed_um_per_min"] / math.sqrt(2))[:, None]
    born["velocity_um_per_min"] = spread * rng.standard_normal((count, 2))
    return born
