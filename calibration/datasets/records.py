"""What every loader gives: an image, what is known to be in it, and its origin."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Shippable = Literal["MIT", "BSD-3-Clause", "CC0-1.0", "public domain"]
"""Licences of data that shipped weights may be trained on: a closed set."""
SHIPPABLE: tuple[str, ...] = get_args(Shippable)
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Boxes:
    """Cells that are known by their boxes alone."""

    box_px: NDArray[np.float64]  # (box, y0 x0 y1 x1), the far sides beyond the cell
    state: NDArray[np.uint8]  # (box,) CellState


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its truth; what a set does not say is ``None``."""

    name: str
    image: NDArray[np.generic]  # (y, x) uint8, uint16 or float32
    group: str  # sequence, well, video or source image: splits keep it together
    source: str  # the set, as a card names it
    licence: str
    labels: NDArray[np.uint16] | None = None  # (y, x) instances, 0 background
    states: NDArray[np.uint8] | None = None  # (label,) CellState by label, from 0
    classes: NDArray[np.uint8] | None = None  # (y, x) CellState of every pixel
    boxes: Boxes | None = None
    pixel_size_um: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)  # further columns, as text

    @property
    def may_train_shipped_weights(self) -> bool:
        """Whether the licence lets weights that ship be trained on this image."""
        return self.licence in SHIPPABLE


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of a set that is not read yet."""

    name: str
    group: str
    read: Callable[[], Sample]


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images of a set in order; each is read when it is asked for."""

    entries: tuple[Entry, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of every image, known without reading any."""
        return tuple(entry.group for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> Sample:
        return self.entries[number].read()

    def __iter__(self) -> Iterator[Sample]:
        return (entry.read() for entry in self.entries)
