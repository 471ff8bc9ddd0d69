"""Who will die: the hazard of the next hour, from the look, its changes and the dose.

A discrete-time hazard: the horizon has parts, a logistic model gives the chance to die
in each part for a cell that is alive at its beginning, and

    P(dead within H) = 1 - prod(1 - h_j).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking.events.evidence import HORIZON_PARTS_S, Nets

HORIZON_S = sum(HORIZON_PARTS_S)
"""Of predicted deaths: an hour."""
DOSE_FADES_S = (4 * 3600.0, 16 * 3600.0)
"""Times over which the effect of a dose is taken to fade, as features."""


@dataclass(slots=True)
class DoseFeatures:
    """The dose absorbed so far, and how long ago, as numbers for the hazard."""

    last_gy: float = 0.0
    last_s: float = -np.inf
    faded_gy: tuple[float, ...] = (0.0,) * len(DOSE_FADES_S)

    def update(self, time_s: float, dose_gy: float) -> NDArray[np.float64]:
        """Give (total in Gy, the same faded over each of `DOSE_FADES_S`).

        A dose from before the first frame is old: when it was given is not known.
        """
        step_s = time_s - self.last_s
        new_gy = max(dose_gy - self.last_gy, 0.0) if np.isfinite(step_s) else 0.0
        self.faded_gy = tuple(
            faded * float(np.exp(-step_s / tau)) + new_gy
            for faded, tau in zip(self.faded_gy, DOSE_FADES_S, strict=True)
        )
        self.last_gy, self.last_s = dose_gy, time_s
        return np.array([dose_gy, *self.faded_gy])


def death_within(
    nets: Nets, features: NDArray[np.float64], dose: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give P(dead within the horizon) for cells (cell, feature) that are alive now."""
    full = np.concatenate([features, np.tile(dose, (len(features), 1))], axis=1)
    survival = np.ones(len(features))
    for net in nets.hazard:
        survival *= 1 / (1 + np.exp(net(full)))
    return 1 - survival
