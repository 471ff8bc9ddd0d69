"""What all tests share: an offscreen Qt, the real data folder, leftovers refused."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYMM_SIGNALS_BACKEND", "psygnal")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores

try:
    import PySide6.QtGui  # noqa: F401
except ImportError as error:
    QT_MISSING = str(error)

    @pytest.fixture
    def qtbot() -> None:
        """Skip where Qt cannot load, with Qt's own reason."""
        pytest.skip(f"Qt does not load here: {QT_MISSING}")
else:
    pytest_plugins = ["pytestqt.plugin"]


MOST_WORKERS = 4
"""Every run of a whole loop is four processes more."""


def free_cores() -> int:
    """Give the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@pytest.hookimpl(optionalhook=True)  # without xdist there is nobody to call it
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share the whole suite between the cores; a part of it stays in one process."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return min(free_cores(), MOST_WORKERS) if whole else 0


@pytest.fixture
def real_data() -> Path:
    """Folder of real images with ground truth, or a skip that says why."""
    folder = Path(os.environ.get("VIGIL_REAL_DATA", ""))
    if not os.environ.get("VIGIL_REAL_DATA") or not folder.is_dir():
        pytest.skip("VIGIL_REAL_DATA names no folder of real images")
    return folder


@pytest.fixture(autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """Fail a test that leaves a process or a non-daemon thread behind."""
    before = {thread.ident for thread in threading.enumerate()}
    me = psutil.Process()
    children = {child.pid for child in me.children(recursive=True)}

    yield

    left = [
        thread.name
        for thread in threading.enumerate()
        if thread.ident not in before and not thread.daemon and thread.is_alive()
    ]
    left += [
        _line(child)
        for child in me.children(recursive=True)
        if child.pid not in children and "resource_tracker" not in _line(child)
    ]
    assert not left, f"left over: {left}"


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
