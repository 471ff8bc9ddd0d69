"""The bar at the top: the figures a person glances at."""

from dataclasses import dataclass

from app.panels.style import ALARM, TEXT, WARNING, panel_frame, text_label
from app.panels.toolkit import QtCore, QtWidgets
from app.view import Figures, clock_text

LITTLE_DISK_GB = 10.0
"""Below this the disk is shown as a warning."""


WIDEST = {
    "State": "stopping",
    "Experiment time": "00:00:00  ×120",
    "Cells": "0000  100% live",
    "Frames": "every 000 s",
    "Frame age": "0000 ms",
    "Latency p50 / p95": "0000 / 0000 ms",
    "Dropped": "00000",
    "To disk": "000",
    "Disk free": "00000 GB",
    "Forecast": "transformer  skill 00%  band 00%",
    "Dose": "00.00 Gy",
}
"""Texts that set the width of each gauge, so that the bar does not shake."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one gauge says."""

    text: str
    colour: str = TEXT
    tip: str = ""


def read_gauges(figures: Figures) -> dict[str, Reading]:
    """Give the text of every gauge, in the order of the bar."""
    speed = "" if figures.speed == 1 else f"  ×{figures.speed:g}"
    return {
        "State": _state(figures),
        "Experiment time": Reading(clock_text(figures.time_s) + speed),
        "Cells": _cells(figures),
        "Frames": Reading(rate_text(figures.frames_per_s)),
        "Frame age": _age(figures),
        "Latency p50 / p95": _latency(figures),
        "Dropped": _dropped(figures),
        "To disk": Reading(f"{figures.queued}", tip="records waiting for the disk"),
        "Disk free": _disk(figures),
        "Forecast": Reading(
            figures.forecast or "–",
            tip="which model forecasts, how much better than staying it has been, and "
            "how many living cells came to lie in their 90 % band",
        ),
        "Dose": _dose(figures),
    }


def rate_text(frames_per_s: float | None) -> str:
    """Write a frame rate, or the interval when it is slow."""
    if frames_per_s is None:
        return "–"
    if frames_per_s >= 0.5:
        return f"{frames_per_s:.1f} /s"
    return f"every {1 / frames_per_s:.0f} s"


def age_text(age_ms: float | None) -> str:
    """Write the age of a frame in the unit that fits."""
    if age_ms is None:
        return "–"
    return f"{age_ms:.0f} ms" if age_ms < 1000 else f"{age_ms / 1000:.1f} s"


def _state(figures: Figures) -> Reading:
    colours = {"faulted": ALARM, "holding": WARNING, "stopping": WARNING}
    return Reading(figures.state, colours.get(figures.state, TEXT))


def _cells(figures: Figures) -> Reading:
    text = f"{figures.cells}"
    if figures.live_fraction is not None:
        text += f"  {figures.live_fraction:.0%} live"
    tip = f"{figures.live} live, {figures.dead} dead, {figures.unsure} unsure"
    return Reading(text, tip=tip)


def _age(figures: Figures) -> Reading:
    return Reading(age_text(figures.age_ms), ALARM if figures.stalled else TEXT)


def _latency(figures: Figures) -> Reading:
    p50, p95 = figures.latency_p50_ms, figures.latency_p95_ms
    text = "–" if p50 is None or p95 is None else f"{p50:.0f} / {p95:.0f} ms"
    tip = f"end of exposure to decision; budget {figures.budget_ms:g} ms"
    return Reading(text, ALARM if figures.over_budget else TEXT, tip)


def _dropped(figures: Figures) -> Reading:
    tip = "\n".join(f"{name}: {count}" for name, count in figures.losses)
    colour = WARNING if figures.dropped else TEXT
    return Reading(f"{figures.dropped}", colour, tip or "no frame was left out")


def _disk(figures: Figures) -> Reading:
    free = figures.disk_free_gb
    if free is None:
        return Reading("–")
    return Reading(f"{free:.0f} GB", ALARM if free < LITTLE_DISK_GB else TEXT)


def _dose(figures: Figures) -> Reading:
    beam = "beam OPEN" if figures.beam_open else "beam closed"
    colour = WARNING if figures.beam_open else TEXT
    return Reading(f"{figures.dose_gy:.2f} Gy", colour, tip=beam)


class GaugeBar(QtWidgets.QWidget):
    """A row of captions with values; only what changed is written again."""

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, QtWidgets.QLabel] = {}
        self._captions: dict[str, QtWidgets.QLabel] = {}
        self._shown: dict[str, Reading] = {}
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self._row = row

    def show_figures(self, figures: Figures) -> None:
        """Write the figures."""
        for name, reading in read_gauges(figures).items():
            if name not in self._values:
                self._add(name)
            if self._shown.get(name) != reading:
                self._shown[name] = reading
                value = self._values[name]
                value.setText(reading.text)
                value.setStyleSheet(f"color: {reading.colour}")
                value.setToolTip(reading.tip)
        beam = "beam OPEN" if figures.beam_open else "beam closed"
        self._captions["Dose"].setText(f"Dose · {beam}")

    def _add(self, name: str) -> None:
        cell = QtWidgets.QVBoxLayout()
        cell.setSpacing(2)
        caption, value = text_label("caption", name), text_label("value", "–")
        value.setTextInteractionFlags(QtCore.Qt.TextInteractionFlag.NoTextInteraction)
        value.ensurePolished()
        widest = value.fontMetrics().horizontalAdvance(WIDEST[name])
        value.setMinimumWidth(widest + 2)
        cell.addWidget(caption)
        cell.addWidget(value)
        if self._values:
            self._row.addStretch(1)
        self._row.addLayout(cell)
        self._values[name] = value
        self._captions[name] = caption


def framed(bar: GaugeBar, button: QtWidgets.QPushButton) -> QtWidgets.QFrame:
    """Put the bar and a button into one panel."""
    frame = panel_frame()
    row = QtWidgets.QHBoxLayout(frame)
    row.setContentsMargins(16, 9, 12, 9)
    row.setSpacing(24)
    row.addWidget(bar, 1)
    row.addWidget(button)
    return frame
