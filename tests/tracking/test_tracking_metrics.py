"""The figures are those of hand-made cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from acquisition.records import CellState
from tracking.metrics import (
    Happening,
    ObjectTable,
    TrackTable,
    auroc,
    find_overlaps,
    instance_f1,
    match_events,
    match_objects,
    object_f1,
    pics_f1,
    score_tracks,
)

LIVE, DEAD, NONE = CellState.LIVE, CellState.DEAD, CellState.BACKGROUND


def table(rows, unsure=()):
    """Give objects from pairs of true and found state."""
    true, found = (np.array(column, np.uint8) for column in zip(*rows, strict=True))
    flags = np.zeros(len(rows), np.bool_)
    flags[list(unsure)] = True
    return ObjectTable(true, found, flags, np.full(len(rows), 0.5), found)


def courses(true, found, matches):
    """Give a track table from (frame, id) rows and (frame, true, found) rows."""
    columns = [np.array(rows, np.int64).reshape(-1, 2).T for rows in (true, found)]
    pairs = np.array(matches, np.int64).reshape(-1, 3).T
    return TrackTable(*columns[0], *columns[1], *pairs)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_overlaps_equal_a_dense_count(seed):
    """Shared pixels and IoU are those of counting every pair of labels."""
    rng = np.random.default_rng(seed)
    true, found = rng.integers(0, 5, (2, 20, 30)).astype(np.uint16)

    overlaps = find_overlaps(true, found)

    for row in range(overlaps.true.size):
        one, other = true == overlaps.true[row], found == overlaps.found[row]
        assert overlaps.pixels[row] == (one & other).sum()
        assert overlaps.iou[row] == (one & other).sum() / (one | other).sum()


def test_maps_of_different_shape_are_refused():
    """Label maps of different shapes cannot be compared."""
    with pytest.raises(ValueError, match="differ in shape"):
        find_overlaps(np.zeros((2, 3), np.uint16), np.zeros((3, 2), np.uint16))


def test_matching_at_exactly_one_half_is_one_to_one():
    """Two halves of one object: only the first of them is matched."""
    true = np.array([[1, 1]], np.uint16)
    found = np.array([[4, 9]], np.uint16)

    overlaps = find_overlaps(true, found)

    assert overlaps.found[match_objects(overlaps)].tolist() == [4]


def test_empty_maps():
    """Two empty maps have no overlaps, no matches and no F1."""
    empty = np.zeros((4, 4), np.uint16)

    overlaps = find_overlaps(empty, empty)

    assert match_objects(overlaps).size == 0
    assert instance_f1(0, overlaps.true_label.size, overlaps.found_label.size) is None


def test_object_f1_counts():
    """Right, confused, missed and false objects enter F1 as defined."""
    objects = table(
        [(LIVE, LIVE)] * 3 + [(LIVE, DEAD), (DEAD, DEAD), (DEAD, NONE), (NONE, DEAD)]
    )

    assert object_f1(objects, LIVE) == pytest.approx(6 / 7)
    assert object_f1(objects, DEAD) == pytest.approx(2 / (2 + 2 + 1))


def test_unsure_counts_as_wrong():
    """A right but unsure object is neither found nor free of blame."""
    objects = table([(LIVE, LIVE), (LIVE, LIVE)], unsure=[1])

    assert object_f1(objects, LIVE) == pytest.approx(2 / (2 + 2))


def test_reweighting_makes_the_dead_a_quarter():
    """F1 at 25 % dead equals the plain F1 of a population that has 25 % dead."""
    live = [(LIVE, LIVE)] * 27 + [(LIVE, DEAD)] * 3
    dead = [(DEAD, DEAD)] * 4 + [(DEAD, LIVE)]

    weighted = object_f1(table(live + dead), DEAD, dead_share=0.25)

    assert weighted == pytest.approx(object_f1(table(live + dead * 2), DEAD))
    assert object_f1(table(live), LIVE, dead_share=0.25) is None


def test_pics_f1_weighs_the_classes_alike():
    """The confusion is normalised per true class."""
    objects = table([(LIVE, LIVE)] * 90 + [(LIVE, DEAD)] * 10 + [(DEAD, DEAD)] * 5)

    assert pics_f1(objects, DEAD) == pytest.approx(2 / 2.1)
    assert pics_f1(objects, LIVE) == pytest.approx(1.8 / (1.8 + 0.1))


def test_auroc_of_known_cases():
    """Perfect, reversed, tied and one-sided scores."""
    score = np.array([0.1, 0.2, 0.8, 0.9])
    high = np.array([False, False, True, True])

    assert auroc(score, high) == 1.0
    assert auroc(-score, high) == 0.0
    assert auroc(np.ones(4), high) == 0.5
    assert auroc(score, np.ones(4, np.bool_)) is None


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
