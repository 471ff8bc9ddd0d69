"""Loader of LIVECell: phase contrast of eight cell lines, outlines as COCO polygons."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadImages
from calibration.datasets.reading import read_grey, read_json
from calibration.datasets.records import Entry, ImageSet, Sample
from inference.cells import MOST_LABELS

EXCLUDED = (
    "A172_Phase_A7_1_01d04h00m_3",
    "A172_Phase_D7_1_01d20h00m_1",
    "BT474_Phase_B3_1_03d00h00m_3",
    "BV2_Phase_C4_1_01d16h00m_3",
    "BV2_Phase_D4_1_00d12h00m_2",
    "Huh7_Phase_A11_1_00d04h00m_3",
    "Huh7_Phase_A11_1_00d04h00m_4",
    "SHSY5Y_Phase_D10_1_01d16h00m_4",
)
"""Images that the brightfield paper leaves out as damaged."""
NAME = re.compile(r"^(?P<line>[^_]+)_Phase_(?P<well>[A-H]\d+)_")
SOURCE = "LIVECell (Edlund et al. 2021)"
LICENCE = "CC BY-NC 4.0"
_FARTHEST_PX = 1e6


def load_livecell(
    annotations: Path, images: Path, pixel_size_um: float | None = None
) -> ImageSet:
    """Load the images that a COCO file names; line and well are the group.

    Parameters
    ----------
    annotations
        ``livecell_coco_*.json``.
    images
        Folder with the images, at any depth.
    pixel_size_um
        Of all images; the files do not say.

    Raises
    ------
    BadImages
        If the file is no COCO file, or names an image that is not there.
    """
    found = read_json(annotations)
    try:
        listed = [(int(one["id"]), str(one["file_name"])) for one in found["images"]]
        outlines = _by_image(found["annotations"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadImages(
            f"{annotations}: no COCO file of images and annotations: {error!r}"
        ) from error
    where = {path.name: path for path in images.rglob("*.*")}
    entries = []
    for number, file_name in listed:
        name = Path(file_name).stem
        if name in EXCLUDED:
            continue
        path = where.get(Path(file_name).name)
        if path is None:
            raise BadImages(f"{annotations}: {file_name} is not below {images}")
        named = NAME.match(name)
        group = f"{named['line']}_{named['well']}" if named else name
        polygons = outlines.get(number, [])
        read = partial(_read, path, group, polygons, annotations, pixel_size_um)
        entries.append(Entry(name, group, read))
    return ImageSet(tuple(entries))


def _by_image(found: Any) -> dict[int, list[Mapping[str, Any]]]:
    """Sort annotations, a list or (in some releases) by id, to their images."""
    outlines: dict[int, list[Mapping[str, Any]]] = {}
    for one in found.values() if isinstance(found, dict) else found:
        outlines.setdefault(int(one["image_id"]), []).append(one)
    return outlines


def _read(
    path: Path,
    group: str,
    outlines: Sequence[Mapping[str, Any]],
    annotations: Path,
    pixel_size_um: float | None,
) -> Sample:
    image = read_grey(path)
    try:
        polygons = [_polygons(one) for one in outlines]
    except (KeyError, TypeError, ValueError) as error:
        raise BadImages(
            f"{annotations}: an outline of {path.name} is no list of polygons x, y, ..."
            f" ({error}); compressed masks are not read"
        ) from error
    return Sample(
        name=path.stem,
        image=image,
        group=group,
        source=SOURCE,
        licence=LICENCE,
        labels=fill_polygons(polygons, (image.shape[0], image.shape[1])),
        pixel_size_um=pixel_size_um,
    )


def _polygons(outline: Mapping[str, Any]) -> list[NDArray[np.int32]]:
    parts = outline["segmentation"]
    if not isinstance(parts, list):
        raise TypeError(f"segmentation of type {type(parts).__name__}")
    corners = [np.asarray(part, np.float64).reshape(-1, 2) for part in parts]
    if not all((np.abs(part) < _FARTHEST_PX).all() for part in corners):
        raise ValueError("corners that are no numbers, or far outside")
    return [np.rint(part).astype(np.int32) for part in corners if len(part) > 2]


def fill_polygons(
    cells: Sequence[Sequence[NDArray[np.int32]]], shape: tuple[int, int]
) -> NDArray[np.uint16]:
    """Draw cells (their polygons (corner, xy)), numbered from 1, into a label map.

    Where cells overlap the smaller one lies on top, so that none is lost below. A cell
    without a polygon has no pixel; its number stays unused.
    """
    if len(cells) > MOST_LABELS:
        raise BadImages(f"{len(cells)} cells in one image, 16 bits hold {MOST_LABELS}")
    areas = [sum(cv2.contourArea(part) for part in cell) for cell in cells]
    canvas = np.zeros(shape, np.uint16)
    for number in np.argsort(-np.array(areas), kind="stable").tolist():
        if cells[number]:
            cv2.fillPoly(canvas, list(cells[number]), number + 1)
    return canvas
