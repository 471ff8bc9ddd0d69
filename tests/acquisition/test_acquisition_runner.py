"""What a process of a run says to its supervisor when its work fails."""

import multiprocessing
from collections.abc import Callable, Iterator

import pytest

from acquisition.errors import BadInput
from acquisition.mailbox import Inbox
from acquisition.records import Health
from acquisition.runner import Child, run_child


def fail_later(child: Child) -> None:
    """Make seven frames and report them, then fail."""
    child.report("running", time_s=3.5, skipped=2, facts={"frames_made": 7.0})
    raise RuntimeError("the driver is gone")


def fail_at_once(_child: Child) -> None:
    """Find that the settings are wrong."""
    raise BadInput("no such camera")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Give the supervisor's end of the line."""
    made = Inbox()
    yield made
    made.close()


def last_words(inbox: Inbox, work: Callable[[Child], None]) -> Health:
    """Run the body of a process to its end; give its last report."""
    process = multiprocessing.get_context("spawn").Process(
        target=run_child, args=("acquisition", inbox.address, work), daemon=True
    )
    process.start()
    process.join(60)
    said = None
    while received := inbox.receive(0):
        said = received[1]
    assert isinstance(said, Health)
    return said


def test_a_process_that_fails_keeps_its_figures(inbox: Inbox) -> None:
    """A run that ends by an exception had its frames all the same."""
    health = last_words(inbox, fail_later)

    assert (health.state, health.message) == (
        "faulted",
        "RuntimeError: the driver is gone",
    )
    assert dict(health.facts)["frames_made"] == 7.0
    assert (health.time_s, health.skipped) == (3.5, 2)


def test_wrong_settings_are_told_apart(inbox: Inbox) -> None:
    """The supervisor hears that the user can put it right."""
    health = last_words(inbox, fail_at_once)

    assert (health.state, health.message) == ("faulted", "no such camera")
    assert dict(health.facts)["bad_input"] == 1.0
