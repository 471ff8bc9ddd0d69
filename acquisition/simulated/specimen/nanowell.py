"""The cells on a chip of nanowells: effectors and targets, a few in each well.

All of them hang round in the medium of their well and none is in cycle: resting T cells
and a leukaemia line hardly divide within the six hours of an assay, so the number of
cells in a well stays what it was, unless a mix asks for cells in mitosis.
"""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from acquisition.errors import BadWorld
from acquisition.simulated.sections import Mix, Nanowell
from acquisition.simulated.specimen.chip import Chip
from acquisition.simulated.specimen.population import (
    MOST_CELLS,
    NUCLEOLI,
    CellKind,
    draw_cells,
)
from acquisition.simulated.world import World

MOST_IN_WELL = 4
"""Wells with more cells are not drawn, unless the world asks for no fewer."""
SIZE_SIGMA = 0.08
"""Spread of the logarithm of the radius beyond that of the mass: 0.12 in all."""
SWELL = (0.90, 1.20)
"""Factor on the area in necrosis: a ball has little membrane to spare."""
EFFECTOR_DENSITY = 1.15
"""Dry mass in a volume of an effector, relative to a target."""
INSET = 1.15
"""A cell of this many radii fits between the walls."""


def fill_wells(
    world: World, settings: Nanowell, chip: Chip, field_um: float, rng: Generator
) -> NDArray[np.void]:
    """Draw the cells of all wells that reach into a square field, with their places.

    Rows are ordered by well; effectors come first in each.
    """
    # Counted before they are listed: a fine lattice in a wide dish has millions.
    apart_um = settings.pitch_um + settings.block_gap_um / settings.block
    if (field_um / apart_um) ** 2 > MOST_CELLS:
        _refuse(world, settings, round((field_um / apart_um) ** 2), "wells")
    wells = chip.touching((0.0, 0.0), field_um)
    effectors, targets = _crowds(settings, len(wells), rng).T
    count = int(effectors.sum() + targets.sum())
    if count > MOST_CELLS:
        _refuse(world, settings, count, "cells")
    cells = draw_cells(world, rng, count)
    cells["well"] = np.repeat(wells, effectors + targets)
    kinds = np.array([CellKind.EFFECTOR, CellKind.TARGET], np.uint8)
    each = np.stack([effectors, targets], 1).ravel()
    cells["kind"] = np.repeat(np.tile(kinds, len(wells)), each)
    cells["cycle_min"] = math.inf
    cells["swell"] = rng.uniform(*SWELL, count)
    cells["hangs"] = False
    cells["lift_um"] = cells["lift_to_um"] = 0.0
    _draw_sizes(cells, settings, world, rng)
    _draw_targets(cells, cells["kind"] == CellKind.TARGET, settings, rng)
    _draw_effectors(cells, cells["kind"] == CellKind.EFFECTOR, settings, rng)
    speed = (cells["speed_um_per_min"] / math.sqrt(2))[:, None]
    cells["velocity_um_per_min"] = speed * rng.standard_normal((count, 2))
    _place(cells, chip, rng)
    return cells


def in_suspension(mix: Mix) -> Mix:
    """Give a mix for cells that never lie spread on the dish, so never re-spread."""
    return mix.model_copy(update={"spreading": 0.0})


def _refuse(world: World, settings: Nanowell, count: int, what: str) -> None:
    raise BadWorld(
        f"nanowell.pitch_um = {settings.pitch_um:g} with stage.margin_um = "
        f"{world.stage.margin_um:g} makes {count} {what} in the field; at most "
        f"{MOST_CELLS} can be simulated: widen the one or lower the other"
    )


def _crowds(settings: Nanowell, wells: int, rng: Generator) -> NDArray[np.int64]:
    """Draw effectors and targets of every well, evenly over all that are allowed."""
    (fewest_e, most_e), (fewest_t, most_t) = settings.effectors, settings.targets
    most = max(MOST_IN_WELL, fewest_e + fewest_t)
    allowed = [
        (e, t)
        for e in range(fewest_e, most_e + 1)
        for t in range(fewest_t, most_t + 1)
        if e + t <= most
    ]
    return np.array(allowed)[rng.integers(0, len(allowed), wells)]


def _draw_sizes(
    cells: NDArray[np.void], settings: Nanowell, world: World, rng: Generator
) -> None:
    """Give radius and mass; some of either type get those of the other one."""
    count = len(cells)
    alike = rng.random(count) < settings.alike
    as_effector = (cells["kind"] == CellKind.EFFECTOR) != alike
    cells["cycle"] = rng.uniform(0.2, 0.8, count)
    grown = cells["birth_mass_pg"] * (1 + cells["cycle"])
    typical = grown / (1.5 * world.cells.mass_pg.median)
    size = np.cbrt(typical) * rng.lognormal(0, SIZE_SIGMA, count)
    small, large = settings.effector_radius_um, settings.target_radius_um
    cells["ball_um"] = size * np.where(as_effector, small, large)
    lighter = EFFECTOR_DENSITY * (small / large) ** 3
    cells["birth_mass_pg"] *= np.where(as_effector, lighter, 1.0)


def _draw_targets(
    cells: NDArray[np.void],
    who: NDArray[np.bool_],
    settings: Nanowell,
    rng: Generator,
) -> None:
    """Round, smooth and slow, with a nucleus that fills them and large nucleoli."""
    count = int(who.sum())
    cells["nucleus_size"][who] *= 1.06
    cells["nucleoli"][who] = rng.integers(2, NUCLEOLI + 1, count)
    cells["aspect"][who] = rng.lognormal(0.25, 0.12, count)
    cells["plump"][who] = rng.uniform(0.65, 0.95, count)
    cells["rugged"][who] = rng.lognormal(-0.3, 0.3, count)
    cells["granules"][who] *= 0.85
    cells["speed_um_per_min"][who] = settings.target_um_per_min
    cells["persistence_min"][who] = settings.persistence_min / 2


def _draw_effectors(
    cells: NDArray[np.void],
    who: NDArray[np.bool_],
    settings: Nanowell,
    rng: Generator,
) -> None:
    """Polarised, full of granules and fast.

    A broad front, behind it the nucleus, and a uropod at the end.
    """
    count = int(who.sum())
    cells["nucleus_size"][who] *= 0.94
    cells["nucleus_shift"][who, 0] += 0.20
    cells["nucleoli"][who] = rng.integers(1, NUCLEOLI, count)
    cells["aspect"][who] = rng.lognormal(0.40, 0.15, count).clip(1.1, 2.2)
    cells["plump"][who] = rng.uniform(0.30, 0.80, count)
    cells["rugged"][who] = rng.lognormal(0.0, 0.3, count)
    front = rng.lognormal(-1.5, 0.4, count)
    uropod = rng.lognormal(-0.4, 0.4, count)
    flanks = 0.4 * cells["lobe_size"][who, 2:]
    cells["lobe_size"][who] = np.column_stack([front, uropod, flanks])
    cells["lobe_angle"][who, :2] = rng.normal((0, math.pi), 0.2, (count, 2))
    cells["lobe_sharpness"][who, 0] = rng.lognormal(1.2, 0.3, count).clip(2.5, 22)
    cells["granules"][who] *= 1.35
    cells["speed_um_per_min"][who] = settings.effector_um_per_min
    cells["persistence_min"][who] = settings.persistence_min


def _place(cells: NDArray[np.void], chip: Chip, rng: Generator) -> None:
    """Put every cell somewhere in its well, where possible beside the others."""
    c, s = chip.turn
    centres = chip.centres_um(cells["well"])
    for row in range(len(cells)):
        first = int(np.searchsorted(cells["well"], cells["well"][row]))
        others = cells[first:row]
        reach = chip.well_um / 2 - INSET * cells["ball_um"][row]
        for _ in range(20):
            v, u = rng.uniform(-1, 1, 2) * max(reach, 0)
            spot = centres[row] + (c * v + s * u, c * u - s * v)
            gap = np.hypot(*(others["centre_um"] - spot).T) - others["ball_um"]
            if not len(others) or gap.min() > cells["ball_um"][row]:
                break
        cells["centre_um"][row] = spot
