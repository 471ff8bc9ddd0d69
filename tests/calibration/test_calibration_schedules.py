"""Learning rates fall as their formulas say."""

import math
from dataclasses import asdict

import pytest

from calibration.training.schedules import Plateau, cosine, step_decay, warm_up


def test_cosine_falls_from_one_to_nothing() -> None:
    """The cosine begins at 1, is half way in the middle and stays at 0."""
    factors = [cosine(step, 100) for step in (0, 50, 100, 150)]

    assert factors == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert [warm_up(step, 4) for step in (0, 3, 9)] == [0.25, 1.0, 1.0]


def test_steps_fall_every_nine_thousand() -> None:
    """The rate is 0.9 to the power of the steps that were taken."""
    assert [step_decay(step) for step in (0, 8999, 9000, 18_000)] == pytest.approx(
        [1.0, 1.0, 0.9, 0.81]
    )
    assert step_decay(10_000, every=10_000) == 0.9


def test_plateau_falls_after_its_patience() -> None:
    """The factor falls after ten evaluations without a better one, and waits again."""
    plateau = Plateau()
    plateau.judge(0.5)

    factors = [plateau.judge(score) for score in [0.4] * 19 + [math.nan, 0.6, 0.6]]

    assert factors[8] == 1.0
    assert factors[9] == factors[18] == 0.8
    assert factors[19] == pytest.approx(0.64)
    assert (plateau.best, plateau.waited) == (0.6, 1)


def test_plateau_goes_on_from_a_checkpoint() -> None:
    """Its fields are its whole state."""
    plateau = Plateau(patience=2)
    plateau.judge(0.5)
    plateau.judge(0.4)

    resumed = Plateau(**asdict(plateau))

    assert resumed.judge(0.4) == plateau.judge(0.4) == 0.8
