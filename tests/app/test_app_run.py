"""``vigil run`` as a user starts it: whole runs in processes of their own."""

import signal
from pathlib import Path
from typing import Any

import pytest

from acquisition.archive.reader import RunReader
from tests.app.conftest import Refusal
from tests.app.live_runs import SMALL, result_of, start, vigil, wait_for_frames

pytestmark = pytest.mark.timeout(300)


FAULTS = '{"8"="missing", "14"="wrong_size", "23"="saturated", "31"="constant"}'
"""In a run on the real clock; the drills have them all, with time standing still."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str, Path]:
    """Give the result of a short run, what it said, and its directory."""
    folder = tmp_path_factory.mktemp("lived")
    done = vigil(
        "run", "demo", "--duration", "8", "--seed", "9", "--output", "run", "--json",
        *SMALL, "--set", f"simulated.faults={FAULTS}", folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return result_of(done), done.stderr, folder / "run"


def test_a_short_run_ends_by_itself_with_every_key(lived: Any) -> None:
    """Exit code 0, the contract's keys, and a run directory that reads back."""
    result, _, out = lived

    assert result["state"] == "ended"
    assert result["seed"] == 9
    assert result["frames_recorded"] > 5
    assert {"cells_mean", "tracks", "deaths", "contacts", "requests"} <= set(result)
    with RunReader(out) as run:
        assert len(run.sequences) == result["frames_recorded"]


def test_without_a_display_the_run_says_so(lived: Any) -> None:
    """No screen is no failure: the status line takes over."""
    _, said, _ = lived

    assert "no display" in said
    assert "fps" in said


def test_every_camera_fault_of_a_run_leaves_a_record(lived: Any) -> None:
    """Missing, wrong-sized, saturated and constant frames are named and passed over."""
    result, _, out = lived

    with RunReader(out) as run:
        reasons = " ".join(skip.reason for skip in run.skips())
        assert len(run.skips()) == 4
        assert len(run.sequences) == result["frames_made"] - 4
    for word in ("gave no image", "instead of", "saturated", "constant"):
        assert word in reasons


def test_ctrl_c_seals_the_run(tmp_path: Path) -> None:
    """One Ctrl-C: exit code 130, the run complete on disk."""
    out = tmp_path / "run"
    call = ("run", "demo", "--output", str(out), *SMALL)
    with start(*call, folder=tmp_path) as process:
        wait_for_frames(out, 5, process)

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
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "old").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected", "lines"),
    [
        (("run", "demo", "--set", "run.speed=-3"), "run.speed", 2),
        (("run", "nothing.toml"), "no such file", 2),
        (("run", "demo", "--world", "nowhere.toml"), "nowhere.toml", 1),
        (("run", "demo", "--world", "."), "no such world file", 1),
        (("run", "demo", "--world", "cho_99x"), "cho_10x", 1),
        (("run", "demo", "--seed", "-1"), "run.seed", 2),
        (("run", "demo", "--seed", "9999999999"), "run.seed", 2),
        (("run", "demo", "--set", "simulated.size_px=1000000"), "simulated.size_px", 2),
        (("run", "replay", "--images", "nowhere"), "nowhere", 1),
        (("run", "replay"), "--images", 2),
        (("run", "demo", "--set", "inference.model=nowhere"), "nowhere", 1),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_and_moves_nothing(
    arguments: tuple[str, ...],
    expected: str,
    lines: int,
    refusal: Refusal,
    tmp_path: Path,
) -> None:
    """Exit code 2, the thing named, no folder; faulty settings have a heading."""
    said = refusal(*arguments)

    assert expected in said
    assert said.count("\n") == lines
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_cannot_be_read_is_told_after_the_usage(
    refusal: Refusal, tmp_path: Path
) -> None:
    """The parser shows how to call the command; its last line names the option."""
    said = refusal("run", "demo", "--seed", "many")

    assert said.startswith("usage: vigil run")
    assert "--seed: invalid int value: 'many'" in said.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_score_of_nothing_is_refused(tmp_path: Path) -> None:
    """As a user calls it: exit code 2, the folder named in one line, no traceback."""
    done = vigil("score", "nowhere", folder=tmp_path)

    assert done.returncode == 2, done.stderr
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1
