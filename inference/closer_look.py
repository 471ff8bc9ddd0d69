"""A closer look at the cells of a frame whose call the maps leave in doubt.

Many cells are called by the segmentation network with little confidence. A second
network of the same model looks at these one by one, at the pixel size of the model, and
the sum of both answers takes the place of the first. How many it looks at is bounded,
so the time of a frame is too: those nearest to even odds come first.
"""

from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from acquisition.records import Cells
from configs.schema import Inference
from inference.cards import Classifier
from inference.cells import call_cells
from inference.cut import cut, middles
from inference.pixels import plain

_SMALLEST = 1e-6
"""Probabilities nearer to 0 and 1 count as this."""


class CellEngine(Protocol):
    """Runs the second network; made once, called for every frame."""

    @property
    def name(self) -> str:
        """Backend and precision, for example ``openvino-bf16``."""

    def logits(
        self, crops: NDArray[np.float32], told: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Give the logits of death (cell,) of crops (cell, 2, y, x).

        ``told`` (cell,) are the logits of the maps.
        """

    def close(self) -> None:
        """Let go of threads and memory."""


class CloserLook:
    """Looks again at the cells in doubt; the engine is closed with it.

    Parameters
    ----------
    card
        The part of the model's card that tells of the second network.
    engine
        Runs it.
    settings
        Say at how many cells of a frame it looks, and which calls are unsure.
    """

    def __init__(
        self, card: Classifier, engine: CellEngine, settings: Inference
    ) -> None:
        self._card = card
        self._engine = engine
        self._settings = settings
        edge = card.edge_px
        self._crops = np.empty((settings.closer_looks, 2, edge, edge), np.float32)

    def __call__(
        self,
        seen: NDArray[np.uint16],
        grey_level: tuple[float, float],
        labels: NDArray[np.uint16],
        cells: Cells,
    ) -> Cells:
        """Give the cells with the better P(dead), state and doubt.

        Parameters
        ----------
        seen
            (y, x) what the network saw, at the pixel size of the model.
        grey_level
            Offset and scale by which it saw it.
        labels
            (y, x) on the grid of the frame, which may be another one.
        cells
            Found in them, called by the maps.
        """
        rows = self._in_doubt(cells.dead_probability)
        if not rows.size:
            return cells
        told = told_logit(cells.dead_probability[rows])
        crops = self._cut(seen, grey_level, labels, cells, rows)
        own = self._engine.logits(crops, told.astype(np.float32)).astype(np.float64)
        probability = cells.dead_probability.astype(np.float64)
        probability[rows] = expit(own / self._card.temperature + self._card.dead_offset)
        state, unsure = call_cells(probability, self._settings.unsure_band)
        return replace(
            cells,
            dead_probability=probability.astype(np.float32),
            state=state,
            unsure=unsure,
        )

    def warm_up(self) -> None:
        """Wake kernel and engine with an empty crop."""
        nothing = np.zeros((self._card.edge_px,) * 2, np.uint16)
        cut(nothing, nothing, np.zeros((1, 3), np.int64), (0.0, 1.0), self._crops[:1])
        self._engine.logits(self._crops[:1], np.zeros(1, np.float32))

    def close(self) -> None:
        """Let go of the engine."""
        self._engine.close()

    def _in_doubt(self, probability: NDArray[np.float32]) -> NDArray[np.int64]:
        """Give the rows of the cells to look at, as they stand in the table."""
        low, high = self._card.doubt
        rows = np.flatnonzero((probability > low) & (probability < high))
        most = self._settings.closer_looks
        if rows.size > most:
            sure = np.abs(told_logit(probability[rows]))
            rows = np.sort(rows[np.argsort(sure, kind="stable")[:most]])
        return rows

    def _cut(
        self,
        seen: NDArray[np.uint16],
        grey_level: tuple[float, float],
        labels: NDArray[np.uint16],
        cells: Cells,
        rows: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Cut the cells out of what the network saw."""
        middle = middles(cells.box_px[rows])
        if labels.shape != seen.shape:
            ratio = np.array(seen.shape) / np.array(labels.shape)
            middle = (middle * ratio).astype(np.int64)
            labels = cv2.resize(  # type: ignore[assignment]
                labels, seen.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT
            )
        wanted = np.column_stack((cells.label[rows], middle)).astype(np.int64)
        crops = self._crops[: len(rows)]
        cut(plain(seen), plain(labels), wanted, grey_level, crops)
        return crops


def told_logit(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the logit (cell,) of P(dead) by the maps, as the second network is told."""
    inside = probability.astype(np.float64).clip(_SMALLEST, 1 - _SMALLEST)
    return np.asarray(logit(inside))
