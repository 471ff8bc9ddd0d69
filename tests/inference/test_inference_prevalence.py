"""Probabilities follow the share of dead cells of the run, not of the training."""

from dataclasses import replace

import numpy as np
import pytest
from samples import make_segmented

from acquisition.records import CellState, Segmented
from configs.schema import Inference
from inference.prevalence import (
    LEAST_SHARE,
    MOST_CHANGE,
    Prevalence,
    estimate_share,
    shift_prior,
)


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


def frame(
    share: float, seed: int, cells: int = 300, cause: str = "protocol"
) -> tuple[Segmented, np.ndarray]:
    """Give a frame of which the network says what `draw` draws, and who is dead."""
    probability, dead = draw(share, cells, seed)
    blank = make_segmented(0)
    given = replace(
        blank.cells,
        dead_probability=probability.astype(np.float32),
        state=np.where(probability > 0.5, 2, 1).astype(np.uint8),
    )
    return replace(blank, info=replace(blank.info, cause=cause), cells=given), dead


def test_a_run_with_few_dead_is_corrected_and_says_by_how_much() -> None:
    """Probabilities mean what they say, states follow, the shift is in the record."""
    prevalence = Prevalence(0.25, Inference())
    raw, dead = zip(*(frame(0.05, seed) for seed in range(20)), strict=True)

    seen = [prevalence(one) for one in raw]

    before, after = (
        np.concatenate([one.cells.dead_probability for one in frames])
        for frames in (raw, seen)
    )
    everyone = np.concatenate(dead)
    assert error(after, everyone) < 0.7 * error(before, everyone)
    assert 0.05 < prevalence.share < 0.17  # much weight stays with the training
    first, last = raw[-1].cells.dead_probability, seen[-1].cells.dead_probability
    odds = first / (1 - first) * np.exp(seen[-1].prior_shift)
    assert last == pytest.approx(odds / (1 + odds), abs=1e-4)
    assert np.array_equal(seen[-1].cells.state == CellState.DEAD, last > 0.5)


@pytest.mark.parametrize(
    ("share", "cells", "training", "follows"),
    [
        (0.2, 300, 0.25, True),
        (0.7, 300, 0.25, True),
        (0.05, 40, 0.25, True),
        (0.05, 300, None, True),
        (0.05, 300, 0.25, False),
    ],
    ids=[
        "near the training",
        "commoner",
        "few cells",
        "card without a share",
        "switched off",
    ],
)
def test_frames_stay_as_they_are(
    share: float, cells: int, training: float | None, follows: bool
) -> None:
    """Nothing is corrected without a clear reason, enough cells, and leave to do so."""
    prevalence = Prevalence(training, Inference(follow_prevalence=follows))

    for seed in range(5):
        one, _ = frame(share, seed, cells)
        assert prevalence(one) is one


def test_the_correction_moves_slowly_and_asked_frames_teach_nothing() -> None:
    """From frame to frame the shift changes by a little; a burst does not drive it."""
    prevalence = Prevalence(0.25, Inference())
    for seed in range(3):
        calm = prevalence(frame(0.05, seed)[0])

    burst = [prevalence(frame(0.9, seed, cause="request:1")[0]) for seed in range(9)]
    turned = [prevalence(frame(0.9, seed)[0]) for seed in range(60)]

    assert {one.prior_shift for one in burst} == {calm.prior_shift}
    steps = np.diff([calm.prior_shift, *(one.prior_shift for one in turned)])
    assert np.abs(steps).max() <= MOST_CHANGE + 1e-9
    assert turned[-1].prior_shift == 0.0
