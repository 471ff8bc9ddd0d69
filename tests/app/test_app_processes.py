"""How the processes of a run are born."""

import os
import signal
import subprocess
import sys
from types import FrameType

import pytest

from app.processes import signals_held

CHILD = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('lives')"


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="POSIX only")
def test_ctrl_c_while_a_process_is_born_ends_the_run_and_not_the_child() -> None:
    """The child does not die of it, and the parent hears of it: a moment later."""
    came: list[int] = []

    def take(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    earlier = signal.signal(signal.SIGINT, take)
    try:
        with signals_held():
            os.kill(os.getpid(), signal.SIGINT)
            said = subprocess.check_output([sys.executable, "-c", CHILD], text=True)
    finally:
        signal.signal(signal.SIGINT, earlier)

    assert came == [signal.SIGINT]
    assert said == "lives\n"
