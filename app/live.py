"""A live run from the user's side: preflight, directory, status and summary."""

import logging
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from acquisition.archive.directory import (
    create_exact_directory,
    create_run_directory,
)
from acquisition.archive.schema import MANIFEST
from acquisition.errors import BadInput
from acquisition.records import Health, Ready
from acquisition.remarks import log_aside, own_stream
from acquisition.runner import STOP_SIGNALS
from acquisition.stream import Subscriber, receive_any
from app.display import display_fault
from app.preflight import check_plan
from app.reports import named
from app.screen import Screen
from app.session import Outcome, Session
from app.state import ViewState
from app.summary import summarise
from configs.schema import Experiment

STATUS_EVERY_S = 0.5

logger = logging.getLogger(__name__)


def run_live(
    experiment: Experiment, output: Path | None, *, headless: bool
) -> dict[str, Any]:
    """Check, run and summarise; the result has the keys of ``vigil run --json``."""
    check_plan(experiment, output or Path(experiment.run.directory))
    if output is not None:
        directory = create_exact_directory(output)
    else:
        parent = Path(experiment.run.directory)
        directory = create_run_directory(parent, experiment.run.name, datetime.now())
    with closing(LiveRun(experiment, directory, headless=headless)) as run:
        outcome = run.run()
        if outcome.state == "refused":
            shutil.rmtree(directory)  # made by us, and nothing was recorded into it
            raise BadInput(outcome.reason)
        return run.result(outcome)


class LiveRun:
    """One run with its status line and its answer to Ctrl-C.

    The first Ctrl-C finishes the frame and seals the run, the second ends at once.
    """

    def __init__(
        self, experiment: Experiment, directory: Path, *, headless: bool
    ) -> None:
        self._experiment = experiment
        self._directory = directory
        fault = "asked for" if headless else display_fault()
        self._without_window = fault
        self._view = ViewState(
            experiment.display, experiment.budget.latency_ms, experiment.run.pace
        )
        self._remarks = log_aside()
        self._screen = Screen(own_stream(sys.stderr))
        self._shown = 0.0
        self._sources: list[Subscriber] = []
        self._interrupts = 0
        self._blind = False
        self._session = Session(
            experiment, directory, window=fault is None, notice=self._notice
        )

    def run(self) -> Outcome:
        """Run to the end; gives how it ended."""
        self._screen.say(f"run directory: {self._directory}")
        if self._without_window not in (None, "asked for"):
            self._screen.say(f"{self._without_window}: running in the terminal")
        self._screen.say("starting (the first start compiles kernels, about a minute)")
        earlier = {
            number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS
        }
        try:
            return self._session.run(self._idle)
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)
            for source in self._sources:
                source.close()
            self._screen.settle()

    def close(self) -> None:
        """Let the terminal take the last words, if it is quick enough."""
        self._screen.close()
        self._remarks.finish()

    def result(self, outcome: Outcome) -> dict[str, Any]:
        """Give the summary of the finished run, read from its directory."""
        if outcome.state == "faulted":
            self._screen.say(f"FAULT: {outcome.reason}")
        acquisition = outcome.health.get("acquisition")
        facts = dict(acquisition.facts) if acquisition is not None else {}
        result: dict[str, Any] = {
            "run_dir": str(self._directory),
            "state": outcome.state,
            "reason": outcome.reason,
            "seed": self._experiment.run.seed,
            "frames_made": int(facts.get("frames_made", 0)),
            "skipped_slots": int(facts.get("skipped_slots", 0)),
        }
        if not (self._directory / MANIFEST).exists():
            self._screen.say(f"{outcome.state}: nothing was recorded")
            return result
        result |= summarise(self._directory)
        self._screen.say(
            f"{outcome.state}: {result['frames_recorded']} frames recorded, "
            f"{result['tracks']} tracks, {result['deaths']} deaths, "
            f"{result['contacts']} contacts, {result['extra_frames']} extra frames "
            f"-> {self._directory}"
        )
        return result

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self._session.stop("interrupted", interrupted=True)
            self._screen.say("stopping after this frame (again to end at once)")
        else:
            self._session.kill()
            raise KeyboardInterrupt

    def _notice(self, record: Health | Ready) -> None:
        if isinstance(record, Health):
            self._safely(lambda: self._view.take(record))
            if record.message:
                self._screen.say(named(record.process, record.message))
            return
        for note in record.notes:
            self._screen.say(f"{record.process}: {note}")

    def _safely(self, look: Callable[[], None]) -> None:
        """Do something for the screen; a fault in it never reaches the run."""
        if self._blind:
            return
        try:
            look()
        except Exception:  # the screen's boundary
            logger.exception("the status line failed; the run goes on without it")
            self._blind = True

    def _idle(self) -> None:
        self._safely(self._look)

    def _look(self) -> None:
        """Update the status line twice a second from the newest analysis."""
        addresses = self._session.addresses()
        if not self._sources and self._session.state == "running":
            self._sources = [
                Subscriber(addresses["analyses"], "terminal", "newest"),
                Subscriber(addresses["frames"], "terminal-notes", "notes"),
            ]
        now = time.monotonic()
        if self._sources:
            while records := receive_any(self._sources, 0):
                for record in records:
                    self._view.take(record)
        if self._sources and now - self._shown > STATUS_EVERY_S:
            self._shown = now
            self._sources[0].ready()
            self._screen.show(self._view.snapshot())
