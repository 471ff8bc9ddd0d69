"""The curves beside the picture: viability, counts, latency."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.panels.style import (
    ALARM,
    DIM,
    LATENCY,
    LINE,
    mark_colour,
    small_font,
    text_label,
)
from app.panels.toolkit import QtCore, QtGui, QtWidgets, pg
from app.view import Figures, Mark, Strips

UNITS = ((86_400.0 * 2, 86_400.0, "days"), (7_200.0, 3600.0, "h"), (0.0, 60.0, "min"))
"""Shortest run at which each unit is used, seconds of the unit, its name."""

EVERY_S = 0.4
"""The axes of three plots cost more than the picture, so they are drawn less often."""


def time_axis(time_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Give times in the unit that suits the length of the run, and its name."""
    span = float(time_s[-1]) if time_s.size else 0.0
    scale, name = next((s, n) for least, s, n in UNITS if span >= least)
    return time_s / scale, name


class UnitAxis(pg.AxisItem):
    """An axis below a plot whose numbers carry a word before or a unit after them."""

    def __init__(self, form: str) -> None:
        super().__init__("bottom")
        self.form = form

    def tickStrings(self, values: list[float], *_: Any) -> list[str]:  # noqa: N802
        """Write the numbers."""
        return [self.form.format(value) for value in values]


class Chart(QtWidgets.QWidget):
    """A caption, the present value, and a small plot below."""

    def __init__(self, caption: str, form: str = "{:g} min") -> None:
        super().__init__()
        self.value = text_label("hint")
        self.value.setTextFormat(QtCore.Qt.TextFormat.RichText)
        self.axis = UnitAxis(form)
        self.plot = _plain_plot(self.axis)
        head = QtWidgets.QHBoxLayout()
        head.addWidget(QtWidgets.QLabel(caption))
        head.addStretch(1)
        head.addWidget(self.value)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(head)
        column.addWidget(self.plot, 1)

    def curve(self, colour: QtGui.QColor | str, width: float = 1.6) -> pg.PlotDataItem:
        """Add a line."""
        pen = pg.mkPen(colour, width=width)
        curve = pg.PlotCurveItem(pen=pen, connect="finite", skipFiniteCheck=False)
        self.plot.addItem(curve)
        return curve

    def set_unit(self, unit: str) -> None:
        """Write the unit of the axis below from now on."""
        form = f"{{:g}} {unit}"
        if form != self.axis.form:
            self.axis.form = form
            self.axis.picture = None
            self.axis.update()

    def write(self, text: str) -> None:
        """Write the present value."""
        if text != self.value.text():
            self.value.setText(text)


def _plain_plot(below: pg.AxisItem) -> pg.PlotWidget:
    """Give a plot with two quiet axes and nothing to click on."""
    plot = pg.PlotWidget(axisItems={"bottom": below})
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
    item = plot.getPlotItem()
    item.setContentsMargins(0, 4, 6, 0)
    for side in ("left", "bottom"):
        axis = item.getAxis(side)
        axis.setStyle(tickFont=small_font(), tickLength=-4, autoExpandTextSpace=False)
        axis.setPen(pg.mkPen(LINE))
        axis.setTextPen(pg.mkPen(DIM))
    item.getAxis("left").setWidth(40)
    item.getAxis("left").setStyle(hideOverlappingLabels=False)
    item.getAxis("bottom").setHeight(20)
    item.showGrid(y=True, alpha=0.12)
    return plot


class StripPanel(QtWidgets.QFrame):
    """Three charts above each other; the first two share their time axis."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.viability = Chart("Viability")
        self.counts = Chart("Cells")
        self.latency = Chart("Latency by frame", "{:g}")
        self._band = self._make_band()
        self._fraction = self.viability.curve(mark_colour(Mark.LIVE), 2.0)
        self._lines = {
            mark: self.counts.curve(mark_colour(mark))
            for mark in (Mark.LIVE, Mark.DEAD, Mark.UNSURE)
        }
        self._delay = self.latency.curve(LATENCY)
        dashed = pg.mkPen(ALARM, width=1, style=QtCore.Qt.PenStyle.DashLine)
        self._budget = pg.InfiniteLine(angle=0, pen=dashed)
        self._lost = pg.ScatterPlotItem(symbol="x", size=8, pen=None, brush=ALARM)
        self.latency.plot.addItem(self._budget)
        self.latency.plot.addItem(self._lost)
        self.viability.plot.setYRange(0, 100, padding=0.08)
        ticks = [(share, f"{share} %") for share in (0, 25, 50, 75, 100)]
        self.viability.plot.getAxis("left").setTicks([ticks])
        self.counts.plot.setXLink(self.viability.plot)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(14, 10, 10, 8)
        column.setSpacing(8)
        for chart, share in ((self.viability, 6), (self.counts, 5), (self.latency, 5)):
            column.addWidget(chart, share)
        self._shown: Strips | None = None
        self._shown_s = -EVERY_S

    def _make_band(self) -> pg.FillBetweenItem:
        colour = mark_colour(Mark.LIVE)
        colour.setAlpha(60)
        edges = [pg.PlotCurveItem(pen=None, connect="finite") for _ in range(2)]
        for edge in edges:
            self.viability.plot.addItem(edge)
        band = pg.FillBetweenItem(*edges, brush=colour)
        self.viability.plot.addItem(band)
        self._edges = edges
        return band

    def show_strips(self, strips: Strips, figures: Figures) -> None:
        """Draw the curves when they have changed, but not with every frame."""
        now_s = time.monotonic()
        if strips is self._shown or now_s - self._shown_s < EVERY_S:
            return
        self._shown, self._shown_s = strips, now_s
        self._show_fraction(strips)
        self._show_counts(strips, figures)
        self._show_latency(strips, figures)

    def _show_fraction(self, strips: Strips) -> None:
        known = np.isfinite(strips.fraction)
        when, unit = time_axis(strips.time_s)
        self.viability.set_unit(unit)
        self.counts.set_unit(unit)
        when, percent = when[known], 100 * strips.fraction[known]
        low, high = 100 * strips.fraction_low[known], 100 * strips.fraction_high[known]
        self._fraction.setData(when, percent)
        self._edges[0].setData(when, low)
        self._edges[1].setData(when, high)
        if when.size:
            self.viability.write(
                f"<span style='color:{mark_colour(Mark.LIVE).name()}'>"
                f"{percent[-1]:.1f} % live</span>"
                f"&nbsp; 95 % interval {low[-1]:.0f}–{high[-1]:.0f}"
            )
            first, last = float(when[0]), float(when[-1])
            self.viability.plot.setXRange(first, max(last, first + 0.5), padding=0.01)

    def _show_counts(self, strips: Strips, figures: Figures) -> None:
        when, _ = time_axis(strips.time_s)
        rows = {Mark.LIVE: strips.live, Mark.DEAD: strips.dead}
        rows[Mark.UNSURE] = strips.unsure
        for mark, line in self._lines.items():
            line.setData(when, rows[mark])
        now = {Mark.LIVE: figures.live, Mark.DEAD: figures.dead}
        now[Mark.UNSURE] = figures.unsure
        self.counts.write(
            "&nbsp;&nbsp; ".join(
                f"<span style='color:{mark_colour(mark).name()}'>{count} "
                f"{mark.name.lower()}</span>"
                for mark, count in now.items()
            )
        )
        top = max((float(row.max(initial=1)) for row in rows.values()), default=1.0)
        self.counts.plot.setYRange(0, top, padding=0.08)

    def _show_latency(self, strips: Strips, figures: Figures) -> None:
        self._delay.setData(strips.frame, strips.latency_ms)
        self._budget.setValue(figures.budget_ms)
        top = max(float(strips.latency_ms.max(initial=0.0)), figures.budget_ms)
        self._lost.setData(strips.lost, np.full(strips.lost.size, 0.04 * top))
        self.latency.plot.setYRange(0, top, padding=0.08)
        if strips.frame.size:
            first, last = int(strips.frame[0]), int(strips.frame[-1])
            self.latency.plot.setXRange(first, max(last, first + 10), padding=0.01)
            now_ms = strips.latency_ms[-1]
            colour = ALARM if now_ms > figures.budget_ms else LATENCY
            self.latency.write(
                f"<span style='color:{colour}'>{now_ms:.0f} ms</span>"
                f"&nbsp; budget {figures.budget_ms:g} ms"
            )
