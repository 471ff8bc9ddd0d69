"""How little a command loads before it knows what it is to do."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "monai", "openvino", "numba", "sklearn", "cvxpy", "cv2", "pyqtgraph"}
"""Seconds each, in every process of a run: a child imports the command line too."""

CODE = """
import sys
from app.__main__ import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules)
"""


def loaded_by(*call: str) -> set[str]:
    """Give the names of the modules that a command loads."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *call], capture_output=True, text=True, check=False
    )
    assert "app.__main__" in done.stdout, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "call",
    [["--help"], ["run", "nothing.toml"], ["run", "demo", "--seed", "-1"]],
    ids=lambda call: "-".join(call),
)
def test_help_and_refusals_load_no_heavy_library(call: list[str]) -> None:
    """Networks, kernels, solvers and the window are loaded by whoever needs them."""
    assert not HEAVY & loaded_by(*call)


def test_data_sets_are_made_without_networks_and_forests() -> None:
    """Only the audit of a world needs them."""
    assert not {"torch", "sklearn"} & loaded_by("simulate", "demo")
