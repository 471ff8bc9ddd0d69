"""The event source: due events only, requests first, nothing silent, ends at once."""

import threading
import time

import pytest
import useq

from acquisition.clock import Clock
from acquisition.microscope import Microscope
from acquisition.schedule import POLL_S, EventSource
from acquisition.wishes import Limits
from tests.acquisition.microscopes import Taken, drive, make_request, open_demo


@pytest.fixture
def clock() -> Clock:
    """Give a clock that moves only when the source moves it."""
    return Clock("stepped")


@pytest.fixture
def demo(clock: Clock):
    """Give the demonstration microscope."""
    microscope = open_demo(clock)
    yield microscope
    microscope.close()


def make_plan(loops: int, interval: float = 10, positions: int = 1):
    """Give a time-lapse with positions a, b, ..."""
    return useq.MDASequence(
        time_plan={"interval": interval, "loops": loops},
        stage_positions=[
            {"x": 50 * k, "y": 20 * k, "name": "abcdefgh"[k]} for k in range(positions)
        ],
    )


def purposes(source: EventSource) -> list[tuple[str, str]]:
    """Take every event; gives (cause, position)."""
    found = [event.metadata["vigil"] for event in source]
    return [(purpose["cause"], purpose["position"]) for purpose in found]


def test_ten_million_loops_begin_at_once(clock: Clock, demo: Microscope) -> None:
    """A practically endless time-lapse is unrolled one time point at a time."""
    source = EventSource(clock, demo.core)

    begin = time.thread_time()
    source.add_timelapse(make_plan(10_000_000, 1))
    events = [next(source) for _ in range(100)]
    seconds = time.thread_time() - begin  # unrolled, the plan would take minutes

    assert events[99].index["t"] == 99
    assert clock.now_s() == 99
    assert seconds < 2


def test_every_position_of_every_time_point_comes_in_order(
    clock: Clock, demo: Microscope
) -> None:
    """A stepped clock meets every slot; the source ends when the plan does."""
    source = EventSource(clock, demo.core)
    source.add_timelapse(make_plan(3, positions=2))

    found = purposes(source)

    assert found == [("protocol", "a"), ("protocol", "b")] * 3
    assert clock.now_s() == 20
    assert source.skipped_slots == 0
    assert source.closed


def test_a_plan_without_positions_stays_where_it_is(
    clock: Clock, demo: Microscope
) -> None:
    """Without positions the field under the objective is p0, at its coordinates."""
    source = EventSource(clock, demo.core, Limits(home_yx_um=(3.0, 4.0)))
    source.add_timelapse(useq.MDASequence(time_plan={"interval": 1, "loops": 2}))

    event = next(source)

    assert event.metadata["vigil"]["position"] == "p0"
    assert (event.y_pos, event.x_pos) == (3.0, 4.0)
    assert event.sequence is None


def test_every_tile_of_a_grid_is_a_position_of_its_own(
    clock: Clock, demo: Microscope
) -> None:
    """Tracks belong to one field of view, so grid tiles get names of their own."""
    plan = useq.MDASequence(grid_plan={"rows": 1, "columns": 2, "fov_width": 9})
    source = EventSource(clock, demo.core)
    source.add_timelapse(plan)

    assert [position for _, position in purposes(source)] == ["p0-g0", "p0-g1"]


def test_a_request_overtakes_a_backlog_of_300_events(
    clock: Clock, demo: Microscope
) -> None:
    """An accepted request is taken next, before all planned events that are due."""
    source = EventSource(clock, demo.core)
    for _ in range(300):
        source.put(useq.MDAEvent(pos_name="dish"), 0.0)
    source.add_timelapse(make_plan(1))
    for _ in range(5):
        next(source)

    reply = source.add_request(make_request(7, position="a"), 0.0)
    found = [next(source).metadata["vigil"]["cause"] for _ in range(3)]

    assert reply.outcome == "accepted"
    assert found == ["request:7", "request:7", "protocol"]
    assert [(r.request_id, r.outcome) for r in source.replies()] == [(7, "done")]


def test_extra_frames_keep_their_interval(clock: Clock, demo: Microscope) -> None:
    """The frames of a burst are interval_s apart in experiment time."""
    source = EventSource(clock, demo.core)
    source.add_timelapse(make_plan(2, interval=100))
    next(source)
    source.add_request(make_request(1, position="a", frames=3, interval_s=7), 0.0)

    times = [(event.metadata["vigil"]["cause"], clock.now_s()) for event in source]

    extra = [time_s for cause, time_s in times if cause == "request:1"]
    assert extra == [0, 7, 14]
    assert times[-1] == ("protocol", 100)


def test_a_request_that_waits_too_long_expires(clock: Clock, demo: Microscope) -> None:
    """What has not begun in time is dropped and reported, not taken late."""
    source = EventSource(clock, demo.core)
    source.add_timelapse(make_plan(5))
    source.hold()
    source.add_request(make_request(1, position="a", valid_until_s=5), 0.0)
    clock.step_to(6.0)
    source.resume()

    causes = {cause for cause, _ in purposes(source)}
    late = source.add_request(make_request(2, position="a"), 6.0)

    assert causes == {"protocol"}
    assert [reply.outcome for reply in source.replies()] == ["expired"]
    assert (late.outcome, late.reason) == ("refused", "the run is ending")


def test_a_recentred_request_moves_and_comes_back(
    clock: Clock, demo: Microscope
) -> None:
    """The extra frame lies at the event; the next planned frame at its own place."""
    source = EventSource(clock, demo.core, Limits(reach_um=100))
    source.add_timelapse(make_plan(2))
    next(source)
    source.add_request(
        make_request(3, position="a", frames=1, centre_yx_um=(12.0, -9.0)), 0.0
    )

    extra, planned = next(source), next(source)

    assert extra.metadata["vigil"]["position"] == "request-3"
    assert (extra.y_pos, extra.x_pos) == (12.0, -9.0)
    assert (planned.y_pos, planned.x_pos) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"position": "z"}, "unknown position"),
        ({"centre_yx_um": (0.0, 80.0)}, "farther than 60 um"),
        ({"centre_yx_um": (0.0, float("nan"))}, "farther than 60 um"),
        ({"centre_yx_um": (-30.0, 0.0)}, "beyond the stage limits"),
    ],
    ids=["position", "too far", "not a number", "stage limits"],
)
def test_a_request_is_refused_with_its_reason(
    clock: Clock, demo: Microscope, changes: dict[str, object], reason: str
) -> None:
    """Nothing is moved for a request that does not fit this microscope."""
    limits = Limits(reach_um=60, stage_um=(-20, -20, 200, 200))
    source = EventSource(clock, demo.core, limits)
    source.add_timelapse(make_plan(1))

    reply = source.add_request(make_request(1, **{"position": "a", **changes}), 0.0)

    assert reply.outcome == "refused"
    assert reason in reply.reason


def test_slots_that_are_missed_are_counted_and_not_queued_up(demo: Microscope) -> None:
    """After a long hold the next slot is taken; those before it are counted."""
    clock = Clock("scaled", 1000.0)
    source = EventSource(clock, demo.core)
    source.add_timelapse(make_plan(1_000, interval=10), start_s=0.0)
    next(source)
    source.hold()
    time.sleep(0.2)

    source.resume()
    event = next(source)

    assert source.skipped_slots >= 18
    assert event.index["t"] == source.skipped_slots + 1


def test_a_hold_lets_nothing_pass(demo: Microscope) -> None:
    """While held, due events wait; resume lets them go at once."""
    clock = Clock()
    source = EventSource(clock, demo.core)
    source.put(useq.MDAEvent(), 0.0)
    source.hold()
    resumed = threading.Event()

    def resume() -> None:
        resumed.set()
        source.resume()

    threading.Timer(0.1, resume).start()

    event = next(source)  # without a resume the test would run into its timeout

    assert resumed.is_set()
    assert event.metadata["vigil"]["cause"] == "protocol"


class CountedClock(Clock):
    """Counts how often a wait was begun: a source asks it how long it has to wait."""

    waits = 0

    def wall_seconds_until(self, time_s: float) -> float:
        """Count, and give what the clock says."""
        self.waits += 1
        return super().wall_seconds_until(time_s)


def waits_until_cancelled(demo: Microscope) -> int:
    """Cancel a run that waits for its next event; gives how often it waited on."""
    clock = CountedClock()
    source = EventSource(clock, demo.core, demo.limits)
    source.add_timelapse(make_plan(2, interval=1000))
    taken = Taken(clock)
    ends: list[str] = []
    run = threading.Thread(target=lambda: ends.append(drive(demo, source, taken)))
    run.start()
    while not taken.pixels:
        time.sleep(0.01)
    demo.core.mda.cancel()
    before = clock.waits
    run.join(20)  # far less than the interval, far more than a busy machine needs
    assert ends == ["canceled"]
    return clock.waits - before


def test_cancel_is_quick_and_reports_cancelled(demo: Microscope) -> None:
    """Each run that waits for its next event waits 0.2 s more at most, cancelled."""
    waits = [waits_until_cancelled(demo) for _ in range(5)]

    under_way = 1
    assert (max(waits) + under_way) * POLL_S <= 0.2, waits


def test_close_ends_a_waiting_run_as_completed(demo: Microscope) -> None:
    """Closing ends the run after the present frame; open requests are reported."""
    clock = Clock()
    source = EventSource(clock, demo.core, demo.limits)
    source.add_timelapse(make_plan(2, interval=1000))
    taken = Taken(clock)
    ends: list[str] = []
    run = threading.Thread(target=lambda: ends.append(drive(demo, source, taken)))
    run.start()
    while not taken.pixels:
        time.sleep(0.01)
    source.add_request(
        make_request(1, position="a", frames=2, interval_s=500), clock.now_s()
    )
    while len(taken.pixels) < 2:
        time.sleep(0.01)

    source.close()
    run.join(60)

    assert ends == ["completed"]
    (reply,) = source.replies()
    assert reply.outcome == "expired"
    assert "1 of 2 frames" in reply.reason


def make_channels(*channels: dict[str, object], planes: int = 0) -> useq.MDASequence:
    """Give a time-lapse of channels, with a stack of planes if wanted."""
    stack = {"range": planes - 1, "step": 1} if planes else None
    return useq.MDASequence(
        time_plan={"interval": 10, "loops": 4}, channels=channels, z_plan=stack
    )


def test_a_channel_rests_between_its_turns(clock: Clock, demo: Microscope) -> None:
    """A dye that is imaged every third time is left alone in between."""
    source = EventSource(clock, demo.core)
    rare = {"config": "DAPI", "acquire_every": 3}

    source.add_timelapse(make_channels({"config": "FITC"}, rare))
    seen = [(event.index["t"], event.channel.config) for event in source]

    assert [time for time, name in seen if name == "FITC"] == [0, 1, 2, 3]
    assert [time for time, name in seen if name == "DAPI"] == [0, 3]


def test_extra_frames_repeat_what_is_analysed(clock: Clock, demo: Microscope) -> None:
    """Of all frames of a position the analysed channel, in the middle plane."""
    limits = Limits(is_analysed=lambda event: event.channel.config == "FITC")
    source = EventSource(clock, demo.core, limits)
    plan = make_channels({"config": "DAPI"}, {"config": "FITC"}, planes=3)

    source.add_timelapse(plan)
    source.add_request(make_request(1, position="p0"), 0.0)
    extra = next(source)

    assert extra.metadata["vigil"]["cause"] == "request:1"
    assert (extra.channel.config, extra.z_pos) == ("FITC", 0)


def test_a_stack_brings_the_focus_back(clock: Clock, demo: Microscope) -> None:
    """Planes lie around the focus found; the next planned frame has it back."""
    source = EventSource(clock, demo.core, Limits(focus_um=lambda: 7.0))
    source.add_timelapse(make_plan(2))
    next(source)
    wish = make_request(
        1, position="a", kind="stack", frames=3, planes_um=(-2.0, 0.0, 2.0)
    )
    source.add_request(wish, 0.0)

    planes = [next(source) for _ in range(4)]

    assert [event.z_pos for event in planes] == [5.0, 7.0, 9.0, 7.0]


def test_planes_out_of_focus_lie_beside_the_plan(
    clock: Clock, demo: Microscope
) -> None:
    """Of a stack only the plane in focus belongs to the field that is tracked."""
    source = EventSource(clock, demo.core, Limits(focus_um=lambda: 7.0))
    source.add_timelapse(make_channels({"config": "FITC"}, planes=3))
    wish = make_request(
        1, position="p0", kind="stack", frames=3, planes_um=(-2.0, 0.0, 2.0)
    )
    planned = [next(source).metadata["vigil"]["position"] for _ in range(3)]
    source.add_request(wish, 0.0)

    asked = [next(source).metadata["vigil"] for _ in range(3)]

    assert planned == ["plane-0-p0", "p0", "plane-2-p0"]
    assert [one["position"] for one in asked] == ["request-1", "p0", "request-1"]
    assert {one["cause"] for one in asked} == {"request:1"}


def test_another_channel_is_asked_for_by_name(clock: Clock, demo: Microscope) -> None:
    """A request names a preset that a trigger named; any other is refused."""
    source = EventSource(clock, demo.core, Limits(channels=("DAPI",)))
    source.add_timelapse(make_plan(1))

    known = make_request(1, position="a", kind="channel", frames=1, channel="DAPI")
    beam = make_request(2, position="a", kind="channel", frames=1, channel="Beam")
    replies = [source.add_request(one, 0.0) for one in (known, beam)]

    assert [reply.outcome for reply in replies] == ["accepted", "refused"]
    assert next(source).channel.config == "DAPI"


def test_a_return_waits_for_its_time(clock: Clock, demo: Microscope) -> None:
    """A visit that was asked for later is not made earlier, and tells its times."""
    source = EventSource(clock, demo.core)
    source.add_timelapse(make_plan(3, interval=100))
    next(source)
    wish = make_request(1, position="a", kind="return", frames=1, begin_s=130.0)
    source.add_request(wish, 0.0)

    causes = [cause for cause, _ in purposes(source)]

    assert causes == ["protocol", "request:1", "protocol"]
    assert source.replies()[0].frames_s == (130.0,)


def test_faster_imaging_lets_the_plan_go_first(clock: Clock, demo: Microscope) -> None:
    """Frames that fill gaps do not overtake planned ones that are due."""
    source = EventSource(clock, demo.core)
    source.add_timelapse(make_plan(1, positions=3))
    next(source)
    wish = make_request(1, position="a", kind="faster", frames=1, interval_s=5.0)
    source.add_request(wish, 0.0)

    assert [cause for cause, _ in purposes(source)] == ["protocol"] * 2 + ["request:1"]
