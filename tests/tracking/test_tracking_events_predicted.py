"""What is foreseen: contacts by forecasts, deaths by their hazard; and the verdicts."""

from dataclasses import replace

import numpy as np
import pytest
from plain_evidence import make_evidence
from samples import make_tracks
from tracking_scenes import make_scene

from acquisition.records import Forecast
from configs.events import (
    ChangeRule,
    CountRule,
    Events,
    FocusRule,
    PredictedContactRule,
)
from configs.schema import Tracking
from tracking.events.histories import Histories
from tracking.events.predictions import PredictedContacts, chance_to_meet
from tracking.events.rules import EventRules
from tracking.events.watches import Changes, Count, Focus
from tracking.linking.tracker import Tracker


def make_pair(apart_um: float, closer_um: float, sigma_um: float):
    """Give two tracks of radius 5 um, and their forecast in one horizon of 600 s."""
    tracks = replace(
        make_tracks(2),
        centre_um=np.array([[0.0, 0.0], [0.0, apart_um]]),
        radius_um=np.full(2, 5, np.float32),
    )
    later = np.array([[[0.0, 0.0]], [[0.0, apart_um - closer_um]]])
    horizon_s = np.array([600.0])
    sigma = np.full((2, 1), sigma_um / np.sqrt(2))
    return tracks, Forecast(tracks.track_id, horizon_s, later, sigma, "bank")


@pytest.mark.parametrize(
    ("apart_um", "closer_um", "sigma_um"), [(20.0, 0.0, 8.0), (20.0, 6.0, 4.0)]
)
def test_the_chance_to_meet_is_that_of_a_walk(apart_um, closer_um, sigma_um):
    """The stated chance is how often random walks with this drift reach the touch."""
    rng = np.random.default_rng(1)
    steps = 400
    walks = rng.normal(-closer_um / steps, sigma_um / steps**0.5, (4000, steps))
    nearest = (apart_um - 10 + np.cumsum(walks, axis=1)).min(axis=1)

    tracks, forecast = make_pair(apart_um, closer_um, sigma_um)
    chance = chance_to_meet(tracks, forecast, np.array([0]), np.array([1]), 0.0)

    assert chance[0, 0] == pytest.approx((nearest <= 0).mean(), abs=0.04)


def test_no_pair_is_too_far_apart_to_be_told():
    """Looking nearby only finds the same pairs as looking at all of them."""
    rng = np.random.default_rng(4)
    tracks = replace(make_tracks(60), centre_um=rng.uniform(0, 400, (60, 2)))
    later = tracks.centre_um[:, None] + rng.normal(0, 20, (60, 2, 2))
    sigma = rng.uniform(5, 40, (60, 2))
    horizons_s = np.array([60.0, 600.0])
    forecast = Forecast(tracks.track_id, horizons_s, later, sigma, "bank")
    rule = PredictedContactRule(probability=0.3, frames=1)
    one, other = np.triu_indices(60, 1)
    used = (tracks.label > 0) & (tracks.age_frames >= 3) & (tracks.merged_with == 0)
    chance = chance_to_meet(tracks, forecast, one, other, rule.margin_um).max(axis=1)
    moves = (tracks.state[one] != 2) | (tracks.state[other] != 2)
    likely = (chance > 0.3) & used[one] & used[other] & moves

    told = PredictedContacts(rule).update(tracks, forecast, set())

    names = tracks.track_id
    assert {found.pair for found in told} == {
        (int(names[i]), int(names[k]))
        for i, k in zip(one[likely], other[likely], strict=True)
    }
    assert likely.sum() > 20


def test_an_approach_is_told_once_with_its_lead():
    """A pair above the bar for two frames is predicted once, until it is forgotten."""
    rule = PredictedContactRule(probability=0.5, frames=2)
    watch = PredictedContacts(rule)
    pair = make_pair(13.0, 4.0, 2.0)

    told = [watch.update(*pair, set()) for _ in range(4)]
    watch.forget((1, 2))
    again = watch.update(*pair, set())

    assert [len(found) for found in told] == [0, 1, 0, 0]
    assert (told[1][0].pair, told[1][0].lead_s) == ((1, 2), 600.0)
    assert len(again) == 1


def test_pairs_in_touch_are_not_predicted():
    """Who touches already cannot be predicted to meet."""
    watch = PredictedContacts(PredictedContactRule(frames=1))

    assert watch.update(*make_pair(11.0, 4.0, 2.0), {(1, 2)}) == []


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
