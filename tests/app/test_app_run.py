"""``vigil run`` as a user starts it: whole runs in processes of their own."""

import signal
import time
from pathlib import Path

import pytest

from acquisition.archive.reader import RunReader
from tests.app.live_runs import SMALL, result_of, start, vigil, wait_for

pytestmark = pytest.mark.timeout(300)


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
    process = start("run", "demo", "--output", str(out), *SMALL, folder=tmp_path)
    wait_for((out / "seg-00000.h5").exists)
    time.sleep(4)

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 130
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
        (("run", "demo", "--world", "."), "no such world file"),
        (("run", "demo", "--world", "cho_99x"), "cho_10x"),
        (("run", "demo", "--seed", "-1"), "run.seed"),
        (("run", "demo", "--seed", "9999999999"), "run.seed"),
        (("run", "demo", "--seed", "many"), "--seed"),
        (("run", "demo", "--set", "simulated.size_px=1000000"), "simulated.size_px"),
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
