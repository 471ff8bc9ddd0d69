"""How large a cell is: the physics and the drawing need the same size."""

import math

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.world import World


def radius_um(
    cells: NDArray[np.void], now_min: float, world: World
) -> NDArray[np.float64]:
    """Give the size: rounding in mitosis and apoptosis, swelling in necrosis."""
    state = cells["state"]
    age = np.maximum(now_min - cells["since_min"], 0)
    grown = cells["birth_mass_pg"] * (1 + cells["cycle"])
    spread = 430 * (grown / 150) ** (2 / 3) * cells["spread"] * world.cells.area_scale
    spread = np.clip(spread, 110, 1150) * cells["squeeze"]
    rounded = 215 * (grown / 260) ** (2 / 3)
    attached = (cells["ball_um"] == 0) & ~cells["hangs"]
    ball = np.where(cells["ball_um"] > 0, math.pi * cells["ball_um"] ** 2, rounded)
    spread = np.where(attached, spread, ball)
    rounded = np.where(cells["ball_um"] > 0, ball, rounded)
    swollen = 1 + (cells["swell"] - 1) * np.clip(age / 60, 0, 1)
    up = np.clip(age / 8, 0, 1)
    down = np.clip(1 - age / 120, 0, 1)
    shrinking = np.clip(age / 60, 0, 1)
    born = 175 * (grown / 140) ** (2 / 3)
    small = np.where(attached, cells["shrink"], 0.92)
    begun = spread + (rounded - spread) * cells["round_at_start"]
    area = np.select(
        [state == code for code in range(8)],
        [
            spread,
            spread * (1 - up) + rounded * up,
            spread * (1 - down) + born * down,
            begun * (1 - shrinking * (1 - 0.92 * small)),
            begun * small * 0.92,
            begun * small * 0.92,
            spread * swollen,
            spread * cells["swell"] * 0.92,
        ],
    )
    return np.asarray(np.sqrt(area / math.pi))
