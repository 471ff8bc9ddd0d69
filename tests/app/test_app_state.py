"""What the screen knows: from records to what is drawn."""

from dataclasses import replace

import numpy as np
import pytest

from acquisition.records import Event, Health, Reply, Skip, StreamCount
from app.history import History, Tails, wilson_interval
from app.state import EVENTS_KEPT, ViewState
from app.terminal import run_line
from app.view import Mark, Selection, clock_text
from configs.schema import Display
from tests.app.scenes import INTERVAL_S, Scene
from tests.samples import make_analysed

SECOND_NS = 1_000_000_000


def make_state(**settings: object) -> ViewState:
    """Give an empty state with a budget of 100 ms."""
    return ViewState(Display(**settings), budget_ms=100.0, speed=1.0)  # type: ignore[arg-type]


def small_scene() -> Scene:
    """Give a scene of 30 cells in a small frame."""
    return Scene(size_px=256, cells=30)


def health(
    process: str, state: str = "running", sent_ns: int = 0, **more: object
) -> Health:
    """Give a report of a process."""
    plain = Health(process, state, 0.0, sent_ns, 0.0, 0, 0, "", (), ())
    return replace(plain, **more)  # type: ignore[arg-type]


def fed(frames: int, step_ns: int = SECOND_NS // 5) -> tuple[ViewState, Scene]:
    """Give a state that has seen some frames, and the scene they come from."""
    state, scene = make_state(), small_scene()
    for index in range(frames):
        state.take(scene.frame((index + 1) * step_ns))
    return state, scene


def test_history_keeps_its_length_in_bounded_memory() -> None:
    """However many samples come, the curve begins at the first and stays small."""
    history = History(2, capacity=64)

    for i in range(10_000):
        history.append(i, 2 * i)

    table = history.table()
    assert 32 <= len(table) <= 64
    assert table[0, 0] < 300
    assert table[-1, 0] > 9_600
    np.testing.assert_allclose(table[:, 1], 2 * table[:, 0])


def test_wilson_interval_matches_published_values() -> None:
    """Known values at the middle and at the ends (Newcombe 1998, table I)."""
    low, high = wilson_interval(
        np.array([81.0, 0.0, 1.0]), np.array([263.0, 20.0, 29.0])
    )

    np.testing.assert_allclose(low, [0.2553, 0.0, 0.0061], atol=2e-4)
    np.testing.assert_allclose(high, [0.3662, 0.1611, 0.1718], atol=2e-4)


def test_no_cells_give_no_interval() -> None:
    """Without cells the fraction is unknown, and no warning is raised."""
    low, high = wilson_interval(np.zeros(1), np.zeros(1))

    assert np.isnan(low[0])
    assert np.isnan(high[0])


def test_tails_have_gaps_where_a_track_was_not_seen() -> None:
    """A coasting track leaves a hole, an ended one leaves nothing."""
    scene, tails = small_scene(), Tails(4)
    tracks = scene.frame(0).tracks
    coasting = replace(tracks, label=np.where(tracks.track_id == 2, 0, tracks.label))

    tails.extend(tracks)
    tails.extend(coasting)

    curve = tails.curve(tracks.track_id == 2)
    assert np.isnan(curve[0]).all()
    np.testing.assert_allclose(curve[1], tracks.centre_um[tracks.track_id == 2][0])
    assert np.isnan(curve[-1]).all()


def test_counts_follow_the_filtered_state_of_the_tracks() -> None:
    """The table under the picture and the numbers beside it say the same."""
    scene = small_scene()
    analysed = scene.frame(SECOND_NS)
    all_dead = np.full_like(analysed.tracks.state, 2)
    sure = np.zeros_like(analysed.tracks.unsure)
    state = make_state()

    state.take(
        replace(analysed, tracks=replace(analysed.tracks, state=all_dead, unsure=sure))
    )

    view = state.snapshot(now_ns=SECOND_NS)
    assert view.picture is not None
    assert view.figures.dead == view.figures.cells == analysed.tracks.label.size
    assert view.figures.live_fraction == 0.0
    assert (view.picture.mark[analysed.tracks.label] == Mark.DEAD).all()


def every_third(state: ViewState) -> None:
    """Show every third frame of 6 seconds, 5 a second."""
    for number in range(0, 30, 3):
        analysed = make_analysed(2, sequence=number + 1, time_s=0.2 * number)
        info = replace(
            analysed.segmented.info, exposure_end_ns=round(0.2 * number * SECOND_NS)
        )
        segmented = replace(analysed.segmented, info=info)
        state.take(replace(analysed, segmented=segmented))


def test_the_frame_rate_is_that_of_the_stand() -> None:
    """A screen that sees every third frame still shows what is acquired."""
    state = make_state()
    every_third(state)

    figures = state.snapshot(now_ns=6 * SECOND_NS).figures

    assert figures.frames_per_s == pytest.approx(5.0)


def test_channels_that_are_recorded_only_are_counted_and_no_loss() -> None:
    """Where channels take turns, the picture of one is rarer and has not stalled."""
    state = make_state()
    facts = (("recorded_only", 20.0), ("late_frames", 1.0))
    state.take(health("acquisition", facts=facts))
    every_third(state)

    figures = state.snapshot(now_ns=round(7.1 * SECOND_NS)).figures

    assert not figures.stalled
    assert figures.dropped == 0
    assert dict(figures.losses) == {"recorded only": 20, "late": 1}
    assert "recorded only 20" in run_line(figures)


def test_latency_is_counted_from_the_end_of_the_exposure() -> None:
    """Percentiles over the last frames, and the budget they are held against."""
    state, _ = fed(40)

    figures = state.snapshot(now_ns=8 * SECOND_NS).figures

    assert figures.latency_p50_ms is not None
    assert 62 <= figures.latency_p50_ms <= 80
    assert figures.frames_per_s == pytest.approx(5.0, rel=1e-6)
    assert figures.age_ms == pytest.approx(62.0)
    assert not figures.over_budget


def test_a_silent_live_view_says_that_it_has_stalled() -> None:
    """No frame for three intervals is shown, not hidden behind an old picture."""
    state, _ = fed(10)

    fresh = state.snapshot(now_ns=2 * SECOND_NS).figures
    later = state.snapshot(now_ns=9 * SECOND_NS).figures

    assert not fresh.stalled
    assert later.stalled


def test_an_event_shows_what_became_of_its_request() -> None:
    """The row of an event carries its request, then the reply, and a picture."""
    state, scene = fed(17)

    asked = state.snapshot(now_ns=0).events[0]
    state.take(Reply(scene.sequence, 0.0, "refused", "6 a minute"))
    refused = state.snapshot(now_ns=0).events[0]

    assert asked.action == "burst of 3 asked"
    assert refused.action == "refused: 6 a minute"
    assert refused.thumbnail is not None
    assert refused.thumbnail.shape[2] == 4


def test_an_event_that_comes_twice_counts_once() -> None:
    """Events travel with the frame and by themselves; both ways are the same event."""
    state, scene = fed(16)
    analysed = scene.frame(SECOND_NS)

    state.take(analysed.events[0])
    state.take(analysed)
    state.take(analysed.events[0])

    view = state.snapshot(now_ns=0)
    assert view.figures.deaths == 1
    assert len(view.events) == 1
    assert view.events[0].thumbnail is not None


def test_the_event_list_is_bounded_and_newest_first() -> None:
    """Old events leave the list; their count stays."""
    state, event = (
        make_state(),
        Event(1, "death", 0.0, 1, "dish", (1,), (0.0, 0.0), 0.97, 0.95, "slim"),
    )

    for number in range(1, EVENTS_KEPT + 51):
        state.take(replace(event, event_id=number))

    view = state.snapshot(now_ns=0)
    assert len(view.events) == EVENTS_KEPT
    assert view.events[0].event_id == EVENTS_KEPT + 50
    assert view.figures.deaths == EVENTS_KEPT + 50


def test_drops_are_counted_by_place_and_the_screen_is_no_loss() -> None:
    """Skipped and replaced frames add up; frames the screen left out do not count."""
    state = make_state()
    counts = (
        StreamCount("analysis", 9, 5, 3, 1),
        StreamCount("display", 9, 2, 6, 1),
        StreamCount("terminal", 9, 2, 6, 1),
    )

    state.take(health("acquisition", streams=counts))
    state.take(Skip(4, 1.0, "camera", "saturated"))

    figures = state.snapshot(now_ns=0).figures
    assert figures.dropped == 4
    assert figures.losses == (("analysis replaced", 3), ("camera skipped", 1))


def test_an_alarm_stays_until_a_person_has_seen_it() -> None:
    """A fault that has passed is still shown; acknowledging clears it."""
    state = make_state()

    state.take(health("analysis", "faulted", message="analysis died (exit code -9)"))
    state.take(health("analysis", "running"))
    latched = state.snapshot(now_ns=0).alarms
    state.acknowledge()

    assert latched == ("analysis died (exit code -9)",)
    assert state.snapshot(now_ns=0).alarms == ()


def test_a_process_that_falls_silent_is_an_alarm_once() -> None:
    """Ten seconds without a word raise one alarm, and a word ends the watch."""
    state = make_state()
    state.take(health("recorder", sent_ns=0))

    first = state.snapshot(now_ns=11 * SECOND_NS).alarms
    state.acknowledge()
    second = state.snapshot(now_ns=12 * SECOND_NS).alarms

    assert first == ("recorder: no sign of life for 11 s",)
    assert second == ()


def test_what_was_turned_away_is_shown_and_is_no_lost_frame() -> None:
    """Planned frames that came too late are dropped; triggers and messages are not."""
    state = make_state()
    slots, garbage = ("skipped_slots", 3.0), ("garbage", 1.0)

    state.take(health("acquisition", facts=(slots, garbage)))
    state.take(health("analysis", facts=(("refused_triggers", 2.0), garbage)))

    figures = state.snapshot(now_ns=0).figures
    assert figures.dropped == 3
    assert dict(figures.losses) == {
        "planned frames skipped": 3,
        "triggers refused": 2,
        "messages refused": 2,
    }


def test_a_slow_disk_is_an_alarm_before_frames_are_held() -> None:
    """At three quarters of the queue, once, and again when it had recovered."""
    state = make_state()
    text = "the disk is slow: 80 % of the recorder's queue is full"

    seen = []
    for fill in (0.74, 0.8, 0.9, 0.4, 0.8):
        state.take(health("acquisition", facts=(("recorder_fill", fill),)))
        seen.append(state.snapshot(now_ns=0).alarms)
        state.acknowledge()

    assert seen == [(), (text,), (), (), (text,)]


def test_a_run_that_holds_says_so() -> None:
    """Holding is an alarm until a person has seen it, also when it has passed."""
    state = make_state()

    state.take(health("acquisition", "holding"))
    state.take(health("acquisition", "running"))

    (alarm,) = state.snapshot(now_ns=0).alarms
    assert alarm.startswith("acquisition is holding")


def test_figures_of_the_processes_reach_the_top_bar() -> None:
    """The senders know what waits for the disk, the recorder what is free on it."""
    state = make_state()

    state.take(health("acquisition", "holding", time_s=12.0, queued=5))
    state.take(health("analysis", queued=2))
    state.take(health("recorder", facts=(("disk_free_gb", 88.5),)))

    figures = state.snapshot(now_ns=0).figures
    assert (figures.state, figures.time_s) == ("holding", 12.0)
    assert (figures.queued, figures.disk_free_gb) == (7, 88.5)


def test_a_frame_moved_onto_an_event_does_not_replace_the_picture() -> None:
    """Extra frames at another place count as frames but leave the view alone."""
    state, scene = fed(3)
    moved = scene.frame(SECOND_NS)
    info = replace(moved.segmented.info, position="request-1", cause="request:1")

    state.take(replace(moved, segmented=replace(moved.segmented, info=info)))

    view = state.snapshot(now_ns=0)
    assert view.picture is not None
    assert view.picture.info.sequence == 3
    assert view.strips.frame[-1] == 4


def test_each_position_has_its_own_curves() -> None:
    """Choosing a position shows its picture and its viability."""
    state, scene = fed(3)
    other = scene.frame(SECOND_NS)
    info = replace(other.segmented.info, position="b2")
    state.take(replace(other, segmented=replace(other.segmented, info=info)))

    chosen = state.snapshot(Selection("dish"), now_ns=0)

    newest = state.snapshot(now_ns=0)
    assert chosen.strips.time_s.size == 3
    assert newest.strips.time_s.tolist() == [4 * INTERVAL_S]


def test_nothing_is_made_again_between_two_frames() -> None:
    """Two snapshots without news share picture and curves."""
    state, _ = fed(2)

    first, second = state.snapshot(now_ns=0), state.snapshot(now_ns=1)

    assert first.picture is second.picture
    assert first.strips is second.strips


def test_the_selected_cell_is_found_and_described() -> None:
    """A selected track has its place, forecast and a line of facts."""
    state, scene = fed(5)
    alive = int(np.flatnonzero(~scene.dead)[0]) + 1

    picture = state.snapshot(Selection(track_id=alive), now_ns=0).picture

    assert picture is not None
    assert picture.target is not None
    assert picture.target.band_px is not None
    np.testing.assert_allclose(picture.target.centre_px, scene.centres[alive - 1])
    assert f"track {alive}   live   p(dead) 0.04" in picture.describe_target()


def test_a_track_that_has_ended_is_no_target() -> None:
    """Selecting a track that does not exist draws no ring."""
    state, _ = fed(2)

    picture = state.snapshot(Selection(track_id=999), now_ns=0).picture

    assert picture is not None
    assert picture.target is None


def test_forecasts_are_drawn_only_when_they_say_something() -> None:
    """Dead cells and tracks younger than three frames have no arrow."""
    young, _ = fed(2)
    grown, _ = fed(3)

    none = young.snapshot(now_ns=0).picture
    some = grown.snapshot(now_ns=0).picture

    assert none is not None
    assert some is not None
    assert len(none.arrows_px) == 0
    living = (some.mark == Mark.LIVE).sum() + (some.mark == Mark.UNSURE).sum()
    assert 0 < len(some.arrows_px) // 2 <= living


def test_no_tails_are_a_setting() -> None:
    """A tail length of zero draws no tails and breaks nothing."""
    state, scene = make_state(tail_frames=0), small_scene()

    state.take(scene.frame(0))
    state.take(scene.frame(1))

    picture = state.snapshot(now_ns=0).picture
    assert picture is not None
    assert np.isnan(picture.tails_live_px).all()


@pytest.mark.parametrize(
    ("time_s", "text"), [(0, "0:00:00"), (3_725.9, "1:02:05"), (200_000, "2 d 7:33:20")]
)
def test_times_are_written_for_people(time_s: float, text: str) -> None:
    """Hours, minutes and seconds, with days when there are any."""
    assert clock_text(time_s) == text
