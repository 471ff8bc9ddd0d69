"""A death fires once and late flicker never; a contact fires on meeting."""

from dataclasses import replace

import numpy as np
import pytest
from plain_evidence import make_evidence

from configs.events import ContactRule, DeathRule, Events
from configs.schema import Tracking
from tests.tracking.tracking_scenes import make_scene
from tracking.events.contacts import masks_meet
from tracking.events.evidence import foreign_evidence, load_evidence
from tracking.events.histories import Histories, feature_names
from tracking.events.rules import EventRules
from tracking.linking.tracker import Tracker

APART = [[0.0, 0.0], [0.0, 30.0]]


def watch(scenes, settings=Events()):  # noqa: B008 - a frozen record
    """Give the tracks and the events of each scene."""
    tracker, rules = Tracker(Tracking()), EventRules(settings, None, make_evidence())
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
    before, after = (max(20, round(span_s / step_s)) for span_s in (6000, 4000))
    results = watch(fates([0.05] * before + [0.95] * after, step_s))

    events = [event for _, found in results for event in found]
    assert [event.kind for event in events] == ["death"]
    onset_s, decided_s = before * step_s, events[0].sequence - 1
    assert abs(events[0].time_s - onset_s) <= max(600, step_s)
    assert onset_s < decided_s <= onset_s + max(2400, 8 * step_s)
    assert events[0].probability > events[0].threshold == 0.6
    assert results[-1][0].state.tolist() == [2]


def test_a_death_keeps_its_date_when_it_has_left_the_memory():
    """A verdict six hours later dates a death as it was dated when it was told."""
    settings = Events(death=DeathRule(confirm_min=360))
    tracker, rules = Tracker(Tracking()), EventRules(settings, None, make_evidence())
    told, judged = [], []
    for scene in fates([0.05] * 20 + [0.95] * 100, 300.0):
        told += rules.update(scene, tracker.update(scene))[1]
        judged += rules.judge(scene.info.time_s)

    assert [verdict.outcome for verdict in judged] == ["confirmed"]
    assert judged[0].onset_s == pytest.approx(told[0].time_s, abs=600)


@pytest.mark.parametrize("step_s", [20.0, 300.0, 3600.0])
def test_dead_is_for_good(step_s):
    """A dead cell that then looks live stays dead and never dies again."""
    live, dead = (max(20, round(span_s / step_s)) for span_s in (6000, 4000))
    course = [0.05] * live + [0.95] * dead + [0.05] * live + [0.95] * dead

    results = watch(fates(course, step_s))

    assert sum(len(found) for _, found in results) == 1
    assert all(tracks.state.tolist() == [2] for tracks, _ in results[live + dead :])


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


def test_the_onset_is_corrected_by_what_follows():
    """The report dates a death near its onset, and the verdict no farther from it."""
    tracker, rules = Tracker(Tracking()), EventRules(Events(), None, make_evidence())
    course = [0.05] * 12 + [0.4, 0.6] + [0.95] * 20
    events, verdicts = [], []
    for scene in fates(course, 300.0):
        events += rules.update(scene, tracker.update(scene))[1]
        verdicts += rules.judge(scene.info.time_s)

    (death,), (verdict,) = events, verdicts

    assert (verdict.event_id, verdict.outcome) == (death.event_id, "confirmed")
    assert abs(verdict.onset_s - 12 * 300) <= 600
    assert death.time_s <= death.alert_s <= death.sequence - 1


def test_a_suspicion_that_passes_is_refuted():
    """A cell that looks alive two hours after its report had not died."""
    patient = Events(death=DeathRule(confirm_min=120))
    rules = EventRules(patient, None, make_evidence())
    tracker, verdicts = Tracker(Tracking()), []
    for scene in fates([0.05] * 20 + [0.99] * 8 + [0.02] * 40, 300.0):
        rules.update(scene, tracker.update(scene))
        verdicts += rules.judge(scene.info.time_s)

    assert [verdict.outcome for verdict in verdicts] == ["refuted"]


def test_k_of_n_counts_frames():
    """The simple rule reports a death at the third dead-looking frame of four."""
    settings = Events(death=DeathRule(rule="k of n", frames=3, of_frames=4))

    results = watch(fates([0.05] * 20 + [0.95] * 10, 300.0), settings)

    (when,) = [number for number, (_, found) in enumerate(results) if found]
    assert 22 <= when <= 24


def test_burst_is_no_proof():
    """Twenty dead-looking frames within two seconds do not make a death."""
    quiet = fates([0.05] * 20, 24.0)
    burst = [make_scene([[0.0, 0.0]], 460.0 + 0.1 * i, 0.99) for i in range(20)]

    results = watch(quiet + burst)

    assert not any(found for _, found in results)


def test_unknown_probability_is_no_evidence():
    """Frames without a dead probability leave the filter where it was."""
    results = watch(fates([np.nan] * 30, 24.0))

    assert results[-1][0].dead_probability[0] == pytest.approx(0.5, abs=0.05)
    assert results[-1][0].unsure.tolist() == [True]


@pytest.mark.parametrize("time_s", [np.nan, np.inf, -np.inf])
def test_a_frame_of_no_time_tells_nothing(time_s):
    """Without a time nothing is added to a history, reported, or judged."""
    tracker, rules = Tracker(Tracking()), EventRules(Events(), None, make_evidence())
    scenes = fates([0.05] * 20 + [0.95] * 20, 300.0)
    for scene in scenes:
        tracks, events = rules.update(scene, tracker.update(scene))
        lost = replace(scene, info=replace(scene.info, time_s=time_s))

        assert rules.update(lost, tracks)[1] == rules.judge(time_s) == ()
        assert Histories().update(lost, tracks) == 0
        if events:
            break

    assert [event.kind for event in events] == ["death"]


def test_the_way_of_the_field_is_no_way_of_a_cell():
    """Where all cells shift alike, only one that crawls comes farther than others."""
    tracker, histories = Tracker(Tracking()), Histories()
    places = np.array([[0.0, 40.0 * n] for n in range(5)])
    for number in range(6):
        places = places + np.array([3.0, 0.0])
        places[0, 1] -= 2.0
        scene = make_scene(places, 300.0 * number)
        histories.update(scene, tracker.update(scene))

    step = histories.features(1)[0][:, feature_names().index("step before")]

    assert step == pytest.approx(np.log([2.2 / 0.2, 1, 1, 1, 1]))


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


def test_a_missed_frame_does_not_keep_a_pair_from_meeting():
    """A cell unseen in one of the frames before was where it is all the same."""
    scenes = meetings([False] * 7 + [True] * 2)
    scenes[4] = make_scene(APART[:1], 24.0 * 4)

    results = watch(scenes)

    assert [one.time_s for _, found in results for one in found] == [7 * 24.0]


@pytest.mark.parametrize(("gap_px", "meet"), [(0, True), (1, False)])
def test_masks_meet_side_by_side(gap_px, meet):
    """A pixel between two masks is no touch, for masks are a little too large."""
    labels = np.zeros((8, 12), np.uint16)
    labels[2:6, :4], labels[2:6, 4 + gap_px :] = 1, 2
    boxes = np.array([[[2, 0, 6, 4], [2, 4 + gap_px, 6, 12]]])

    assert masks_meet(labels, np.array([[1, 2]]), boxes).tolist() == [meet]


def test_frame_that_is_not_later_brings_nothing():
    """A repeated time changes no probability."""
    scenes = fates([0.05] * 6, 24.0)

    results = watch([*scenes, scenes[-1]])

    before, after = results[-2][0], results[-1][0]
    assert after.dead_probability.tolist() == before.dead_probability.tolist()


def test_rules_follow_the_settings():
    """A single frame and a low bar make a nervous rule."""
    nervous = Events(
        death=DeathRule(probability=0.6, frames=1, hazard_per_h=1, settle_frames=2),
        contact=ContactRule(on_frames=1, apart_frames=1),
    )

    died = watch(fates([0.1] * 10 + [0.95] * 5, 300.0), nervous)
    met = watch(meetings([False, True]), nervous)

    assert any(found for _, found in died[10:13])
    assert len(met[1][1]) == 1


def test_a_calibration_of_another_network_is_told():
    """Evidence that was fitted to other cells says so, and what to do."""
    own = load_evidence("slim").provenance.model.split(", ")

    assert [foreign_evidence("slim", one) for one in own] == ["", ""]
    assert "vigil fit-events" in foreign_evidence("slim", "other-0123abcd")


def test_the_shipped_calibration_calls_the_dead_of_the_first_frame_dead():
    """What the network calls dead from the first frame on is shown as dead, no event.

    A fit that takes such cells for living ones learns that to look dead is to live.
    """
    tracker, rules = Tracker(Tracking()), EventRules(Events())
    wanted, places = np.array([0.02, 0.97]), [[0.0, 0.0], [0.0, 90.0]]
    for number in range(12):
        scene = make_scene(places, 300.0 * number, wanted)
        look = {"dry_mass_pg": [95, 95], "mean_phase_rad": [0.6, 0.6]}
        columns = {name: np.array(v, np.float32) for name, v in look.items()}
        axes = np.tile(np.float32([22, 18]), (2, 1))
        scene = replace(scene, cells=replace(scene.cells, axes_um=axes, **columns))

        tracks, events = rules.update(scene, tracker.update(scene))

        assert tracks.state.tolist() == [1, 2]
        assert not [one for one in events if one.kind == "death"]
