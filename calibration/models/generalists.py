"""Public generalists beside our models: Cellpose, StarDist, InstanSeg.

They are optional (extra ``generalists``) and fetch weights of their own on first use,
under licences of their own. The adapters follow the signatures of the named releases;
they are written, not run with the real weights.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadInput
from calibration.datasets.records import ImageSet
from calibration.metrics.instances import count_instances
from calibration.models.figures import Row
from calibration.models.images import counts, instance_row, pixel_size_of
from calibration.models.worlds import Tell
from inference.cells import MOST_LABELS
from inference.pixels import percentiles

Image = NDArray[np.float32]
DARK, BRIGHT = 1.0, 99.8
"""Percentiles of an image that become 0 and 1."""


class Segmenter(Protocol):
    """Finds the cells of one image; says nothing about life or death."""

    def __call__(self, image: Image, pixel_size_um: float, /) -> NDArray[Any]:
        """Give whole labels (y, x), 0 background, of an image (y, x) about 0 to 1."""


def cellpose() -> Segmenter:
    """Give Cellpose-SAM (4.2)."""
    model = _package("cellpose.models").CellposeModel(gpu=False)

    def segment(image: Image, _: float) -> NDArray[Any]:
        return np.asarray(model.eval(image)[0])

    return segment


def stardist() -> Segmenter:
    """Give StarDist (0.9) with its weights for fluorescent nuclei, the nearest."""
    model = _package("stardist.models").StarDist2D.from_pretrained("2D_versatile_fluo")

    def segment(image: Image, _: float) -> NDArray[Any]:
        return np.asarray(model.predict_instances(image)[0])

    return segment


def instanseg() -> Segmenter:
    """Give InstanSeg (0.1) with its weights for cells in fluorescence."""
    made = _package("instanseg").InstanSeg("fluorescence_nuclei_and_cells", verbosity=0)

    def segment(image: Image, pixel_size_um: float) -> NDArray[Any]:
        found = made.eval_small_image(
            image[None], pixel_size_um, return_image_tensor=False, target="cells"
        )
        return np.asarray(found.cpu()).squeeze()

    return segment


GENERALISTS: dict[str, Callable[[], Segmenter]] = {
    "cellpose": cellpose,
    "stardist": stardist,
    "instanseg": instanseg,
}
"""By the name that ``vigil evaluate`` takes."""


def evaluate_generalist(segment: Segmenter, images: ImageSet, tell: Tell) -> list[Row]:
    """Give a row for every image with a mask; those with boxes alone are left out.

    Raises
    ------
    BadInput
        If an image has no pixel size, no image has a mask, or the answer is no label
        map of the image.
    """
    rows = []
    for number, sample in enumerate(images):
        if sample.labels is not None:
            found = segment(stretched(counts(sample.image)), pixel_size_of(sample))
            labels = checked(found, sample.labels.shape, sample.name)
            row = instance_row(count_instances(sample.labels, labels))
            origin = {"source": sample.source, "licence": sample.licence}
            rows.append({"name": sample.name, **row, **origin})
        tell("images", (number + 1) / len(images))
    if not rows:
        raise BadInput("no image has a mask; generalists are compared with masks only")
    return rows


def stretched(image: NDArray[np.uint16]) -> Image:
    """Give an image between its dark and its bright percentile, 0 to 1 for most."""
    low, high = percentiles(image, (DARK, BRIGHT))
    return np.asarray((image.astype(np.float32) - low) / max(high - low, 1), np.float32)


def checked(
    found: NDArray[Any], shape: tuple[int, ...], name: str
) -> NDArray[np.uint16]:
    """Give the answer of a generalist as labels.

    Raises
    ------
    BadInput
        If it has another shape than the image, or is not of whole numbers that 16 bits
        hold.
    """
    whole = found.size > 0 and bool((found == np.floor(found)).all())
    if (
        found.shape != shape
        or not whole
        or found.min() < 0
        or found.max() > MOST_LABELS
    ):
        raise BadInput(
            f"{name}: the answer {found.dtype} {found.shape} is no label map of the "
            f"image {shape}; install the release of the package that is named in the "
            "extra generalists"
        )
    return found.astype(np.uint16)


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise BadInput(
            f"{name.partition('.')[0]} cannot be imported ({error}); install it with "
            'pip install "vigil-microscopy[generalists]"'
        ) from error
