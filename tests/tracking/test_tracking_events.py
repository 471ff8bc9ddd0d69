"""A death fires once and late flicker never; a contact fires on meeting."""

from dataclasses import replace

import numpy as np
import pytest
from tracking_scenes import make_scene

from configs.schema import ContactRule, DeathRule, Events, Tracking
from tracking.deaths import weigh_evidence
from tracking.events import EventRules
from tracking.tracker import Tracker

APART = [[0.0, 0.0], [0.0, 30.0]]


def watch(scenes, settings=Events()):  # noqa: B008 - a frozen record
    """Give the tracks and the events of each scene."""
    tracker, rules = Tracker(Tracking()), EventRules(settings)
    return [rules.update(scene, tracker.update(scene)) for scene in scenes]


def fates(probabilities, step_s):
    """Give scenes of one cell at rest with these dead probabilities."""
    return [
        make_scene([[0.0, 0.0]], step_s * i, p) for i, p in enumerate(probabilities)
    ]


def meetings(touching):
    """Give scenes of two cells that touch or do not."""
    return [
        make_scene(APART, 24.0 * i, touching=((1, 2),) if on else ())
        for i, on in enumerate(touching)
    ]


@pytest.mark.parametrize("step_s", [20.0, 24.0, 300.0, 3600.0])
def test_death_fires_once_and_stays(step_s):
    """A live cell that turns dead gives one event, and is dead from then on."""
    results = watch(fates([0.05] * 20 + [0.95] * 40, step_s))

    events = [event for _, found in results for event in found]
    assert [event.kind for event in events] == ["death"]
    assert events[0].time_s == 20 * step_s
    decided_s = events[0].sequence - 1
    assert 20 * step_s < decided_s <= 20 * step_s + max(1200, 8 * step_s)
    assert events[0].probability > events[0].threshold == 0.95
    assert results[-1][0].state.tolist() == [2]


@pytest.mark.parametrize("step_s", [20.0, 300.0, 3600.0])
def test_dead_is_for_good(step_s):
    """A dead cell that then looks live stays dead and never dies again."""
    course = [0.05] * 20 + [0.95] * 40 + [0.05] * 60 + [0.95] * 40

    results = watch(fates(course, step_s))

    assert sum(len(found) for _, found in results) == 1
    assert all(tracks.state.tolist() == [2] for tracks, _ in results[60:])


@pytest.mark.parametrize("step_s", [20.0, 300.0, 3600.0])
def test_flicker_is_no_death(step_s):
    """A live cell called dead in every fourth frame does not die."""
    results = watch(fates([0.05, 0.05, 0.05, 0.95] * 50, step_s))

    assert not any(found for _, found in results)


def test_cell_that_was_dead_gives_no_event():
    """A cell that looks dead from its first frame on is dead without an event."""
    results = watch(fates([0.95] * 40, 24.0))

    assert not any(found for _, found in results)
    assert results[-1][0].state.tolist() == [2]


def with_mass(scenes, masses_pg):
    """Give the scenes with these dry masses of their one cell."""
    return [
        replace(
            scene,
            cells=replace(scene.cells, dry_mass_pg=np.full(1, mass_pg, np.float32)),
        )
        for scene, mass_pg in zip(scenes, masses_pg, strict=True)
    ]


MASS_ASKED = Events(death=DeathRule(mass_loss=0.04))


def test_a_cell_that_keeps_its_mass_does_not_die():
    """Where the loss of dry mass is asked for, looking dead is not enough."""
    scenes = with_mass(fates([0.05] * 20 + [0.95] * 100, 24.0), [150.0] * 120)

    results = watch(scenes, MASS_ASKED)

    assert not any(found for _, found in results)


def test_a_death_is_dated_by_the_loss_of_mass():
    """A cell that looks dead early dies when its mass begins to leave it."""
    masses = [150.0] * 80 + [150.0 - min(i, 40) for i in range(80)]
    scenes = with_mass(fates([0.05] * 20 + [0.9] * 140, 24.0), masses)

    events = [event for _, found in watch(scenes, MASS_ASKED) for event in found]

    assert [event.kind for event in events] == ["death"]
    assert 80 * 24 <= events[0].time_s <= 80 * 24 + 600


def test_without_phase_the_mass_is_not_asked():
    """Frames that hold no phase fall back on what the cell looks like."""
    scenes = with_mass(fates([0.05] * 20 + [0.95] * 100, 24.0), [np.nan] * 120)

    results = watch(scenes, MASS_ASKED)

    assert sum(len(found) for _, found in results) == 1


def test_a_newborn_cell_is_doubted():
    """A cell that appears in the field and looks dead for an hour does not die."""
    alone = [make_scene(APART[:1], 24.0 * i) for i in range(10)]
    course = [0.05] * 20 + [0.9] * 120
    both = [
        make_scene(APART, 240.0 + 24.0 * i, np.array([0.02, p]))
        for i, p in enumerate(course)
    ]

    results = watch(alone + both)

    assert not any(found for _, found in results)


def test_burst_is_no_proof():
    """Twenty dead-looking frames within two seconds do not make a death."""
    quiet = fates([0.05] * 20, 24.0)
    burst = [make_scene([[0.0, 0.0]], 460.0 + 0.1 * i, 0.99) for i in range(20)]

    results = watch(quiet + burst)

    assert not any(found for _, found in results)


def test_evidence_is_bounded():
    """No frame, however sure, moves the log odds by more than three."""
    step_s = np.array([np.inf, 20.0, 1e6, 1e6, 20.0])
    was_live = np.array([False, False, True, False, True])

    evidence = weigh_evidence(np.array([0.9, 0.9, 1.0, 0.0, 0.9]), step_s, was_live)

    assert evidence[:2] == pytest.approx([0.659, 0.623], abs=0.001)
    assert evidence[2:4].tolist() == [3.0, -3.0]
    assert evidence[4] < evidence[1]


def test_unknown_probability_is_no_evidence():
    """Frames without a dead probability leave the filter where it was."""
    results = watch(fates([np.nan] * 30, 24.0))

    assert results[-1][0].dead_probability[0] == pytest.approx(0.5, abs=0.01)
    assert results[-1][0].unsure.tolist() == [True]


def test_contact_fires_once_on_meeting():
    """A pair apart for five frames that touches for two gives one event."""
    results = watch(meetings([False] * 6 + [True] * 10))

    events = [event for _, found in results for event in found]
    assert [(event.kind, event.tracks) for event in events] == [("contact", (1, 2))]
    assert (events[0].time_s, events[0].sequence) == (6 * 24.0, 7 * 24 + 1)
    assert events[0].centre_yx_um == pytest.approx((0.0, 15.0))


def test_pair_first_seen_touching_gives_no_event():
    """Neighbours that touched before they were known have not met."""
    results = watch(meetings([True] * 10 + [False] * 3 + [True] * 5))

    assert not any(found for _, found in results)


def test_contact_is_armed_again_after_parting():
    """Five free frames in a row arm a pair again, four do not."""
    course = [False] * 6 + [True] * 3 + [False] * 4 + [True] * 3 + [False] * 5

    results = watch(meetings([*course, *[True] * 3]))

    times_s = [event.time_s for _, found in results for event in found]
    assert times_s == [6 * 24.0, 21 * 24.0]


def test_one_touching_frame_is_no_contact():
    """A touch of a single frame is less than on_frames asks for."""
    results = watch(meetings([False] * 6 + [True] + [False] * 6))

    assert not any(found for _, found in results)


def test_unseen_partner_does_not_part_a_pair():
    """While one of a touching pair is unseen the pair is not counted as free."""
    scenes = meetings([False] * 6 + [True] * 3)
    scenes += [make_scene(APART[:1], 24.0 * i) for i in (9, 10, 11)]
    scenes += [make_scene(APART, 24.0 * i) for i in (12, 13)]
    scenes += [make_scene(APART, 24.0 * i, touching=((1, 2),)) for i in (14, 15)]

    results = watch(scenes)

    assert sum(len(found) for _, found in results) == 1


def test_frame_that_is_not_later_brings_nothing():
    """A repeated time changes no probability."""
    scenes = fates([0.05] * 6, 24.0)

    results = watch([*scenes, scenes[-1]])

    before, after = results[-2][0], results[-1][0]
    assert after.dead_probability.tolist() == before.dead_probability.tolist()


def test_rules_follow_the_settings():
    """A single frame and a low bar make a nervous rule."""
    nervous = Events(
        death=DeathRule(probability=0.6, frames=1, hazard_per_h=10, settle_frames=2),
        contact=ContactRule(on_frames=1, apart_frames=1),
    )

    died = watch(fates([0.1] * 10 + [0.95] * 5, 300.0), nervous)
    met = watch(meetings([False, True]), nervous)

    assert died[11][1] or died[10][1]
    assert len(met[1][1]) == 1
