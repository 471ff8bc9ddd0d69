"""What a process says in its log, whatever the terminal is doing."""

import subprocess
import sys

import pytest

FULL_PIPE = """
import logging, os, sys, time, warnings
import acquisition.remarks as remarks
reading, writing = os.pipe()
os.set_blocking(writing, False)
try:
    while os.write(writing, bytes(4096)):
        continue
except BlockingIOError:
    os.set_blocking(writing, True)
os.dup2(writing, 2)
"""
BLOCKED = """
said = remarks.log_aside()
for number in range(1000):
    logging.getLogger("test").warning("line %d", number)
    warnings.warn(f"warning {number}")
said.finish()
sys.stderr.flush()
print("went on")
"""
BLOCKED_AND_STUCK = """
explanation = remarks.Explanation(0.1)
explanation.put_off()
time.sleep(0.5)
explanation.put_off()
print("went on", flush=True)
os._exit(0)
"""
STUCK = """
import threading
from acquisition.remarks import Explanation
def wait_for_ever():
    Explanation(0.2).put_off()
    gate.acquire(timeout=2)
gate = threading.Lock()
gate.acquire()
wait_for_ever()
"""


def said_by(code: str) -> str:
    """Give what a process that runs some code says on stderr; it has to end well."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no pipe can be filled there")
@pytest.mark.parametrize("code", [BLOCKED, BLOCKED_AND_STUCK], ids=["log", "stuck"])
def test_a_blocked_terminal_holds_nobody_up(code: str) -> None:
    """A process that logs and warns a thousand times, or was stuck, goes on."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_PIPE + code],
        capture_output=True,
        timeout=60,
        check=False,
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

    said = said_by(code)

    assert said.splitlines() == [f"a.b: line {n}" for n in range(3)]


def test_a_warning_comes_as_a_line_of_the_log() -> None:
    """It says where it was given; after the end of the log it comes as ever."""
    code = (
        "import warnings, acquisition.remarks as r; said = r.log_aside()\n"
        "warnings.warn('slow'); said.finish()\n"
        "warnings.warn('late')"
    )

    said = said_by(code)

    first, *_, last = said.splitlines()
    assert first == "py.warnings: <string>:2: UserWarning: slow"
    assert last == "<string>:3: UserWarning: late"


def test_what_cannot_be_formatted_harms_nobody() -> None:
    """A wrong call of a library is told, and the next line comes."""
    code = (
        "import logging, acquisition.remarks as r; said = r.log_aside()\n"
        "logging.warning('%d cells', 'no'); logging.warning('on')\n"
        "said.finish()"
    )

    said = said_by(code)

    assert said.splitlines()[-1] == "root: on"


def test_a_process_that_is_stuck_writes_where_it_stands() -> None:
    """Without its own doing: the names of the functions it is in come to stderr."""
    assert "wait_for_ever" in said_by(STUCK)
