"""The supervisor: starts the processes of a run, watches them, and ends them in order.

It imports nothing heavy, so that it stays responsive whatever happens beside it.
States: idle, armed (processes starting), running, holding, stopping, ended, faulted.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acquisition.clock import stamp_ns
from acquisition.mailbox import Inbox
from acquisition.records import Command, Health, Ready
from acquisition.remarks import Explanation
from acquisition.runner import SILENCE_S
from app.parts import RESTARTED, Part, begin_part
from app.processes import BODIES, signals_held, start_process
from configs.loading import dump_experiment
from configs.schema import Experiment

START_TIMEOUT_S = 600.0
"""The first start on a machine compiles kernels and converts the network, which took
more than three minutes beside other work. One that dies meanwhile is told at once."""

PING_EVERY_S = 1.0
ATTENTIVE_S = 5.0
"""A supervisor that was away for longer (a machine that slept) begins to listen anew:
others are not silent because nobody heard them."""

WITHOUT = {"analysis": "analysis", "display": "a window"}

Notice = Callable[[Health | Ready], None]
"""Receives every health report and start-up note, for the screen."""


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
        self._parts: dict[str, Part] = {}
        self._addresses: dict[str, str] = {}
        self._facts: dict[str, float] = {}
        self._reason = ""
        self._began = False
        self._stop_asked = False
        self._interrupted = False
        self._refused = False
        self._fault_reason = ""
        self._explanation = Explanation(SILENCE_S - 2)
        self._pinged = 0.0
        self._turned = self._attentive_since = time.monotonic()
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
            self._explanation.withdraw()
            self._inbox.close()
        return self._outcome()

    def kill(self) -> None:
        """End every process at once; the run on disk stays repairable."""
        for part in self._parts.values():
            if part.alive:
                part.handle.kill()
        for part in self._parts.values():
            part.handle.join(5)

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
                late = [p.name for p in self._parts.values() if p.ready is None]
                self._fault(f"not ready after {START_TIMEOUT_S:g} s: {', '.join(late)}")
        if not self._stop_asked:
            self._tell("recorder", "run")
            self._tell("acquisition", "run")
            if self._window:
                self._tell("display", "run")
            self.state, self._began = "running", True

    def _spawn(self, name: str) -> None:
        handle = self._context.Process(
            target=start_process,
            args=(name, self._inbox.address, self._config_text, str(self.directory)),
            name=f"vigil-{name}",
            daemon=True,
        )
        with signals_held():  # so that Ctrl-C ends no child, and is not lost
            handle.start()
        self._parts[name] = begin_part(name, handle, self._parts.get(name))

    def _all_ready(self) -> bool:
        needed = [p for p in self._parts.values() if p.name != "display"]
        return all(part.ready is not None for part in needed)

    def _failed_at_start(self) -> bool:
        if self._stop_asked:
            return True
        for part in self._parts.values():
            failed = part.ended or not part.alive
            if failed and part.name != "display":
                self._refuse(part)
        return self._stop_asked

    def _refuse(self, part: Part) -> None:
        """Note why a process did not start, and whether the user can put it right."""
        self._drain(50)  # its last words
        health = part.health
        if health is not None and "bad_input" in dict(health.facts):
            self._refused = True
            self._fault(health.message)
        else:
            said = health.message if health is not None else ""
            died = f"exit code {part.handle.exitcode}, see the log above"
            self._fault(f"{part.name} did not start: {said or died}")

    def _on_ready(self, ready: Ready) -> None:
        part = self._parts[ready.process]
        part.ready = ready
        self._addresses.update(ready.addresses)
        self._facts.update(ready.facts)
        self._notice(ready)
        if self._began:  # it was restarted
            self._tell(ready.process, "run")
        if ready.process == "acquisition":
            for name in ("analysis", "recorder"):
                self._tell(name, "prepare")

    # -- watch ---------------------------------------------------------------

    def _turn(self, idle: Callable[[], None]) -> None:
        """Take what has come, keep the children company, look after the dead."""
        now = time.monotonic()
        if now - self._turned > ATTENTIVE_S:
            self._attentive_since = now
        self._turned = now
        self._drain(50)
        if now - self._pinged > PING_EVERY_S:
            self._pinged = now
            self._explanation.put_off()
            for name in self._parts:
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
        part = self._parts.get(record.process)
        if part is None:
            return
        joined = part.identity != sender
        part.identity = sender
        if isinstance(record, Ready):
            self._on_ready(record)
            return
        part.hear(record)
        self._notice(record)
        for listener in ("recorder", "display"):
            self._relay(listener, record)
        stand = self._parts["acquisition"].ready
        if joined and stand is not None and record.process in ("analysis", "recorder"):
            self._tell(record.process, "prepare")

    def _relay(self, name: str, health: Health) -> None:
        part = self._parts.get(name)
        if part and part.identity and part.alive:
            self._inbox.answer(part.identity, health)

    def _tell(self, name: str, command: Any) -> None:
        part = self._parts.get(name)
        if part is None or part.identity is None:
            return
        words = {**self._addresses, "state": self._final_state()}
        stand = self._parts.get("acquisition")
        made = {} if stand is None else stand.made()
        facts = {**self._facts, **made, "restarts": len(part.starts) - 1}
        if recorder := self._parts.get("recorder"):
            facts["recorders"] = 0.0 if recorder.lost else len(recorder.starts)
        record = Command(command, tuple(words.items()), tuple(facts.items()))
        self._inbox.answer(part.identity, record)

    def _watch(self, idle: Callable[[], None]) -> None:
        while not self._stop_asked:
            self._turn(idle)
            self._look_after(BODIES)
            acquisition = self._parts["acquisition"]
            if acquisition.ended and not self._stop_asked:
                health = acquisition.health
                if health is not None and health.state == "faulted":
                    self._fault(health.message)
                self.stop("complete")

    def _look_after(self, names: Iterable[str]) -> None:
        """Judge the dead, bury the hung, and start again what has waited for it."""
        now = time.monotonic()
        for name in names:
            part = self._parts.get(name)
            if part is None:
                continue
            if part.spawn_again_at is not None:
                if now >= part.spawn_again_at:
                    self._spawn(name)
            elif not part.alive and not part.judged:
                self._drain(50)  # its last words come before the verdict
                part.judged = True
                self._on_death(part)
            elif part.alive and part.is_hung(now - self._attentive_since):
                text = f"{name} is stuck and was killed ({part.last_heard()})"
                self._alarm(name, text)
                part.stuck = True
                part.handle.kill()

    def _on_death(self, part: Part) -> None:
        """Say so; replace analysis or recorder, do without the window, else end."""
        name = part.name
        if name == "display" and part.handle.exitcode == 0:
            del self._parts[name]  # the window was closed
            return
        if part.ended and (name == "acquisition" or (part.done and self._stop_asked)):
            return
        message = part.why_dead()
        wait_s = part.restart_after_s() if self._began else None
        if wait_s is not None:
            part.spawn_again_at = time.monotonic() + wait_s
            self._alarm(name, f"{message}; restarting it, {RESTARTED[name]}")
        elif name in WITHOUT:
            self._alarm(name, f"{message}; the run goes on without {WITHOUT[name]}")
            del self._parts[name]
        else:
            self._alarm(name, message)
            self._fault(message)

    def _alarm(self, name: str, message: str) -> None:
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
        """End one part; a recorder that dies of it is replaced, to seal the run."""
        began = time.monotonic()
        while part := self._to_end(name):
            if part.alive:
                self._urge(part, began)
            self._turn(idle)
            self._look_after(("recorder",))
            part.handle.join(0.05)

    def _to_end(self, name: str) -> Part | None:
        """Give a part that has still to end: it lives, or is a recorder to come."""
        part = self._parts.get(name)
        if part is None or part.alive:
            return part
        if name != "recorder" or not self._began:
            return None  # nothing else is started again now
        self._look_after((name,))
        part = self._parts[name]
        return part if part.alive or part.spawn_again_at is not None else None

    def _urge(self, part: Part, began: float) -> None:
        """Tell a part to stop; kill one that gets nowhere, or that has just begun."""
        recorder = self._parts["recorder"]  # who waits for it waits anew for the next
        since = max(began, part.progressed_s, part.starts[-1], recorder.starts[-1])
        waited_s = time.monotonic() - since
        if part.ready is None and part.name != "recorder":
            part.handle.kill()  # it is still starting and holds nothing
        elif waited_s > part.patience_s and not part.judged:
            part.judged = True
            text = f"{part.name} did not stop within {waited_s:.0f} s and was killed"
            self._alarm(part.name, f"{text} ({part.last_heard()})")
            if part.name != "display":  # the run is complete without a window
                self._fault(text)
            part.handle.kill()
        self._tell(part.name, "stop")

    def _final_state(self) -> str:
        """Give the state with which the run directory would be sealed now."""
        if self.faulted:
            return "faulted"
        return "interrupted" if self._interrupted else "ended"

    def _outcome(self) -> Outcome:
        healths = {
            name: part.health
            for name, part in self._parts.items()
            if part.health is not None
        }
        recorder = healths.get("recorder")
        recorded = self._began or self._parts["recorder"].ready is not None
        if recorded and (recorder is None or recorder.state != "ended"):
            said = recorder.message if recorder is not None else ""
            unsealed = self._fault_reason or "recorder: it did not seal the run"
            self._fault_reason = f"recorder: {said}" if said else unsealed
        acquisition = healths.get("acquisition")
        if acquisition is not None and acquisition.state == "faulted":
            self._fault_reason = self._fault_reason or acquisition.message
        self.state = "refused" if self._refused else self._final_state()
        reason = self._fault_reason or self._reason
        return Outcome(self.state, reason, healths, time.monotonic() - self._started)
