"""Probabilities of death where the dead are more or fewer than in training.

A network learns how common the dead were in its training fields. On a run with another
share its probabilities are off by a known factor, and the share itself can be found
from the probabilities alone, without a label (Saerens, Latinne and Decaestecker 2002).
"""

import numpy as np
from numpy.typing import NDArray

LEAST_SHARE = 1e-3
"""A share is never taken for 0 or 1: the next cell may be the first of its kind."""
_MOST_STEPS = 500
_CLOSE_ENOUGH = 1e-6

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

    Each step (EM) shifts the probabilities to the present estimate and takes their
    mean as the next; the likelihood never falls.

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
    cells = np.asarray(probability, np.float64)
    share = training_share
    weight = cells.size + prior_cells
    if not cells.size:
        return share
    for _ in range(_MOST_STEPS):
        dead = float(shift_prior(cells, training_share, share).sum())
        step = (dead + prior_cells * training_share) / weight
        step = min(max(step, LEAST_SHARE), 1 - LEAST_SHARE)
        if abs(step - share) < _CLOSE_ENOUGH:
            return step
        share = step
    return share
