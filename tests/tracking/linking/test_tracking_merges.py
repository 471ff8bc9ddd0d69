"""Cells that fuse, part, divide or share a well keep their names."""

from dataclasses import replace

import numpy as np
import pytest

from configs.schema import Chip, Tracking
from tests.tracking.tracking_scenes import make_scene
from tracking.linking.tracker import Tracker

FAST = Tracking(max_speed_um_per_min=20.0)
STEP_S = 24.0


def follow(frames, options=FAST):
    """Give the tracks after each frame of (places, areas)."""
    tracker = Tracker(options)
    results = []
    for number, (places, areas) in enumerate(frames):
        scene = make_scene(places, STEP_S * number, area_um2=areas)
        cells = replace(scene.cells, dry_mass_pg=scene.cells.area_um2)
        results.append(tracker.update(replace(scene, cells=cells)))
    return results


def replace_options(options, **changes):
    """Give the settings with changes."""
    return options.model_copy(update=changes)


def crossing(merged):
    """Give two cells that walk through one another, one blob in the merged frames."""
    for frame in range(20):
        x = 3.0 * (frame - 10)
        if frame in merged:
            yield [[0.0, 0.0]], [600.0]
        else:
            yield [[0.0, x], [2.0, -x]], [300.0, 300.0]


def test_cells_that_fuse_keep_their_names():
    """Two cells that cross within one blob come out on the right sides."""
    results = follow(crossing(range(8, 13)))

    assert all(tracks.track_id.tolist() == [1, 2] for tracks in results)
    start, end = results[0].centre_um[:, 1], results[-1].centre_um[:, 1]
    assert np.sign(start).tolist() == (-np.sign(end)).tolist()


def test_both_carry_the_label_of_the_blob():
    """While fused both bear the label of the blob, and one names the other."""
    fused = follow(crossing(range(8, 13)))[10]

    assert fused.label.tolist() == [1, 1]
    assert sorted(fused.merged_with.tolist()) in ([0, 1], [0, 2])
    assert fused.missed_frames.tolist() == [0, 0]
    assert fused.provisional.all()


def test_missed_cell_is_no_merge():
    """A cell that is missed beside one of its usual size does not ride on it."""
    places = [[0.0, 0.0], [0.0, 22.0]]
    frames = [(places, 300.0)] * 8 + [(places[:1], 300.0)]

    last = follow(frames)[-1]

    assert last.merged_with.tolist() == [0, 0]
    assert last.missed_frames.tolist() == [0, 1]


def test_division_names_both_daughters():
    """Of a cell that halves, both parts get new names and its name as their parent."""
    whole = ([[0.0, 0.0], [90.0, 0.0], [0.0, 90.0]], 300.0)
    parted = (
        [[0.0, -7.0], [0.0, 7.0], [90.0, 0.0], [0.0, 90.0]],
        np.array([150.0, 150.0, 300.0, 300.0]),
    )

    last = follow([whole] * 8 + [parted] * 3)[-1]

    assert last.parent.tolist() == [0, 0, 1, 1]
    assert last.track_id.tolist() == [2, 3, 4, 5]


def test_points_without_a_size_divide_by_their_places():
    """Two points left and right of where one was are its daughters."""
    rng = np.random.default_rng(0)
    still = np.array([[0.0, 0.0], [90.0, 0.0], [50.0, 90.0]])
    apart = np.array([[0.0, -7.0], [0.0, 7.0], [90.0, 0.0], [50.0, 90.0]])
    frames = [
        (at + rng.normal(0, 0.5, at.shape), 300.0) for at in [still] * 8 + [apart]
    ]

    last = follow(frames, replace_options(FAST, confirm_frames=1))[-1]

    assert last.parent.tolist() == [0, 0, 1, 1]


def test_swap_in_a_contact_is_undone():
    """Unlike cells that bounce off one another have their own names in the end."""
    tracker = Tracker(replace_options(FAST, contact_weight=0.0))
    phase = np.array([0.5, 2.0], np.float32)
    for frame in range(30):
        x = 2.0 * abs(frame - 10) + 1.0
        scene = make_scene([[0.0, -x], [2.0, x]], STEP_S * frame)
        scene = replace(scene, cells=replace(scene.cells, mean_phase_rad=phase))
        if frame == 10:
            scene = make_scene([[0.0, 0.0]], STEP_S * frame, area_um2=600.0)
        tracks = tracker.update(scene)

    assert tracks.track_id.tolist() == [1, 2]
    assert tracks.centre_um[0, 1] < tracks.centre_um[1, 1]


def test_well_keeps_its_cells():
    """In a well a missed cell stays, and what is one too many is left out."""
    chip = Chip(first_yx_um=(0.0, 0.0), rows=1, columns=2)
    pair = [[0.0, -10.0], [0.0, 10.0]]
    frames = [(pair, 300.0)] * 8 + [(pair[:1], 300.0)] * 6
    frames += [([*pair, [15.0, 0.0]], 300.0)] * 3

    results = follow(frames, replace_options(FAST, chip=chip, memory_frames=2))

    assert all(tracks.track_id.tolist() == [1, 2] for tracks in results)
    assert (np.abs(results[13].centre_um) <= 25).all()


@pytest.mark.parametrize("time_s", [np.nan, np.inf, -5.0, 0.0])
def test_impossible_time_changes_nothing(time_s):
    """A time that is none, or not later, gives the present tracks, unseen."""
    tracker = Tracker(FAST)
    scene = make_scene([[0.0, 0.0]], 0.0)
    tracker.update(scene)

    tracks = tracker.update(replace(scene, info=replace(scene.info, time_s=time_s)))

    assert tracks.track_id.tolist() == [1]
    assert tracks.label.tolist() == [0]


def test_repeated_label_counts_once():
    """Of cells with one label the first is followed."""
    scene = make_scene([[0.0, 0.0], [50.0, 0.0]], 0.0)
    cells = replace(scene.cells, label=np.array([1, 1], np.int32))

    tracks = Tracker(FAST).update(replace(scene, cells=cells))

    assert tracks.centre_um.tolist() == [[0.0, 0.0]]


def test_thousands_in_one_corner_are_followed():
    """A crowd far denser than cells can be costs time, and nothing fails."""
    rng = np.random.default_rng(1)
    crowd = rng.uniform(0, 1, (1000, 2))

    results = follow([(crowd, 300.0), (crowd + 0.01, 300.0)])

    assert [tracks.track_id.size for tracks in results] == [1000, 1000]
