"""Label masks that a person drew: a TIFF stack, one image, or a folder of images."""

from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from acquisition.errors import BadImages
from acquisition.imagefiles import TIFF_SUFFIXES, list_images
from inference.cells import MOST_LABELS


def read_masks(path: Path) -> list[NDArray[np.uint16]]:
    """Read instance masks (y, x), one for each frame in order, numbered from 1.

    Of a folder the files count whose names end in ``_instances``, ``_mask`` or
    ``_labels``, in natural order. 0 is background; other values name objects.

    Raises
    ------
    BadImages
        If there is no mask, or a file holds something else than whole numbers, or
        more objects in a mask than 16 bits can number.
    """
    pages: list[NDArray[np.uint16]] = []
    for file in list_images(path, labels=True):
        stack = _read(file)
        if stack.ndim == 2:
            stack = stack[None]
        if stack.ndim != 3 or not np.issubdtype(stack.dtype, np.integer):
            raise BadImages(
                f"{file} has the shape {stack.shape} and type {stack.dtype}; label "
                "masks are whole numbers (page, y, x), 0 for background"
            )
        pages += [_renumber(page, file) for page in stack]
    return pages


def _read(path: Path) -> NDArray[np.integer]:
    if path.suffix.lower() not in TIFF_SUFFIXES:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise BadImages(f"{path} is no readable image of label masks")
        return np.asarray(image)
    try:
        return np.asarray(tifffile.imread(path))
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise BadImages(
            f"{path} is no readable TIFF of label masks: {error}"
        ) from error


def _renumber(page: NDArray[np.integer], file: Path) -> NDArray[np.uint16]:
    names, at = np.unique(page, return_inverse=True)
    objects = int(np.count_nonzero(names))
    if objects > MOST_LABELS:
        raise BadImages(
            f"{file} holds a mask of {objects} objects, a label map holds "
            f"{MOST_LABELS}; give instance masks, not images"
        )
    numbers = np.arange(names.size) + (0 if names[0] == 0 else 1)
    return numbers[at].reshape(page.shape).astype(np.uint16)
