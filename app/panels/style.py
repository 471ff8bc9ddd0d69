"""Colours, type and spacing of the window: one dark, quiet look."""

from app.panels.toolkit import QtGui, QtWidgets, pg
from app.render import COLOURS
from app.view import Mark

BACKGROUND = "#0f1216"
PANEL = "#161b21"
LINE = "#262d36"
TEXT = "#dfe5ec"
DIM = "#84909e"
ALARM = "#e5484d"
WARNING = "#e8a33d"
LATENCY = "#56b4e9"

FAMILIES = ["Inter", "Segoe UI", "Noto Sans", "DejaVu Sans"]
SMALL_PX, NORMAL_PX, LARGE_PX = 11, 13, 17

SHEET = f"""
* {{ color: {TEXT}; font-size: {NORMAL_PX}px; }}
QMainWindow, QWidget#ground {{ background: {BACKGROUND}; }}
QFrame#panel {{ background: {PANEL}; border-radius: 6px; }}
QLabel#caption {{ color: {DIM}; font-size: {SMALL_PX}px; }}
QLabel#value {{ font-size: {LARGE_PX}px; }}
QLabel#hint {{ color: {DIM}; font-size: {SMALL_PX}px; }}
QFrame#alarm {{ background: {ALARM}; border-radius: 6px; }}
QFrame#alarm QLabel {{ color: white; font-weight: 600; }}
QPushButton {{ background: {LINE}; border: none; border-radius: 5px;
    padding: 6px 14px; }}
QPushButton:hover {{ background: #323b46; }}
QPushButton#sure {{ background: {ALARM}; color: white; }}
QPushButton#switch {{ background: transparent; border: 1px solid {LINE};
    border-radius: 7px; padding: 1px 9px; font-size: {SMALL_PX}px; color: {DIM}; }}
QPushButton#switch:checked {{ background: {LINE}; }}
QListView {{ background: transparent; border: none; outline: none; }}
QScrollBar:vertical {{ background: transparent; width: 8px; margin: 0; }}
QScrollBar::handle:vertical {{ background: {LINE}; border-radius: 4px;
    min-height: 24px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}
QToolTip {{ background: {LINE}; color: {TEXT}; border: none; padding: 4px; }}
"""


def mark_colour(mark: Mark) -> QtGui.QColor:
    """Give the colour of a cell state."""
    return QtGui.QColor(*COLOURS[mark])


def apply_style(application: QtWidgets.QApplication) -> None:
    """Give the whole application the dark look."""
    application.setStyle("Fusion")
    font = QtGui.QFont()
    font.setFamilies(FAMILIES)
    font.setPixelSize(NORMAL_PX)
    application.setFont(font)
    application.setStyleSheet(SHEET)
    pg.setConfigOptions(background=PANEL, foreground=DIM)


def small_font() -> QtGui.QFont:
    """Give the font of captions and axes."""
    font = QtGui.QFont()
    font.setFamilies(FAMILIES)
    font.setPixelSize(SMALL_PX)
    return font


def panel_frame() -> QtWidgets.QFrame:
    """Give an empty rounded panel."""
    frame = QtWidgets.QFrame()
    frame.setObjectName("panel")
    return frame


def text_label(name: str, text: str = "") -> QtWidgets.QLabel:
    """Give a label in one of the styles of the sheet: caption, value, hint."""
    label = QtWidgets.QLabel(text)
    label.setObjectName(name)
    return label
