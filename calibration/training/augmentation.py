"""The 21-fold set of the brightfield paper: variants of an image and its mask.

A variant is one of thirteen changes of appearance of the image, then one of ten
changes of place of image and mask together. Within the 21 variants of a pair every
appearance comes at least once and every move at least twice. Splits are made before:
see `calibration.datasets.splits`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from calibration.training.appearance import APPEARANCES, Change
from calibration.training.geometry import MOVES, Move, draw_through

VARIANTS = 21
CELL_ABOVE = 127
"""Of 255: a mask pixel above it is cell."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of a pair, and how it was made."""

    image: Pixels  # (y, x) or (y, x, 3), of the type of the original
    mask: NDArray[np.uint8]  # (y, x) 0 or 255
    appearance: str
    move: str


def vary(image: Pixels, mask: NDArray[np.uint8], seed: int) -> Iterator[Variant]:
    """Yield the 21 variants of an image and its mask; a seed gives the same ones.

    Parameters
    ----------
    image
        (y, x) or (y, x, 3) uint8 or uint16.
    mask
        (y, x) uint8, 0 to 255.
    seed
        Of this pair.

    Raises
    ------
    ValueError
        If image and mask differ in size, or the pixels are of another type.
    """
    if image.shape[:2] != mask.shape or image.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"augmentation wants 8 or 16 bit images and their masks, got {image.dtype} "
            f"{image.shape} and a mask {mask.shape}"
        )
    rng = np.random.default_rng(seed)
    for change, move in zip(
        _spread(APPEARANCES, rng), _spread(MOVES, rng), strict=True
    ):
        yield _make(image, mask, change, move, rng)


def binarise(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give 255 where a mask is above 127, else 0."""
    return np.where(mask > CELL_ABOVE, 255, 0).astype(np.uint8)


def _spread(kinds: tuple[Kind, ...], rng: np.random.Generator) -> list[Kind]:
    """Give a kind for every variant in random order, each about as often."""
    order = [int(at) for at in rng.permutation(len(kinds))]
    chosen = [order[number % len(kinds)] for number in range(VARIANTS)]
    return [kinds[chosen[at]] for at in rng.permutation(VARIANTS)]


def _make(
    image: Pixels,
    mask: NDArray[np.uint8],
    change: Change,
    move: Move,
    rng: np.random.Generator,
) -> Variant:
    full = np.iinfo(image.dtype).max
    changed = change(image.astype(np.float32) / np.float32(full), rng)
    places = move((mask.shape[0], mask.shape[1]), rng)
    moved = draw_through(changed, places, nearest=False)
    grey = np.rint(np.clip(moved.astype(np.float32), 0, 1) * full)
    coded: Pixels = grey.astype(np.uint8) if full == 255 else grey.astype(np.uint16)
    return Variant(
        image=coded,
        mask=binarise(draw_through(mask, places, nearest=True).astype(np.uint8)),
        appearance=change.__name__,
        move=move.__name__,
    )
