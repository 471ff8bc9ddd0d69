"""The stage turns a segmented frame into its analysis."""

from dataclasses import replace

import numpy as np
import pytest

from acquisition.records import read_only
from configs.events import Events, Trigger
from configs.schema import Forecasting, Tracking
from tests.tracking.tracking_scenes import make_scene
from tracking.events.contacts import masks_meet
from tracking.linking.step import step
from tracking.revisions.window import find_doubts
from tracking.stage import TrackingStage


def make_stage():
    """Give a stage that asks for a burst at every contact."""
    return TrackingStage(
        Tracking(), Forecasting(), Events(), (Trigger(event="contact"),)
    )


def at_position(scene, name):
    """Give the scene at another position."""
    return replace(scene, info=replace(scene.info, position=name))


def test_event_leads_to_request():
    """Two cells that meet give an event and, in the same analysis, a request."""
    stage = make_stage()
    pair = [[0.0, 0.0], [0.0, 20.0]]
    touching = [((1, 2),) if i > 5 else () for i in range(8)]

    results = [
        stage(make_scene(pair, 24.0 * i, touching=on)) for i, on in enumerate(touching)
    ]

    last = results[-1]
    assert [event.kind for event in last.events] == ["contact"]
    assert last.requests[0].cause == "contact of tracks 1 and 2"
    assert not any(result.requests for result in results[:-1])


def test_stamps_are_in_order():
    """Tracks are ready before the forecast, and the forecast before the decision."""
    stage = make_stage()

    result = stage(make_scene([[0.0, 0.0]], 0.0))

    assert 0 < result.tracks_ns <= result.forecast_ns <= result.decision_ns


def test_positions_are_apart_and_names_unique():
    """Cells at the same coordinates of two positions are different tracks."""
    stage = make_stage()
    scene = make_scene([[0.0, 0.0]], 0.0)

    one = stage(at_position(scene, "A"))
    other = stage(at_position(scene, "B"))

    assert one.tracks.track_id.tolist() == [1]
    assert other.tracks.track_id.tolist() == [2]


@pytest.mark.parametrize("beside", ["request-4", "plane-0-A"])
def test_a_frame_beside_the_plan_is_measured_only(beside):
    """Another place or plane has cells but no tracks, and disturbs none."""
    stage = make_stage()
    scene = make_scene([[0.0, 0.0]], 0.0)
    stage(scene)

    visit = stage(at_position(make_scene([[5.0, 5.0]], 10.0), beside))
    after = stage(make_scene([[0.0, 0.0]], 24.0))

    assert visit.segmented.cells.label.tolist() == [1]
    assert visit.tracks.track_id.size == visit.forecast.track_id.size == 0
    assert after.tracks.track_id.tolist() == [1]


def test_warm_up_leaves_no_trace():
    """What was warmed up says the same of the first frames as what was not."""
    pair = [[0.0, 0.0], [0.0, 20.0]]
    warm, cold = make_stage(), make_stage()
    warm.warm_up()

    for i in range(8):
        scene = make_scene(pair, 24.0 * i, touching=((1, 2),) if i > 5 else ())
        one, other = warm(scene), cold(scene)

        assert one.tracks.track_id.tolist() == other.tracks.track_id.tolist() == [1, 2]
        assert one.events == other.events
        asked = [[ask.request_id for ask in both.requests] for both in (one, other)]
        assert asked[0] == asked[1]

    assert asked[0] == [1]
    assert warm.forecast_facts() == cold.forecast_facts()


def test_records_are_read_only():
    """Nobody can change an analysis that was handed over."""
    result = make_stage()(make_scene([[0.0, 0.0]], 0.0))

    arrays = (result.tracks.centre_um, result.forecast.sigma_um, result.tracks.state)
    assert not any(array.flags.writeable for array in arrays)


def test_empty_field():
    """A frame without cells is analysed like any other."""
    result = make_stage()(make_scene(np.empty((0, 2)), 0.0))

    assert result.tracks.track_id.size == 0
    assert result.events == ()


def test_cells_in_one_heap_do_not_stop_the_loop():
    """Of 800 cells in a corner only the nearest are held against each other."""
    stage = make_stage()
    heap = np.random.default_rng(1).uniform(0, 30, (800, 2))

    for i in range(7):
        result = stage(make_scene(heap, 24.0 * i))

        assert result.tracks.track_id.size == 800
        assert len(result.events) <= 4 * 800
    assert stage.pairs_left_out > 100_000


def with_masks(scene):
    """Give the scene with masks of nine pixels on a side."""
    labels, boxes = np.zeros((64, 64), np.uint16), []
    for label, (y, x) in enumerate(((8, 8), (33, 33)), 1):
        labels[y : y + 9, x : x + 9] = label
        boxes.append((y, x, y + 9, x + 9))
    cells = replace(scene.cells, box_px=np.array(boxes, np.int32))
    info = replace(scene.info, pixel_size_um=1.0)
    return replace(scene, info=info, labels=labels, cells=cells)


def test_frames_with_masks_compile_nothing():
    """What the warm-up compiled serves every frame, handed over before or not."""
    stage = make_stage()
    stage.warm_up()
    before = len(masks_meet.signatures)

    for i in range(9):
        touching = ((1, 2),) if i > 4 else ()
        scene = make_scene([[-20.0, -20.0], [5.0, 5.0]], 24 * i, touching=touching)
        stage(read_only(with_masks(scene)))

    assert len(step.signatures) == len(find_doubts.signatures) == 1
    assert len(masks_meet.signatures) == before


def test_names_that_are_exchanged_live_are_recorded():
    """Two cells that left a contact with each other's looks: a record says so."""
    stage = make_stage()
    pair, small_large = [[0.0, 0.0], [0.0, 40.0]], np.array([250.0, 500.0])
    column = np.ones(2, np.float32)
    alike = {"mean_phase_rad": column, "axes_um": np.full((2, 2), 9, np.float32)}

    results = []
    for i in range(20):
        touching = ((1, 2),) if 8 <= i < 10 else ()
        area_um2 = small_large if i < 10 else small_large[::-1]
        scene = make_scene(pair, 2.0 * i, touching=touching, area_um2=area_um2)
        mass = {"dry_mass_pg": (0.4 * area_um2).astype(np.float32)}
        cells = replace(scene.cells, **alike, **mass)
        blank = np.zeros_like(scene.labels)  # the looks alone shall tell
        results.append(stage(replace(scene, cells=cells, labels=blank)))

    every = [said for one in results for said in one.revisions]
    (said,) = [said for said in every if said.kind == "exchange"]
    (at,) = [i for i, one in enumerate(results) if said in one.revisions]
    before, after = (results[i].tracks.centre_um[0, 1] for i in (at - 1, at))
    assert (said.track, said.name) == (1, 2)
    assert said.frames == (results[at].segmented.info.sequence,)
    assert abs(after - before) > 30
