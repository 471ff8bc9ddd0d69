"""Loader of the irradiation set: one folder a tile and time, nuclei by their dyes.

``f0_t0_i<time>_ch0_c<col>_r<row>_z0/images/*_mSLIM.png`` with ``masks/*DAPI.png`` (all
nuclei) and ``masks/*Prot.png`` (dead ones).
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadImages
from acquisition.records import CellState
from calibration.datasets.reading import check_sizes, one_of, part_mask, read_grey
from calibration.datasets.records import NOT_STATED, Entry, ImageSet, Sample

FOLDER = re.compile(
    r"^f\d+_t\d+_i(?P<time>\d+)_ch\d+_c(?P<col>\d+)_r(?P<row>\d+)_z\d+$"
)
SUFFIX = "_mSLIM.png"
SOURCE = "SLIM images of irradiated CHO cells with nuclear dyes"


def load_saut(root: Path, pixel_size_um: float | None = None) -> ImageSet:
    """Load the folders of tiles below a folder; the tile over all times is the group.

    Raises
    ------
    BadImages
        If there is no such folder, or (when read) an image lacks one of its masks.
    """
    folders = [path for path in root.rglob("f*_z*") if FOLDER.match(path.name)]
    entries = []
    for folder in sorted(folders, key=_order):
        named = FOLDER.match(folder.name)
        assert named is not None
        group = f"c{named['col']}_r{named['row']}"
        for image in sorted((folder / "images").glob(f"*{SUFFIX}")):
            name = f"{folder.name}/{image.name.removesuffix(SUFFIX)}"
            read = partial(_read, image, name, group, pixel_size_um)
            entries.append(Entry(name, group, read))
    if not entries:
        raise BadImages(
            f"{root}: no folder f0_t0_i<time>_ch0_c<col>_r<row>_z0 with "
            f"images/*{SUFFIX} below it"
        )
    return ImageSet(tuple(entries))


def _order(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.name)]


def _read(image: Path, name: str, group: str, pixel_size_um: float | None) -> Sample:
    masks = image.parent.parent / "masks"
    start = image.name.removesuffix(SUFFIX)
    alone = len(list(image.parent.glob(f"*{SUFFIX}"))) == 1
    planes = []
    for dye in ("DAPI", "Prot"):
        files = list(masks.glob(f"*{dye}.png"))
        if not alone:
            files = [path for path in files if path.name.startswith(f"{start}_")]
        path = one_of(files, f"{masks}/{start}*{dye}.png")
        planes.append(read_grey(path) > 0)  # any pixel above 0 is nucleus
    pixels = read_grey(image)
    for plane in planes:
        check_sizes(pixels, plane, masks)
    classes = np.where(planes[0], CellState.LIVE, CellState.BACKGROUND)
    classes = np.where(planes[1], CellState.DEAD, classes).astype(np.uint8)
    labels = part_mask(classes > 0)
    return Sample(
        name=name,
        image=pixels,
        group=group,
        source=SOURCE,
        licence=NOT_STATED,
        labels=labels,
        states=commonest_state(labels, classes),
        classes=classes,
        pixel_size_um=pixel_size_um,
    )


def commonest_state(
    labels: NDArray[np.uint16], classes: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Give the state of every label by its pixels; a draw counts as dead."""
    size = int(labels.max(initial=0)) + 1
    live, dead = (
        np.bincount(labels[classes == state], minlength=size)
        for state in (CellState.LIVE, CellState.DEAD)
    )
    states = np.where(dead >= live, CellState.DEAD, CellState.LIVE).astype(np.uint8)
    states[live + dead == 0] = CellState.BACKGROUND
    return states
