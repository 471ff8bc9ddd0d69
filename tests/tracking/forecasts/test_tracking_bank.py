"""The bank of walks is as good as Bayes where Bayes is known, and mixes elsewhere."""

import numpy as np
import pytest

from tracking.forecasts.bank import Bank

MINUTES = np.arange(1, 6)


def walks(count, frames, speed, persistence, seed):
    """Give places (cell, frame, yx) at every minute, and the same measured to 0.7 um.

    ``speed`` is the root mean square speed in um a minute, per cell or for all.
    """
    rng = np.random.default_rng(seed)
    keep = np.exp(-1 / np.asarray(persistence)) * np.ones((count, 1))
    sigma = np.asarray(speed) / np.sqrt(2) * np.ones((count, 1))
    velocity = sigma * rng.normal(size=(count, 2))
    kicks = rng.normal(size=(frames, count, 2))
    at, place = np.empty((count, frames, 2)), rng.uniform(0, 2000, (count, 2))
    for frame in range(frames):
        at[:, frame] = place
        velocity = keep * velocity + np.sqrt(1 - keep**2) * sigma * kicks[frame]
        place = place + velocity
    return at, at + rng.normal(0, 0.7, at.shape)


def follow(bank, seen, first_id=1, start_min=0):
    """Show a bank the measured places; give its forecast of the next five minutes."""
    ids = np.arange(first_id, first_id + len(seen))
    yes = np.ones(len(seen), bool)
    for frame in range(seen.shape[1]):
        bank.observe(60.0 * (start_min + frame), ids, seen[:, frame], yes, yes)
    return bank.predict(ids, 60.0 * MINUTES)


def bayes(seen, speed=4.0, persistence=5.0, noise=0.7):
    """Give the forecast of one filter with the true constants, (cell, horizon, yx)."""
    keep, power = np.exp(-1 / persistence), speed**2 / 2
    step = np.array([[1.0, keep], [0.0, keep]])
    fresh = power * (1 - keep**2) * np.ones((2, 2))
    state = np.stack((seen[:, 0], np.zeros_like(seen[:, 0])))
    spread = np.diag([noise**2, power])
    for frame in range(1, seen.shape[1]):
        state = np.einsum("ij,jcx->icx", step, state)
        spread = step @ spread @ step.T + fresh
        gain = spread[:, 0] / (spread[0, 0] + noise**2)
        state += gain[:, None, None] * (seen[:, frame] - state[0])
        spread -= np.outer(gain, spread[0])
    ahead = np.cumsum(keep**MINUTES)
    return state[0][:, None] + ahead[:, None] * state[1][:, None]


def test_equal_cells_are_forecast_as_by_the_true_filter():
    """On homogeneous walks the error is within 0.5 % of the best possible."""
    at, seen = walks(1000, 21, 4.0, 5.0, seed=3)
    bank = Bank(0.7)
    follow(bank, seen[:400, :16])

    mean, _ = follow(bank, seen[400:, :16], 401, 20)

    error = np.linalg.norm(mean - at[400:, 16:], axis=2).mean()
    best = np.linalg.norm(bayes(seen[400:, :16]) - at[400:, 16:], axis=2).mean()
    assert error <= 1.005 * best


def test_mixed_cells_are_forecast_better_than_by_one_walk():
    """Cells of many speeds get each their own walk, and a spread that fits."""
    rng = np.random.default_rng(1)
    speed = 3 * np.exp(0.6 * rng.normal(size=(600, 1))) * (rng.random((600, 1)) > 0.15)
    at, seen = walks(600, 21, speed, 4.0, seed=2)

    mean, cov = follow(Bank(1.0), seen[:, :16])

    error = np.linalg.norm(mean - at[:, 16:], axis=2)
    variance = (cov[..., 0, 0] + cov[..., 1, 1]) / 2
    one = bayes(seen[:, :16], 3.6, 4.0)
    assert error.mean() < 0.97 * np.linalg.norm(one - at[:, 16:], axis=2).mean()
    assert (error**2 < 4.605 * variance).mean() == pytest.approx(0.9, abs=0.03)


def test_localisation_is_learnt():
    """Told 3 um, the bank finds from still cells that centres are good to 0.5 um."""
    rng = np.random.default_rng(5)
    bank = Bank(3.0)

    follow(bank, rng.normal(0, 0.5, (50, 80, 2)) + np.arange(50)[:, None, None])

    noise_um = np.sqrt(bank.noise_um2(np.arange(1, 51)).mean())
    assert noise_um == pytest.approx(0.5, rel=0.15)


def test_irregular_frames_say_the_same_as_regular_ones():
    """A track seen after 1, 2 and 5 minutes is forecast from those, at those times."""
    at = 3.0 * np.array([0, 1, 3, 8, 9, 12, 20, 21, 25.0])
    seen = np.stack((at, np.zeros_like(at)), axis=1)
    bank, yes = Bank(0.3), np.ones(1, bool)
    for place in seen:
        bank.observe(20.0 * place[0], np.array([7]), place[None], yes, yes)

    mean, _ = bank.predict(np.array([7]), np.array([60.0]))

    assert mean[0, 0] == pytest.approx([78.0, 0.0], abs=0.3)


def test_unseen_tracks_grow_uncertain_and_jumps_begin_anew():
    """A missed frame widens the forecast; a jump of 5 mm does not become a speed."""
    bank, ids = Bank(0.5), np.array([1])
    yes, no, here = np.ones(1, bool), np.zeros(1, bool), np.zeros((1, 2))
    for frame in range(10):
        bank.observe(60.0 * frame, ids, here, yes, yes)
    _, sharp = bank.predict(ids, np.array([60.0]))
    bank.observe(900.0, ids, here, no, yes)
    _, wide = bank.predict(ids, np.array([60.0]))

    bank.observe(960.0, ids, here + 5000.0, yes, yes)
    mean, _ = bank.predict(ids, np.array([60.0]))

    assert wide[0, 0, 0, 0] > sharp[0, 0, 0, 0]
    assert mean[0, 0] == pytest.approx([5000.0, 5000.0])


def test_time_that_stands_still_or_goes_back_changes_nothing():
    """A frame that is not later moves no track, but gives new ones a row."""
    bank, yes = Bank(0.5), np.ones(2, bool)
    first, both = np.array([1]), np.array([1, 2])
    for frame in range(5):
        bank.observe(
            60.0 * frame, first, np.full((1, 2), 1.0 * frame), yes[:1], yes[:1]
        )
    before, _ = bank.predict(first, np.array([60.0]))

    for time_s in (240.0, 10.0):
        bank.observe(time_s, both, np.full((2, 2), 50.0), yes, yes)
    after, _ = bank.predict(both, np.array([60.0]))

    assert after[0] == pytest.approx(before[0], abs=0.3)
    assert after[1, 0] == pytest.approx([50.0, 50.0])


def test_tracks_that_come_and_go_do_not_mix():
    """One that stays is forecast from its own past, new ones from where they are."""
    bank = Bank(0.5)
    for frame in range(12):
        # Track 5 moves all along; others come and go before it and after it.
        before = range(1, 1 + frame % 4)
        after = range(6 + 3 * frame, 6 + 3 * frame + 1 + frame % 4)
        ids = np.array([*before, 5, *after])
        mover = ids == 5
        here = np.full((ids.size, 2), 500.0)
        here[mover] = [3.0 * frame, 0.0]
        yes = np.ones(ids.size, bool)
        bank.observe(60.0 * frame, ids, here, yes, yes)

    mean, _ = bank.predict(ids, np.array([60.0]))

    assert mean[mover, 0] == pytest.approx(np.array([[36.0, 0.0]]), abs=1.5)
    assert mean[~mover, 0] == pytest.approx(np.full((ids.size - 1, 2), 500.0))


def test_nobody_is_forecast_without_having_been_observed():
    """An empty dish gives an empty forecast, a name that nobody saw an error."""
    bank, nobody = Bank(1.0), np.empty(0, np.int64)
    bank.observe(0.0, nobody, np.empty((0, 2)), nobody > 0, nobody > 0)

    mean, cov = bank.predict(nobody, np.array([60.0, 300.0]))

    assert (mean.shape, cov.shape) == ((0, 2, 2), (0, 2, 2, 2))
    with pytest.raises(KeyError, match="not observed"):
        bank.predict(np.array([4]), np.array([60.0]))
