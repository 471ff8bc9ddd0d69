"""Whether a probability means what it says: calibration error and temperature."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from calibration.metrics.guards import ratio

BINS = 10
_LOG_RANGE = (-2.0, 3.0)


def calibration_error(
    probability: NDArray[np.floating], positive: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Give the expected calibration error in equal bins of the probability.

    ECE = sum_b n_b / n |mean probability - share of positives| (Naeini et al. 2015).
    NaN without cells.
    """
    at = _bin(probability, bins)
    said = np.bincount(at, probability, bins)
    true = np.bincount(at, positive, bins)
    return ratio(float(np.abs(said - true).sum()), probability.size)


def chance_calibration_error(
    probability: NDArray[np.floating], bins: int = BINS
) -> float:
    """Give the calibration error to expect if every probability were exactly true.

    Few cells never split as said: the number of dead in a bin has the variance
    sum p (1 - p), and a normal number is sqrt(2 / pi) of its deviation from its mean.
    An error of this size says nothing against the probabilities. NaN without cells.
    """
    variance = np.bincount(
        _bin(probability, bins), probability * (1.0 - probability), bins
    )
    apart = np.sqrt(2.0 / np.pi * variance.clip(0.0)).sum()
    return ratio(float(apart), probability.size)


def _bin(probability: NDArray[np.floating], bins: int) -> NDArray[np.int64]:
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


def fit_temperature(logit: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Give the temperature of least log loss, by which logits are divided.

    One number per model, fitted on held-out sequences (Guo et al. 2017). With one kind
    of cells alone there is nothing to fit, and it is 1.
    """
    if positive.all() or not positive.any():
        return 1.0
    sign = np.where(positive, -1.0, 1.0)

    def log_loss(log_temperature: float) -> float:
        margin = sign * logit / np.exp(log_temperature)
        return float(np.logaddexp(0.0, margin).mean())

    found = minimize_scalar(log_loss, bounds=_LOG_RANGE, method="bounded")
    return float(np.exp(found.x))


def dead_probability(
    logit: NDArray[np.floating], temperature: float, offset: float = 0.0
) -> NDArray[np.float64]:
    """Give P(dead) of logits (dead against live) at a temperature, then shifted."""
    return np.asarray(expit(np.asarray(logit, np.float64) / temperature + offset))
