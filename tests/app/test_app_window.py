"""The window, offscreen: what it shows, and that it wears nothing out."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pytest

pytest.importorskip("PySide6.QtGui", reason="Qt does not load here")

from acquisition.records import Health
from app.panels.gauges import read_gauges
from app.panels.overlay import nice_length_um
from app.panels.strips import time_axis
from app.panels.style import apply_style
from app.panels.toolkit import QtCore, QtWidgets, missing_text, pg
from app.state import Record, ViewState
from app.window import Window, run_window
from configs.schema import Display
from tests.app.scenes import Scene


class Stage:
    """A window with a scene behind it."""

    def __init__(self, on_stop: Callable[[], None] | None = None) -> None:
        self.scene = Scene(size_px=256, cells=30)
        self.waiting: list[Record] = []
        self.state = ViewState(Display(), 100.0, 1.0)
        self.window = Window(self._drain, self.state, 30.0, on_stop)

    def _drain(self) -> list[Record]:
        records, self.waiting = self.waiting, []
        return records

    def play(self, frames: int = 1) -> None:
        """Let frames arrive, one a turn."""
        for _ in range(frames):
            self.waiting.append(self.scene.frame())
            self.window.turn()

    def press(self, qtbot: Any, key: QtCore.Qt.Key) -> None:
        """Press a key in the window."""
        qtbot.keyClick(self.window, key)


@pytest.fixture
def stage(qtbot: Any) -> Stage:
    """Give a shown window."""
    apply_style(QtWidgets.QApplication.instance())
    made = Stage()
    qtbot.addWidget(made.window)
    made.window.show()
    qtbot.waitExposed(made.window)
    return made


def pixels(widget: QtWidgets.QWidget) -> np.ndarray[Any, Any]:
    """Give a widget as it stands on the screen, (y, x, bgra)."""
    image = widget.grab().toImage()
    shape = (image.height(), image.bytesPerLine() // 4, 4)
    return np.frombuffer(image.constBits(), np.uint8).reshape(shape).copy()


def test_the_window_draws_the_outlines_of_the_cells(stage: Stage) -> None:
    """Pixels of the exact colour of living cells are on the screen."""
    stage.play(3)

    picture = pixels(stage.window.picture)

    live_bgr = (0x73, 0x9E, 0x00)
    assert (picture[..., :3] == live_bgr).all(axis=-1).sum() > 200


def test_the_curves_are_drawn_with_their_values(stage: Stage, qtbot: Any) -> None:
    """Each chart shows its newest value beside its name, within a moment."""
    stage.play(1)

    strips = stage.window.strips
    qtbot.waitUntil(lambda: "% live" in strips.viability.value.text(), timeout=10_000)

    assert "dead" in strips.counts.value.text()
    assert "budget 100 ms" in strips.latency.value.text()


def test_o_switches_the_outlines(stage: Stage, qtbot: Any) -> None:
    """The key O takes the outlines away."""
    stage.play(3)
    live_bgr = (0x73, 0x9E, 0x00)
    before = (pixels(stage.window.picture)[..., :3] == live_bgr).all(axis=-1).sum()

    stage.press(qtbot, QtCore.Qt.Key.Key_O)
    stage.window.turn()

    after = (pixels(stage.window.picture)[..., :3] == live_bgr).all(axis=-1).sum()
    assert after < before / 4  # the legend keeps its colours


def test_space_pauses_the_view_and_nothing_else(stage: Stage, qtbot: Any) -> None:
    """While paused the picture stands and the figures go on, with a banner."""
    stage.play(2)
    stage.press(qtbot, QtCore.Qt.Key.Key_Space)
    stage.play(3)

    paused = stage.window.picture.picture
    figures = stage.state.snapshot().figures
    stage.press(qtbot, QtCore.Qt.Key.Key_Space)
    stage.window.turn()

    assert paused.info.sequence == 2
    assert figures.time_s == 5 * 24.0
    assert stage.window.picture.picture.info.sequence == 5
    assert stage.window.picture.banner == ""


def test_a_click_on_an_event_goes_to_its_cell(stage: Stage) -> None:
    """The picture is centred on the cell, which is then selected and followed."""
    stage.play(18)
    index = stage.window.events.model.index(0, 0)

    stage.window.events.list.clicked.emit(index)
    stage.play(1)

    target = stage.window.picture.picture.target
    assert target.track_id == 1
    area = stage.window.picture.view_rect()
    assert area.contains(target.centre_px[1], target.centre_px[0])


def test_a_switch_hides_one_kind_of_event(stage: Stage) -> None:
    """Contacts can be hidden, so that deaths are not lost among them."""
    stage.play(35)
    rows = stage.window.events.model.rowCount

    both = rows()
    stage.window.events.kinds["contact"].click()
    stage.window.turn()
    deaths = rows()
    stage.window.events.kinds["contact"].click()
    stage.window.turn()

    assert (both, deaths, rows()) == (2, 1, 2)


def test_f_shows_the_whole_frame_again(stage: Stage, qtbot: Any) -> None:
    """The key F undoes every zoom."""
    stage.play(18)
    stage.window.picture.go_to(30.0, 30.0)

    stage.press(qtbot, QtCore.Qt.Key.Key_F)

    assert stage.window.picture.view_rect().contains(QtCore.QRectF(1, 1, 254, 254))


def test_a_click_on_a_cell_selects_it(stage: Stage, qtbot: Any) -> None:
    """The footer then tells about this cell."""
    stage.play(3)
    y, x = stage.scene.centres[1]
    spot = stage.window.picture.screen_point(float(y), float(x))

    qtbot.mouseClick(
        stage.window.picture.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=spot
    )
    stage.window.turn()

    assert stage.window.footer.text().startswith("track ")


def test_the_run_is_stopped_only_by_two_presses(qtbot: Any) -> None:
    """One press asks again; the second one stops."""
    stops: list[int] = []
    stage = Stage(lambda: stops.append(1))
    qtbot.addWidget(stage.window)

    stage.window.stop_button.click()
    asked = list(stops)
    stage.window.stop_button.click()

    assert asked == []
    assert stops == [1]


def test_the_space_bar_never_stops_a_run(qtbot: Any) -> None:
    """Pausing the view again and again presses no button, even after a click on it."""
    stops: list[int] = []
    stage = Stage(lambda: stops.append(1))
    qtbot.addWidget(stage.window)
    stage.window.show()

    stage.window.stop_button.click()
    for _ in range(4):
        stage.press(qtbot, QtCore.Qt.Key.Key_Space)

    assert stops == []


def test_an_alarm_shows_until_it_is_seen(stage: Stage) -> None:
    """The red bar appears with the fault and goes with the button."""
    dead = Health("analysis", "faulted", 0.0, 0, 0.0, 0, 0, "analysis died", (), ())

    stage.waiting.append(dead)
    stage.window.turn()
    shown = stage.window.alarms.isVisible()
    stage.window.alarms.seen.click()
    stage.window.turn()

    assert shown
    assert not stage.window.alarms.isVisible()


def test_the_end_of_the_source_closes_the_window(qtbot: Any) -> None:
    """A source that gives None ends the window with exit code 0."""
    calls = iter([[], [], None])

    code = run_window(lambda: next(calls), Display(rate_hz=100), 100.0, "test")

    assert code == 0


def test_gauges_turn_red_over_the_budget() -> None:
    """A p95 above the budget changes the colour of its gauge, and only of that."""
    state, scene = ViewState(Display(), 100.0, 1.0), Scene(size_px=256, cells=5)
    state.take(scene.frame())
    figures = state.snapshot().figures

    calm = read_gauges(figures)
    over = read_gauges(replace(figures, latency_p95_ms=130.0))

    changed = [name for name in calm if calm[name].colour != over[name].colour]
    assert changed == ["Latency p50 / p95"]


def test_scale_bars_have_round_lengths() -> None:
    """The bar is the longest of 1, 2, 5 times a power of ten that fits."""
    given = (104.0, 99.9, 0.7, 2400.0)

    assert [nice_length_um(limit) for limit in given] == [100.0, 50.0, 0.5, 2000.0]


def test_the_time_axis_fits_the_length_of_the_run() -> None:
    """Minutes, then hours, then days."""
    units = [time_axis(np.array([0.0, end]))[1] for end in (600, 10_000, 300_000)]

    assert units == ["min", "h", "days"]


def test_a_missing_library_is_explained() -> None:
    """The text names the library, the command that installs it, and the way without."""
    text = missing_text(ImportError("libEGL.so.1: cannot open shared object file"))

    assert "libEGL.so.1" in text
    assert "sudo apt-get install libegl1" in text
    assert "--headless" in text


def drift(act: Callable[[], None], calls: int = 100) -> list[float]:
    """Give the change of the reference counts of True, False and None per call."""
    act()
    before = [sys.getrefcount(thing) for thing in (True, False, None)]
    for _ in range(calls):
        act()
    after = [sys.getrefcount(thing) for thing in (True, False, None)]
    return [(b - a) / calls for a, b in zip(before, after, strict=True)]


def test_no_call_of_the_window_loses_references(stage: Stage) -> None:
    """Qt bindings that drop references to True or None kill a process within hours."""
    stage.play(3)
    view = stage.state.snapshot()
    image, curve = pg.ImageItem(), pg.PlotCurveItem()
    rgba = np.zeros((64, 64, 4), np.uint8)
    line = np.arange(50.0)
    calls: dict[str, Callable[[], None]] = {
        "setImage": lambda: image.setImage(rgba, autoLevels=False, levels=None),
        "setData": lambda: curve.setData(line, line),
        "repaint": stage.window.picture.viewport().repaint,
        "gauges": lambda: stage.window.gauges.show_figures(view.figures),
        "turn": stage.window.turn,
    }

    worst = {name: min(drift(call)) for name, call in calls.items()}

    assert all(change >= -0.05 for change in worst.values()), worst


def test_an_event_gets_its_picture_when_its_frame_comes_later(stage: Stage) -> None:
    """A line that was shown without a picture is shown again with it."""
    frame = stage.scene.frame()
    while not frame.events:
        stage.waiting.append(frame)
        frame = stage.scene.frame()
    stage.waiting += frame.events
    stage.window.turn()
    before = stage.window.events.model.row(0)

    stage.waiting.append(replace(frame, requests=()))  # the picture alone is new
    stage.window.turn()

    after = stage.window.events.model.row(0)
    assert before.event_id == after.event_id
    assert before.thumbnail is None
    assert after.thumbnail is not None
