"""The live picture: the frame with its outlines, tails, arrows and names."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.panels import overlay
from app.panels.style import BACKGROUND, TEXT, mark_colour, small_font
from app.panels.toolkit import QtCore, QtGui, QtWidgets, pg
from app.render import Crop, compose, paint_table
from app.view import Mark, Picture

NEAR_UM = 220.0
"""Width of the field after a jump to a cell."""
SHORTEST_ARROW_PX = 3.0
"""Shorter forecasts are "it stays here" and are not drawn."""


class PicturePanel(pg.GraphicsView):
    """Draws a `Picture`; the wheel zooms, dragging moves, a click selects a cell.

    Parameters
    ----------
    selected
        Called with the track under a click, or ``None`` beside all cells.
    hovered
        Called with a line of text about the cell under the mouse.
    """

    def __init__(
        self,
        selected: Callable[[int | None], None],
        hovered: Callable[[str], None],
    ) -> None:
        super().__init__(background=BACKGROUND)
        self.outlines = True
        self.banner = ""
        self._cost_ms: float | None = None
        self._selected, self._hovered = selected, hovered
        self.picture: Picture | None = None  # what is shown
        self._drawn: tuple[Any, ...] = ()
        self._fitted: tuple[int, ...] = ()
        self._following = False
        self._box = pg.ViewBox(enableMenu=False, lockAspect=1.0, invertY=True)
        self._box.disableAutoRange()
        self.setCentralItem(self._box)
        self._image = pg.ImageItem()
        self._box.addItem(self._image)
        self._contacts = self._curve("#ffffff", "pairs", alpha=110)
        self._tails = {
            mark: self._curve(mark_colour(mark).lighter(125), "finite", alpha=200)
            for mark in (Mark.LIVE, Mark.DEAD)
        }
        self._arrows = self._curve(TEXT, "pairs", alpha=220)
        self._ring = self._circle(TEXT, QtCore.Qt.PenStyle.SolidLine)
        self._band = self._circle(TEXT, QtCore.Qt.PenStyle.DotLine)
        self._names = _Names()
        self._names.hide()
        self._box.addItem(self._names)
        self.scene().sigMouseMoved.connect(self._on_move)
        self.scene().sigMouseClicked.connect(self._on_click)
        self._box.sigRangeChangedManually.connect(self._on_moved_by_hand)

    def _curve(
        self, colour: QtGui.QColor | str, connect: str, alpha: int
    ) -> pg.PlotCurveItem:
        shade = QtGui.QColor(colour)
        shade.setAlpha(alpha)
        # NOTE: 300 tails of width 1 paint in 1 ms, of width 1.2 in 16 ms.
        pen = pg.mkPen(shade, width=1)
        curve = pg.PlotCurveItem(pen=pen, connect=connect, skipFiniteCheck=False)
        self._box.addItem(curve, ignoreBounds=True)
        return curve

    def _circle(
        self, colour: str, style: QtCore.Qt.PenStyle
    ) -> QtWidgets.QGraphicsEllipseItem:
        circle = QtWidgets.QGraphicsEllipseItem()
        circle.setPen(pg.mkPen(colour, width=1.6, style=style))
        self._box.addItem(circle, ignoreBounds=True)
        circle.hide()
        return circle

    # -- what is asked for ---------------------------------------------------

    def show_picture(self, picture: Picture | None) -> None:
        """Draw a picture; nothing is done when nothing has changed."""
        if picture is None:
            return
        fresh = picture is not self.picture
        self.picture = picture
        if self._fitted != picture.labels.shape:
            self._fitted = picture.labels.shape
            self.fit()
        if self._following and picture.target is not None:
            self._centre(*picture.target.centre_px, picture.labels.shape)
        crop = self._visible()
        key = (id(picture), crop, self.outlines)
        if crop is None or (key == self._drawn and not fresh):
            return
        self._drawn = key
        start = time.perf_counter()
        self._draw_pixels(picture, crop)
        if fresh:
            self._draw_lines(picture)
        self._cost_ms = (time.perf_counter() - start) * 1e3

    def take_cost_ms(self) -> float | None:
        """Give what the last picture cost, once; ``None`` when none was drawn."""
        cost, self._cost_ms = self._cost_ms, None
        return cost

    def fit(self) -> None:
        """Show the whole frame."""
        self._following = False
        if self.picture is not None:
            height, width = self.picture.labels.shape
            self._box.setRange(QtCore.QRectF(0, 0, width, height), padding=0.0)

    def go_to(self, y_px: float, x_px: float) -> None:
        """Move close to a place, and from then on follow the selected cell."""
        if self.picture is None:
            return
        side = NEAR_UM / self.picture.info.pixel_size_um
        self._box.setRange(QtCore.QRectF(0, 0, side, side), padding=0.0)
        self._centre(y_px, x_px, self.picture.labels.shape)
        self._following = True

    def release(self) -> None:
        """Stop following."""
        self._following = False

    def view_rect(self) -> QtCore.QRectF:
        """Give the visible area in pixels of the frame."""
        return self._box.viewRect()

    def screen_point(self, y_px: float, x_px: float) -> QtCore.QPoint:
        """Give where on the screen a place of the frame is."""
        point = self._box.mapViewToScene(QtCore.QPointF(x_px, y_px))
        return self.mapFromScene(point)

    def switch_names(self) -> None:
        """Show or hide the track numbers."""
        self._names.setVisible(not self._names.isVisible())
        if self.picture is not None:
            self._names.set_names(self.picture)

    # -- drawing -------------------------------------------------------------

    def _visible(self) -> Crop | None:
        """Give the visible part of the frame, on the grid of the screen's pixels."""
        if self.picture is None:
            return None
        (left, right), (top, bottom) = self._box.viewRange()
        ratio = self.devicePixelRatioF()
        columns = max(round(self._box.width() * ratio), 1)
        rows = max(round(self._box.height() * ratio), 1)
        step_y, step_x = (bottom - top) / rows, (right - left) / columns
        height, width = self.picture.labels.shape
        first_row, last_row = _inside(top, step_y, rows, height)
        first_column, last_column = _inside(left, step_x, columns, width)
        if last_row <= first_row or last_column <= first_column:
            return None
        return Crop(
            top + first_row * step_y,
            left + first_column * step_x,
            (last_row - first_row) * step_y,
            (last_column - first_column) * step_x,
            last_row - first_row,
            last_column - first_column,
        )

    def _draw_pixels(self, picture: Picture, crop: Crop) -> None:
        paint = paint_table(picture.mark, picture.centre_px, picture.radius_px)
        if picture.target is not None:
            chosen = picture.track == picture.target.track_id
            paint[chosen & (paint[:, 3] >= 0), 3] = 0.22
        width = round(1.5 * self.devicePixelRatioF()) if self.outlines else 0
        rgba = compose(
            picture.pixels, picture.labels, paint, crop, picture.levels, width
        )
        self._image.setImage(rgba, autoLevels=False, levels=None)
        self._image.setRect(QtCore.QRectF(crop.left, crop.top, crop.width, crop.height))

    def _draw_lines(self, picture: Picture) -> None:
        _set(self._contacts, picture.contacts_px)
        _set(self._tails[Mark.LIVE], picture.tails_live_px)
        _set(self._tails[Mark.DEAD], picture.tails_dead_px)
        _set(self._arrows, _with_heads(picture.arrows_px))
        if self._names.isVisible():
            self._names.set_names(picture)
        target = picture.target
        self._ring.setVisible(target is not None)
        self._band.setVisible(target is not None and target.band_px is not None)
        if target is not None:
            _place(self._ring, *target.centre_px, 1.5 * target.radius_px)
            if target.band_px is not None:
                _place(self._band, *target.band_px)

    def drawForeground(self, painter: QtGui.QPainter, _rect: Any) -> None:  # noqa: N802
        """Paint what belongs to the screen and not to the frame."""
        painter.save()
        overlay.prepare(painter)
        area = self.viewport().rect()
        picture = self.picture
        if picture is None:
            overlay.paint_waiting(painter, area)
        else:
            step_x = self._box.viewPixelSize()[0]
            overlay.paint_legend(painter, area)
            overlay.paint_scale_bar(painter, area, step_x * picture.info.pixel_size_um)
            overlay.paint_corner(painter, area, _corner_text(picture))
            if picture.info.beam_open:
                overlay.paint_beam_border(painter, area)
        if self.banner:
            overlay.paint_banner(painter, area, self.banner)
        painter.restore()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:  # noqa: N802 name of Qt
        """Paint, and add the time to the cost of the picture."""
        start = time.perf_counter()
        super().paintEvent(event)
        if self._cost_ms is not None:
            self._cost_ms += (time.perf_counter() - start) * 1e3

    # -- mouse ---------------------------------------------------------------

    def _label_under(self, position: QtCore.QPointF) -> int:
        if self.picture is None:
            return 0
        point = self._box.mapSceneToView(position)
        return self.picture.label_at(point.y(), point.x())

    def _on_move(self, position: QtCore.QPointF) -> None:
        if self.picture is not None:
            self._hovered(self.picture.describe(self._label_under(position)))

    def _on_click(self, event: Any) -> None:
        if self.picture is not None:
            label = self._label_under(event.scenePos())
            track = int(self.picture.track[label]) if label else 0
            self._selected(track or None)

    def _on_moved_by_hand(self, _enabled: Any) -> None:
        self._following = False

    def _centre(self, y: float, x: float, shape: tuple[int, int]) -> None:
        """Move a place to the middle, but show nothing beyond the frame for it."""
        area = self._box.viewRect()
        half_y, half_x = area.height() / 2, area.width() / 2
        y = min(max(y, half_y), max(shape[0] - half_y, half_y))
        x = min(max(x, half_x), max(shape[1] - half_x, half_x))
        area.moveCenter(QtCore.QPointF(x, y))
        self._box.setRange(area, padding=0.0)


class _Names(pg.GraphicsObject):
    """Track numbers in screen-sized type, painted in one go."""

    def __init__(self) -> None:
        super().__init__()
        self._names: list[tuple[QtCore.QPointF, str]] = []
        self._bounds = QtCore.QRectF()

    def set_names(self, picture: Picture) -> None:
        """Take the names of a picture."""
        height, width = picture.labels.shape
        self.prepareGeometryChange()
        self._bounds = QtCore.QRectF(0, 0, width, height)
        self._names = [
            (QtCore.QPointF(x, y), str(track))
            for (y, x), track in zip(picture.centre_px, picture.track, strict=True)
            if track
        ]

    def boundingRect(self) -> QtCore.QRectF:  # noqa: N802 name of Qt
        """Give the area of the frame."""
        return self._bounds

    def paint(self, painter: QtGui.QPainter, *_: Any) -> None:
        """Write all names."""
        to_screen = painter.transform()
        painter.resetTransform()
        painter.setFont(small_font())
        for point, text in self._names:
            spot = to_screen.map(point) - QtCore.QPointF(3.5 * len(text), -4)
            painter.setPen(QtGui.QColor(BACKGROUND))
            for away in (QtCore.QPointF(1, 1), QtCore.QPointF(-1, -1)):
                painter.drawText(spot + away, text)
            painter.setPen(QtGui.QColor(TEXT))
            painter.drawText(spot, text)


def _inside(start: float, step: float, count: int, size: int) -> tuple[int, int]:
    """Give the first screen pixel inside the frame and the first one behind it."""
    first = int(np.ceil(max(-start, 0.0) / step - 1e-6))
    last = int(np.floor((size - start) / step + 1e-6))
    return first, min(last, count)


def _with_heads(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add two strokes to the end of each line ``(2 arrow, yx)``; short ones go."""
    pairs = lines.reshape(-1, 2, 2)
    shaft = pairs[:, 1] - pairs[:, 0]
    length = np.hypot(shaft[:, 0], shaft[:, 1])
    long = length >= SHORTEST_ARROW_PX
    pairs, along = pairs[long], shaft[long] / length[long, None]
    across = along[:, ::-1] * np.array([1, -1], np.float32)
    size = np.minimum(0.35 * length[long], 5.0)[:, None]
    tip = pairs[:, 1]
    left = np.stack((tip, tip + size * (0.6 * across - along)), axis=1)
    right = np.stack((tip, tip - size * (0.6 * across + along)), axis=1)
    return np.concatenate((pairs, left, right)).reshape(-1, 2)


def _set(curve: pg.PlotCurveItem, points: NDArray[np.float32]) -> None:
    curve.setData(points[:, 1], points[:, 0])


def _place(
    circle: QtWidgets.QGraphicsEllipseItem, y: float, x: float, radius: float
) -> None:
    circle.setRect(x - radius, y - radius, 2 * radius, 2 * radius)


def _corner_text(picture: Picture) -> str:
    info = picture.info
    extra = "" if info.cause == "protocol" else "   extra frame"
    return f"{info.position}   frame {info.sequence}{extra}"
