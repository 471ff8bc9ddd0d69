"""The end of a run as its supervisor brings it about, whatever dies meanwhile."""

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acquisition.archive.directory import load_manifest
from acquisition.mailbox import Outbox
from acquisition.records import Command, Ready
from app.parts import Part
from app.session import Session
from configs.loading import load_experiment

STAND = {"pixel_size_um": 0.65, "steps": 4.0, "rows": 64.0, "columns": 64.0}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Give a supervisor whose run has begun."""
    made = Session(load_experiment("demo"), tmp_path, False, lambda _: None)
    made._began = made._stop_asked = True
    made._facts = dict(STAND)
    yield made
    made.kill()
    made._inbox.close()


def make_part(name: str, lives_s: float) -> Part:
    """Give a part that has begun its work, and dies by itself after so long."""
    handle = multiprocessing.get_context("spawn").Process(
        target=time.sleep, args=(lives_s,), daemon=True
    )
    handle.start()
    ready = Ready(name, (), (), ())
    return Part(name, handle, ready=ready, starts=[time.monotonic()])


@pytest.mark.timeout(60)
def test_an_analysis_that_was_to_be_replaced_holds_up_no_end(session: Session) -> None:
    """It died just before: nobody starts it now, and nobody waits for it."""
    part = make_part("analysis", 0.0)
    part.handle.join(30)
    part.judged, part.spawn_again_at = True, time.monotonic() + 2.0
    session._parts = {"analysis": part}

    session._end("analysis", lambda: None)

    assert session._parts["analysis"].starts == part.starts


@pytest.mark.timeout(60)
def test_a_recorder_that_dies_while_it_is_waited_for_is_replaced(
    session: Session, tmp_path: Path
) -> None:
    """At whatever moment it dies, its successor seals the run."""
    session._parts = {"acquisition": make_part("acquisition", 0.0)}
    recorder = session._parts["recorder"] = make_part("recorder", 0.0)
    recorder.handle.join(30)

    session._end("recorder", lambda: None)

    assert len(session._parts["recorder"].starts) == 2
    assert load_manifest(tmp_path).state == "ended"


def test_who_waits_for_the_recorder_hears_of_its_successor(session: Session) -> None:
    """How many recorders there have been, and that there will be none any more."""
    acquisition = Outbox(session._inbox.address)
    recorder = make_part("recorder", 0.0)
    recorder.handle.join(30)
    recorder.starts.append(time.monotonic())
    session._parts = {"recorder": recorder, "acquisition": make_part("acquisition", 60)}
    acquisition.send(Ready("acquisition", (), (), ()))
    session._drain(30_000)
    while acquisition.receive(100) is not None:  # what it is told when it joins
        continue

    heard = []
    for recorder.judged in (False, True):
        session._tell("acquisition", "ping")
        heard.append(acquisition.receive(30_000))
    acquisition.close()

    assert all(isinstance(command, Command) for command in heard)
    assert [dict(command.facts)["recorders"] for command in heard] == [2.0, 0.0]


@pytest.mark.parametrize(
    ("known", "reason"),
    [("", "recorder: it did not seal the run"), ("it was killed", "it was killed")],
)
def test_a_run_that_nobody_sealed_is_faulted_whoever_stopped_it(
    session: Session, known: str, reason: str
) -> None:
    """The last recorder was not even ready; what is known of it already is told."""
    session._parts["recorder"] = Part("recorder", make_part("recorder", 0.0).handle)
    session._interrupted, session._fault_reason = True, known

    outcome = session._outcome()

    assert (outcome.state, outcome.reason) == ("faulted", reason)
