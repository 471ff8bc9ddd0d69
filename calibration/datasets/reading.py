"""Image, label and annotation files of foreign sets, each fault with its file."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from acquisition.errors import BadImages
from acquisition.imagefiles import TIFF_SUFFIXES, UNDECODABLE
from acquisition.records import CellState
from inference.cells import MOST_LABELS

MOST_PIXELS = 2**28
"""Larger images are no fields of a camera."""
_PIXELS = (np.uint8, np.uint16, np.float32)


def read_grey(path: Path) -> NDArray[Any]:
    """Read one image (y, x); a colour image becomes its lightness.

    Raises
    ------
    BadImages
        If it cannot be read, holds a stack, or pixels that are not of 8 or 16 bit or
        finite 32-bit numbers.
    """
    image = _decode(path)
    if image.dtype not in _PIXELS or not np.isfinite(image).all():
        raise BadImages(
            f"{path}: pixels of type {image.dtype}, or not finite; convert them to 8 "
            "or 16 bit"
        )
    if image.ndim == 3 and image.shape[2] in (3, 4):
        return np.asarray(
            cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2GRAY)
        )
    if image.ndim != 2:
        raise BadImages(f"{path}: holds {image.shape}, one image (y, x) is wanted")
    return image


def read_labels(path: Path) -> NDArray[np.uint16]:
    """Read one label map (y, x) with its own numbers, 0 background.

    Raises
    ------
    BadImages
        If it cannot be read, or is no map of whole numbers that 16 bits hold.
    """
    labels = _decode(path)
    if labels.ndim == 3 and (labels[..., :1] == labels[..., :3]).all():
        labels = labels[..., 0]  # grey that was saved as colour
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise BadImages(
            f"{path}: holds {labels.dtype} {labels.shape}; a label map is whole "
            "numbers (y, x), 0 for background"
        )
    if labels.size and (labels.min() < 0 or labels.max() > MOST_LABELS):
        raise BadImages(
            f"{path}: labels from {labels.min()} to {labels.max()}; a label map holds "
            f"0 to {MOST_LABELS}"
        )
    return labels.astype(np.uint16)


def part_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Give the connected pieces of a mask (y, x), numbered from 1."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    if count - 1 > MOST_LABELS:
        raise BadImages(f"a mask falls into {count - 1} pieces; it is no mask of cells")
    return np.asarray(labels, np.uint16)


def check_sizes(
    image: NDArray[np.generic], truth: NDArray[np.generic], path: Path
) -> None:
    """Refuse a mask of another size than its image.

    Raises
    ------
    BadImages
        If they differ.
    """
    if image.shape != truth.shape:
        raise BadImages(
            f"{path}: {truth.shape} pixels, but its image has {image.shape}; give the "
            "mask of the same image"
        )


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    BadImages
        If it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadImages(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadImages(f"{path}: no JSON of annotations: {error}") from error


def one_of(paths: Iterable[Path], wanted: str) -> Path:
    """Give the only one of some paths.

    Raises
    ------
    BadImages
        If there is none, or more than one.
    """
    found = sorted(paths)
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:4]) or "none"
        raise BadImages(f"{wanted}: one file is wanted, found {len(found)} ({names})")
    return found[0]


def read_state(word: object, path: Path) -> CellState:
    """Give the state that a word names.

    Raises
    ------
    BadImages
        If it names neither live nor dead.
    """
    try:
        return CellState[str(word).upper()]
    except KeyError:
        raise BadImages(
            f"{path}: class {word!r}; the known ones are live and dead"
        ) from None


def _decode_tiff(path: Path) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tiff:
        pixels = tiff.series[0].size
        if pixels > MOST_PIXELS:  # also what a damaged header claims
            raise BadImages(
                f"{path}: {pixels} pixels; images of up to {MOST_PIXELS} are read, cut "
                "it into fields"
            )
        return np.squeeze(np.asarray(tiff.series[0].asarray()))


def _decode(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise BadImages(f"{path}: no such file")
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return _decode_tiff(path)
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (*UNDECODABLE, MemoryError) as error:
        raise BadImages(f"{path}: not a readable image: {error}") from error
    if image is None:
        raise BadImages(f"{path}: not a readable image")
    if image.ndim == 3:  # OpenCV begins with blue, as no file format does
        image = np.concatenate([image[..., 2::-1], image[..., 3:]], axis=2)
    return np.asarray(image)
