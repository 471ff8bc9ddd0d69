"""Courses are the exact optimum, at a fixed lag as for the whole sequence."""

import numpy as np
import pytest

from tracking.revisions.smoothing import differences, fill_gaps, smooth_course
from tracking.revisions.window import Sighting, Window


def walks(seed, tracks=3, frames=30):
    """Give times at irregular steps, walks, and which of their places were seen."""
    rng = np.random.default_rng(seed)
    time_s = np.cumsum(rng.uniform(0.5, 2, frames))
    centre_um = np.cumsum(rng.normal(0, 2, (tracks, frames, 2)), axis=1)
    seen = rng.random((tracks, frames)) < 0.8
    seen[:, 0] = True
    return time_s, centre_um, seen


@pytest.mark.parametrize("seed", range(3))
def test_the_banded_solve_is_the_optimum_of_the_program(seed):
    """A solver of quadratic programs finds the same courses to 1e-6."""
    cvxpy = pytest.importorskip("cvxpy")
    time_s, centre_um, seen = walks(seed)
    given = np.where(seen[..., None], centre_um, 0.0)
    fill_gaps(given, seen)
    weight = np.where(seen, 1.0, 0.1)[0]

    banded = smooth_course(time_s, centre_um, seen, 1.5)[0]

    course = cvxpy.Variable((30, 2))
    terms = differences(time_s)
    bends = sum(
        cvxpy.multiply(terms[:, at : at + 1], course[at : 28 + at]) for at in range(3)
    )
    misses = cvxpy.multiply(np.sqrt(weight)[:, None], course - given[0])
    cost = cvxpy.sum_squares(misses) + 1.5 * cvxpy.sum_squares(bends)
    cvxpy.Problem(cvxpy.Minimize(cost)).solve(solver="OSQP", eps_abs=1e-9, eps_rel=1e-9)
    assert np.abs(course.value - banded).max() <= 1e-6


@pytest.mark.parametrize("lag", [1, 2, 5])
def test_a_fixed_lag_gives_what_the_whole_past_gives(lag):
    """A place that becomes final is that of a solve of everything up to now."""
    time_s, centre_um, seen = walks(7)
    seen[:] = True
    window = Window(lag, 1.0, 1.0)
    ids = np.arange(1, 4)

    finals = [
        window.push(Sighting(at, time_s[at], ids, centre_um[:, at], seen[:, at]))
        for at in range(30)
    ]

    assert finals[lag - 1] is None
    for now in (lag, 17, 29):
        past = slice(0, now + 1)
        whole = smooth_course(time_s[past], centre_um[:, past], seen[:, past], 1.0)
        assert finals[now].sequence == now - lag
        assert finals[now].centre_um == pytest.approx(whole[:, now - lag], abs=1e-9)


def test_gaps_are_straight_lines_held_at_the_ends():
    """Unseen places lie on the line between their neighbours."""
    places = np.zeros((1, 6, 2))
    places[0, 1], places[0, 4] = (2, 4), (8, 10)
    seen = np.array([[False, True, False, False, True, False]])

    fill_gaps(places, seen)

    assert places[0, :, 0].tolist() == [2, 2, 4, 6, 8, 8]
    assert places[0, :, 1].tolist() == [4, 4, 6, 8, 10, 10]


def test_a_steady_motion_is_left_alone_whatever_the_steps():
    """Smoothness costs nothing for a cell that goes straight on."""
    time_s, _, _ = walks(3)
    centre_um = time_s[None, :, None] * np.array([0.3, -2.0])
    seen = np.ones((1, 30), np.bool_)

    course = smooth_course(time_s, centre_um, seen, 1e4)

    assert course == pytest.approx(centre_um, abs=1e-6)


def test_tracks_come_and_go():
    """Only tracks that lived through the whole lag become final."""
    window = Window(2, 1.0, 1.0)
    final = None
    for at, ids in enumerate([[1, 2], [1, 2], [2, 3], [2, 3], [2, 3]]):
        here, seen = np.full((2, 2), float(at)), np.ones(2, np.bool_)
        final = window.push(Sighting(at, float(at), np.array(ids), here, seen))
        if at == 2:
            assert final.track_id.tolist() == [2]

    assert final.track_id.tolist() == [2, 3]
    assert final.centre_um == pytest.approx(np.full((2, 2), 2.0), abs=1e-6)


def test_an_exchange_of_names_is_seen_backwards():
    """Where two cells took each other's name, both links are doubtful."""
    window = Window(3, 0.1, 1.0)
    doubts = {}
    for at in range(10):
        rows = [0, 1, 2] if at < 5 else [1, 0, 2]
        y_um = np.array([0.0, 12.0, 40.0])[rows]
        centre_um = np.stack((y_um, np.full(3, at * 3.0)), axis=1)
        sighting = Sighting(
            at, float(at), np.array([1, 2, 3]), centre_um, np.ones(3, np.bool_)
        )
        final = window.push(sighting)
        if final is not None:
            doubts[final.sequence] = final.track_id[final.doubtful].tolist()

    assert doubts.pop(4) == [1, 2]
    assert not any(doubts.values())


@pytest.mark.parametrize(
    ("speed_um", "noise_um", "low", "high"),
    [(2.0, 0.0, 0.0, 0.05), (2.0, 1.0, 0.1, 0.6), (0.2, 1.0, 1.5, 100.0)],
)
def test_the_smoothness_follows_the_noise_of_the_centres(
    speed_um: float, noise_um: float, low: float, high: float
) -> None:
    """Exact centres are left alone; the noisier they are, the smoother the course."""
    rng = np.random.default_rng(5)
    places = np.cumsum(rng.normal(0, speed_um, (40, 200, 2)), axis=0)
    window = Window(5, None, 1.0)
    ids, seen = np.arange(1, 201), np.ones(200, bool)
    for frame, here in enumerate(places + rng.normal(0, noise_um, places.shape)):
        window.push(Sighting(frame, 60.0 * frame, ids, here, seen))

    assert low <= window.smoothness <= high
    assert Window(5, 3.0, 1.0).smoothness == 3.0


@pytest.mark.parametrize("lag", [1, 2, 5])
@pytest.mark.parametrize(
    ("steps_s", "bent_um2"), [((60.0,), 2.0), ((60.0, 60.0, 90.0), 2.4)]
)
def test_the_smoothness_is_learnt_whatever_the_lag_and_mildly_uneven_steps(
    lag: int, steps_s: tuple[float, ...], bent_um2: float
) -> None:
    """It is noise (1 um) over bends, those of a walk of 1 um a minute and axis."""
    rng = np.random.default_rng(0)
    time_s = np.cumsum(np.resize(steps_s, 60))
    step_um = (
        rng.normal(0, 1, (60, 300, 2))
        * np.sqrt(np.resize(steps_s, 60) / 60)[:, None, None]
    )
    centre_um = np.cumsum(step_um, axis=0) + rng.normal(0, 1, step_um.shape)
    window, ids, seen = Window(lag, None, 1.0), np.arange(300), np.ones(300, bool)
    for at in range(60):
        window.push(Sighting(at, float(time_s[at]), ids, centre_um[at], seen))

    assert not window.is_assumed
    assert window.smoothness == pytest.approx(1 / bent_um2, rel=0.3)


def test_of_very_uneven_steps_no_smoothness_is_learnt_and_that_is_said() -> None:
    """Bursts of frames with long rests between them leave the usual weight."""
    window, rng = Window(5, None, 1.0), np.random.default_rng(7)
    for at, time_s in enumerate(np.cumsum(np.resize([1.0, 1.0, 60.0], 60))):
        here = rng.normal(0, 1, (300, 2))
        window.push(Sighting(at, time_s, np.arange(300), here, np.ones(300, bool)))

    assert window.is_assumed
    assert window.smoothness == 1.0
    assert not Window(5, 3.0, 1.0).is_assumed
