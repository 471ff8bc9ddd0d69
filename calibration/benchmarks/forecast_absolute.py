"""The paper's own transformer, trained as there: places in the image in, places out.

It is here to be reproduced, and never serves: at this budget it is worse than to expect
that cells stay, for it has to learn where every cell is before it can learn where any
cell goes.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from calibration.training.forecast_courses import Course
from tracking.forecasts.tokens import WINDOW
from tracking.forecasts.transformer import AbsoluteTransformer

STEPS = 1500
BATCH = 256
LEARNING_RATE = 1e-3

Array = NDArray[np.float64]


def train_absolute(
    courses: list[Course], steps: int = STEPS
) -> Callable[[Array], Array]:
    """Train it on the measured places of courses, by mean squared error, seed 1.

    Returns
    -------
    A function from the last five places (cell, place, yx) to those at the horizons
    (cell, horizon, yx), all in um.
    """
    seen, later = _pairs(courses)
    low_um, high_um = seen.min(), seen.max()
    size_um = high_um - low_um  # of the image
    seen, later = ((one - low_um) / size_um for one in (seen, later))
    torch.manual_seed(1)
    rng = np.random.default_rng([1, 36])
    net = AbsoluteTransformer(ahead=later.shape[1])
    optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    for _ in range(steps):
        at = rng.integers(0, len(seen), BATCH)
        told = net(torch.from_numpy(seen[at]).float())
        loss = ((told - torch.from_numpy(later[at]).float()) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()

    def tell(places_um: Array) -> Array:
        shown = torch.from_numpy((places_um - low_um) / size_um).float()
        with torch.inference_mode():
            return low_um + size_um * net(shown).numpy().astype(np.float64)

    return tell


def _pairs(courses: list[Course]) -> tuple[Array, Array]:
    """Give five measured places and what came of them, of living cells."""
    seen, later = [], []
    for course in courses:
        for frame in range(WINDOW - 1, course.frames.size):
            places = course.seen_um[frame - WINDOW + 1 : frame + 1].swapaxes(0, 1)
            true = course.later_um(frame)
            whole = np.isfinite(places).all(axis=(1, 2))
            whole &= np.isfinite(true).all(axis=(1, 2))
            whole &= ~course.dead[course.frames[frame]]
            seen.append(places[whole])
            later.append(true[whole])
    return np.concatenate(seen), np.concatenate(later)
