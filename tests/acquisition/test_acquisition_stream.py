"""Streams over real sockets: exact accounts, newest wins, nothing lost."""

import time

import numpy as np
import pytest
import zmq

from acquisition.errors import BadConfig
from acquisition.mailbox import Inbox, Outbox
from acquisition.records import Command, Frame, Skip
from acquisition.stream import Publisher, Subscriber
from tests.samples import make_info


def make_frame(sequence: int) -> Frame:
    """Give a small frame with its own number in the pixels."""
    return Frame(make_info(sequence), np.full((4, 16, 16), sequence, np.uint16))


def next_of(subscriber: Subscriber) -> int:
    """Give the number of the frame that the next record is, or is about."""
    record = subscriber.receive(30_000)
    return record.info.sequence if isinstance(record, Frame) else record.sequence


def test_the_newest_frame_wins_and_the_account_is_exact() -> None:
    """A slow subscriber gets the newest frame; made = delivered + replaced + rest."""
    publisher = Publisher()
    subscriber = Subscriber(publisher.address, "analysis", "newest")
    assert publisher.wait_for(["analysis"], 30.0) == []

    for sequence in range(1, 11):
        publisher.publish(make_frame(sequence))
    subscriber.ready()
    first = subscriber.receive(30_000)
    subscriber.ready()
    publisher.wait_idle("analysis", 30.0)
    (count,) = publisher.counts()
    subscriber.close()
    publisher.close()

    assert first.info.sequence == 10
    assert (count.made, count.delivered, count.replaced) == (10, 1, 9)
    assert count.made == count.delivered + count.replaced + count.in_flight


def test_the_recorder_gets_every_frame_in_order() -> None:
    """The lossless queue replaces nothing, however slow its reader."""
    publisher = Publisher()
    subscriber = Subscriber(publisher.address, "recorder", "all")
    publisher.wait_for(["recorder"], 30.0)

    for sequence in range(1, 21):
        publisher.publish(make_frame(sequence))
    got = []
    for _ in range(20):
        subscriber.ready()
        got.append(subscriber.receive(30_000).info.sequence)
    subscriber.ready()
    idle = publisher.wait_idle("recorder", 30.0)
    subscriber.close()
    publisher.close()

    assert got == list(range(1, 21))
    assert idle


def test_what_is_not_for_the_analysis_pushes_nothing_out() -> None:
    """A record for some leaves what others have not fetched yet where it is."""
    publisher = Publisher()
    analysis = Subscriber(publisher.address, "analysis", "newest")
    recorder = Subscriber(publisher.address, "recorder", "all")
    assert publisher.wait_for(["analysis", "recorder"], 30.0) == []

    publisher.publish(make_frame(1))
    publisher.publish(make_frame(2), to=("recorder",))
    analysis.ready()
    first = analysis.receive(30_000)
    counts = {count.subscriber: count.made for count in publisher.counts()}
    for end in (analysis, recorder, publisher):
        end.close()

    assert first.info.sequence == 1
    assert counts == {"analysis": 1, "recorder": 2}


def test_a_restarted_recorder_gets_its_frame_again() -> None:
    """What the dead recorder did not acknowledge is sent to the new one."""
    publisher = Publisher()
    first = Subscriber(publisher.address, "recorder", "all")
    publisher.wait_for(["recorder"], 30.0)
    publisher.publish(make_frame(1))
    first.ready()
    assert first.receive(30_000).info.sequence == 1
    first.close()

    second = Subscriber(publisher.address, "recorder", "all")
    second.ready()
    again = second.receive(30_000)
    second.close()
    publisher.close()

    assert again.info.sequence == 1


def test_a_restarted_recorder_is_told_again_what_may_be_lost() -> None:
    """Light records since the last frame that was dealt with, and none before it."""
    publisher = Publisher()
    first = Subscriber(publisher.address, "recorder", "all")
    publisher.wait_for(["recorder"], 30.0)
    first.ready()
    publisher.tell(Skip(1, 1.0, "camera", "frame missing"))
    publisher.publish(make_frame(2))
    assert [next_of(first), next_of(first)] == [1, 2]
    first.ready()
    assert publisher.wait_idle("recorder", 30.0)

    publisher.tell(Skip(3, 1.0, "camera", "frame missing"))
    assert next_of(first) == 3
    first.close()
    publisher.tell(Skip(4, 1.0, "camera", "frame missing"))
    publisher.publish(make_frame(5))
    second = Subscriber(publisher.address, "recorder", "all")
    second.ready()
    again = [next_of(second), next_of(second), next_of(second)]
    second.close()
    publisher.close()

    assert again == [3, 4, 5]


def test_a_slow_recorder_is_waited_for_while_it_takes_something() -> None:
    """Only one that takes nothing for so long is given up; what is left is a loss."""
    publisher = Publisher()
    recorder = Subscriber(publisher.address, "recorder", "all")
    publisher.wait_for(["recorder"], 30.0)
    for sequence in range(1, 7):
        publisher.publish(make_frame(sequence))
    recorder.ready()
    got, left = [recorder.receive(30_000)], []

    def take_four(owed: int) -> int:
        left.append(owed)
        if owed > 2:
            recorder.ready()
            got.append(recorder.receive(30_000))  # so the last one is acknowledged
        return 1

    publisher.hand_over("recorder", 1.0, take_four)
    recorder.close()
    lost = publisher.close()

    assert left[:5] == [6, 5, 4, 3, 2]
    assert lost == left[-1] == 2
    assert [frame.info.sequence for frame in got] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("how", ["started", "joined"])
def test_a_recorder_that_replaces_another_has_the_whole_time(how: str) -> None:
    """Anew when it is started, and when it has mended the run and joins."""
    publisher = Publisher()
    ends = [Subscriber(publisher.address, "recorder", "all")]
    publisher.wait_for(["recorder"], 30.0)
    publisher.publish(make_frame(1))
    looks: list[int] = []

    def replace(owed: int) -> int | None:
        looks.append(owed)
        if len(looks) == 2:
            time.sleep(2.2)  # longer than one is waited for
            if how == "joined":
                ends.append(Subscriber(publisher.address, "recorder", "all"))
                ends[1].ready()
                assert next_of(ends[1]) == 1
        started = 2 if how == "started" and len(looks) > 1 else 1
        return started if len(looks) < 5 else None

    publisher.hand_over("recorder", 2.0, replace)
    for end in ends:
        end.close()
    publisher.close()

    assert len(looks) == 5


def test_nobody_waits_for_a_recorder_that_is_lost() -> None:
    """Who knows it says so, and the wait is over at once."""
    publisher = Publisher()
    recorder = Subscriber(publisher.address, "recorder", "all")
    publisher.wait_for(["recorder"], 30.0)
    publisher.publish(make_frame(1))

    publisher.hand_over("recorder", 1000.0, lambda _owed: None)
    recorder.close()

    assert publisher.close() == 1


def test_a_restarted_publisher_is_found_again() -> None:
    """A subscriber that waited for a dead publisher is served by its successor."""
    first = Publisher()
    subscriber = Subscriber(first.address, "recorder", "all")
    first.wait_for(["recorder"], 30.0)
    subscriber.ready()
    first.close()

    second = Publisher(first.address)
    deadline = time.monotonic() + 30
    while second.wait_for(["recorder"], 0.0) and time.monotonic() < deadline:
        subscriber.receive(100)
    second.publish(make_frame(7))
    got = subscriber.receive(30_000)
    subscriber.close()
    second.close()

    assert got.info.sequence == 7


def test_light_records_need_no_credit() -> None:
    """A skip arrives although no frame was asked for."""
    publisher = Publisher()
    subscriber = Subscriber(publisher.address, "display", "notes")
    publisher.wait_for(["display"], 30.0)

    publisher.tell(Skip(3, 1.0, "camera", "frame missing"))
    note = subscriber.receive(30_000)
    subscriber.close()
    publisher.close()

    assert note == Skip(3, 1.0, "camera", "frame missing")


def test_garbage_on_the_sockets_is_counted_and_harmless() -> None:
    """Random bytes on publisher and inbox leave the other peers unharmed."""
    publisher, inbox = Publisher(), Inbox()
    context = zmq.Context()
    for address in (publisher.address, inbox.address):
        with context.socket(zmq.DEALER) as stranger:
            stranger.linger = 30_000  # until it is sent
            stranger.connect(address)
            stranger.send_multipart([b"\x00\xffnonsense", b"x" * 1000])
    context.term()
    outbox = Outbox(inbox.address)
    outbox.send(Command("ping"))

    got = []
    deadline = time.monotonic() + 30
    while not (publisher.garbage and inbox.garbage and got):
        assert time.monotonic() < deadline
        got += [item[1] for item in [inbox.receive(100)] if item]
    outbox.close()
    inbox.close()
    publisher.close()

    assert publisher.garbage == 1
    assert inbox.garbage == 1
    assert got == [Command("ping")]


def test_an_inbox_answers_its_sender() -> None:
    """Requests are acknowledged to the one who sent them."""
    inbox = Inbox()
    outbox = Outbox(inbox.address)
    outbox.send(Command("run"))
    received = inbox.receive(30_000)
    assert received is not None

    inbox.answer(received[0], Command("ping"))
    answer = outbox.receive(30_000)
    outbox.close()
    inbox.close()

    assert answer == Command("ping")


def test_other_interfaces_are_refused() -> None:
    """A stream never opens to the network by accident."""
    with pytest.raises(BadConfig, match=r"127\.0\.0\.1"):
        Inbox("tcp://0.0.0.0:0")
