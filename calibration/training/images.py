"""Real images as training fields: the folders of a recipe, read and resized.

Masks are taken as they are. Nobody has said of their cells whether they live, so that
their class is `UNTOLD`. Of a box its inscribed ellipse is taken for the cell, with the
state of the box; the rest of the box, and a rim around it, is `IGNORED`, since nobody
has drawn where the cell ends.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadImages
from calibration.datasets.folders import load_folder
from calibration.datasets.records import Boxes, ImageSet, Sample
from calibration.models.images import counts as counts_of
from calibration.training.fields import (
    TrainingField,
    in_phase_counts,
    separation_target,
)
from calibration.training.losses import IGNORED, UNTOLD
from calibration.training.recipe import Contrast, Images, Recipe
from inference.pixels import network_shape, resample

ROOT_VARIABLE = "VIGIL_REAL_DATA"
"""Environment variable with the folder below which recipes name theirs."""
_RIM = 0.15
"""Of the sides of a box: what is ignored around it."""


@dataclass(frozen=True, slots=True)
class Divided:
    """The images of a set: what is trained on, and what only the test sees."""

    train: ImageSet
    held_out: ImageSet


def open_images(images: Images) -> Divided:
    """Find the images of a recipe; none is read yet.

    Raises
    ------
    BadImages
        If the folder is missing, holds other things, or lacks what is to be held out.
    """
    root = Path(os.environ.get(ROOT_VARIABLE, "")) / images.folder
    if not root.is_dir():
        raise BadImages(
            f"{root}: no such folder of real images; set {ROOT_VARIABLE} to the folder "
            f"that holds {images.folder}"
        )
    found = load_folder(root, images.um_per_px, images.source, images.licence)
    missing = sorted(set(images.held_out) - {*found.groups})
    if missing:
        raise BadImages(
            f"{root}: no images of the groups {', '.join(missing)} that are to be held "
            f"out; there are {', '.join(sorted({*found.groups}))}"
        )
    parts: tuple[list[int], list[int]] = ([], [])
    for row, group in enumerate(found.groups):
        parts[group in images.held_out].append(row)
    train, held_out = (
        ImageSet(tuple(found.entries[row] for row in part)) for part in parts
    )
    if not len(train):
        raise BadImages(f"{root}: every image is held out; none is left to train on")
    return Divided(train, held_out)


@dataclass(frozen=True, slots=True)
class RealImages:
    """The images of a recipe, and how often each set is drawn from."""

    sets: tuple[tuple[TrainingField, ...], ...]
    shares: tuple[float, ...]  # (set,) of the crops; the rest is simulated

    def draw(self, rng: np.random.Generator) -> TrainingField | None:
        """Draw an image; None is the turn of a simulated field."""
        if not self.sets:
            return None
        chosen = int(np.searchsorted(np.cumsum(self.shares), rng.random(), "right"))
        if chosen == len(self.sets):
            return None
        images = self.sets[chosen]
        return images[int(rng.integers(len(images)))]


def load_images(recipe: Recipe) -> RealImages:
    """Read the images that a recipe trains on.

    Raises
    ------
    BadImages
        If images are missing or cannot be read.
    BadModel
        If their pixel size is too far from that of the recipe.
    """
    um_per_px, modality = recipe.fields.pixel_um(), recipe.fields.modality
    return RealImages(
        sets=tuple(
            tuple(
                from_image(sample, um_per_px, modality)
                for sample in open_images(images).train
            )
            for images in recipe.images
        ),
        shares=tuple(images.share for images in recipe.images),
    )


def from_image(sample: Sample, um_per_px: float, modality: Contrast) -> TrainingField:
    """Bring an image to the pixel size of a recipe, as the live path shows it.

    Raises
    ------
    BadImages
        If nobody says where its cells are.
    BadModel
        If its pixel size is too far from that of the recipe.
    """
    if sample.pixel_size_um is None:
        raise BadImages(f"{sample.name}: its pixel size is not known")
    height, width = sample.image.shape
    grid = network_shape((height, width), sample.pixel_size_um, um_per_px)
    labels, states = _truth(sample, grid)
    seen = resample(counts_of(sample.image), grid)
    return TrainingField(
        phase=in_phase_counts(seen, modality),
        labels=labels,
        joined=labels,
        separation=separation_target(np.where(states[labels] == IGNORED, 0, labels)),
        states=states,
    )


def _truth(
    sample: Sample, grid: tuple[int, int]
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Give labels (y, x) on a grid, and the class code of every label."""
    size = (grid[1], grid[0])
    if sample.labels is not None:
        labels = cv2.resize(sample.labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        states = np.full(int(sample.labels.max(initial=0)) + 1, UNTOLD, np.uint8)
        if sample.states is not None:
            states[: len(sample.states)] = sample.states
        states[0] = 0
        return np.asarray(labels, np.uint16), states
    if sample.boxes is None:
        raise BadImages(f"{sample.name}: neither mask nor boxes beside the image")
    return draw_boxes(sample.boxes, grid[0] / sample.image.shape[0], grid)


def draw_boxes(
    boxes: Boxes, factor: float, grid: tuple[int, int]
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Give labels (y, x) of boxes that are enlarged by a factor, and class codes.

    Labels from 1 are the inscribed ellipses in the order of the boxes; the last label
    is what is ignored around them.
    """
    corners = boxes.box_px * factor
    rim = _RIM * (corners[:, 2:] - corners[:, :2])
    outer = np.concatenate([corners[:, :2] - rim, corners[:, 2:] + rim], axis=1)
    ignored = len(corners) + 1
    labels = np.zeros(grid, np.uint16)
    for top, left, bottom, right in np.rint(outer).astype(int).clip(0).tolist():
        labels[top:bottom, left:right] = ignored
    y, x = np.indices(grid) + 0.5
    for label, box in enumerate(corners, start=1):
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        away = ((y - middle[0]) / half[0]) ** 2 + ((x - middle[1]) / half[1]) ** 2
        labels[away <= 1] = label
    states = np.concatenate([[0], boxes.state, [IGNORED]]).astype(np.uint8)
    return labels, states
