"""What a network says about a frame, and what every engine must do."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Maps:
    """Three maps of one frame, all ``(y, x)`` and of the size of the frame."""

    classes: NDArray[np.uint8]
    """CellState codes, the class of highest probability."""
    dead: NDArray[np.uint8]
    """round(255 P(dead)), given that the pixel is cell."""
    separation: NDArray[np.uint8]
    """round(255 d), d the distance to the border of the own cell, 1 at its middle."""


class Engine(Protocol):
    """Runs one network on one frame size; made once, called for every frame."""

    @property
    def name(self) -> str:
        """Backend and precision, for example ``openvino-bf16``."""

    @property
    def model(self) -> str:
        """Name and short hash of card and weights, ``slim-1a2b3c4d``."""

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Give the maps of a frame ``(y, x)``; the network sees (x - offset) scale.

        The offset counts as the next whole number.
        """

    def close(self) -> None:
        """Let go of threads and memory."""
