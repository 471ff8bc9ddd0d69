"""Starting ``vigil run`` in a process of its own, and finding its parts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

SMALL = (
    "--set", "simulated.size_px=256",
    "--set", "inference.engine=classical",
    "--set", "forecast.model=bank",
    "--set", "log.min_free_gb=0",
)  # fmt: skip
"""A run that starts fast, on any disk: a small frame and no network."""


def environment(**more: str) -> dict[str, str]:
    """Give the environment without a display, plus what is asked for.

    The code is that of the tests themselves: its kernels are compiled but once.
    """
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def vigil(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder of its own, without a display."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=290,  # a test has 300
    )


@contextmanager
def start(*arguments: str, folder: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command line in a process group of its own; nothing of it is left."""
    with subprocess.Popen(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment(**env),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        except BaseException:
            sys.stdout.write(last_words(process))
            raise
        finally:
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a run: without this, a failed test leaves it for days."""
    if not hasattr(os, "killpg"):
        process.kill()  # its children notice
        return
    with suppress(ProcessLookupError):  # all have ended, as they should
        os.killpg(process.pid, signal.SIGKILL)


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Give the JSON object on the last line of stdout."""
    assert done.stdout.strip(), done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return loaded


def wait_for(
    condition: Callable[[], Any],
    process: subprocess.Popen[str],
    timeout_s: float = 120.0,
) -> Any:
    """Wait until a process has made something true and give it; it may die meanwhile.

    A wait in vain tells what the process said.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        waits = process.poll() is None and time.monotonic() < deadline
        if found := condition():  # only now: it may be the last thing that it did
            return found
        if not waits:
            how = "still running" if process.poll() is None else process.returncode
            words = last_words(process)
            raise AssertionError(f"waited in vain; exit code: {how}\n{words}")
        time.sleep(0.1)


def last_words(process: subprocess.Popen[str]) -> str:
    """End a process, if it has not ended, and give what it said on stderr."""
    end(process)  # also its children, or the pipe would stay open
    process.wait()
    assert process.stderr is not None
    return "" if process.stderr.closed else process.stderr.read()


def facts_of(run: Path, name: str) -> dict[str, float]:
    """Give the facts that a part of the run last wrote into its health log."""
    log = run / "health.jsonl"
    found: dict[str, float] = {}
    for line in log.read_text().splitlines() if log.is_file() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the last line may be half written
        if entry["process"] == name and entry["state"] == "running":
            found = dict(entry["facts"])
    return found


def process_id(run: Path, name: str) -> int | None:
    """Give the process id of a part of the run, once it works."""
    pid = facts_of(run, name).get("pid")
    return None if pid is None else int(pid)


def wait_for_frames(run: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a process has recorded so many frames."""
    wait_for(lambda: facts_of(run, "recorder").get("frames", 0) >= count, process)
