"""From the state of a cell to the numbers that draw it.

Death shows in structure: the many weak signs of death (``specimen/signs.py``) are
turned into edges, granules, holes, blisters and bodies here. Mass, size and the
contrast of the nucleus vary more over living cells than death changes them.
"""

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.specimen.fates import FRAGMENTATION_MIN, dry_mass_pg
from acquisition.simulated.specimen.population import (
    BODIES,
    FIBRES,
    IS_DEAD,
    LOBES,
    NUCLEOLI,
    RUFFLES,
    LifeState,
)
from acquisition.simulated.specimen.signs import Sign, shown
from acquisition.simulated.specimen.size import radius_um
from acquisition.simulated.world import World

LARGEST_RADIUS_UM = 29.0
"""No part of a cell lies farther from its centre."""
SCALLOPS = 6
"""Harmonics of the scalloped outline, from `FIRST_SCALLOP` on."""
IN_ONE_PIECE = (
    LifeState.INTERPHASE,
    LifeState.SPREADING,
    LifeState.SWELLING,
    LifeState.GHOST,
)
"""States in which a cell may bear blisters."""
LOOK = np.dtype(
    [
        ("centre_um", "f8", 2),
        ("state", "i4"),
        ("age_min", "f4"),
        ("mass_pg", "f4"),
        ("radius_um", "f4"),
        ("angle", "f4"),
        ("lift_um", "f4"),  # height above the plane of the others
        ("aspect", "f4"),
        ("roundness", "f4"),  # 0 spread out, 1 sphere
        ("irregularity", "f4"),
        ("steepness", "f4"),  # -1 thin lamella, 1 steep edge
        ("rim", "f4"),  # height of the ruffles at the leading edge
        ("lobe_angle", "f4", LOBES),
        ("lobe_size", "f4", LOBES),
        ("lobe_sharpness", "f4", LOBES),
        ("ruffle", "f4", RUFFLES),
        ("ruffle_angle", "f4", RUFFLES),
        ("crenation", "f4"),  # depth of the scallops of the outline
        ("scallop", "f4", (SCALLOPS, 2)),  # strength, angle
        ("fibre_height", "f4"),
        ("fibre_angle", "f4", FIBRES),
        ("fibre_um", "f4", FIBRES),
        ("hump", "f4"),  # height over the nucleus
        ("nucleus_um", "f4", 2),  # along and across
        ("nucleus_radius_um", "f4"),
        ("nucleus_aspect", "f4"),
        ("nucleus_turn", "f4", 2),  # cosine and sine of its angle
        ("nucleus_contrast", "f4"),
        ("envelope", "f4"),  # height of the rim of the nucleus
        ("nucleoli", "i4"),
        ("nucleolus_contrast", "f4"),
        ("nucleolus_at", "f4", (NUCLEOLI, 2)),
        ("texture_at", "f4", 2),
        ("granules", "f4"),
        ("clumps", "f4"),  # share of coarse granules
        ("gathering", "f4"),  # of granules around the nucleus
        ("droplets", "f4"),  # of lipid
        ("vacuoles", "f4"),
        ("bodies", "i4"),
        ("body_um", "f4", (BODIES, 2)),  # y x from the centre
        ("body_radius_um", "f4", BODIES),
        ("body_height", "f4", BODIES),
        ("lens", "f4"),  # 0 spheres, 1 flat bodies
        ("hollow", "f4"),  # 0 filled, 1 only a shell
        ("spill", "f4"),
        ("fragmentation", "f4"),  # 0 one body, 1 only apoptotic bodies
        ("remainder", "f4"),  # height of what is left between the bodies
    ]
)
"""How one cell is drawn."""


def look_at(cells: NDArray[np.void], now_min: float, world: World) -> NDArray[np.void]:
    """Give the drawing of every cell; the table is left as it is."""
    looks = np.zeros(len(cells), LOOK)
    state = cells["state"]
    age = np.maximum(now_min - cells["since_min"], 0)
    looks["centre_um"] = cells["centre_um"] + cells["jitter_um"]
    looks["state"] = state
    looks["age_min"] = age
    looks["mass_pg"] = dry_mass_pg(cells, now_min, world)
    looks["angle"] = cells["angle_rad"]
    looks["lift_um"] = cells["lift_um"]
    opened_min = np.where(IS_DEAD[state], age, 0.0)
    signs = shown(cells["signs"], cells["harm"], opened_min)
    looks["roundness"] = _roundness(cells, age)
    looks["radius_um"] = radius_um(cells, now_min, world)
    _outline(looks, cells, signs, world)
    _nucleus(looks, cells, signs)
    _granules(looks, cells, signs)
    _bodies(looks, cells, age, signs)
    _blisters(looks, cells, age, signs)
    return looks


def _roundness(
    cells: NDArray[np.void], age: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give 0 for a spread cell to 1 for a sphere."""
    # A cell of suspension has a roundness of its own, for effectors are polarised.
    hangs = (cells["ball_um"] == 0) & cells["hangs"]
    resting = np.where(hangs, 0.85, cells["plump"])
    begun = np.maximum(resting, cells["round_at_start"])
    swollen = np.maximum(resting, 0.08 + 0.5 * (1 - cells["calm"]))
    shrunken = 0.62 + 0.33 * cells["calm"]
    up, slow = np.clip(age / 8, 0, 1), np.clip(age / 60, 0, 1)
    return np.select(
        [cells["state"] == code for code in range(8)],
        [
            resting,
            np.maximum(resting, up),
            np.maximum(resting, np.clip(1 - age / 120, 0, 1)),
            begun + (shrunken - begun) * slow,
            shrunken,
            shrunken,
            resting + (swollen - resting) * slow,
            swollen,
        ],
    )


def _outline(
    looks: NDArray[np.void],
    cells: NDArray[np.void],
    signs: NDArray[np.float64],
    world: World,
) -> None:
    state = cells["state"]
    free = 1 - looks["roundness"]
    swelling = np.isin(state, (LifeState.SWELLING, LifeState.GHOST))
    calm = np.where(swelling, cells["calm"], 1.0)
    ragged = world.cells.irregularity / 0.15 * cells["rugged"]
    looks["irregularity"] = ragged * free * calm
    looks["aspect"] = 1 + (cells["aspect"] - 1) * free
    looks["steepness"] = np.tanh(-0.3 + 0.12 * signs[:, Sign.LAMELLA])
    looks["rim"] = 0.11 * np.exp(-0.75 * signs[:, Sign.RIM]).clip(0, 2.5) * free
    depth = 0.009 * np.exp(0.55 * signs[:, Sign.CRENATION]).clip(0, 5)
    looks["crenation"] = depth * (1 - 0.6 * looks["roundness"])
    looks["scallop"][:, :, 0] = 0.2 + np.cos(cells["ruffle_angle"][:, :SCALLOPS]) ** 2
    looks["scallop"][:, :, 1] = 5 * cells["ruffle_angle"][:, :SCALLOPS]
    wobble = cells["wobble"]
    looks["lobe_angle"] = cells["lobe_angle"] + 0.12 * wobble[:, :LOBES]
    looks["lobe_size"] = cells["lobe_size"] * np.exp(0.25 * wobble[:, :LOBES])
    looks["lobe_sharpness"] = cells["lobe_sharpness"]
    looks["ruffle"] = wobble[:, LOBES:]
    looks["ruffle_angle"] = cells["ruffle_angle"]
    looks["fibre_angle"] = cells["fibre_angle"] - cells["angle_rad"][:, None]
    looks["fibre_um"] = cells["fibre_um"]
    clings = (cells["ball_um"] == 0) & (cells["lift_um"] < 4)
    rounding = np.isin(state, (LifeState.MITOSIS, LifeState.EARLY_APOPTOSIS))
    looks["fibre_height"] = np.where(clings, np.where(rounding, 0.10, 0.05), 0)


def _nucleus(
    looks: NDArray[np.void], cells: NDArray[np.void], signs: NDArray[np.float64]
) -> None:
    radius = looks["radius_um"]
    narrow = radius / np.sqrt(looks["aspect"])
    nucleus = 4.7 * (looks["mass_pg"] / 150) ** (1 / 3) * cells["nucleus_size"]
    looks["nucleus_radius_um"] = np.minimum(nucleus, 0.72 * narrow)
    looks["nucleus_um"] = cells["nucleus_shift"] * radius[:, None]
    looks["hump"] = 0.30 * cells["hump"]
    looks["nucleus_aspect"] = cells["nucleus_aspect"]
    looks["nucleus_turn"][:, 0] = np.cos(cells["nucleus_angle"])
    looks["nucleus_turn"][:, 1] = np.sin(cells["nucleus_angle"])
    pale = np.exp(-0.13 * signs[:, Sign.NUCLEUS])
    looks["nucleus_contrast"] = cells["nucleus_contrast"] * pale
    looks["envelope"] = 0.10 * np.exp(0.6 * signs[:, Sign.ENVELOPE]).clip(0, 6)
    looks["nucleoli"] = cells["nucleoli"]
    looks["nucleolus_contrast"] = np.exp(-0.6 * signs[:, Sign.NUCLEOLI]).clip(0, 2.2)
    looks["nucleolus_at"] = cells["nucleolus_at"]


def _granules(
    looks: NDArray[np.void], cells: NDArray[np.void], signs: NDArray[np.float64]
) -> None:
    looks["texture_at"] = cells["texture_at"] % 4096
    looks["granules"] = cells["granules"]
    looks["clumps"] = _logistic(-0.9 + 0.95 * signs[:, Sign.CLUMPS])
    looks["gathering"] = _logistic(0.9 - 0.95 * signs[:, Sign.DISPERSAL])
    looks["droplets"] = 0.5 * cells["granules"] * cells["hump"]
    looks["vacuoles"] = (0.10 * np.exp(0.6 * signs[:, Sign.VACUOLES])).clip(0, 0.8)
    looks["spill"] = 0.035 * np.exp(0.7 * signs[:, Sign.SPILL]).clip(0, 6)


def _bodies(
    looks: NDArray[np.void],
    cells: NDArray[np.void],
    age: NDArray[np.float64],
    signs: NDArray[np.float64],
) -> None:
    """Blebs, apoptotic bodies and their slow growth out of the cell body."""
    state = cells["state"]
    early = state == LifeState.EARLY_APOPTOSIS
    late = state == LifeState.LATE_APOPTOSIS
    after = state == LifeState.SECONDARY_NECROSIS
    broken = late | after
    looks["bodies"] = np.select([early, broken], [4, BODIES], default=0)
    throb = 0.75 + 0.25 * np.sin(0.7 * age[:, None] + np.arange(BODIES))
    water = (1 + 0.13 * signs[:, Sign.SWOLLEN, None]).clip(0.6, 1.7)
    size = cells["body_size"] * np.where(early[:, None], throb, 1.0)
    size = (size * np.where(broken[:, None], water, 1.0)).clip(0.07, 0.4)
    progress = np.clip(age / FRAGMENTATION_MIN, 0, 1)
    apart = np.select([late, after], [progress, cells["apart"]])
    looks["fragmentation"] = apart
    for hidden in ("envelope", "nucleus_contrast"):
        looks[hidden] *= 1 - 0.8 * apart
    faded = np.exp(-0.30 * signs[:, Sign.FADED]).clip(0.25, 1.8)
    looks["remainder"] = np.where(broken, (1 - 0.55 * apart) * faded, 1.0)
    apart = apart[:, None]
    far = 0.15 + 1.9 * np.roll(cells["body_size"], -3, axis=1)
    distance = (0.66 * (1 - apart) + far * apart) * looks["radius_um"][:, None]
    looks["body_um"][:, :, 0] = distance * np.sin(cells["body_angle"])
    looks["body_um"][:, :, 1] = distance * np.cos(cells["body_angle"])
    looks["body_radius_um"] = size * looks["radius_um"][:, None]
    looks["body_height"] = (0.5 + 0.5 * apart) * (0.35 + 2.2 * size)
    looks["lens"] = _logistic(-1.1 + 0.95 * signs[:, Sign.LENS])
    looks["hollow"] = _logistic(-1.3 + 0.95 * signs[:, Sign.HOLLOW])


def _blisters(
    looks: NDArray[np.void],
    cells: NDArray[np.void],
    age: NDArray[np.float64],
    signs: NDArray[np.float64],
) -> None:
    """Put hyaline blisters on the edge of cells that are in one piece."""
    whole = np.isin(cells["state"], IN_ONE_PIECE)
    wanted = np.rint(-0.55 + 1.25 * signs[:, Sign.BLISTERS]).clip(0, 7).astype(int)
    # The first blisters of necrosis come before the rupture.
    early = np.rint(2 * np.clip(age / 60, 0, 1)).astype(int)
    wanted = np.where(
        cells["state"] == LifeState.SWELLING, np.maximum(wanted, early), wanted
    )
    rows = np.flatnonzero(whole & (wanted > 0))
    looks["bodies"][rows] = wanted[rows]
    radius = looks["radius_um"][rows, None]
    size = (0.16 + 0.75 * (cells["body_size"][rows] - 0.12)) * radius
    long = looks["aspect"][rows, None]
    angle = cells["body_angle"][rows]
    ellipse = np.cos(angle) ** 2 / long + np.sin(angle) ** 2 * long
    edge = 0.95 * radius / np.sqrt(ellipse)
    looks["body_radius_um"][rows] = size
    looks["body_um"][rows, :, 0] = edge * np.sin(angle)
    looks["body_um"][rows, :, 1] = edge * np.cos(angle)
    looks["body_height"][rows] = 0.10 + 0.9 * cells["body_size"][rows]
    looks["lens"][whole] = 0.3
    looks["hollow"][whole] = 0.5
    looks["spill"][whole] = 0


def _logistic(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-value))
