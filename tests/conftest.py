"""What all tests share: an offscreen Qt, the real data folder, leftovers refused."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYMM_SIGNALS_BACKEND", "psygnal")

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
