"""The wheel: complete, and enough to run from an empty folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of the present tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.timeout(300)
def test_the_wheel_carries_its_data(wheel: Path) -> None:
    """Presets, worlds and weights travel; tests do not."""
    names = zipfile.ZipFile(wheel).namelist()

    for wanted in (
        "configs/demo.toml",
        "configs/worlds/demo.toml",
        "inference/weights/slim/weights.safetensors",
        "inference/weights/slim/card.json",
        "inference/weights/slim/NOTICE",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith("tests/")]


@pytest.mark.timeout(300)
def test_the_installed_wheel_runs_the_demo_from_an_empty_folder(
    wheel: Path, tmp_path: Path
) -> None:
    """Nothing outside the wheel is needed for ``vigil run demo``."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    install = ["pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([sys.executable, "-m", *install, str(wheel)], check=True)
    arguments = ["run", "demo", "--headless", "--duration", "5", "--json"]

    done = subprocess.run(
        [sys.executable, "-P", "-m", "app", *arguments],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["frames_recorded"] > 0
