"""How a cell moves between two frames: a persistent random walk.

Ornstein-Uhlenbeck velocity on each axis, solved exactly for any time step, so that
frames may come at irregular times. Long steps become plain diffusion by themselves.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.schema import Tracking

SECONDS_PER_MINUTE = 60.0
SPEED_SIGMAS = 3.0
"""The fastest believable cell is taken as three standard deviations of an axis."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A persistent random walk, the same on both axes."""

    speed_um_per_s: float  # standard deviation of the velocity of an axis
    persistence_s: float

    def decay(self, step_s: float) -> tuple[float, float]:
        """Give what is left of a velocity after a step, and the path it covers.

        Returns
        -------
        Remaining share of the velocity, and displacement per unit of velocity in s.
        """
        left = math.exp(-step_s / self.persistence_s)
        return left, self.persistence_s * (1 - left)

    def noise(self, step_s: float) -> tuple[float, float, float]:
        """Give the variance that a step adds to a known position and velocity.

        Returns
        -------
        Variance of the position (um2), covariance (um2/s), of the velocity (um2/s2).
        """
        ratio = step_s / self.persistence_s
        left = math.exp(-ratio)
        power = self.speed_um_per_s**2
        # The exact bracket cancels to nothing for small steps: use its series there.
        bracket = (
            2 * ratio**3 / 3 if ratio < 1e-3 else 2 * ratio - 3 + 4 * left - left**2
        )
        position = power * self.persistence_s**2 * bracket
        mixed = power * self.persistence_s * (1 - left) ** 2
        return position, mixed, power * (1 - left**2)

    def spread_um2(self, step_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the variance of the displacement of a cell of unknown velocity."""
        ratio = step_s / self.persistence_s
        path_um = self.speed_um_per_s * self.persistence_s
        return 2 * path_um**2 * (ratio + np.expm1(-ratio))


def motion_of(settings: Tracking) -> Motion:
    """Give the walk that the settings describe."""
    return Motion(
        speed_um_per_s=(
            settings.max_speed_um_per_min / SPEED_SIGMAS / SECONDS_PER_MINUTE
        ),
        persistence_s=settings.persistence_min * SECONDS_PER_MINUTE,
    )
