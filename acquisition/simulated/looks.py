"""From the state of a cell to the numbers that draw it.

Death shows in several weak cues, none of which tells alone: at rupture apoptotic bodies
flatten and edges soften, a part of the mass leaks out, and the contrast of the nucleus
fades; the spread of mass, size and nuclei over living cells is wider than any of them.
"""

import math

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.population import (
    BODIES,
    IS_DEAD,
    LOBES,
    NUCLEOLI,
    RUFFLES,
    LifeState,
)
from acquisition.simulated.specimen import dry_mass_pg
from acquisition.simulated.world import World

LARGEST_RADIUS_UM = 29.0
"""No part of a cell lies farther from its centre."""
FADE_MIN = 15.0
"""Time constant of what changes at once when the membrane opens."""

LOOK = np.dtype(
    [
        ("centre_um", "f8", 2),
        ("state", "i4"),
        ("age_min", "f4"),
        ("mass_pg", "f4"),
        ("radius_um", "f4"),
        ("angle", "f4"),
        ("aspect", "f4"),
        ("roundness", "f4"),  # 0 spread out, 1 sphere
        ("flatness", "f4"),  # 0 intact, 1 collapsed after rupture
        ("irregularity", "f4"),
        ("edge_um", "f4"),
        ("lobe_angle", "f4", LOBES),
        ("lobe_size", "f4", LOBES),
        ("lobe_sharpness", "f4", LOBES),
        ("ruffle", "f4", RUFFLES),
        ("ruffle_angle", "f4", RUFFLES),
        ("hump", "f4"),  # height over the nucleus
        ("nucleus_um", "f4", 2),  # along and across
        ("nucleus_radius_um", "f4"),
        ("nucleus_aspect", "f4"),
        ("nucleus_turn", "f4", 2),  # cosine and sine of its angle
        ("nucleus_contrast", "f4"),
        ("nucleoli", "i4"),
        ("nucleolus_at", "f4", (NUCLEOLI, 2)),
        ("texture_at", "f4", 2),
        ("granules", "f4"),
        ("bodies", "i4"),
        ("body_um", "f4", (BODIES, 2)),  # y x from the centre
        ("body_radius_um", "f4", BODIES),
        ("body_height", "f4", BODIES),
        ("fragmentation", "f4"),  # 0 one body, 1 only apoptotic bodies
    ]
)
"""How one cell is drawn."""


def look_at(cells: NDArray[np.void], now_min: float, world: World) -> NDArray[np.void]:
    """Give the drawing of every cell, and write its radius back into the table."""
    looks = np.zeros(len(cells), LOOK)
    state = cells["state"]
    age = np.maximum(now_min - cells["since_min"], 0)
    looks["centre_um"] = cells["centre_um"] + cells["jitter_um"]
    looks["state"] = state
    looks["age_min"] = age
    looks["mass_pg"] = dry_mass_pg(cells, now_min, world)
    looks["angle"] = cells["angle_rad"]
    opened = np.where(IS_DEAD[state], 1 - np.exp(-age / FADE_MIN), 0.0)
    looks["flatness"] = opened * cells["collapse"]
    looks["roundness"] = _roundness(state, age)
    _shape(looks, cells, age, world)
    _outline(looks, cells, world)
    _inside(looks, cells, opened)
    _bodies(looks, cells, age)
    cells["radius_um"] = looks["radius_um"]
    return looks


def _shape(
    looks: NDArray[np.void],
    cells: NDArray[np.void],
    age: NDArray[np.float64],
    world: World,
) -> None:
    """Set the size: rounding in mitosis and apoptosis, swelling in necrosis."""
    state = cells["state"]
    grown = cells["birth_mass_pg"] * (1 + cells["cycle"])
    spread = 430 * (grown / 150) ** (2 / 3) * cells["spread"] * world.cells.area_scale
    spread = np.clip(spread, 110, 1150)
    rounded = 215 * (grown / 260) ** (2 / 3)
    swollen = 1 + (cells["swell"] - 1) * np.clip(age / 60, 0, 1)
    up = np.clip(age / 8, 0, 1)
    down = np.clip(1 - age / 120, 0, 1)
    shrinking = np.clip(age / 60, 0, 1)
    born = 175 * (grown / 140) ** (2 / 3)
    small = cells["shrink"] * (0.92 + 0.16 * looks["flatness"])
    area = np.select(
        [state == code for code in range(8)],
        [
            spread,
            spread * (1 - up) + rounded * up,
            spread * (1 - down) + born * down,
            spread * (1 - shrinking * (1 - 0.92 * cells["shrink"])),
            spread * small,
            spread * small,
            spread * swollen,
            spread * cells["swell"] * (0.92 - 0.10 * looks["flatness"]),
        ],
    )
    looks["radius_um"] = np.sqrt(area / math.pi)


def _roundness(
    state: NDArray[np.uint8], age: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give 0 for a spread cell to 1 for a sphere."""
    zero = np.zeros(len(state))
    return np.select(
        [state == code for code in range(8)],
        [
            zero,
            np.clip(age / 8, 0, 1),
            np.clip(1 - age / 120, 0, 1),
            0.8 * np.clip(age / 60, 0, 1),
            zero + 0.8,
            zero + 0.8,
            0.25 * np.clip(age / 60, 0, 1),
            zero + 0.25,
        ],
    )


def _outline(looks: NDArray[np.void], cells: NDArray[np.void], world: World) -> None:
    state = cells["state"]
    free = 1 - looks["roundness"]
    swelling = np.isin(state, (LifeState.SWELLING, LifeState.GHOST))
    calm = np.where(swelling, cells["calm"], 1.0)
    looks["irregularity"] = (
        world.cells.irregularity / 0.15 * cells["rugged"] * free * calm
    )
    looks["aspect"] = 1 + (cells["aspect"] - 1) * free
    looks["edge_um"] = 0.7 + 0.7 * looks["flatness"]
    wobble = cells["wobble"]
    looks["lobe_angle"] = cells["lobe_angle"] + 0.12 * wobble[:, :LOBES]
    looks["lobe_size"] = cells["lobe_size"] * np.exp(0.25 * wobble[:, :LOBES])
    looks["lobe_sharpness"] = cells["lobe_sharpness"]
    looks["ruffle"] = wobble[:, LOBES:]
    looks["ruffle_angle"] = cells["ruffle_angle"]


def _inside(
    looks: NDArray[np.void], cells: NDArray[np.void], opened: NDArray[np.float64]
) -> None:
    radius = looks["radius_um"]
    narrow = radius / np.sqrt(looks["aspect"])
    nucleus = 4.7 * (looks["mass_pg"] / 150) ** (1 / 3) * cells["nucleus_size"]
    shrunk = np.where(IS_DEAD[cells["state"]], 1 - 0.15 * opened, 1.0)
    looks["nucleus_radius_um"] = np.minimum(nucleus, 0.72 * narrow) * shrunk
    looks["nucleus_um"] = cells["nucleus_shift"] * radius[:, None]
    looks["hump"] = 0.30 * cells["hump"] * (1 - 0.3 * looks["flatness"])
    looks["nucleus_aspect"] = cells["nucleus_aspect"]
    looks["nucleus_turn"][:, 0] = np.cos(cells["nucleus_angle"])
    looks["nucleus_turn"][:, 1] = np.sin(cells["nucleus_angle"])
    looks["nucleus_contrast"] = cells["nucleus_contrast"] * (
        1 - opened * (0.16 + 0.32 * cells["collapse"])
    )
    looks["nucleoli"] = cells["nucleoli"]
    looks["nucleolus_at"] = cells["nucleolus_at"]
    looks["texture_at"] = cells["texture_at"] % 4096
    looks["granules"] = cells["granules"] * (1 + 0.2 * looks["flatness"])


def _bodies(
    looks: NDArray[np.void], cells: NDArray[np.void], age: NDArray[np.float64]
) -> None:
    """Blebs, apoptotic bodies and their slow growth out of the cell body."""
    state = cells["state"]
    early = state == LifeState.EARLY_APOPTOSIS
    late = state == LifeState.LATE_APOPTOSIS
    after = state == LifeState.SECONDARY_NECROSIS
    swelling = state == LifeState.SWELLING
    looks["bodies"] = np.select(
        [early, late | after, swelling], [4, BODIES, 2], default=0
    )
    size = cells["body_size"].copy()
    throb = 0.75 + 0.25 * np.sin(0.7 * age[:, None] + np.arange(BODIES))
    size = np.where(early[:, None], size * throb, size)
    # Collapsed bodies are wider and lower.
    size = np.minimum(size * (1 + 0.35 * looks["flatness"][:, None]), 0.4)
    # 150 minutes from the first fragments to nothing but bodies, then for good.
    progress = np.clip(age / 150, 0, 1)
    apart = np.select([late, after], [progress, np.ones_like(age)])
    looks["fragmentation"] = apart
    apart = apart[:, None]
    distance = 0.66 * (1 - apart) + (0.15 + 1.9 * np.roll(size, -3, axis=1)) * apart
    distance = distance * looks["radius_um"][:, None]
    looks["body_um"][:, :, 0] = distance * np.sin(cells["body_angle"])
    looks["body_um"][:, :, 1] = distance * np.cos(cells["body_angle"])
    looks["body_radius_um"] = size * looks["radius_um"][:, None]
    weak = np.where(swelling, 0.45, 1.0)[:, None]
    looks["body_height"] = (0.5 + 0.5 * apart) * weak * (0.35 + 2.2 * size)
