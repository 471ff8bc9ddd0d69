"""What a process says in its log, whatever the terminal is doing."""

import subprocess
import sys

import pytest

BLOCKED = """
import logging, os, sys
import acquisition.remarks as remarks
reading, writing = os.pipe()
os.set_blocking(writing, False)
try:
    while os.write(writing, bytes(4096)):
        continue
except BlockingIOError:
    os.set_blocking(writing, True)
os.dup2(writing, 2)
said = remarks.log_aside()
for number in range(1000):
    logging.getLogger("test").warning("line %d", number)
said.finish()
sys.stderr.flush()
print("went on")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pipe can be filled there")
def test_a_blocked_terminal_holds_nobody_up() -> None:
    """A process logs a thousand lines to a full pipe, goes on, and ends."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, timeout=60, check=False
    )

    assert done.stdout.strip() == b"went on"
    assert done.returncode == 0


def test_what_is_logged_comes_in_order_and_whole() -> None:
    """Name and text, a line each, all written when the process has finished."""
    code = (
        "import logging, acquisition.remarks as r; said = r.log_aside()\n"
        "for n in range(3): logging.getLogger('a.b').warning('line %d', n)\n"
        "said.finish()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stderr.splitlines() == [f"a.b: line {n}" for n in range(3)]
