"""How little a command loads before it knows what it is to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.conftest import Refusal
from tests.app.live_runs import start, wait_for

HEAVY = {"torch", "monai", "openvino", "numba", "sklearn", "cvxpy", "cv2", "pyqtgraph"}
"""Seconds each, in every process of a run: a child imports the command line too."""

CODE = """
import sys
from app.__main__ import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:  # how the parser helps and refuses
    code = end.code
print(*sys.modules)
sys.exit(code)
"""


def loaded_by(*call: str, code: int) -> set[str]:
    """Give the names of the modules that a command loads, which ends with a code."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *call], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert "app.__main__" in done.stdout, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (["--help"], 0),
        (["run", "nothing.toml"], 2),
        (["run", "demo", "--seed", "-1"], 2),
    ],
    ids=["help", "no-file", "bad-seed"],
)
def test_help_and_refusals_load_no_heavy_library(call: list[str], code: int) -> None:
    """Networks, kernels, solvers and the window are loaded by whoever needs them."""
    assert not HEAVY & loaded_by(*call, code=code)


def test_data_sets_are_made_without_networks_and_forests() -> None:
    """Only the audit of a world needs them; without --output the wish is refused."""
    assert not {"torch", "sklearn"} & loaded_by("simulate", "demo", code=2)


def test_a_place_that_cannot_be_written_is_bad_input(
    refusal: Refusal, tmp_path: Path
) -> None:
    """Whatever command was to write there: one line with the path and what to do."""
    (tmp_path / "file").write_text("")

    said = refusal("train", "slim", "--output", "file/run")

    (line,) = said.split("\n")[-2:-1]
    assert line.startswith(f"vigil: {Path('file', 'run')}: ")
    assert line.endswith("check the path, the permissions and the disk")
    assert "Traceback" not in said


def test_a_wait_ends_with_the_process_that_it_is_for(tmp_path: Path) -> None:
    """Tests do not wait for what a dead process should do; they tell what it said."""
    with (
        start("run", "nothing.toml", folder=tmp_path) as process,
        pytest.raises(AssertionError, match=r"exit code: 2\n(?s:.*)no such file"),
    ):
        wait_for(lambda: False, process)
