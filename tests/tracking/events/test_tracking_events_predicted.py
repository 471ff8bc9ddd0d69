"""What is foreseen: contacts by forecasts, deaths by their hazard; and the verdicts."""

from dataclasses import replace

import numpy as np
import pytest
from plain_evidence import make_evidence
from samples import make_tracks

from acquisition.records import Forecast
from configs.events import (
    ChangeRule,
    CountRule,
    Events,
    FocusRule,
    PredictedContactRule,
)
from configs.schema import Tracking
from tests.tracking.tracking_scenes import make_scene
from tracking.events.histories import Histories
from tracking.events.predictions import (
    PredictedContacts,
    RollingOutcome,
    log_odds_to_meet,
    reaches,
)
from tracking.events.rules import EventRules
from tracking.events.watches import Changes, Count, Focus
from tracking.linking.tracker import Tracker


def make_pair(apart_um: float, closer_um: float, sigma_um: float):
    """Give two round cells of radius 5 um, and their forecast in 600 s."""
    tracks = replace(
        make_tracks(2),
        centre_um=np.array([[0.0, 0.0], [0.0, apart_um]]),
        radius_um=np.full(2, 5, np.float32),
    )
    scene = make_scene(tracks.centre_um, 0.0)
    round_cells = replace(scene.cells, axes_um=np.full((2, 2), 10, np.float32))
    later = np.array([[[0.0, 0.0]], [[0.0, apart_um - closer_um]]])
    horizon_s = np.array([600.0])
    sigma = np.full((2, 1), sigma_um / np.sqrt(2))
    forecast = Forecast(tracks.track_id, horizon_s, later, sigma, "bank")
    return replace(scene, cells=round_cells), tracks, forecast


def odds_of(pair, margin_um=0.0):
    """Give the log odds that such a pair meets."""
    scene, tracks, forecast = pair
    one, other = np.array([0]), np.array([1])
    cells = scene.cells
    return log_odds_to_meet(cells, tracks, forecast, one, other, margin_um)[0, 0]


def test_who_is_nearer_or_comes_closer_is_likelier_to_meet():
    """The chance grows with the approach, and shrinks with the gap."""
    odds = [odds_of(make_pair(20.0, closer_um, 4.0)) for closer_um in (-4.0, 0.0, 6.0)]
    far = odds_of(make_pair(26.0, 6.0, 4.0))

    assert odds[0] < odds[1] < odds[2]
    assert far < odds[2] < odds_of(make_pair(20.0, 6.0, 4.0), margin_um=2.0)


def test_long_cells_reach_farther_along_their_axis():
    """A cell twice as long as wide ends sqrt(2) radii away, of an equal area."""
    scene, tracks, _ = make_pair(20.0, 0.0, 4.0)
    axes_um = np.array([[20.0, 10.0], [20.0, 10.0]], np.float32)
    angle_rad = np.array([0.0, np.pi / 2], np.float32)
    cells = replace(scene.cells, axes_um=axes_um, angle_rad=angle_rad)
    along_x = np.array([[0.0, 1.0], [0.0, 1.0]])

    reach_um = reaches(cells, tracks, np.array([0, 1]), along_x)

    assert reach_um == pytest.approx([5 * 2**0.5, 5 / 2**0.5])


def test_chances_follow_what_came_of_them():
    """Where approaches never lead to a meeting, fewer are told; where always, more."""
    shifts = []
    for met in (False, True):
        outcome = RollingOutcome()
        for number in range(100):
            outcome.watch((1, 2), 0.0, 600.0 * number)
            outcome.settle(600.0 * number, {(1, 2)} if met else set(), {1, 2})
            outcome.settle(600.0 * number + 1, set(), {1, 2})
        shifts.append(outcome.shift)

    assert shifts[0] == pytest.approx(-shifts[1])
    assert 1.0 < shifts[1] <= 2.0


def test_an_approach_whose_track_ended_teaches_nothing():
    """Who was lost before its time was up has neither met nor failed to."""
    outcome = RollingOutcome()
    outcome.watch((1, 2), 0.0, 600.0)
    outcome.settle(300.0, set(), {1})
    outcome.settle(601.0, set(), {1})

    assert outcome.shift == 0.0


def test_the_margin_widens_the_search():
    """A pair far apart is looked at where the margin counts its gap as contact."""
    wide = PredictedContactRule(frames=1, probability=0.1, margin_um=40.0)
    near = PredictedContactRule(frames=1, probability=0.1, margin_um=1.0)
    pair = make_pair(48.0, 0.0, 4.0)

    told, quiet = (
        PredictedContacts(rule).update(*pair, set(), set()) for rule in (wide, near)
    )

    assert (len(told), len(quiet)) == (1, 0)


def test_an_approach_is_told_once_with_its_lead():
    """A pair above the bar for two frames is predicted once, until it is forgotten."""
    rule = PredictedContactRule(probability=0.5, frames=2)
    watch = PredictedContacts(rule)
    pair = make_pair(13.0, 6.0, 2.0)

    told = [watch.update(*pair, set(), set()) for _ in range(4)]
    watch.forget((1, 2))
    again = watch.update(*pair, set(), set())

    assert [len(found) for found in told] == [0, 1, 0, 0]
    assert (told[1][0].pair, told[1][0].lead_s) == ((1, 2), 600.0)
    assert len(again) == 1


def test_pairs_in_touch_are_not_predicted():
    """Who touches already cannot be predicted to meet."""
    watch = PredictedContacts(PredictedContactRule(frames=1))

    assert watch.update(*make_pair(11.0, 4.0, 2.0), {(1, 2)}, set()) == []


def test_a_doomed_cell_is_predicted_and_refuted_when_it_lives():
    """A high hazard announces a death; the deadline passes, and it was wrong."""
    rules = EventRules(Events(), None, make_evidence(hazard=2.0))
    tracker, events, verdicts = Tracker(Tracking()), [], []
    for number in range(40):
        scene = make_scene([[0.0, 0.0]], 300.0 * number)
        tracks, found = rules.update(scene, tracker.update(scene))
        events += found
        verdicts += rules.judge(scene.info.time_s)

    assert events[0].kind == "predicted death"
    assert events[0].time_s == events[0].sequence - 1 + 3600
    assert verdicts[0].outcome == "refuted"
    assert tracks.death_risk[0] > 0.9


def test_a_count_that_stays_changed_is_told_once():
    """Ten cells more in five frames in a row are one event, a flicker is none."""
    watch = Count(CountRule(window_frames=6, frames=3))
    counts = [100] * 8 + [110] + [100] * 8 + [110] * 8

    found = [watch.update(count) for count in counts]

    assert [one for one in found if one] == [(100.0, 110.0)]


def test_a_blur_that_lasts_is_told_once():
    """Three frames with half the sharpness are one loss of focus."""
    watch = Focus(FocusRule())
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 4000, (64, 64)).astype(np.uint16)
    blurred = np.repeat(np.repeat(sharp[::4, ::4], 4, 0), 4, 1)
    scene = make_scene([[0.0, 0.0]], 0.0)
    labels = np.ones((64, 64), np.uint16)
    shown = [sharp] * 6 + [blurred] * 6

    found = [watch.update(replace(scene, phase=one, labels=labels)) for one in shown]

    assert [number for number, share in enumerate(found) if share] == [8]


def test_a_look_that_jumps_is_told():
    """One cell of twenty that doubles its area at once is an unexpected change."""
    histories, watch = Histories(), Changes(ChangeRule(sigmas=10, frames=2))
    tracker, rng, found = Tracker(Tracking()), np.random.default_rng(2), []
    places = np.stack(np.divmod(np.arange(20), 5), axis=1) * 60.0
    for number in range(10):
        area = 300 * np.exp(rng.normal(0, 0.01, 20))
        area[7] *= 1.6 if number > 5 else 1
        scene = make_scene(places, 300.0 * number, area_um2=area)
        histories.update(scene, tracker.update(scene))
        found += watch.update(histories)

    assert [(name, channel) for name, channel, _ in found] == [(8, "area")]
