"""How little a command loads before it knows what it is to do."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "monai", "openvino", "numba", "sklearn", "cvxpy", "cv2", "pyqtgraph"}
"""Seconds each, in every process of a run: a child imports the command line too."""


@pytest.mark.parametrize(
    "call",
    [["--help"], ["run", "nothing.toml"], ["run", "demo", "--seed", "-1"]],
    ids=lambda call: "-".join(call),
)
def test_help_and_refusals_load_no_heavy_library(call: list[str]) -> None:
    """Networks, kernels, solvers and the window are loaded by whoever needs them."""
    code = (
        "import sys\nfrom app.__main__ import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    print(*sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, *call], capture_output=True, text=True, check=False
    )

    assert "app.__main__" in done.stdout, done.stderr
    assert not HEAVY & set(done.stdout.split())
