"""The acquisition process when it fails while the camera is stuck."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import pytest

from acquisition import engine
from acquisition.loop import acquire
from acquisition.mailbox import Inbox
from acquisition.records import Command, Health, Ready
from acquisition.runner import Child, run_child
from acquisition.stream import Subscriber
from configs.loading import dump_experiment, load_experiment

SMALL = ("simulated.size_px=128", 'simulated.faults={"1"="stall"}')


def acquire_until_told(child: Child, config_text: str, directory: str) -> None:
    """Acquire; a signal is an error in the middle of anything. Stalls are seen soon."""

    def fail(_number: int, _frame: FrameType | None) -> None:
        raise RuntimeError("the disk is gone")

    signal.signal(signal.SIGUSR1, fail)
    engine.STALL_S = 3.0
    acquire(child, config_text, directory)


def hear(inbox: Inbox, word: str, answer: Command) -> Health | Ready:
    """Wait until the process says a word, answer it, and give what was said."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        sender, said = inbox.receive(1000) or (b"", None)
        if isinstance(said, Ready | Health):
            inbox.answer(sender, Command("ping"))
            if word == ("ready" if isinstance(said, Ready) else said.state):
                inbox.answer(sender, answer)
                return said
            assert getattr(said, "state", "") != "faulted", said
    raise AssertionError(f"the acquisition never said {word!r}")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Give the supervisor's end of the line."""
    made = Inbox()
    yield made
    made.close()


@pytest.fixture
def process(inbox: Inbox, tmp_path: Path) -> Iterator[BaseProcess]:
    """Give an acquisition that has been started."""
    config = dump_experiment(load_experiment("demo", SMALL))
    made = multiprocessing.get_context("spawn").Process(
        target=run_child,
        args=("acquisition", inbox.address, acquire_until_told, config, str(tmp_path)),
        daemon=True,
    )
    made.start()
    yield made
    made.kill()
    made.join(60)


@pytest.mark.timeout(300)
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="POSIX only")
def test_a_camera_that_stalls_does_not_hold_up_a_run_that_failed(
    inbox: Inbox, process: BaseProcess
) -> None:
    """The run ends in seconds, and says what had gone wrong first."""
    ready = hear(inbox, "ready", Command("run"))
    assert isinstance(ready, Ready)
    frames = dict(ready.addresses)["frames"]
    ends = [
        Subscriber(frames, "analysis", "newest"),
        Subscriber(frames, "recorder", "all"),
    ]
    hear(inbox, "running", Command("ping"))
    time.sleep(1.0)  # the exposure begins, and does not return
    assert process.pid is not None
    os.kill(process.pid, signal.SIGUSR1)
    last = hear(inbox, "faulted", Command("ping"))
    process.join(60)
    for end in ends:
        end.close()

    assert isinstance(last, Health)
    assert last.message == "RuntimeError: the disk is gone"
    assert last.skipped == 1
    assert process.exitcode == 1
