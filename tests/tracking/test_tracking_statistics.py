"""The statistics of motion give what is known in closed form."""

import numpy as np
import pytest

from tracking import statistics as st


def walkers(cells, frames, persistence, seed, step=1.0, finer=5):
    """Give Ornstein-Uhlenbeck walks (cell, frame, yx) of unit speed on each axis."""
    rng = np.random.default_rng(seed)
    dt = step / finer
    keep = np.exp(-dt / persistence)
    v = rng.normal(size=(cells, 2))
    place, here = np.empty((cells, frames, 2)), np.zeros((cells, 2))
    for tick in range(frames * finer):
        if tick % finer == 0:
            place[:, tick // finer] = here
        here = here + dt * v
        v = keep * v + np.sqrt(1 - keep**2) * rng.normal(size=(cells, 2))
    return place + rng.uniform(0, 500, (cells, 1, 2))


def brownian(cells, frames, seed):
    """Give Brownian walks (cell, frame, yx)."""
    steps = np.random.default_rng(seed).normal(size=(cells, frames, 2))
    return np.cumsum(steps, axis=1)


def test_exponents_of_diffusion_are_half_the_order():
    """Brownian motion: q / 2 within 5 %, inside an interval over cells."""
    found = st.exponents(brownian(600, 60, seed=1), 0.5)

    for one in found:
        assert one.slope == pytest.approx(one.order / 2, rel=0.05)
        assert one.low < one.order / 2 < one.high


def test_exponents_of_straight_ways_are_the_order():
    """Ballistic motion: q, whatever the units."""
    way = np.random.default_rng(2).normal(size=(50, 1, 2)) * np.arange(40)[:, None]

    found = st.exponents(1000 * way, 20.0, draws=20)

    assert [one.slope for one in found] == pytest.approx(list(st.MOMENTS))


def test_literal_exponents_depend_on_the_unit():
    """The paper's quotient of logarithms changes with micrometres to nanometres."""
    way = brownian(300, 60, seed=3)

    um = st.literal_exponents(st.moments(way), 20.0)
    nm = st.literal_exponents(st.moments(1000 * way), 20.0)

    assert (nm > um + 0.5).all()


def test_velocity_correlation_falls_with_the_persistence():
    """exp(-t / P), and P within 10 %, with noise and drift in what was measured."""
    rng = np.random.default_rng(4)
    place = walkers(400, 120, 8.0, seed=4)
    drift = np.cumsum(rng.normal(0, 1.0, (120, 2)), axis=0)
    seen = place + drift + rng.normal(0, 0.4, place.shape)

    curve = st.correlation_in_time(st.velocities(seen, 1.0), 1.0, 0.4, most=30)

    assert st.persistence(curve, 1.0) == pytest.approx(8.0, rel=0.1)
    assert curve[8] == pytest.approx(np.exp(-1), abs=0.05)


def test_diffusion_has_no_persistence():
    """Where velocities know nothing of each other, no time is stated."""
    curve = st.correlation_in_time(st.velocities(brownian(100, 80, 5), 1.0), 1.0)

    assert st.persistence(curve, 1.0) is None


def test_neighbours_that_move_together_are_correlated_over_their_distance():
    """Near pairs that share a velocity correlate, far ones do not; drift adds none."""
    rng = np.random.default_rng(6)
    steps = np.repeat(rng.normal(size=(60, 40, 2)), 2, axis=0)
    start = np.repeat(rng.uniform(0, 2000, (60, 1, 2)), 2, axis=0)
    start[1::2] += 5.0
    place = start + np.cumsum(steps, axis=1) + 3.0 * np.arange(40)[:, None]

    found = st.correlation_in_space(
        place, st.velocities(place, 1.0), np.array([0.0, 10.0, 50.0, 400.0, 1000.0])
    )

    assert found[0] == pytest.approx(1.0, abs=0.05)
    assert np.abs(found[2:]).max() < 0.05


def test_noise_is_taken_off_the_moments():
    """Cells that do not move have no way, however badly they are measured."""
    place = np.random.default_rng(7).normal(0, 0.5, (2000, 20, 2))

    plain, clean = st.moments(place)[2, 5], st.moments(place, noise=0.5)[2, 5]

    assert plain == pytest.approx(1.0, rel=0.1)
    assert clean < 0.1


def test_a_break_is_found_where_it_is():
    """Slopes 1.8 and 1 that meet at 2 are found, with what they gain."""
    x = np.linspace(0, 5, 26)
    y = 1.8 * np.minimum(x, 2) + np.maximum(x - 2, 0)

    found = st.two_lines(x, y)

    assert found is not None
    assert (found.at, found.before, found.after) == pytest.approx((2.0, 1.8, 1.0))
    assert found.gain > 0.99
    assert st.two_lines(x[:4], y[:4]) is None


def test_read_outs_of_single_cells():
    """Speed, persistence and growth of each cell by itself; the span of a way."""
    place = walkers(40, 400, 6.0, seed=8)
    mass = np.array([[np.nan, 2.0, 3.0], [4.0, np.nan, 2.0]])

    speed = st.speeds(place, 1.0)
    own = st.persistences(place, 1.0)

    assert np.median(speed) == pytest.approx(np.sqrt(2), rel=0.08)
    assert np.nanmedian(own) == pytest.approx(6.0, rel=0.25)
    assert st.relative_to_start(mass)[:, 2].tolist() == [1.5, 0.5]
    assert st.span(np.array([[[0, 0], [3, 4], [1, 1.0]]])) == 5.0
    mean, error = st.mean_and_error(np.array([1.0, 3.0, np.nan]))
    assert (mean, error) == (2.0, 1.0)


def test_curves_are_compared_relatively():
    """A curve ten per cent too high is a tenth away from the truth."""
    truth = np.array([1.0, 2.0, np.nan, 4.0])

    assert st.relative_distance(1.1 * truth, truth) == pytest.approx(0.1)
