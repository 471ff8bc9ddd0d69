"""Figures of objects, instances and strata are those of hand-made cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.records import CellState
from calibration.metrics import (
    Emptiness,
    ObjectTable,
    average_iou,
    balanced_accuracy,
    count_instances,
    count_neighbours,
    edge_labels,
    f1_among,
    false_share,
    figures_by_stratum,
    find_overlaps,
    frame_iou,
    gradient_energy,
    instance_f1,
    low_quantile,
    match_objects,
    missed_share,
    object_f1,
    pics_confusion,
    pics_f1,
    tabulate_calls,
    touching_labels,
)

LIVE, DEAD, NONE = CellState.LIVE, CellState.DEAD, CellState.BACKGROUND


def table(rows, unsure=()):
    """Give objects from pairs of true and found state."""
    true, found = (np.array(column, np.uint8) for column in zip(*rows, strict=True))
    flags = np.zeros(len(rows), np.bool_)
    flags[list(unsure)] = True
    return ObjectTable(true, found, flags, np.full(len(rows), 0.5), found)


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


def test_missed_and_false_objects_have_their_own_shares():
    """What was missed is counted among the true, what was made up among the found."""
    objects = table([(LIVE, LIVE), (DEAD, NONE), (NONE, DEAD), (LIVE, DEAD)])

    assert missed_share(objects) == false_share(objects) == pytest.approx(1 / 3)
    assert missed_share(table([(NONE, DEAD)])) is None
    assert false_share(table([(DEAD, NONE)])) is None


def test_pics_confusion_rows_sum_to_one():
    """Each true class is a row of shares; a class without cells is not known."""
    objects = table([(LIVE, LIVE), (LIVE, NONE), (LIVE, DEAD), (LIVE, LIVE)])

    confusion = pics_confusion(objects)

    assert confusion[0].tolist() == [0.25, 0.5, 0.25]
    assert np.isnan(confusion[1]).all()
    assert pics_f1(objects, LIVE) is None


def test_calls_on_given_masks_score_like_objects():
    """Cells that are only called have no missed or false ones."""
    dead = np.array([True, True, False, False, False])
    called = np.array([True, False, False, False, True])

    objects = tabulate_calls(called, dead)

    assert object_f1(objects, DEAD) == pytest.approx(0.5)
    assert missed_share(objects) == false_share(objects) == 0.0
    assert balanced_accuracy(called, dead) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert balanced_accuracy(called, dead | True) is None


def test_frame_iou_counts_every_instance_once():
    """A half-found, a missed and a made-up cell: one half, zero and zero."""
    true, found = np.zeros((2, 6, 8), np.uint16)
    true[0:2, 0:4], true[4:6, 0:2] = 1, 2
    found[0:2, 0:2], found[4:6, 6:8] = 5, 9

    frame = frame_iou(true, found)

    assert frame.mean_iou == pytest.approx(0.5 / 3)
    assert frame.emptiness is Emptiness.NEITHER


def test_empty_frames_are_counted_and_known_ones_averaged():
    """Both empty is NaN and counted; one empty is an overlap of zero and counted."""
    empty, full = np.zeros((4, 4), np.uint16), np.ones((4, 4), np.uint16)
    pairs = [(empty, empty), (full, empty), (empty, full), (full, full)]

    average = average_iou([frame_iou(*pair) for pair in pairs], list("aabb"))

    assert average.summary.mean == pytest.approx(1 / 3)
    assert average.summary.known == 3
    assert (average.summary.agree_empty, average.summary.one_empty) == (1, 2)
    assert average.interval.low == 0.0
    assert average.interval.high == 0.5


def test_a_stratum_says_what_became_of_its_cells():
    """The edge cells fare worse than the others, and false objects belong to none."""
    objects = table(
        [(LIVE, NONE), (DEAD, DEAD), (LIVE, LIVE), (DEAD, LIVE), (NONE, LIVE)]
    )
    on_edge = np.array([True, True, False, False, True])

    inside, outside = figures_by_stratum(objects, {"edge": on_edge})["edge"]

    assert (inside.objects, inside.missed, inside.right_live) == (2, 0.5, 0.0)
    assert (outside.objects, outside.missed, outside.right_dead) == (2, 0.0, 0.0)
    assert (inside.right_dead, outside.right_live) == (1.0, 1.0)


def test_edge_focus_and_crowding_of_cells():
    """A cut cell, a blurred one and a lonely one are told from the others."""
    labels = np.zeros((40, 60), np.uint16)
    labels[0:8, 5:13], labels[10:18, 5:13], labels[28:36, 45:53] = 3, 5, 8
    texture = np.random.default_rng(0).integers(0, 100, labels.shape).astype(np.uint16)
    image = np.where(labels == 5, 50, texture)

    energy = gradient_energy(image, labels)
    neighbours = count_neighbours(labels, 12)

    assert edge_labels(labels).tolist() == [3]
    assert min(energy, key=energy.get) == 5
    assert low_quantile(np.array(list(energy.values())), 0.3).tolist() == [0, 1, 0]
    assert neighbours == {3: 1, 5: 1, 8: 0}
    assert count_neighbours(np.zeros((4, 4), np.uint16), 5) == {}


def test_counts_of_instances_add_up():
    """Counts of frames are added before any ratio; nothing at all has no figure."""
    true, found = np.zeros((2, 4, 20), np.uint16)
    true[:, 0:4], true[:, 8:12], found[:, 0:4], found[:, 9:12] = 1, 2, 7, 3
    empty = np.zeros_like(true)

    total = count_instances(true, found) + count_instances(empty, true)

    assert count_instances(true, found).f1_50 == count_instances(true, found).f1_75 == 1
    assert total.f1_50 == pytest.approx(2 * 2 / (2 + 4))
    assert total.iou_foreground == pytest.approx(28 / (32 + 60 - 28))
    assert count_instances(empty, empty).f1_50 is None
    assert count_instances(empty, empty).iou_foreground is None


def test_f1_of_touching_cells():
    """A pair found as one is two misses and one false; a lonely cell has no part."""
    true, found = np.zeros((2, 10, 40), np.uint16)
    true[:, 0:6], true[:, 6:12], true[:, 20:26], true[:, 27:33] = 1, 2, 5, 6
    true[0:3, 36:40] = 9
    found[:, 0:12], found[:, 20:26], found[:, 27:33] = 1, 2, 3

    touching = touching_labels(true)

    assert touching.tolist() == [1, 2, 5, 6]
    # one object over both halves has an IoU of one half with each: it is one of them
    assert f1_among(find_overlaps(true, found), touching) == pytest.approx(6 / 7)
    found[:, 12:15] = 1  # now it is less: two misses, and one false
    assert f1_among(find_overlaps(true, found), touching) == pytest.approx(4 / 7)
