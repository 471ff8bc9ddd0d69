"""Every cell keeps its name."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema import Tracking
from tests.tracking.tracking_scenes import make_scene, walk
from tracking.linking.tracker import Tracker

SETTINGS = Tracking()


def follow(scenes, options=SETTINGS):
    """Give the tracks after each scene."""
    tracker = Tracker(options)
    return [tracker.update(scene) for scene in scenes]


def shifted(scene, away_um):
    """Give the scene with its stage moved along."""
    stage = tuple(np.zeros(2) + away_um)
    return replace(scene, info=replace(scene.info, stage_yx_um=stage))


def test_walking_cells_keep_their_names():
    """Cells that walk a micrometre a frame are never mixed up."""
    path_um = walk(100, 40, 0.7, seed=1)

    results = follow(make_scene(at, 24.0 * i) for i, at in enumerate(path_um))

    for tracks in results:
        assert tracks.track_id.tolist() == list(range(1, 101))
        assert (np.diff(tracks.label[np.argsort(results[0].label)]) == 1).all()


def test_irregular_times_are_followed():
    """A steady cell is followed through steps of ten seconds and of half an hour."""
    times_s = np.cumsum([0, 10, 10, 1800, 10, 600, 10])
    places = np.array([[0.0, 0.005 * t] for t in times_s])

    results = follow(
        make_scene(at, float(t)) for at, t in zip(places, times_s, strict=True)
    )

    assert all(tracks.track_id.tolist() == [1] for tracks in results)
    assert results[-1].velocity_um_per_s[0, 1] == pytest.approx(0.005, abs=0.004)


def test_unseen_cell_coasts_and_comes_back():
    """A cell unseen for two frames keeps its name and is reported without a label."""
    scenes = [make_scene([[0.0, 0.0], [90.0, 0.0]], 24.0 * i) for i in range(3)]
    scenes += [make_scene([[90.0, 0.0]], 24.0 * i) for i in (3, 4)]
    scenes += [make_scene([[0.5, 0.0], [90.0, 0.0]], 24.0 * 5)]

    results = follow(scenes)

    assert results[4].label.tolist() == [0, 1]
    assert results[4].missed_frames.tolist() == [2, 0]
    assert results[5].track_id.tolist() == [1, 2]
    assert results[5].label.tolist() == [1, 2]


def test_cell_of_the_first_frame_that_is_missed_at_once_comes_back():
    """A cell seen in the first frame only keeps its name while it is remembered."""
    here = [[[0.0, 0.0], [90.0, 0.0]], [[90.0, 0.0]], [[0.0, 0.0], [90.0, 0.0]]]

    results = follow(make_scene(at, 24.0 * i) for i, at in enumerate(here))

    assert results[2].track_id.tolist() == [1, 2]
    assert results[2].label.tolist() == [1, 2]


def test_places_far_from_the_origin_of_the_stage_are_as_exact():
    """A tenth of a metre away a cell is followed to less than a nanometre as well."""
    path_um = walk(20, 10, 0.7, seed=2)
    far_um = np.array([1e5, -1e5])

    near, far = (
        [shifted(make_scene(at + away, 24.0 * i), away) for i, at in enumerate(path_um)]
        for away in (0.0, far_um)
    )

    for one, other in zip(follow(near), follow(far), strict=True):
        assert np.array_equal(one.track_id, other.track_id)
        assert np.allclose(one.centre_um + far_um, other.centre_um, atol=1e-3)


def test_cell_gone_for_longer_than_memory_ends():
    """After more frames than the memory a cell that comes back gets a new name."""
    options = Tracking(memory_frames=2, confirm_frames=1)
    present = [True, True, False, False, False, True]

    results = follow(
        (
            make_scene([[0.0, 0.0]] if seen else [], 24.0 * i)
            for i, seen in enumerate(present)
        ),
        options,
    )

    assert results[4].track_id.tolist() == []
    assert results[5].track_id.tolist() == [2]


def test_new_cell_is_believed_after_confirmation():
    """Cells of the first frame count at once, later ones after confirm_frames."""
    one, two = [[0.0, 0.0]], [[0.0, 0.0], [90.0, 0.0]]

    results = follow(make_scene(at, 24.0 * i) for i, at in enumerate([one, two, two]))

    assert [tracks.track_id.tolist() for tracks in results] == [[1], [1], [1, 2]]


def test_single_false_object_gets_no_name():
    """An object seen in one frame only never becomes a track."""
    one, two = [[0.0, 0.0]], [[0.0, 0.0], [90.0, 0.0]]
    shown = [one, two, one, two, one]

    results = follow(make_scene(at, 24.0 * i) for i, at in enumerate(shown))

    assert all(tracks.track_id.tolist() == [1] for tracks in results)


def test_frame_that_is_not_later_changes_nothing():
    """An equal or earlier time gives the present tracks, unseen, and no update."""
    tracker = Tracker(SETTINGS)
    tracker.update(make_scene([[0.0, 0.0]], 24.0))

    again = tracker.update(make_scene([[3.0, 0.0]], 24.0))
    earlier = tracker.update(make_scene([[3.0, 0.0]], 0.0))

    assert again.label.tolist() == earlier.label.tolist() == [0]
    assert earlier.centre_um.tolist() == [[0.0, 0.0]]


def test_cells_without_a_place_are_passed_over():
    """A cell whose centre is not a number is ignored."""
    scene = make_scene([[0.0, 0.0], [np.nan, 5.0]], 0.0)

    (tracks,) = follow([scene])

    assert tracks.label.tolist() == [1]


def test_coasting_track_ends_outside_the_field():
    """An unseen cell that is expected outside the field has left."""
    places = [[0.0, 301.0 + 1.0 * i] for i in range(19)]
    scenes = [make_scene([at], 24.0 * i) for i, at in enumerate(places)]
    scenes += [make_scene([], 24.0 * i) for i in (19, 20, 21)]

    results = follow(scenes)

    assert results[18].track_id.tolist() == [1]
    assert results[21].track_id.tolist() == []


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_order_of_labels_does_not_matter(seed):
    """Relabelled cells give the same tracks at the same places."""
    rng = np.random.default_rng(seed)
    path_um = walk(20, 5, 3.0, seed)
    order = rng.permutation(20)

    plain = follow(make_scene(at, 24.0 * i) for i, at in enumerate(path_um))
    mixed = follow(make_scene(at[order], 24.0 * i) for i, at in enumerate(path_um))

    for one, other in zip(plain, mixed, strict=True):
        assert one.track_id.tolist() == other.track_id.tolist()
        assert np.allclose(one.centre_um, other.centre_um)


def test_result_is_not_touched_by_later_frames():
    """The tracks of a frame stay as they were when the next frame comes."""
    tracker = Tracker(SETTINGS)
    first = tracker.update(make_scene([[0.0, 0.0]], 0.0))

    tracker.update(replace(make_scene([[1.0, 0.0]], 24.0)))

    assert first.centre_um.tolist() == [[0.0, 0.0]]
    assert first.age_frames.tolist() == [1]
