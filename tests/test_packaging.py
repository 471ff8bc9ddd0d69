"""The wheel: complete, and enough to run from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of the present tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    (built,) = folder.glob("*.whl")
    return built


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


def hand_over_kernels(site: Path) -> None:
    """Give the installed code the kernels that were compiled after its last change.

    Numba looks at the age of a kernel's own file only, and not at those from which it
    takes constants and other kernels: what is older than any source is compiled anew.
    """
    sources = [path.relative_to(site) for path in site.glob("*/**/*.py")]
    changed_s = max((ROOT / source).stat().st_mtime for source in sources)
    for source in sources:
        assert (site / source).read_bytes() == (ROOT / source).read_bytes(), source
        shutil.copystat(ROOT / source, site / source)
        cache = (ROOT / source.parent / "__pycache__").glob(f"{source.stem}.*.nb[ic]")
        for compiled in cache:
            if compiled.stat().st_mtime > changed_s:
                (site / source.parent / "__pycache__").mkdir(exist_ok=True)
                shutil.copy(compiled, site / source.parent / "__pycache__")


def test_the_installed_wheel_runs_the_demo_from_an_empty_folder(
    wheel: Path, tmp_path: Path
) -> None:
    """Nothing outside the wheel is needed for ``vigil run demo``."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    install = ["pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"]
    command = [sys.executable, "-m", *install, str(site), str(wheel)]
    subprocess.run(command, check=True)
    hand_over_kernels(site)
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
