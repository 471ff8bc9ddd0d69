"""Qt and pyqtgraph, loaded in one place, with plain words where they cannot load."""

from acquisition.errors import BadInput

LIBRARIES = (
    "libegl1 libgl1 libxkbcommon0 libxkbcommon-x11-0 libfontconfig1 libdbus-1-3 "
    "libglib2.0-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1"
)
"""Debian packages that the wheels of Qt expect from the system."""


def missing_text(error: ImportError) -> str:
    """Say what Qt lacks and how to get it."""
    return (
        f"the window cannot be opened: {error}; on Debian or Ubuntu install the "
        f"libraries with `sudo apt-get install {LIBRARIES}`, or run without a window "
        "(--headless)"
    )


try:
    # Qt first: pyqtgraph then takes this binding, and hides no reason of its own.
    from PySide6 import QtCore, QtGui, QtWidgets
except ImportError as error:
    raise BadInput(missing_text(error)) from error

import pyqtgraph as pg  # noqa: E402 it must find the binding loaded

pg.setConfigOptions(imageAxisOrder="row-major", antialias=True, useOpenGL=False)

__all__ = ["LIBRARIES", "QtCore", "QtGui", "QtWidgets", "missing_text", "pg"]
