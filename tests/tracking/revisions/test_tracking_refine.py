"""What was said is looked at again, live, and revised by record."""

from dataclasses import replace

import numpy as np

from acquisition.records import Tracks
from configs.schema import Tracking
from tests.tracking.tracking_scenes import make_scene
from tracking.revisions.refine import Refiner, observe, pairs_in_contact, rules_of
from tracking.revisions.solver import EpisodeSolver


def as_tracks(scene, names, merged=()):
    """Give the tracks of a scene, cell by cell; the second rides on the first."""
    ids = np.array(names, np.int64)
    order = np.argsort(ids)
    count = ids.size
    column = np.ones(count, np.float32)
    no = np.zeros(count, np.bool_)
    blank = np.zeros(count, np.int64)
    tracks = Tracks(
        track_id=ids[order],
        label=np.arange(1, count + 1, dtype=np.int32)[order],
        centre_um=scene.cells.centre_um[order],
        velocity_um_per_s=np.zeros((count, 2)),
        radius_um=8 * column,
        age_frames=np.full(count, 9, np.int32),
        missed_frames=np.zeros(count, np.int32),
        dead_probability=0 * column,
        state=np.ones(count, np.uint8),
        unsure=no,
        parent=blank,
        merged_with=blank.copy(),
        quality=column,
        provisional=no,
    )
    for rider, carrier in merged:
        tracks.merged_with[tracks.track_id == rider] = carrier
        label = tracks.label[tracks.track_id == carrier]
        tracks.label[tracks.track_id == rider] = label
    return tracks


def test_a_shared_blob_measures_nobody():
    """Neither carrier nor rider of a blob is seen, and both are in contact."""
    scene = make_scene([(0, 0), (0, 2), (50, 50)], 60.0)
    tracks = as_tracks(scene, [4, 6, 9], merged=[(6, 4)])

    moment = observe(scene.info, scene.cells, tracks)

    assert moment.sighting.seen.tolist() == [False, False, True]
    assert np.isfinite(moment.look).all(axis=1).tolist() == [False, False, True]
    assert pairs_in_contact(scene.cells, tracks).tolist() == [[6, 4]]


def cross(refiner, swapped):
    """Two cells of different size run through each other; give all that is revised."""
    said, final = [], []
    for at in range(24):
        far = (at - 11.5) * 4
        scene = make_scene(
            [(0.3 * far, far), (-0.3 * far, -far)],
            30.0 * (at + 1),
            touching=((1, 2),) if 9 <= at < 15 else (),
            area_um2=np.array([300.0, 500.0]),
        )
        looks = {"axes_um": np.full((2, 2), 9.0, np.float32)}
        looks |= {"mean_phase_rad": np.ones(2, np.float32)}
        looks |= {"dry_mass_pg": np.array([100.0, 170.0], np.float32)}
        cells = replace(scene.cells, **looks)
        names = [2, 1] if swapped and at >= 14 else [1, 2]
        merged = [(2, 1)] if 10 <= at < 14 else []
        tracks = as_tracks(scene, names, merged)
        refined, revisions = refiner.update(scene.info, (64, 64), cells, tracks)
        said += revisions
        final.append(refined)
    return said, final


def test_a_swap_is_revised_by_record():
    """Names that were exchanged in a contact are told apart by size, and recorded."""
    tracking = Tracking(max_speed_um_per_min=20.0)
    solver = EpisodeSolver(rules_of(tracking), patient=True)

    said, final = cross(Refiner(tracking, solver), swapped=True)

    names = [one for one in said if one.kind == "name"]
    assert [(one.track, one.name) for one in names] == [(2, 1), (1, 2)]
    assert all(one.frames[0] == 14 * 30 + 31 for one in names)
    assert all(one.gain > 12 and one.method == "osqp" for one in names)
    assert final[4] is None
    assert final[5].track_id.tolist() == [1, 2]


def test_right_names_are_left_alone():
    """Without a swap no name is revised; time that stands still is passed over."""
    tracking = Tracking(max_speed_um_per_min=20.0)
    solver = EpisodeSolver(rules_of(tracking), patient=True)
    refiner = Refiner(tracking, solver)

    said, _ = cross(refiner, swapped=False)

    scene = make_scene([(0, 0)], 30.0)
    late = refiner.update(scene.info, (64, 64), scene.cells, as_tracks(scene, [1]))
    assert not [one for one in said if one.kind == "name"]
    assert late == (None, ())
    solver.close()
