"""The list of events; a click on one centres the picture on its cell."""

from collections.abc import Callable
from typing import Any

from app.panels.style import (
    DIM,
    LATENCY,
    LINE,
    TEXT,
    mark_colour,
    small_font,
    text_label,
)
from app.panels.toolkit import QtCore, QtGui, QtWidgets
from app.thumbnail import THUMBNAIL_PX
from app.view import EventRow, Figures, Mark, clock_text
from configs.events import EventKind

ROW_PX = THUMBNAIL_PX + 10
_ROLE = QtCore.Qt.ItemDataRole.UserRole


def switch_of(kind: EventKind) -> str:
    """Give the switch above the list that a kind of event belongs to."""
    if kind in ("predicted death", "predicted contact"):
        return "predicted"
    return kind if kind in ("death", "contact") else "other"


def event_title(row: EventRow) -> str:
    """Name the event and its cells, and what became of it."""
    word = "track" if len(row.tracks) == 1 else "tracks"
    cells = f"{word} {', '.join(map(str, row.tracks))}" if row.tracks else "field"
    verdict = f" · {row.verdict}" if row.verdict else ""
    return f"{row.kind.capitalize()} · {cells}{verdict}"


def event_detail(row: EventRow) -> str:
    """Say how sure it is and what was done about it."""
    action = row.action or "no request"
    ahead = f" in {row.lead_s / 60:.0f} min" if row.lead_s else ""
    cause = "" if row.kind in ("death", "contact") else f"{row.cause} · "
    return f"p {row.probability:.2f}{ahead} · {cause}{action}"


class EventModel(QtCore.QAbstractListModel):
    """The rows, newest first."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[EventRow, ...] = ()

    def rowCount(self, _parent: Any = None) -> int:  # noqa: N802 name given by Qt
        """Give the number of events."""
        return len(self._rows)

    def data(self, index: Any, role: int) -> EventRow | None:
        """Give the row itself to the delegate that paints it."""
        return self._rows[index.row()] if role == _ROLE else None

    def row(self, index: int) -> EventRow:
        """Give the event at a place of the list."""
        return self._rows[index]

    def set_rows(self, rows: tuple[EventRow, ...]) -> None:
        """Take a new list; rows that stay keep their place on the screen."""
        if rows == self._rows:
            return
        old = [row.event_id for row in self._rows]
        new = [row.event_id for row in rows]
        known = set(old)
        fresh = next((i for i, one in enumerate(new) if one in known), len(new))
        stay = len(new) - fresh
        if not stay or new[fresh:] != old[:stay]:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()
            return
        if fresh:
            self.beginInsertRows(QtCore.QModelIndex(), 0, fresh - 1)
            self._rows = rows[:fresh] + self._rows
            self.endInsertRows()
        if len(self._rows) > len(rows):
            self.beginRemoveRows(QtCore.QModelIndex(), len(rows), len(self._rows) - 1)
            self._rows = self._rows[: len(rows)]
            self.endRemoveRows()
        self._rows = rows
        self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, 0))


class EventDelegate(QtWidgets.QStyledItemDelegate):
    """Paints one event: picture, what, how sure, when."""

    def sizeHint(self, _option: Any, _index: Any) -> QtCore.QSize:  # noqa: N802 Qt
        """Give the size of a row."""
        return QtCore.QSize(100, ROW_PX)

    def paint(self, painter: QtGui.QPainter, option: Any, index: Any) -> None:
        """Paint the row."""
        row: EventRow = index.data(_ROLE)
        area = option.rect
        painter.save()
        if option.state & QtWidgets.QStyle.StateFlag.State_Selected:
            painter.fillRect(area, QtGui.QColor(LINE))
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        side = THUMBNAIL_PX
        image = QtCore.QRect(area.left() + 14, area.top() + 5, side, side)
        if row.thumbnail is not None:
            painter.drawImage(image, _image(row.thumbnail))
        else:
            painter.fillRect(image, QtGui.QColor(LINE))
        colour = mark_colour(Mark.DEAD) if "death" in row.kind else LATENCY
        painter.fillRect(
            image.left(), image.bottom() - 1, side, 2, QtGui.QColor(colour)
        )
        text = area.adjusted(side + 26, 7, -14, -7)
        top, bottom = (
            QtCore.Qt.AlignmentFlag.AlignTop,
            QtCore.Qt.AlignmentFlag.AlignBottom,
        )
        painter.setPen(QtGui.QColor(TEXT))
        painter.drawText(text, top, event_title(row))
        painter.setFont(small_font())
        painter.setPen(QtGui.QColor(DIM))
        right = QtCore.Qt.AlignmentFlag.AlignRight
        painter.drawText(text, top | right, clock_text(row.time_s))
        detail = painter.fontMetrics().elidedText(
            event_detail(row), QtCore.Qt.TextElideMode.ElideRight, text.width()
        )
        painter.drawText(text, bottom, detail)
        painter.restore()


def _image(rgba: Any) -> QtGui.QImage:
    height, width, _ = rgba.shape
    return QtGui.QImage(
        rgba.data, width, height, 4 * width, QtGui.QImage.Format.Format_RGBA8888
    )


class EventPanel(QtWidgets.QFrame):
    """The list, with a switch for each kind of event above it."""

    def __init__(self, chosen: Callable[[EventRow], None]) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.model = EventModel()
        self.list = QtWidgets.QListView()
        self.list.setModel(self.model)
        self.list.setItemDelegate(EventDelegate(self.list))
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollMode(
            QtWidgets.QAbstractItemView.ScrollMode.ScrollPerPixel
        )
        self.list.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.list.clicked.connect(lambda index: chosen(self.model.row(index.row())))
        self.kinds: dict[str, QtWidgets.QPushButton] = {
            "death": _switch(mark_colour(Mark.DEAD).name()),
            "contact": _switch(LATENCY),
            "predicted": _switch(TEXT),
            "other": _switch(DIM),
        }
        self.requests = text_label("hint")
        head = QtWidgets.QHBoxLayout()
        head.setContentsMargins(14, 0, 14, 0)
        head.setSpacing(8)
        head.addWidget(QtWidgets.QLabel("Events"))
        head.addStretch(1)
        for button in self.kinds.values():
            head.addWidget(button)
        head.addSpacing(8)
        head.addWidget(self.requests)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 10, 4, 8)
        column.setSpacing(6)
        column.addLayout(head)
        column.addWidget(self.list, 1)

    def show_events(self, rows: tuple[EventRow, ...], figures: Figures) -> None:
        """Show the events whose switch is on, and how many there were of each kind."""
        wanted = {kind for kind, button in self.kinds.items() if button.isChecked()}
        self.model.set_rows(tuple(row for row in rows if switch_of(row.kind) in wanted))
        self.kinds["death"].setText(f"{figures.deaths} deaths")
        self.kinds["contact"].setText(f"{figures.contacts} contacts")
        self.kinds["predicted"].setText(f"{figures.predicted} predicted")
        self.kinds["other"].setText(f"{figures.other_events} other")
        self.requests.setText(f"{figures.requests} requests")


def _switch(colour: str) -> QtWidgets.QPushButton:
    """Give a small button that is on at first, in the colour of its kind."""
    button = QtWidgets.QPushButton()
    button.setObjectName("switch")
    button.setCheckable(True)
    button.setChecked(True)
    button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
    button.setStyleSheet(f"QPushButton#switch:checked {{ color: {colour}; }}")
    return button
