"""The cells of a specimen as one table, and how new cells are drawn.

Lengths are micrometres, times minutes, masses picograms of dry mass. One row is one
cell; the table is a structured array, so that cells are divided, sorted and handed to
compiled kernels as rows.
"""

import math
from enum import IntEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.signs import SIGNS, draw_baseline, draw_harm
from acquisition.simulated.world import World

LOBES = 4
RUFFLES = 8
BODIES = 9
FIBRES = 7
NUCLEOLI = 4

MOST_CELLS = 16_000
"""Cells at the start; all daughters must find an id of 16 bits as well."""
NEVER = math.inf
TEXTURE_SAMPLES = 512
"""Edge of the granule tiles that every cell cuts its own texture from."""


class LifeState(IntEnum):
    """What a simulated cell is doing; truth only, the product knows live and dead."""

    INTERPHASE = 0
    MITOSIS = 1
    SPREADING = 2  # daughters and re-attaching cells
    EARLY_APOPTOSIS = 3  # shrinking and blebbing, membrane intact
    LATE_APOPTOSIS = 4  # apoptotic bodies, membrane intact
    SECONDARY_NECROSIS = 5  # the bodies after rupture: dead
    SWELLING = 6  # necrosis before rupture
    GHOST = 7  # necrosis after rupture: dead


class CellKind(IntEnum):
    """What sort of cell it is."""

    ADHERENT = 0
    EFFECTOR = 1
    TARGET = 2


IS_DEAD = np.array([state in (5, 7) for state in range(8)])
"""Dead by the dye assay: the membrane lets the dye in (SAUT)."""

CELL = np.dtype(
    [
        ("id", "u4"),
        ("parent", "u4"),
        ("kind", "u1"),  # CellKind
        ("well", "u4"),  # nanowell, 0 in an open dish
        ("partner", "u4"),  # id of the cell it is conjugated with, 0: none
        ("busy_until_min", "f8"),  # end of the conjugate, or of the pause after it
        ("met", "u8"),  # bit id % 64 of each target about which it has decided
        ("killer", "u4"),  # id of the effector it dies of, 0: none
        ("blow_min", "f8"),  # time at which that kill takes effect
        ("state", "u1"),
        ("since_min", "f8"),  # specimen time at which the state began
        ("until_min", "f8"),  # at which it ends by itself
        ("die_min", "f8"),  # at which an interphase cell commits to death
        ("commit_min", "f8"),  # at which dying began; infinite while it has not
        ("rupture_min", "f8"),  # of the membrane; infinite while unknown
        ("lesions", "i4"),
        ("cycle", "f8"),  # 0 after division, 1 at mitosis
        ("cycle_min", "f8"),
        ("birth_mass_pg", "f8"),
        ("centre_um", "f8", 2),  # y x, field centre is 0 0
        ("velocity_um_per_min", "f8", 2),
        ("jitter_um", "f8", 2),
        ("speed_um_per_min", "f8"),  # rms of the persistent walk
        ("persistence_min", "f8"),
        ("pace", "f8"),  # factor on the speed of this cell
        ("lift_um", "f8"),  # height above the focal plane; 0: attached
        ("lift_to_um", "f8"),  # where it is rising or sinking to
        ("hangs", "?"),  # has let go of the dish, or never held on to it
        ("crowd", "f8"),  # sum of the overlaps with its neighbours
        ("squeeze", "f8"),  # factor on the spread area: a crowd presses cells
        ("round_at_start", "f8"),  # roundness with which dying began
        ("angle_rad", "f8"),
        ("radius_um", "f8"),  # of the disc of equal area, follows the drawing
        ("aspect", "f8"),
        ("spread", "f8"),
        ("rugged", "f8"),  # factor on the irregularity of the outline
        ("plump", "f8"),  # roundness of the resting cell
        ("calm", "f8"),  # what necrosis leaves of it
        ("signs", "f8", SIGNS),  # of death, what a living cell has of them
        ("harm", "f8", SIGNS),  # what the opening of the membrane adds
        ("hump", "f8"),  # factor on the height over the nucleus
        ("lobe_angle", "f8", LOBES),
        ("lobe_size", "f8", LOBES),
        ("lobe_sharpness", "f8", LOBES),
        ("wobble", "f8", RUFFLES + LOBES),  # stationary, unit variance
        ("ruffle_angle", "f8", RUFFLES),
        ("nucleus_shift", "f8", 2),  # along and across, in radii
        ("nucleus_size", "f8"),
        ("nucleus_aspect", "f8"),
        ("nucleus_angle", "f8"),
        ("nucleus_contrast", "f8"),
        ("fibre_angle", "f8", FIBRES),
        ("fibre_um", "f8", FIBRES),  # length beyond the outline
        ("nucleoli", "i4"),
        ("nucleolus_at", "f8", (NUCLEOLI, 2)),
        ("texture_at", "f8", 2),
        ("granules", "f8"),
        ("body_angle", "f8", BODIES),
        ("body_size", "f8", BODIES),
        ("apart", "f8"),  # fragmentation reached at the rupture, 0 to 1
        ("ball_um", "f8"),  # radius in suspension; 0: spreads on the dish
        ("mass_loss", "f8"),
        ("swell", "f8"),
        ("shrink", "f8"),
    ]
)
"""One row of the table of cells."""


def draw_cells(world: World, rng: Generator, count: int) -> NDArray[np.void]:
    """Draw interphase cells, without place and with id 0."""
    traits = world.cells
    cells = np.zeros(count, CELL)
    for column in ("until_min", "die_min", "commit_min", "rupture_min", "blow_min"):
        cells[column] = NEVER
    cells["squeeze"] = 1.0
    cells["cycle"] = rng.random(count)
    cells["cycle_min"] = _cycle_minutes(world, rng, count)
    cells["birth_mass_pg"] = rng.lognormal(
        math.log(traits.mass_pg.median), traits.mass_pg.sigma, count
    )
    speed = traits.speed_um_per_h / 60
    cells["speed_um_per_min"] = speed
    cells["persistence_min"] = traits.persistence_min
    cells["velocity_um_per_min"] = rng.normal(0, speed / math.sqrt(2), (count, 2))
    cells["jitter_um"] = rng.normal(0, traits.jitter_um, (count, 2))
    # Its mean square is 1, so that the population keeps the speed of the world.
    cells["pace"] = rng.lognormal(-(0.35**2), 0.35, count)
    cells["angle_rad"] = rng.uniform(0, 2 * math.pi, count)
    cells["radius_um"] = 11.0
    cells["hangs"] = rng.random(count) < traits.floating_fraction
    height = rng.uniform(8, 25, count)
    cells["lift_um"] = cells["lift_to_um"] = np.where(cells["hangs"], height, 0.0)
    _draw_outline(cells, rng)
    _draw_inside(cells, rng, world)
    _draw_death(cells, rng, world)
    return cells


def _cycle_minutes(world: World, rng: Generator, count: int) -> NDArray[np.float64]:
    cycle = world.cells.cycle_h
    drawn = rng.normal(cycle.mean * 60, cycle.sd * 60, count)
    return np.maximum(drawn, 0.6 * cycle.mean * 60)


def _draw_outline(cells: NDArray[np.void], rng: Generator) -> None:
    count = len(cells)
    cells["aspect"] = np.clip(rng.lognormal(0.36, 0.30, count), 1.0, 3.2)
    giant = np.where(rng.random(count) < 0.05, 1.5, 1.0)
    cells["spread"] = np.clip(rng.lognormal(0.05, 0.28, count) * giant, 0.65, 2.6)
    cells["rugged"] = np.clip(rng.lognormal(-0.06, 0.35, count), 0.2, 1.7)
    cells["plump"] = np.abs(rng.normal(0, 0.14, count)).clip(0, 0.45)
    cells["calm"] = rng.uniform(0.4, 1.0, count)
    # Lobes leave the long axis first, then the flanks: a spindle, then a star.
    axis = math.pi * np.arange(LOBES) + np.array([0, 0, 1.4, 1.4])
    cells["lobe_angle"] = axis + rng.normal(0, 0.45, (count, LOBES))
    strength = np.array([0.62, 0.56, 0.46, 0.40])
    cells["lobe_size"] = strength * rng.lognormal(0, 0.5, (count, LOBES))
    cells["lobe_sharpness"] = np.clip(rng.lognormal(2.2, 0.55, (count, LOBES)), 2.5, 22)
    cells["wobble"] = rng.standard_normal((count, RUFFLES + LOBES))
    cells["ruffle_angle"] = rng.uniform(0, 2 * math.pi, (count, RUFFLES))
    cells["fibre_angle"] = rng.uniform(0, 2 * math.pi, (count, FIBRES))
    cells["fibre_um"] = rng.gamma(2.0, 2.2, (count, FIBRES)).clip(0, 12)


def _draw_inside(cells: NDArray[np.void], rng: Generator, world: World) -> None:
    count = len(cells)
    cells["nucleus_shift"] = rng.normal(0, (0.12, 0.07), (count, 2))
    cells["nucleus_size"] = rng.uniform(0.88, 1.14, count)
    cells["nucleus_aspect"] = rng.uniform(1.0, 1.22, count)
    cells["nucleus_angle"] = rng.normal(0, 0.5, count)
    cells["nucleus_contrast"] = rng.lognormal(
        0, 0.6 * world.cells.nucleus_contrast_sigma, count
    )
    cells["hump"] = rng.lognormal(0, 0.45, count)
    cells["nucleoli"] = rng.integers(1, NUCLEOLI + 1, count)
    cells["nucleolus_at"] = rng.uniform(-0.55, 0.55, (count, NUCLEOLI, 2))
    cells["texture_at"] = rng.uniform(0, TEXTURE_SAMPLES, (count, 2))
    cells["granules"] = world.cells.granules * rng.lognormal(0, 0.30, count)


def _draw_death(cells: NDArray[np.void], rng: Generator, world: World) -> None:
    """Draw how each cell will look when it dies, so that no fate leaks beforehand."""
    count = len(cells)
    cells["body_angle"] = rng.uniform(0, 2 * math.pi, (count, BODIES))
    # Apoptotic bodies stay below 0.4 of the cell radius.
    cells["body_size"] = 0.12 + 0.26 * rng.random((count, BODIES)) ** 1.6
    cells["signs"] = draw_baseline(rng, count)
    cells["harm"] = draw_harm(rng, count)
    cells["apart"] = rng.uniform(0.75, 1.0, count)
    cells["mass_loss"] = rng.uniform(*world.death.mass_loss, count)
    cells["swell"] = rng.uniform(0.95, 1.45, count)
    cells["shrink"] = rng.uniform(0.45, 0.75, count)


def assign_states(
    cells: NDArray[np.void], mix: Mix, world: World, rng: Generator
) -> None:
    """Give the cells the states of a mix at time 0, each at a uniform age."""
    bounds = np.cumsum(mix.fractions())
    state = np.searchsorted(bounds, rng.random(len(cells)), side="right") + 1
    state[state > len(bounds)] = LifeState.INTERPHASE
    cells["state"] = state
    death = world.death
    early = rng.uniform(*death.apoptosis_min, len(cells))
    late = np.maximum(rng.uniform(*death.rupture_h, len(cells)) * 60 - early, 10)
    lasts = np.select(
        [state == code for code in range(8)],
        [
            NEVER,
            MITOSIS_MIN,
            SPREADING_MIN,
            early,
            late,
            DEAD_AGE_MIN,
            rng.uniform(*death.swelling_min, len(cells)),
            DEAD_AGE_MIN,
        ],
    )
    lasting = np.where(np.isfinite(lasts), lasts, 0.0)
    age = rng.random(len(cells)) * lasting
    cells["since_min"] = -age
    dead = IS_DEAD[state]
    cells["until_min"] = np.where(dead, NEVER, lasts - age)
    cells["rupture_min"] = np.select(
        [
            dead,
            state == LifeState.EARLY_APOPTOSIS,
            np.isin(state, (LifeState.LATE_APOPTOSIS, LifeState.SWELLING)),
        ],
        [-age, lasting - age + late, lasting - age],
        NEVER,
    )
    cells["cycle"] = np.where(state == LifeState.MITOSIS, 1.0, cells["cycle"])
    cells["cycle"] = np.where(state == LifeState.SPREADING, 0.0, cells["cycle"])


MITOSIS_MIN = 38.0
"""From rounding to the two daughters."""
SPREADING_MIN = 120.0
"""From the division to a flat daughter."""
DEAD_AGE_MIN = 900.0
"""Dead cells of a mix died at most this long ago."""
