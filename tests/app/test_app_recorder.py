"""The recorder as a process: killed, replaced, and the run without a hole unnamed."""

import multiprocessing
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acquisition.archive.reader import RunReader
from acquisition.archive.writer import COMMIT_RECORDS, RunWriter
from acquisition.mailbox import Inbox
from acquisition.recorder import Forerunner
from acquisition.records import Command, Frame, Ready, Skip
from acquisition.stream import Publisher
from app.processes import start_process
from app.session import PING_EVERY_S
from configs.loading import dump_experiment, load_experiment
from tests.acquisition.archive.archive_samples import make_facts
from tests.samples import make_info

STAND = (("pixel_size_um", 0.65), ("steps", 4.0), ("rows", 64.0), ("columns", 64.0))


class Stage:
    """A supervisor and the two streams that a recorder listens to.

    Like a supervisor it speaks every second, however long a test waits for something.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._config = dump_experiment(load_experiment("demo", ["log.min_free_gb=0"]))
        self.frames, self.analyses = Publisher(), Publisher()
        self._inbox = Inbox()
        self._said: queue.SimpleQueue[tuple[bytes, Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[bytes, Command]] = queue.SimpleQueue()
        self._processes: list[BaseProcess] = []
        self._over = False
        self._company = threading.Thread(target=self._keep_company)
        self._company.start()

    def begin(self) -> BaseProcess:
        """Start a recorder and bring it to work."""
        where = self._inbox.address
        process = multiprocessing.get_context("spawn").Process(
            target=start_process,
            args=("recorder", where, self._config, str(self.directory)),
            daemon=True,
        )
        process.start()
        self._processes.append(process)
        streams = {"frames": self.frames, "analyses": self.analyses}
        addresses = tuple((name, stream.address) for name, stream in streams.items())
        self.hear("armed", Command("prepare", (), STAND))
        self.hear("ready", Command("run", addresses))
        self.hear("running", Command("ping"))
        return process

    def hear(self, word: str, answer: Command) -> None:
        """Wait until the recorder says a word, and answer it."""
        said: Any = None
        while word != (
            "ready" if isinstance(said, Ready) else getattr(said, "state", "")
        ):
            sender, said = self._said.get(timeout=120)
        self._answers.put((sender, answer))

    def close(self) -> None:
        """End everything, a recorder that a failed test has left as well."""
        for process in self._processes:
            process.kill()
            process.join(60)
        self._over = True
        self._company.join()
        for end in (self._inbox, self.frames, self.analyses):
            end.close()

    def _keep_company(self) -> None:
        sender, spoke = b"", 0.0
        while not self._over:
            if received := self._inbox.receive(50):
                sender = received[0]
                self._said.put(received)
            while not self._answers.empty():
                self._inbox.answer(*self._answers.get())
            if sender and time.monotonic() - spoke > PING_EVERY_S:
                spoke = time.monotonic()
                self._inbox.answer(sender, Command("ping"))

    def show(self, sequence: int) -> None:
        """Hand over a frame."""
        pixels = np.full((4, 64, 64), sequence, np.uint16)
        self.frames.publish(Frame(make_info(sequence), pixels))

    def leave_out(self, sequence: int) -> None:
        """Hand over the word that a frame is missing."""
        self.frames.tell(Skip(sequence, 1.0, "camera", "frame missing"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give all that a recorder needs."""
    made = Stage(tmp_path)
    yield made
    made.close()


def test_what_a_killed_recorder_lost_is_named_whenever_the_next_frame_comes(
    stage: Stage,
) -> None:
    """Every frame is recorded or left out with a reason, and none of them twice."""
    first = stage.begin()
    stage.leave_out(1)
    for sequence in (2, 3, 4):
        stage.show(sequence)
    assert stage.frames.wait_idle("recorder", 60.0)
    first.kill()
    first.join(60)
    stage.leave_out(5)

    second = stage.begin()
    time.sleep(1.5)  # a slow time-lapse: nothing comes for a while
    stage.show(6)
    assert stage.frames.wait_idle("recorder", 60.0)
    stage.hear("running", Command("stop", (("state", "ended"),)))
    stage.hear("ended", Command("ping"))
    second.join(60)

    with RunReader(stage.directory) as run:
        there = Counter(run.sequences.tolist())
        there.update(skip.sequence for skip in run.skips())
        reasons = {skip.sequence: skip.reason for skip in run.skips()}
        assert run.state == "ended"
    assert there == Counter(range(1, 7))
    assert reasons[5] == "frame missing"
    assert second.exitcode == 0


def test_what_a_dead_recorder_lost_is_named_though_no_frame_follows(
    tmp_path: Path,
) -> None:
    """The supervisor knows how many were made; an analysis left out hides no frame."""
    writer = RunWriter(tmp_path, "", load_experiment("demo").log, make_facts())
    for sequence in range(1, COMMIT_RECORDS + 1):
        pixels = np.zeros((4, 64, 64), np.uint16)
        writer.write_frame(Frame(make_info(sequence), pixels))

    successor = Forerunner(tmp_path)
    for stage, sequence in (("camera", 17), ("analysis", 18)):
        successor.name_the_gap(writer, Skip(sequence, 1.0, stage, "why"))
    successor.name_the_rest(writer, {"frames_made": 18.0, "time_s": 9.0})
    writer.close("ended")

    with RunReader(tmp_path) as run:
        named = {(skip.sequence, skip.stage, skip.time_s) for skip in run.skips()}
    assert named == {(16, "recorder", 9.0), (18, "recorder", 9.0)}
