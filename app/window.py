"""The window: pulls the newest state on one timer and hands it to the panels."""

from collections.abc import Callable, Iterable
from typing import Any

from app.pacing import Pace
from app.panels.alarms import AlarmBar
from app.panels.events import EventPanel
from app.panels.gauges import GaugeBar, framed
from app.panels.picture import PicturePanel
from app.panels.strips import StripPanel
from app.panels.style import apply_style, text_label
from app.panels.toolkit import QtCore, QtGui, QtWidgets
from app.state import Record, ViewState
from app.view import EVERYTHING, EventRow, Selection, View
from configs.schema import Display

Source = Callable[[], Iterable[Record] | None]
"""Gives the records that came since the last call; ``None`` closes the window."""

KEYS = "Space  pause view     F  fit     O  outlines     L  numbers     Esc  release"
SURE_MS = 3000
"""A second press within this time stops the run."""


class Window(QtWidgets.QMainWindow):
    """Picture on the left, curves and events on the right, figures at the top.

    Closing the window ends only the window; the run goes on without it.

    Parameters
    ----------
    source
        Gives the new records, called once a turn of the timer.
    state
        What takes the records and gives the views.
    rate_hz
        Turns of the timer a second; halved while painting is slow.
    on_stop
        Called when the user stops the run; without it there is no such button.
    """

    def __init__(
        self,
        source: Source,
        state: ViewState,
        rate_hz: float,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._source, self._state, self._on_stop = source, state, on_stop
        self._selection = EVERYTHING
        self._frozen: View | None = None
        self._under_mouse = ""
        self._pace = Pace(rate_hz)
        self.gauges = GaugeBar()
        self.alarms = AlarmBar(self._acknowledge)
        self.picture = PicturePanel(self._select, self._hover)
        self.strips = StripPanel()
        self.events = EventPanel(self._go_to_event)
        self.footer = text_label("hint")
        self.notice = text_label("hint")
        self.stop_button = QtWidgets.QPushButton("Stop run")
        # Without focus the space bar can only pause, never press this.
        self.stop_button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.stop_button.setVisible(on_stop is not None)
        self.stop_button.clicked.connect(self._stop_pressed)
        self._calm = QtCore.QTimer(self, singleShot=True, interval=SURE_MS)
        self._calm.timeout.connect(self._stop_forgotten)
        self._lay_out()
        self._make_keys()
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.turn)
        self._timer.start(round(self._pace.interval_ms))

    def _lay_out(self) -> None:
        ground = QtWidgets.QWidget()
        ground.setObjectName("ground")
        side = QtWidgets.QVBoxLayout()
        side.setSpacing(8)
        side.addWidget(self.strips, 11)
        side.addWidget(self.events, 7)
        middle = QtWidgets.QHBoxLayout()
        middle.setSpacing(8)
        middle.addWidget(self.picture, 58)
        middle.addLayout(side, 42)
        foot = QtWidgets.QHBoxLayout()
        foot.setContentsMargins(6, 0, 6, 0)
        foot.addWidget(self.footer, 1)
        foot.addWidget(self.notice)
        foot.addSpacing(24)
        foot.addWidget(text_label("hint", KEYS))
        column = QtWidgets.QVBoxLayout(ground)
        column.setContentsMargins(10, 10, 10, 7)
        column.setSpacing(8)
        column.addWidget(framed(self.gauges, self.stop_button))
        column.addWidget(self.alarms)
        column.addLayout(middle, 1)
        column.addLayout(foot)
        self.setCentralWidget(ground)
        self.resize(1400, 900)

    def _make_keys(self) -> None:
        actions: dict[str, Callable[[], None]] = {
            "Space": self.switch_pause,
            "F": self._fit,
            "O": self._switch_outlines,
            "L": self.picture.switch_names,
            "Esc": self._release,
        }
        for key, action in actions.items():
            shortcut = QtGui.QShortcut(QtGui.QKeySequence(key), self)
            shortcut.activated.connect(action)

    # -- one turn ------------------------------------------------------------

    def turn(self) -> None:
        """Take what has come and draw what has changed."""
        records = self._source()
        if records is None:
            self.close()
            return
        for record in records:
            self._state.take(record)
        view = self._state.snapshot(self._selection)
        self.gauges.show_figures(view.figures)
        self.alarms.show_alarms(view.alarms)
        picture = (self._frozen or view).picture
        self.picture.show_picture(picture)
        chosen = picture.describe_target() if picture else ""
        self.footer.setText(self._under_mouse or chosen)
        self.strips.show_strips(view.strips, view.figures)
        self.events.show_events(view.events, view.figures)
        self._keep_pace(view.message)

    def _keep_pace(self, message: str) -> None:
        cost_ms = self.picture.take_cost_ms()
        if cost_ms is not None and self._pace.note(cost_ms):
            self._timer.setInterval(round(self._pace.interval_ms))
        slow = self._pace.remark
        self.notice.setText("     ".join(text for text in (message, slow) if text))

    # -- what the user does --------------------------------------------------

    def switch_pause(self) -> None:
        """Hold the picture still, or let it go; the acquisition never stops."""
        if self._frozen is None:
            self._frozen = self._state.snapshot(self._selection)
            self.picture.banner = "View paused – the acquisition goes on"
        else:
            self._frozen = None
            self.picture.banner = ""
        self.picture.viewport().update()

    def _acknowledge(self) -> None:
        self._state.acknowledge()

    def _fit(self) -> None:
        self._selection = Selection(None, self._selection.track_id)
        self.picture.fit()

    def _switch_outlines(self) -> None:
        self.picture.outlines = not self.picture.outlines

    def _release(self) -> None:
        self._selection = EVERYTHING
        self.picture.release()

    def _select(self, track_id: int | None) -> None:
        self._selection = Selection(self._selection.position, track_id)

    def _hover(self, text: str) -> None:
        self._under_mouse = text

    def _go_to_event(self, row: EventRow) -> None:
        self._selection = Selection(row.position, row.tracks[0])
        picture = self._state.snapshot(self._selection).picture
        if picture is not None:
            self.picture.show_picture(picture)
            self.picture.go_to(*picture.place_of(row.centre_yx_um))

    def _stop_pressed(self) -> None:
        if self.stop_button.objectName() == "sure" and self._on_stop is not None:
            self._on_stop()
            self._mark_button("", "Stopping")
            self.stop_button.setEnabled(False)
            self._calm.stop()
        else:
            self._mark_button("sure", "Press again to stop")
            self._calm.start()

    def _stop_forgotten(self) -> None:
        self._mark_button("", "Stop run")

    def _mark_button(self, name: str, text: str) -> None:
        self.stop_button.setObjectName(name)
        self.stop_button.setText(text)
        self.stop_button.style().unpolish(self.stop_button)
        self.stop_button.style().polish(self.stop_button)

    def closeEvent(self, event: Any) -> None:  # noqa: N802 name of Qt
        """End the window, and nothing else."""
        self._timer.stop()
        self._calm.stop()
        super().closeEvent(event)


def run_window(
    source: Source,
    settings: Display,
    budget_ms: float,
    title: str,
    on_stop: Callable[[], None] | None = None,
    speed: float = 1.0,
) -> int:
    """Open the window and stay until it is closed.

    The caller has made sure that there is a display.

    Returns
    -------
    The exit code of Qt, 0 after a normal close.
    """
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([title])
    apply_style(application)
    window = Window(
        source, ViewState(settings, budget_ms, speed), settings.rate_hz, on_stop
    )
    window.setWindowTitle(f"vigil – {title}")
    window.show()
    return int(application.exec())
