"""What every process of a run shares, and the body of the analysis process.

Every process of a run is a child of the supervisor. It binds its own sockets, says
*ready* over the control line, is told where the others are, and then loops until it is
told to stop. A child that hears nothing from the supervisor for ten seconds seals what
it has and ends by itself.

    acquisition --frames--> analysis --analyses--> recorder, display, terminal
         |  ^                  |
         |  `----requests------'
         `----frames--> recorder
"""

import gc
import logging
import os
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, Protocol

import psutil

from acquisition.clock import stamp_ns
from acquisition.errors import BadInput, BadRun, VigilError
from acquisition.mailbox import Outbox
from acquisition.records import (
    Analysed,
    Command,
    Frame,
    Health,
    Ready,
    Reply,
    Skip,
    StreamCount,
)
from acquisition.remarks import Explanation, log_aside
from acquisition.stream import LOOPBACK, Publisher, Subscriber
from configs.loading import check_experiment
from configs.schema import Experiment

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 0.5
SILENCE_S = 10.0
STUCK_S = 25.0
"""A process that has reported nothing for so long writes where it stands."""

RECORDER_OWED_S = 180.0
"""At the end a recorder that takes nothing is given so long, unless it is known to be
lost: longer than it takes to find out that one is stuck; its successor has it anew."""

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
"""What asks for an orderly end, as far as this system knows it."""


class Analyse(Protocol):
    """The whole analysis of one frame; the same serves live and offline."""

    def __call__(self, frame: Frame) -> Analysed:
        """Analyse one frame."""

    def facts(self) -> dict[str, float]:
        """Give figures about the analysis as a whole, by name."""


class Stopped(Exception):  # noqa: N818  not an error: how a waiting child is let go
    """The supervisor told this process to stop while it was waiting."""


class Child:
    """A process's line to the supervisor."""

    def __init__(self, name: str, control: str) -> None:
        ignore_signals()
        self._remarks = log_aside()
        self._explanation = Explanation(STUCK_S)
        self.name = name
        self.stopping = False
        self.orphaned = False
        self.final_state = "ended"
        self.facts: dict[str, float] = {}  # what the supervisor knows of the run
        self.relayed: list[Health] = []
        self._line = Outbox(control)
        self._process = psutil.Process()
        self._running: tuple[float, float] | None = None  # wall and processor seconds
        self._reported, self._state = 0.0, ""
        self._figures: dict[str, Any] = {}  # those that it reported last
        self._heard = time.monotonic()

    def say_ready(
        self,
        addresses: dict[str, str],
        facts: dict[str, float] | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        """Tell the supervisor that this process can begin."""
        self._line.send(
            Ready(
                self.name,
                tuple(addresses.items()),
                tuple((facts or {}).items()),
                tuple(notes),
            )
        )

    def wait_for(self, name: str) -> Command:
        """Wait for one command; raises `Stopped` when told to stop instead."""
        while not self.stopping:
            command = self._take(100)
            if command is not None and command.name == name:
                return command
        raise Stopped(self.name)

    def listen(self) -> None:
        """Take all commands that have come; sets `stopping`."""
        while self._take(0) is not None:
            continue

    def report(
        self,
        state: str,
        *,
        time_s: float = 0.0,
        message: str = "",
        skipped: int = 0,
        streams: tuple[StreamCount, ...] = (),
        facts: dict[str, float] | None = None,
    ) -> None:
        """Send health if the last report is half a second old or something happened."""
        if facts is not None:
            self._figures = {
                "time_s": time_s,
                "skipped": skipped,
                "streams": streams,
                "facts": facts,
            }
        now = time.monotonic()
        news = bool(message) or state != self._state
        if not news and now - self._reported < REPORT_EVERY_S:
            return
        self._reported, self._state = now, state
        if state != "armed":  # a start may take minutes
            self._explanation.put_off()
        times = self._process.cpu_times()
        cpu_s = times.user + times.system
        if self._running is None and state == "running":
            self._running = now, cpu_s
        known = {"pid": self._process.pid, **(facts or {})}
        if self._running is not None and now > self._running[0]:
            known["cpu_share"] = (cpu_s - self._running[1]) / (now - self._running[0])
        self._line.send(
            Health(
                process=self.name,
                state=state,
                time_s=time_s,
                sent_ns=stamp_ns(),
                cpu_s=cpu_s,
                queued=sum(s.in_flight for s in streams if s.subscriber == "recorder"),
                skipped=skipped,
                message=message,
                streams=streams,
                facts=tuple(known.items()),
            )
        )

    def report_fault(self, message: str, *, bad_input: bool = False) -> None:
        """Say what went wrong; the figures stay as they were reported last."""
        figures = dict(self._figures)
        if bad_input:
            figures["facts"] = {**figures.get("facts", {}), "bad_input": 1.0}
        self.report("faulted", message=message, **figures)

    @property
    def recorders(self) -> int | None:
        """How many recorders the run has had; None: there will be none any more."""
        return int(self.facts.get("recorders", 1)) or None

    def ask_to_stop(self, reason: str, *, by_person: bool) -> None:
        """Ask the supervisor to end the run."""
        asker = "person" if by_person else self.name
        self._line.send(Command("stop", (("reason", reason), ("by", asker))))

    def close(self) -> None:
        """Hang up."""
        self._line.close()
        self._remarks.finish()

    def leave(self) -> NoReturn:
        """Hang up and end this process as it stands.

        A thread that never comes back from a driver holds what an orderly end of the
        interpreter waits for.
        """
        self.close()
        os._exit(1)

    def _take(self, timeout_ms: int) -> Command | None:
        record = self._line.receive(timeout_ms)
        if record is not None:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > SILENCE_S and not self.stopping:
            logger.error("%s: the supervisor is silent; stopping", self.name)
            self.stopping = self.orphaned = True
            self.final_state = "faulted"
        if isinstance(record, Health):
            self.relayed.append(record)
            return Command("ping")
        if not isinstance(record, Command):
            return None
        self.facts = dict(record.facts)
        if record.name == "stop":
            self.stopping = True
            self.final_state = dict(record.addresses).get("state", "ended")
        return record


def ignore_signals() -> None:
    """Leave every signal that asks for an end to the supervisor."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # held back since before this was born
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def run_child(
    name: str, control: str, work: Callable[..., None], *arguments: Any
) -> None:
    """Run the body of a process; no exception leaves it unsaid.

    A fault is logged with its traceback and told to the supervisor in one sentence.
    """
    child = Child(name, control)
    fault = True
    child.report("armed")  # so that the supervisor knows where to answer
    try:
        work(child, *arguments)
        fault = False
    except Stopped:
        child.report("ended")
        fault = False
    except BadInput as error:
        child.report_fault(str(error), bad_input=True)
    except VigilError as error:
        child.report_fault(str(error))
    except Exception as error:
        logger.exception("%s failed", name)
        child.report_fault(f"{type(error).__name__}: {error}")
    finally:
        child.close()
    if fault:
        sys.exit(1)


@dataclass
class _Totals:
    """What the analysis counts for its health report."""

    analysed: int = 0
    skipped: int = 0
    deaths: int = 0
    contacts: int = 0
    requests: int = 0
    refused: int = 0

    def add(self, analysed: Analysed) -> None:
        self.analysed += 1
        self.requests += len(analysed.requests)
        self.deaths += sum(event.kind == "death" for event in analysed.events)
        self.contacts += sum(event.kind == "contact" for event in analysed.events)

    def facts(self) -> dict[str, float]:
        return {
            "analysed": self.analysed,
            "deaths": self.deaths,
            "contacts": self.contacts,
            "requests": self.requests,
            "requests_refused": self.refused,
        }


def analyse_frames(
    child: Child, build: Callable[[Command], tuple[Analyse, tuple[str, ...]]]
) -> None:
    """Body of the analysis process.

    Parameters
    ----------
    child
        Line to the supervisor.
    build
        Makes the analysis from what the supervisor says about the stand (frame size,
        pixel size); gives the function and notes for a person, such as engines refused.
    """
    prepare = child.wait_for("prepare")
    analyse, notes = build(prepare)
    addresses = dict(prepare.addresses)
    # After a restart the others still listen at the address of the one that died.
    publisher = Publisher(addresses.get("analyses", LOOPBACK))
    frames = Subscriber(addresses["frames"], "analysis", "newest")
    requests = Outbox(addresses["requests"])
    child.say_ready({"analyses": publisher.address}, notes=notes)
    totals = _Totals()
    gc.collect()
    gc.freeze()
    gc.disable()  # a pause of the collector was measured at up to 68 ms

    def report(state: str, _left: int = 0) -> int | None:
        child.listen()
        child.report(
            state,
            skipped=totals.skipped + frames.malformed,
            streams=publisher.counts(),
            facts={**totals.facts(), **analyse.facts()},
        )
        return child.recorders

    try:
        # Nothing is analysed before there is someone to write it down.
        while not child.stopping and publisher.wait_for(("recorder",), 0.1):
            child.listen()
        while not child.stopping:
            frames.ready()
            record = frames.receive(50)
            if isinstance(record, Frame):
                _analyse_one(record, analyse, publisher, requests, totals)
            while isinstance(reply := requests.receive(0), Reply):
                totals.refused += reply.outcome == "refused"
            report("running")
            if totals.analysed % 500 == 499:
                gc.collect(1)
    finally:
        publisher.hand_over("recorder", RECORDER_OWED_S, partial(report, "stopping"))
        unsent = publisher.close()
        frames.close()
        requests.close()
    if unsent:
        raise BadRun(f"{unsent} analyses could not be recorded")
    report("ended")


def _analyse_one(
    frame: Frame,
    analyse: Analyse,
    publisher: Publisher,
    requests: Outbox,
    totals: _Totals,
) -> None:
    """Analyse one frame, and hand over what it leads to."""

    def decide() -> Analysed:
        analysed = analyse(frame)
        for request in analysed.requests:
            if not request.dry_run:
                requests.send(request)
        analysed = replace(analysed, decision_ns=stamp_ns())
        publisher.publish(analysed)
        return analysed

    outcome = attempt(frame, decide)
    if isinstance(outcome, Skip):
        totals.skipped += 1
        publisher.tell(outcome)
        return
    totals.add(outcome)
    for event in outcome.events:
        publisher.tell(event)


def attempt(frame: Frame, work: Callable[[], Analysed]) -> Analysed | Skip:
    """Do the work on one frame; a fault costs this frame only, and is a record."""
    try:
        return work()
    except Exception as error:
        logger.exception("analysis of frame %d failed", frame.info.sequence)
        reason = f"{type(error).__name__}: {error}"
        return Skip(frame.info.sequence, frame.info.time_s, "analysis", reason)


def experiment_of(config_text: str) -> Experiment:
    """Read back the settings that the supervisor sends as TOML text."""
    return check_experiment(tomllib.loads(config_text), "config.toml")
