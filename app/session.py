"""The supervisor: starts the processes of a run, watches them, and ends them in order.

It imports nothing heavy, so that it stays responsive whatever happens beside it.
States: idle, armed (processes starting), running, holding, stopping, ended, faulted.
"""

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from acquisition.clock import stamp_ns
from acquisition.mailbox import Inbox
from acquisition.records import Command, Health, Ready
from app.processes import BODIES, signals_held, start_process
from configs.loading import dump_experiment
from configs.schema import Experiment

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 600.0
"""The first start on a machine compiles kernels and converts the network, which took
more than three minutes beside other work. One that dies meanwhile is told at once."""

END_TIMEOUT_S = 60.0
PING_EVERY_S = 1.0
MOST_RESTARTS, RESTART_WINDOW_S = 3, 60.0
RESTARTED = {
    "analysis": "the recording goes on",
    "recorder": "frames wait in memory meanwhile",
}
"""Processes that can be replaced in the middle of a run, and what that means."""

WITHOUT = {"analysis": "analysis", "display": "a window"}

HUNG_S = 30.0
"""An analysis that says nothing for so long is killed, and so replaced."""

Notice = Callable[[Health | Ready], None]
"""Receives every health report and start-up note, for the screen."""


@dataclass
class _Process:
    """One child as the supervisor sees it."""

    name: str
    handle: BaseProcess
    identity: bytes | None = None
    ready: Ready | None = None
    health: Health | None = None
    starts: list[float] = field(default_factory=list)
    spawn_again_at: float | None = None

    @property
    def ended(self) -> bool:
        return self.health is not None and self.health.state in ("ended", "faulted")


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: str  # ended, interrupted, faulted; refused: bad input, nothing was acquired
    reason: str
    health: dict[str, Health]
    wall_s: float


class Session:
    """One run, from the first process to the last.

    Parameters
    ----------
    experiment
        Checked settings.
    directory
        Run directory, which exists and is empty.
    window
        Whether to start the display process.
    notice
        Called with every health report and note.
    """

    def __init__(
        self, experiment: Experiment, directory: Path, window: bool, notice: Notice
    ) -> None:
        self.experiment = experiment
        self.directory = directory
        self.state = "idle"
        self._window = window
        self._notice = notice
        self._config_text = dump_experiment(experiment)
        self._inbox = Inbox()
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[str, _Process] = {}
        self._addresses: dict[str, str] = {}
        self._facts: dict[str, float] = {}
        self._reason = ""
        self._stop_asked = False
        self._interrupted = False
        self._refused = False
        self._fault_reason = ""
        self._pinged = 0.0
        self._started = time.monotonic()

    def addresses(self) -> dict[str, str]:
        """Where the streams of this run are, once they are known."""
        return dict(self._addresses)

    def stop(self, reason: str, interrupted: bool = False) -> None:
        """Ask for an orderly end: the present frame is finished, the run sealed."""
        if not self._stop_asked:
            self._reason = self._reason or reason
            self._interrupted = interrupted
            self._stop_asked = True

    @property
    def faulted(self) -> bool:
        """Something went wrong that the run could not get over."""
        return bool(self._fault_reason)

    def run(self, idle: Callable[[], None] = lambda: None) -> Outcome:
        """Start everything, watch until the end, and give the outcome.

        ``idle`` is called about twenty times a second; it may call `stop`.
        """
        try:
            self._start_all(idle)
            self._watch(idle)
            self._end_all(idle)
        except BaseException:
            self.kill()
            raise
        finally:
            self._inbox.close()
        return self._outcome()

    def kill(self) -> None:
        """End every process at once; the run on disk stays repairable."""
        for process in self._processes.values():
            if process.handle.is_alive():
                process.handle.kill()
        for process in self._processes.values():
            process.handle.join(5)

    # -- start ---------------------------------------------------------------

    def _start_all(self, idle: Callable[[], None]) -> None:
        self.state = "armed"
        names = ["acquisition", "analysis", "recorder"]
        for name in names + (["display"] if self._window else []):
            self._spawn(name)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._all_ready() and not self._failed_at_start():
            self._turn(idle)
            if time.monotonic() > deadline:
                late = [p.name for p in self._processes.values() if p.ready is None]
                self._fault(f"not ready after {START_TIMEOUT_S:g} s: {', '.join(late)}")
        if not self._stop_asked:
            self._tell("recorder", "run")
            self._tell("acquisition", "run")
            if self._window:
                self._tell("display", "run")
            self.state = "running"

    def _spawn(self, name: str) -> None:
        handle = self._context.Process(
            target=start_process,
            args=(name, self._inbox.address, self._config_text, str(self.directory)),
            name=f"vigil-{name}",
            daemon=True,
        )
        with signals_held():  # so that Ctrl-C ends no child, and is not lost
            handle.start()
        earlier = self._processes.get(name)
        process = _Process(name, handle)
        process.starts = [*(earlier.starts if earlier else []), time.monotonic()]
        self._processes[name] = process

    def _all_ready(self) -> bool:
        needed = [p for p in self._processes.values() if p.name != "display"]
        return all(process.ready is not None for process in needed)

    def _failed_at_start(self) -> bool:
        if self._stop_asked:
            return True
        for process in self._processes.values():
            failed = process.ended or not process.handle.is_alive()
            if failed and process.name != "display":
                self._refuse(process)
        return self._stop_asked

    def _refuse(self, process: _Process) -> None:
        """Note why a process did not start, and whether the user can put it right."""
        self._drain(50)  # its last words
        health = process.health
        if health is not None and "bad_input" in dict(health.facts):
            self._refused = True
            self._fault(health.message)
        else:
            said = health.message if health else "see the log above"
            self._fault(f"{process.name} did not start: {said}")

    def _on_ready(self, ready: Ready) -> None:
        process = self._processes[ready.process]
        process.ready = ready
        self._addresses.update(ready.addresses)
        self._facts.update(ready.facts)
        self._notice(ready)
        began = "analyses" in self._addresses
        if began and self.state in ("running", "stopping"):  # it was restarted
            self._tell(ready.process, "run")
        if ready.process == "acquisition":
            for name in ("analysis", "recorder"):
                self._tell(name, "prepare")

    # -- watch ---------------------------------------------------------------

    def _turn(self, idle: Callable[[], None]) -> None:
        """Take what has come, keep the children company, look after the dead."""
        self._drain(50)
        if time.monotonic() - self._pinged > PING_EVERY_S:
            self._pinged = time.monotonic()
            for name in self._processes:
                self._tell(name, "ping")
        idle()

    def _drain(self, wait_ms: int) -> None:
        """Take all that has come, waiting for the first at most so long."""
        received = self._inbox.receive(wait_ms)
        while received is not None:
            self._take(*received)
            received = self._inbox.receive(0)

    def _take(self, sender: bytes, record: Any) -> None:
        if isinstance(record, Command) and record.name == "stop":
            words = dict(record.addresses)
            by_person = words.get("by") == "person"
            self.stop(words.get("reason", "asked to stop"), interrupted=by_person)
        if not isinstance(record, Ready | Health):
            return
        process = self._processes.get(record.process)
        if process is None:
            return
        joined = process.identity != sender
        process.identity = sender
        if isinstance(record, Ready):
            self._on_ready(record)
            return
        process.health = record
        self._notice(record)
        for listener in ("recorder", "display"):
            self._relay(listener, record)
        stand = self._processes["acquisition"].ready
        if joined and stand is not None and record.process in ("analysis", "recorder"):
            self._tell(record.process, "prepare")

    def _relay(self, name: str, health: Health) -> None:
        process = self._processes.get(name)
        if process and process.identity and process.handle.is_alive():
            self._inbox.answer(process.identity, health)

    def _tell(self, name: str, command: Any) -> None:
        process = self._processes.get(name)
        if process is None or process.identity is None:
            return
        words = {**self._addresses, "state": self._final_state()}
        facts = {**self._facts, "restarts": len(process.starts) - 1}
        record = Command(command, tuple(words.items()), tuple(facts.items()))
        self._inbox.answer(process.identity, record)

    def _watch(self, idle: Callable[[], None]) -> None:
        while not self._stop_asked:
            self._turn(idle)
            self._look_after_the_dead(BODIES)
            acquisition = self._processes["acquisition"]
            if acquisition.ended and not self._stop_asked:
                health = acquisition.health
                if health is not None and health.state == "faulted":
                    self._fault(health.message)
                self.stop("complete")

    def _look_after_the_dead(self, names: Iterable[str]) -> None:
        now = time.monotonic()
        for name in names:
            process = self._processes.get(name)
            if process is None:
                continue
            if process.spawn_again_at is not None:
                if now >= process.spawn_again_at:
                    self._spawn(name)
            elif not process.handle.is_alive():
                self._drain(50)  # its last words come before the verdict
                self._on_death(process)
            elif name == "analysis" and self._is_hung(process):
                logger.error("the analysis has said nothing for %g s", HUNG_S)
                process.handle.kill()

    def _is_hung(self, process: _Process) -> bool:
        health = process.health
        if health is None or health.state != "running" or process.ready is None:
            return False
        return (stamp_ns() - health.sent_ns) * 1e-9 > HUNG_S

    def _on_death(self, process: _Process) -> None:
        """Say so; replace analysis or recorder, do without the window, else end."""
        name, code = process.name, process.handle.exitcode
        if name == "display" and code == 0:
            del self._processes[name]  # the window was closed
            return
        if name == "acquisition" and process.ended:
            return
        message = f"{name} died (exit code {code})"
        if process.ended and process.health is not None and process.health.message:
            message = f"{name}: {process.health.message}"
        recent = [t for t in process.starts if time.monotonic() - t < RESTART_WINDOW_S]
        broken_disk = name == "recorder" and process.ended
        if name in RESTARTED and len(recent) <= MOST_RESTARTS and not broken_disk:
            # At once the first time, then after 2, 4 and 8 seconds.
            wait_s = 0.0 if len(recent) <= 1 else 2.0 ** (len(recent) - 1)
            process.spawn_again_at = time.monotonic() + wait_s
            self._alarm(name, f"{message}; restarting it, {RESTARTED[name]}")
        elif name in ("display", "analysis"):
            self._alarm(name, f"{message}; the run goes on without {WITHOUT[name]}")
            del self._processes[name]
        else:
            self._alarm(name, message)
            self._fault(message)

    def _alarm(self, name: str, message: str) -> None:
        logger.error(message)
        now_ns = stamp_ns()
        health = Health(name, "faulted", 0.0, now_ns, 0.0, 0, 0, message, (), ())
        self._notice(health)
        for listener in ("recorder", "display"):
            self._relay(listener, health)

    def _fault(self, reason: str) -> None:
        """End the run as faulted; a person who stopped it first has the last word."""
        if self._interrupted:
            return
        self._fault_reason = self._fault_reason or reason
        self.state = "faulted"
        self.stop(reason)

    # -- end -----------------------------------------------------------------

    def _end_all(self, idle: Callable[[], None]) -> None:
        """Source first, then analysis, then the recorder, so that nothing is lost."""
        if not self.faulted:
            self.state = "stopping"
        for name in ("acquisition", "analysis", "recorder", "display"):
            self._end(name, idle)
        self._drain(100)

    def _end(self, name: str, idle: Callable[[], None]) -> None:
        deadline = time.monotonic() + END_TIMEOUT_S
        while (process := self._processes.get(name)) and process.handle.is_alive():
            if process.ready is None and name != "recorder":
                process.handle.kill()  # it is still starting and holds nothing
            elif time.monotonic() > deadline:
                text = f"{name} did not stop within {END_TIMEOUT_S:g} s and was killed"
                self._alarm(name, text)
                self._fault(text)
                process.handle.kill()
            self._tell(name, "stop")
            self._turn(idle)
            if name != "recorder":
                self._look_after_the_dead(("recorder",))
            process.handle.join(0.05)

    def _final_state(self) -> str:
        """Give the state with which the run directory would be sealed now."""
        if self.faulted:
            return "faulted"
        return "interrupted" if self._interrupted else "ended"

    def _outcome(self) -> Outcome:
        healths = {
            name: process.health
            for name, process in self._processes.items()
            if process.health is not None
        }
        recorder = healths.get("recorder")
        recorded = self._processes["recorder"].ready is not None
        if recorded and (recorder is None or recorder.state != "ended"):
            said = recorder.message if recorder is not None else ""
            self._fault_reason = f"recorder: {said or 'it did not seal the run'}"
        acquisition = healths.get("acquisition")
        if acquisition is not None and acquisition.state == "faulted":
            self._fault_reason = self._fault_reason or acquisition.message
        self.state = "refused" if self._refused else self._final_state()
        reason = self._fault_reason or self._reason
        return Outcome(self.state, reason, healths, time.monotonic() - self._started)
