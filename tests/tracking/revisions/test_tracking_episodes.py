"""Contacts that are over are looked at again; nobody waits, nothing is rewritten."""

import time

import numpy as np
import pytest

from tracking.revisions.episodes import (
    Closed,
    Episode,
    EpisodeLog,
    Moment,
    assemble,
    rejoin,
)
from tracking.revisions.robust import Contact, RobustCourses, Rules
from tracking.revisions.smoothing import smooth_course
from tracking.revisions.solver import MOST_WAITING, EpisodeSolver
from tracking.revisions.window import Sighting

RULES = Rules(lam=1.0, noise_um=1.0, max_speed_um_per_s=5.0)
FIELD = (-100.0, -100.0, 100.0, 100.0)
SHORT, TALL = np.array([5.0, 3.0, 1.0, 0.1]), np.array([5.6, 3.5, 1.0, 0.1])


def crossing(*, swapped, looks=True):
    """Give two cells that run through each other, hidden for four frames of 20."""
    rng = np.random.default_rng(1)
    at = np.arange(20.0)
    one = np.stack((at - 10, 0.3 * (at - 10)), axis=1)
    centre_um = np.stack((one, one * [-1, 1])) + rng.normal(0, 0.3, (2, 20, 2))
    look = np.stack([np.tile(SHORT, (20, 1)), np.tile(TALL, (20, 1))])
    look += rng.normal(0, 0.03, look.shape)
    seen = np.ones((2, 20), np.bool_)
    seen[:, 8:12] = False
    if swapped:
        centre_um[:, 12:], look[:, 12:] = centre_um[::-1, 12:], look[::-1, 12:]
    if not looks:
        look[:] = np.nan
    frames = np.arange(1, 21)
    ids = np.array([4, 9])
    return Episode(ids, frames, at, centre_um, centre_um.copy(), seen, look)


@pytest.mark.parametrize("swapped", [False, True])
def test_names_are_exchanged_only_where_they_were_swapped(swapped):
    """The looks before and after a contact tell who came out."""
    order, gain = rejoin(crossing(swapped=swapped), 1.0, 1.0)

    assert order == ((1, 0) if swapped else (0, 1))
    assert (gain > 12) == swapped


def test_without_evidence_everyone_stays_who_they_were():
    """A steady course alone does not outvote the tracker."""
    episode = crossing(swapped=False, looks=False)

    assert rejoin(episode, 1.0, 1.0) == ((0, 1), 0.0)


def test_courses_obey_speed_and_walls_where_the_banded_solve_does_not():
    """No step is faster than allowed, no place outside the walls."""
    time_s = np.arange(12.0)
    places = np.zeros((2, 12, 2))
    places[:, 6:] = 30.0
    contact = Contact(time_s, places, np.ones((2, 12)), (-1.0, -1.0, 20.0, 20.0))

    course, method = RobustCourses(RULES).solve(contact)

    assert method == "osqp"
    assert np.abs(np.diff(course, axis=1)).max() <= 5 + 1e-3
    assert course.max() <= 20 + 1e-3
    banded = smooth_course(time_s, places, np.ones((2, 12), np.bool_), 1.0)
    assert np.abs(np.diff(banded, axis=1)).max() > 5


def test_without_limits_the_solver_gives_the_banded_course():
    """Where neither speed, walls nor outliers matter both solvers agree to 1e-6."""
    rules = Rules(lam=1.0, noise_um=1e3, max_speed_um_per_s=1e3)
    episode = crossing(swapped=False)
    contact = Contact(episode.time_s, episode.centre_um, np.ones((2, 20)))

    course, _ = RobustCourses(rules).solve(contact)

    banded = smooth_course(
        episode.time_s, episode.centre_um, np.ones((2, 20), np.bool_), 1.0
    )
    assert np.abs(course - banded).max() <= 1e-6


def test_what_cannot_be_solved_is_banded_and_says_so():
    """Where the solver finds nothing the banded courses stand in, with the reason."""
    log = EpisodeLog()
    ids = [1, 2, 3, 4]
    apart = [(0, 30 * one) for one in ids]
    nobody = np.empty((0, 2), np.int64)
    chain = np.array([(1, 2), (2, 3), (3, 4)])
    frames = [moment(at, ids, apart) for at in range(1, 14)]
    closed = [
        log.update(one, chain if at == 6 else nobody) for at, one in enumerate(frames)
    ]
    nowhere = (9.0, 9.0, -9.0, -9.0)  # walls without a room between them
    solver = EpisodeSolver(RULES, patient=True)

    job = solver.submit(next(one for many in closed for one in many), nowhere)

    assert job.finished.wait(60)
    assert job.answer.method.startswith("banded: no solution")
    assert job.answer.order == (0, 1, 2, 3)


def test_a_contact_that_fails_costs_its_own_answer_only(caplog):
    """A fault is said, the job ends without an answer, and the next one has one."""
    solver = EpisodeSolver(RULES, patient=True)
    here = tuple(moment(at, [1, 2], [(0, 0), (0, 9)]) for at in range(12))
    ids = np.array([1, 2])

    broken = solver.submit(Closed(ids, (None,) * 12, 6), FIELD)
    whole = solver.submit(Closed(ids, here, 6), FIELD)

    assert broken.finished.wait(60)
    assert whole.finished.wait(60)
    assert broken.answer is None
    assert whole.answer is not None
    assert "could not be looked at again" in caplog.text
    solver.close()


def test_a_contact_in_a_group_without_an_end_is_given_up():
    """Where some contact always goes on, the others are counted and forgotten."""
    log = EpisodeLog()
    ids = [1, 2, 3]
    apart = [(0, 30 * one) for one in ids]

    for at in range(90):
        pairs = [(1, 2), (2, 3)] if at < 5 else [(1, 2)]
        assert log.update(moment(at, ids, apart), np.array(pairs)) == []

    assert log.left_out == 1


def test_what_was_prepared_is_solved_as_if_it_were_not():
    """Preparing builds every problem beforehand, and the courses stay the same."""
    ready, fresh = EpisodeSolver(RULES), EpisodeSolver(RULES)
    here = tuple(moment(at, [1, 2], [(0, at % 3), (0, 9)]) for at in range(12))
    closed = Closed(np.array([1, 2]), here, 6)

    assert ready.prepare().wait(60)
    jobs = [solver.submit(closed, FIELD) for solver in (ready, fresh)]
    assert all(job.finished.wait(60) for job in jobs)

    one, other = (job.answer for job in jobs)
    assert one.method == other.method == "osqp"
    assert (one.places_um == other.places_um).all()
    ready.close()
    fresh.close()


def test_nobody_waits_for_an_answer():
    """Handing in takes no time, also while the thread is busy; a full queue refuses."""
    solver = EpisodeSolver(RULES)
    here = tuple(moment(at, [1, 2], [(0, 0), (0, 9)]) for at in range(12))
    closed = Closed(np.array([1, 2]), here, 6)

    began = time.thread_time()
    jobs = [solver.submit(closed, FIELD) for _ in range(400)]
    took_s = time.thread_time() - began

    assert None in jobs
    assert took_s < 0.5
    solver.close()


def test_no_contact_is_left_out_where_time_stands_still():
    """A run of a seed comes out the same on a busy machine: all are answered."""
    solver = EpisodeSolver(RULES, patient=True)
    here = tuple(moment(at, [1, 2], [(0, 0), (0, 9)]) for at in range(12))
    closed = Closed(np.array([1, 2]), here, 6)

    jobs = [solver.submit(closed, FIELD) for _ in range(MOST_WAITING + 40)]

    assert None not in jobs
    assert all(job.finished.wait(60) for job in jobs)
    solver.close()


def moment(at, ids, centre_um):
    """Give one frame of cells that all have outlines."""
    ids = np.array(ids)
    centre_um = np.array(centre_um, np.float64)
    sighting = Sighting(at, float(at), ids, centre_um, np.ones(ids.size, np.bool_))
    return Moment(sighting, centre_um, np.zeros((ids.size, 4)))


def test_an_episode_lasts_until_all_of_a_group_are_apart():
    """Three cells in a chain are one episode, with frames before and after."""
    log = EpisodeLog()
    pairs = {6: [(1, 2)], 7: [(2, 3), (2, 1)], 9: [(2, 3)]}
    closed = {}
    for at in range(1, 20):
        here = moment(at, [1, 2, 3, 8], [(0, 0), (0, 9), (0, 18), (50, 50)])
        touching = np.array(pairs.get(at, []), np.int64).reshape(-1, 2)
        for over in log.update(here, touching):
            closed[at] = assemble(over)

    assert list(closed) == [14]
    assert closed[14].track_id.tolist() == [1, 2, 3]
    assert closed[14].sequence.tolist() == list(range(1, 15))


def test_groups_too_large_are_counted():
    """Five cells that touched are left out, and that is counted."""
    log = EpisodeLog()
    ids = list(range(1, 6))
    chain = np.array([(one, one + 1) for one in ids[:-1]])
    nobody = np.empty((0, 2), np.int64)
    here = [(0, 9 * one) for one in ids]

    closed = [
        log.update(moment(at, ids, here), chain if at == 6 else nobody)
        for at in range(1, 20)
    ]

    assert not any(closed)
    assert log.left_out == 1
