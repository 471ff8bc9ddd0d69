"""Probabilities follow the share of dead cells of the run, not of the training."""

import numpy as np
import pytest

from inference.prevalence import LEAST_SHARE, estimate_share, shift_prior


def draw(share: float, cells: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Give P(dead) for a training share of 25 %, and who is dead, at another share."""
    rng = np.random.default_rng(seed)
    dead = rng.random(cells) < share
    score = rng.normal(np.where(dead, 1.2, -1.2), 1.0)
    odds = np.exp(2.4 * score) * 0.25 / 0.75  # likelihood ratio times prior odds
    return odds / (1 + odds), dead


def error(probability: np.ndarray, dead: np.ndarray) -> float:
    """Give the expected calibration error in ten bins."""
    at = np.minimum((probability * 10).astype(int), 9)
    gaps = np.bincount(at, probability, 10) - np.bincount(at, dead, 10)
    return float(np.abs(gaps).sum() / dead.size)


def test_shift_is_bayes_rule() -> None:
    """The odds change by the ratio of the prior odds; equal shares change nothing."""
    shifted = shift_prior(np.array([0.0, 0.5, 1.0]), 0.25, 0.5)

    assert shifted == pytest.approx([0.0, 0.75, 1.0])
    assert shift_prior(np.array([0.3]), 0.2, 0.2) == pytest.approx([0.3])


@pytest.mark.parametrize("share", [0.03, 0.07, 0.25, 0.6])
def test_share_is_found_without_labels(share: float) -> None:
    """The share of dead cells follows from the probabilities alone."""
    probability, dead = draw(share, 20_000)

    assert estimate_share(probability, 0.25) == pytest.approx(dead.mean(), abs=0.01)


def test_correction_mends_a_shifted_run() -> None:
    """At 7 % dead instead of 25 % the calibration error falls to what it was."""
    probability, dead = draw(0.07, 20_000)

    share = estimate_share(probability, 0.25)

    assert error(probability, dead) > 0.04
    assert error(shift_prior(probability, 0.25, share), dead) < 0.01


def test_few_cells_do_not_decide_alone() -> None:
    """Three cells hardly move a share that stands for a hundred; none do not at all."""
    three = np.array([0.01, 0.01, 0.02])

    assert estimate_share(three, 0.25) == LEAST_SHARE
    assert estimate_share(three, 0.25, prior_cells=100) == pytest.approx(0.25, abs=0.02)
    assert estimate_share(np.empty(0), 0.25) == 0.25
