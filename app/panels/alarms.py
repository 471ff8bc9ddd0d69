"""The red bar under the top: what went wrong, until a person has seen it."""

from collections.abc import Callable

from app.panels.toolkit import QtCore, QtWidgets


class AlarmBar(QtWidgets.QFrame):
    """Hidden while all is well."""

    def __init__(self, acknowledge: Callable[[], None]) -> None:
        super().__init__()
        self.setObjectName("alarm")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(14, 5, 6, 5)
        self.text = QtWidgets.QLabel()
        self.text.setWordWrap(True)
        self.seen = QtWidgets.QPushButton("Seen")
        self.seen.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.seen.clicked.connect(lambda: acknowledge())
        row.addWidget(self.text, 1)
        row.addWidget(self.seen)
        self.hide()

    def show_alarms(self, alarms: tuple[str, ...]) -> None:
        """Write all alarms into one line, or hide."""
        text = "     ".join(alarms)
        if text != self.text.text():
            self.text.setText(text)
            self.setVisible(bool(text))
