"""What lies over the picture in screen coordinates: legend, scale bar, banners."""

import numpy as np

from app.panels.style import DIM, TEXT, WARNING, mark_colour, small_font
from app.panels.toolkit import QtCore, QtGui
from app.view import MARK_WORDS, Mark

MARGIN = 14
_SHADE = QtGui.QColor(15, 18, 22, 225)


def nice_length_um(limit_um: float) -> float:
    """Give the longest length 1, 2 or 5 times a power of ten within the limit."""
    power = 10.0 ** np.floor(np.log10(limit_um))
    return float(max(step * power for step in (1, 2, 5) if step * power <= limit_um))


def paint_scale_bar(
    painter: QtGui.QPainter, area: QtCore.QRect, um_per_screen_px: float
) -> None:
    """Paint a bar of a round length in the lower right corner."""
    length_um = nice_length_um(160 * um_per_screen_px)
    length = round(length_um / um_per_screen_px)
    box = QtCore.QRect(0, 0, length + 24, 36)
    box.moveBottomRight(area.bottomRight() - QtCore.QPoint(MARGIN, MARGIN))
    _shade(painter, box)
    bar = QtCore.QRect(box.left() + 12, box.bottom() - 11, length, 3)
    painter.fillRect(bar, QtGui.QColor(TEXT))
    painter.setPen(QtGui.QColor(TEXT))
    text = f"{length_um:g} µm" if length_um < 1000 else f"{length_um / 1000:g} mm"
    centre = QtCore.Qt.AlignmentFlag.AlignHCenter | QtCore.Qt.AlignmentFlag.AlignTop
    painter.drawText(box.adjusted(0, 5, 0, 0), centre, text)


def paint_legend(painter: QtGui.QPainter, area: QtCore.QRect) -> None:
    """Paint the meaning of colours and line styles in the lower left corner."""
    marks = (Mark.LIVE, Mark.DEAD, Mark.UNSURE)
    box = QtCore.QRect(0, 0, 234, 28)
    box.moveBottomLeft(area.bottomLeft() + QtCore.QPoint(MARGIN, -MARGIN))
    _shade(painter, box)
    x, y = box.left() + 12, box.center().y() + 1
    for mark in marks:
        pen = QtGui.QPen(mark_colour(mark), 2.5)
        if mark == Mark.DEAD:
            pen.setDashPattern([2.4, 1.6])
        painter.setPen(pen)
        painter.drawLine(x, y, x + 24, y)
        painter.setPen(QtGui.QColor(TEXT))
        painter.drawText(x + 31, y + 4, MARK_WORDS[mark])
        x += 70


def paint_corner(painter: QtGui.QPainter, area: QtCore.QRect, text: str) -> None:
    """Paint where and when the frame was made in the upper left corner."""
    width = painter.fontMetrics().horizontalAdvance(text) + 24
    box = QtCore.QRect(area.left() + MARGIN, area.top() + MARGIN, width, 26)
    _shade(painter, box)
    painter.setPen(QtGui.QColor(TEXT))
    painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignCenter, text)


def paint_banner(painter: QtGui.QPainter, area: QtCore.QRect, text: str) -> None:
    """Paint a sentence that must not be overlooked, in the middle at the top."""
    width = painter.fontMetrics().horizontalAdvance(text) + 40
    box = QtCore.QRect(0, area.top() + MARGIN + 36, width, 32)
    box.moveLeft(area.center().x() - width // 2)
    painter.setPen(QtCore.Qt.PenStyle.NoPen)
    painter.setBrush(QtGui.QColor(WARNING))
    painter.drawRoundedRect(box, 5, 5)
    painter.setPen(QtGui.QColor("#16120a"))
    painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignCenter, text)


def paint_waiting(painter: QtGui.QPainter, area: QtCore.QRect) -> None:
    """Say why there is no picture yet."""
    painter.setPen(QtGui.QColor(DIM))
    text = "Waiting for the first analysed frame"
    painter.drawText(area, QtCore.Qt.AlignmentFlag.AlignCenter, text)


def paint_beam_border(painter: QtGui.QPainter, area: QtCore.QRect) -> None:
    """Frame the whole picture while the beam is open."""
    painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
    painter.setPen(QtGui.QPen(QtGui.QColor(WARNING), 6))
    painter.drawRect(area.adjusted(3, 3, -3, -3))


def prepare(painter: QtGui.QPainter) -> None:
    """Switch to screen coordinates, smooth edges and the small font."""
    painter.resetTransform()
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    painter.setFont(small_font())


def _shade(painter: QtGui.QPainter, box: QtCore.QRect) -> None:
    painter.setPen(QtCore.Qt.PenStyle.NoPen)
    painter.setBrush(_SHADE)
    painter.drawRoundedRect(box, 5, 5)
