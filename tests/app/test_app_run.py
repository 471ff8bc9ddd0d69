"""``vigil run`` as a user starts it: whole runs in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from acquisition.archive.reader import RunReader

pytestmark = pytest.mark.timeout(300)

SMALL = ("--set", "simulated.size_px=256", "--set", "inference.engine=classical")
"""A run that starts fast: a small frame and no network."""


def vigil(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder of its own, without a display."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def environment() -> dict[str, str]:
    """Give the environment without a display."""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return {key: value for key, value in os.environ.items() if key not in hidden}


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Give the JSON object on the last line of stdout."""
    assert done.stdout.strip(), done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return loaded


def test_a_short_run_ends_by_itself_with_every_key(tmp_path: Path) -> None:
    """Exit code 0, the contract's keys, and a run directory that reads back."""
    done = vigil(
        "run", "demo", "--duration", "4", "--seed", "9", "--json", *SMALL,
        folder=tmp_path,
    )  # fmt: skip

    result = result_of(done)
    assert done.returncode == 0, done.stderr
    assert result["state"] == "ended"
    assert result["seed"] == 9
    assert result["frames_made"] == result["frames_recorded"] > 5
    assert {"cells_mean", "tracks", "deaths", "contacts", "requests"} <= set(result)


def test_without_a_display_the_run_says_so(tmp_path: Path) -> None:
    """No screen is no failure: the status line takes over."""
    done = vigil("run", "demo", "--duration", "8", *SMALL, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "no display" in done.stderr
    assert "fps" in done.stderr


def test_ctrl_c_seals_the_run(tmp_path: Path) -> None:
    """One Ctrl-C: exit code 130, the run complete on disk."""
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "run", "demo", "--output", str(out), *SMALL],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (out / "seg-00000.h5").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(4)

    process.send_signal(signal.SIGINT)
    code = process.wait(60)

    assert code == 130
    with RunReader(out) as run:
        assert run.state == "interrupted"
        assert len(run.sequences) > 0


def test_an_output_directory_that_exists_is_refused(tmp_path: Path) -> None:
    """An old run is never written into; exit code 2."""
    (tmp_path / "old").mkdir()

    done = vigil("run", "demo", "--output", "old", *SMALL, folder=tmp_path)

    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert list((tmp_path / "old").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "demo", "--set", "run.speed=-3"), "run.speed"),
        (("run", "nothing.toml"), "no such file"),
        (("run", "demo", "--world", "nowhere.toml"), "nowhere.toml"),
        (("run", "replay", "--images", "nowhere"), "nowhere"),
        (("run", "replay"), "--images"),
        (("run", "demo", "--set", "inference.model=nowhere"), "nowhere"),
        (("score", "nowhere"), "nowhere"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_and_moves_nothing(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    """Exit code 2, the thing named, no traceback, no run directory."""
    done = vigil(*arguments, folder=tmp_path)

    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
