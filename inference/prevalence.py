"""Probabilities of death where the dead are far rarer than in training.

A network learns how common the dead were in its training fields. On a run with another
share its probabilities are off by a known factor, and the share itself can be found
from the probabilities alone, without a label (Saerens, Latinne and Decaestecker 2002).
The estimate takes any other strangeness of the images for a share as well, so that it
is only followed where the dead are clearly rarer; upwards it did harm.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from acquisition.records import Segmented, read_only
from configs.schema import Inference
from inference.cells import call_cells

LEAST_SHARE = 1e-3
"""A share is never taken for 0 or 1: the next cell may be the first of its kind."""
WINDOW_FRAMES = 30
"""Frames of a position that the share is estimated from."""
FEWEST_CELLS = 50
"""With fewer cells in a frame, on average, nothing is corrected."""
PRIOR_CELLS = 200.0
"""Cells of every frame that the share of the training stands for: so many, because a
network that sees how common death is in a field has made part of the way itself."""
CLEAR_FACTOR, STILL_FACTOR = 2.0, 1.6
"""A share is followed when the training's is this much larger, until it is less so."""
MOST_CHANGE = 0.1
"""Largest change of the log odds from one frame of a position to the next."""
_SMALLEST = 1e-4
"""Probabilities nearer to 0 and 1 count as this."""

Floats = NDArray[np.floating]


def shift_prior(
    probability: Floats, training_share: float, share: float
) -> NDArray[np.float64]:
    """Give P(dead) for a population with another share of dead cells.

    Bayes' rule: the odds are multiplied by the ratio of the prior odds.

    Parameters
    ----------
    probability
        Calibrated P(dead) under the share of the training.
    training_share, share
        Share of dead cells there and here, each above 0 and below 1.
    """
    dead = np.asarray(probability, np.float64) * (share / training_share)
    live = (1 - np.asarray(probability, np.float64)) * (
        (1 - share) / (1 - training_share)
    )
    return np.asarray(dead / (dead + live))


def estimate_share(
    probability: Floats, training_share: float, prior_cells: float = 0.0
) -> float:
    """Estimate the share of dead cells from the probabilities of unlabelled ones.

    The share of greatest likelihood, where the mean of the shifted probabilities is the
    share itself; the likelihood has one maximum, at the root of its slope.

    Parameters
    ----------
    probability
        Calibrated P(dead) of the cells seen so far, under the training share.
    training_share
        Share of dead cells that the probabilities assume.
    prior_cells
        Weight of the training share in cells, so that a handful of cells does not
        decide alone.

    Returns
    -------
    The share, never closer to 0 or 1 than `LEAST_SHARE`; without cells that of the
    training.
    """
    cells = np.clip(np.asarray(probability, np.float64), _SMALLEST, 1 - _SMALLEST)
    if not cells.size:
        return training_share
    # Likelihood ratio of dead against live, less 1.
    excess = cells / (1 - cells) * (1 - training_share) / training_share - 1
    believed = np.array([training_share, training_share - 1]) * prior_cells

    def slope(share: float) -> float:
        prior = believed[0] / share + believed[1] / (1 - share)
        return float((excess / (1 + share * excess)).sum() + prior)

    low, high = LEAST_SHARE, 1 - LEAST_SHARE
    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    return float(brentq(slope, low, high, xtol=1e-6))


@dataclass(slots=True)
class _Position:
    """What is known of one position."""

    window: deque[NDArray[np.float64]]  # P(dead) of its last frames
    follows: bool = False
    shift: float | None = None  # log odds added to the last frame


class Prevalence:
    """Corrects the probabilities of a run, each position by its own cells.

    Frames that an event asked for show the same cells once more: they are corrected
    like the frame before them, and teach nothing.

    Parameters
    ----------
    training_share
        Share of dead cells that the model assumes; None, where its card does not say,
        leaves all frames as they are.
    settings
        Say whether to correct, and which probabilities are unsure.
    """

    def __init__(self, training_share: float | None, settings: Inference) -> None:
        self._settings = settings
        self._training = training_share if settings.follow_prevalence else None
        self._positions: dict[str, _Position] = {}
        self._shift = 0.0

    @property
    def share(self) -> float:
        """Share of dead cells that the last frame assumes; NaN where nobody knows."""
        if self._training is None:
            return float("nan")
        odds = self._training / (1 - self._training) * np.exp(self._shift)
        return float(odds / (1 + odds))

    def __call__(self, segmented: Segmented) -> Segmented:
        """Give the frame with corrected probabilities, states and doubts."""
        if self._training is None:
            return segmented
        info = segmented.info
        if not (info.is_aside or info.cause.startswith("request:")):
            raw = segmented.cells.dead_probability
            self._shift = self._learn(info.position, raw[np.isfinite(raw)])
        elif info.position in self._positions:
            self._shift = self._positions[info.position].shift or 0.0
        return shift_frame(segmented, self._shift, self._settings.unsure_band)

    def _learn(self, name: str, probability: Floats) -> float:
        """Take the cells of a frame and give the shift of the position."""
        position = self._positions.setdefault(
            name, _Position(deque(maxlen=WINDOW_FRAMES))
        )
        position.window.append(np.asarray(probability, np.float64))
        wanted = self._wanted(position)
        if position.shift is not None:
            change = np.clip(wanted - position.shift, -MOST_CHANGE, MOST_CHANGE)
            wanted = position.shift + float(change)
        position.shift = wanted
        return wanted

    def _wanted(self, position: _Position) -> float:
        """Give the shift of the log odds that the window speaks for."""
        training, frames = self._training, len(position.window)
        cells = np.concatenate(position.window)
        if training is None or cells.size < FEWEST_CELLS * frames:
            position.follows = False
            return 0.0
        rarer = training / estimate_share(cells, training)
        position.follows = rarer > (STILL_FACTOR if position.follows else CLEAR_FACTOR)
        if not position.follows:
            return 0.0
        share = estimate_share(cells, training, PRIOR_CELLS * frames)
        return float(np.log(share / (1 - share)) - np.log(training / (1 - training)))


def shift_frame(
    segmented: Segmented, shift: float, unsure_band: tuple[float, float]
) -> Segmented:
    """Give the frame with ``shift`` added to the log odds of all its cells."""
    if shift == 0.0:
        return segmented
    raw = np.asarray(segmented.cells.dead_probability, np.float64)
    # Odds of 1 and 0 stay what they are.
    probability = raw * np.exp(shift) / (1 - raw + raw * np.exp(shift))
    state, unsure = call_cells(probability, unsure_band)
    cells = replace(
        segmented.cells,
        dead_probability=probability.astype(np.float32),
        state=state,
        unsure=unsure,
    )
    corrected: Segmented = read_only(
        replace(segmented, cells=cells, prior_shift=segmented.prior_shift + shift)
    )
    return corrected
