"""The figures are those of hand-made cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tracking.metrics import (
    Happening,
    TrackTable,
    match_events,
    score_tracks,
)


def courses(true, found, matches):
    """Give a track table from (frame, id) rows and (frame, true, found) rows."""
    columns = [np.array(rows, np.int64).reshape(-1, 2).T for rows in (true, found)]
    pairs = np.array(matches, np.int64).reshape(-1, 3).T
    return TrackTable(*columns[0], *columns[1], *pairs)


def test_perfect_tracks():
    """Tracks that follow their cells score one, without switches."""
    rows = [(frame, cell) for frame in range(4) for cell in (1, 2)]
    found = [(frame, cell + 10) for frame, cell in rows]
    matches = [(frame, cell, cell + 10) for frame, cell in rows]

    score = score_tracks(courses(rows, found, matches))

    assert (score.mota, score.idf1, score.switches_per_1000) == (1.0, 1.0, 0.0)


def test_one_switch_and_one_miss():
    """A change of name across a gap is a switch; the gap is a miss."""
    true = [(frame, 1) for frame in range(4)]
    found = [(0, 5), (1, 5), (3, 6)]
    matches = [(0, 1, 5), (1, 1, 5), (3, 1, 6)]

    score = score_tracks(courses(true, found, matches))

    assert score.mota == pytest.approx(1 - 2 / 4)
    assert score.idf1 == pytest.approx(2 * 2 / 7)
    assert score.switches_per_1000 == 250


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_identities_are_paired_at_their_best(seed):
    """IDF1 uses the pairing of whole tracks that the dense solver finds."""
    rng = np.random.default_rng(seed)
    matches = np.stack([np.arange(40), *rng.integers(1, 6, (2, 40))], axis=1)
    count = np.zeros((6, 6))
    np.add.at(count, (matches[:, 1], matches[:, 2]), 1)

    score = score_tracks(courses([], [], matches))

    best = count[linear_sum_assignment(-count)].sum()
    assert score.identity_matched == best


def test_no_tracks_have_no_figures():
    """Nothing seen and nothing found leaves the ratios unknown."""
    score = score_tracks(courses([], [], []))

    assert (score.mota, score.idf1, score.switches_per_1000) == (None, None, None)


def test_death_is_reported_once():
    """The nearest report of a death is right, a second one is wrong."""
    true = [Happening(1000.0, (4,)), Happening(9000.0, (5,))]
    found = [Happening(1100.0, (4,)), Happening(1300.0, (4,)), Happening(5000.0, (5,))]

    score = match_events(true, found)

    assert (score.true_hit, score.found_right) == (1, 1)
    assert (score.recall, score.precision) == (0.5, pytest.approx(1 / 3))
    assert score.delays_s == (100.0,)


def test_every_contact_excuses_one_report():
    """A pair that meets twice may be reported twice; a third report is a repeat."""
    true = [Happening(1000.0, (4, 5)), Happening(1600.0, (4, 5))]
    found = [Happening(time_s, (4, 5)) for time_s in (900.0, 1300.0, 1650.0)]
    found.append(Happening(1000.0, (6, 7)))

    score = match_events(true, found)

    assert (score.recall, score.precision) == (1.0, 0.5)
    assert score.found_repeated == 1


def test_no_events_have_no_figures():
    """Without events there is neither recall nor precision."""
    score = match_events([], [])

    assert (score.recall, score.precision) == (None, None)
