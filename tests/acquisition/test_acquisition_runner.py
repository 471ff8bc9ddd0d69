"""What every process of a run does, whatever its work."""

import subprocess
import sys

STUCK = """
import threading
from acquisition.runner import explain_if_stuck
def wait_for_ever():
    explain_if_stuck(0.2)
    gate.acquire(timeout=2)
gate = threading.Lock()
gate.acquire()
wait_for_ever()
"""


def test_a_process_that_is_stuck_writes_where_it_stands() -> None:
    """Without its own doing: the names of the functions it is in come to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, check=True
    )

    assert "wait_for_ever" in done.stderr
