"""Loader of plain folders: images with masks beside them, or with boxes.

``X_phase.tif``, ``X.tif`` or ``X.png`` with ``X_instances.tif`` or ``X_mask.png``; or
an ``annotations.json`` that gives boxes (class, x0, y0, x1, y1) by image. The live/dead
crops of brightfield come in the second form.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.errors import BadImages
from acquisition.imagefiles import SUFFIXES, describe_file
from calibration.datasets.reading import (
    check_sizes,
    part_mask,
    read_grey,
    read_json,
    read_labels,
    read_state,
)
from calibration.datasets.records import (
    NOT_STATED,
    Boxes,
    Entry,
    ImageSet,
    Sample,
)

ANNOTATIONS = "annotations.json"
MASK = re.compile(r"_(instances|mask)$")
LIVE_DEAD_SOURCE = "Cell-Dataset, brightfield crops of live and dead cells (Chukwudi)"


def load_folder(
    root: Path,
    pixel_size_um: float | None = None,
    source: str | None = None,
    licence: str = NOT_STATED,
) -> ImageSet:
    """Load a folder of images with masks or boxes.

    Parameters
    ----------
    root
        The folder.
    pixel_size_um
        Of all images; without it, what their files say.
    source, licence
        As a card names them; the name of the folder without.

    Raises
    ------
    BadImages
        If an image has neither mask nor boxes, or nothing is there at all.
    """
    named = Sample("", np.zeros((0, 0), np.uint8), "", source or root.name, licence)
    if not root.is_dir():
        raise BadImages(f"{root}: no such folder")
    if (root / ANNOTATIONS).is_file():
        return _load_boxes(root, named, pixel_size_um)
    files = [path for path in root.iterdir() if path.suffix.lower() in SUFFIXES]
    masks = {MASK.sub("", path.stem): path for path in files if MASK.search(path.stem)}
    images = {
        path.stem.removesuffix("_phase"): path
        for path in files
        if not MASK.search(path.stem)
    }
    alone = sorted(images.keys() ^ masks.keys())
    if alone or not images:
        raise BadImages(
            f"{root}: {', '.join(alone[:3]) or 'nothing'} without image or mask; "
            "wanted are X_phase.tif or X.png with X_instances.tif or X_mask.png, or "
            f"{ANNOTATIONS}"
        )
    return ImageSet(
        tuple(
            Entry(
                name,
                name,
                partial(_read, images[name], masks[name], named, pixel_size_um),
            )
            for name in sorted(images)
        )
    )


def load_live_dead(root: Path, pixel_size_um: float | None = None) -> ImageSet:
    """Load the live/dead crops: images with boxes, grouped as their author names them.

    Raises
    ------
    BadImages
        As `load_folder`.
    """
    return load_folder(root, pixel_size_um, LIVE_DEAD_SOURCE, "MIT")


def _read(path: Path, mask: Path, named: Sample, pixel_size_um: float | None) -> Sample:
    image, labels = read_grey(path), read_labels(mask)
    check_sizes(image, labels, mask)
    if mask.stem.endswith("_mask") and np.unique(labels[labels > 0]).size == 1:
        labels = part_mask(labels > 0)  # cells of one value are parted where apart
    name = MASK.sub("", mask.stem)
    return Sample(
        name,
        image,
        name,
        named.source,
        named.licence,
        labels,
        pixel_size_um=pixel_size_um or describe_size(path),
    )


def describe_size(path: Path) -> float | None:
    """Give the um/px that a file states, if any."""
    try:
        return describe_file(path).pixel_size_um
    except BadImages:  # floats are read here, but no camera gives them
        return None


def _load_boxes(root: Path, named: Sample, pixel_size_um: float | None) -> ImageSet:
    path = root / ANNOTATIONS
    found = read_json(path)
    if not isinstance(found, dict) or not found:
        raise BadImages(f"{path}: a table of boxes by image name is wanted")
    entries = []
    for name, facts in found.items():
        group = facts.get("group", name) if isinstance(facts, dict) else name
        read = partial(_read_boxes, root, name, facts, named, pixel_size_um)
        entries.append(Entry(name, str(group), read))
    return ImageSet(tuple(entries))


def _read_boxes(
    root: Path, name: str, facts: Any, named: Sample, pixel_size_um: float | None
) -> Sample:
    annotations = root / ANNOTATIONS
    rows: Any = facts.get("boxes") if isinstance(facts, dict) else facts
    try:
        corners = np.array([row[1:5] for row in rows], np.float64).reshape(-1, 4)
        states = [read_state(row[0], annotations) for row in rows]
    except (TypeError, ValueError, IndexError) as error:
        raise BadImages(
            f"{annotations}: {name}: boxes are rows of class, x0, y0, x1, y1 ({error})"
        ) from error
    if not (corners[:, 2:] > corners[:, :2]).all():  # nor what is not a number
        raise BadImages(f"{annotations}: {name}: a box without an area")
    path = next(
        (one for one in (root / name, root / "img" / name) if one.is_file()),
        root / name,
    )
    group = facts.get("group", name) if isinstance(facts, dict) else name
    return Sample(
        name=name,
        image=read_grey(path),
        group=str(group),
        source=named.source,
        licence=named.licence,
        boxes=Boxes(corners[:, [1, 0, 3, 2]], np.array(states, np.uint8)),
        pixel_size_um=pixel_size_um,
    )
