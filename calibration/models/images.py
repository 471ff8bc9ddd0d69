"""Models on images of others: masks or boxes, one row an image.

Real images have no phase steps: a file of floating-point numbers is phase in rad for a
model of SLIM, every other image is a single shot.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from acquisition.errors import BadImages
from acquisition.records import (
    PHASE_RAD_PER_COUNT,
    PHASE_ZERO_COUNT,
    Cells,
    CellState,
    Modality,
)
from calibration.datasets.records import Boxes, ImageSet, Sample
from calibration.metrics.instances import CLOSE_IOU, InstanceCounts, count_instances
from calibration.metrics.objects import balanced_accuracy
from calibration.metrics.overlaps import SAME_OBJECT_IOU
from calibration.metrics.ranking import auroc
from calibration.models.analyst import Analyst, Labels
from calibration.models.figures import Row
from calibration.models.worlds import Tell
from calibration.shots import frame_of
from configs.schema import Stand

FULL_16 = 65_535


@dataclasses.dataclass(frozen=True, slots=True)
class BoxCalls:
    """What was said of the true boxes that were found."""

    probability: NDArray[np.float64]  # (box,) of being dead
    dead: NDArray[np.bool_]  # (box,)


def evaluate_images(analyst: Analyst, images: ImageSet, tell: Tell) -> list[Row]:
    """Give a row for every image; boxes are compared with the boxes that were found.

    Raises
    ------
    BadImages
        If an image has neither mask nor boxes, or no pixel size.
    BadModel
        If the pixel size does not suit the model.
    """
    rows = []
    for number, sample in enumerate(images):
        found = find_cells_in(analyst, sample)
        row: Row = {"name": sample.name}
        if sample.labels is not None:
            row |= instance_row(count_instances(sample.labels, found[0]))
        elif sample.boxes is not None:
            row |= compare_boxes(sample.boxes, found[1])
        else:
            raise BadImages(f"{sample.name}: neither mask nor boxes beside the image")
        row |= {"source": sample.source, "licence": sample.licence}
        rows.append(row)
        tell("images", (number + 1) / len(images))
    return rows


def find_cells_in(analyst: Analyst, sample: Sample) -> tuple[Labels, Cells]:
    """Give label map and cells of an image.

    Raises
    ------
    BadImages
        If the pixel size is not known: it is never guessed.
    """
    um = pixel_size_of(sample)
    if sample.image.dtype == np.float32 and "slim" in analyst.card.modalities:
        return analyst.find_in_phase(coded_phase(sample.image), um)
    shot = frame_of(counts(sample.image)[None], single_shot(analyst), um)
    return analyst.find(shot, Stand())


def pixel_size_of(sample: Sample) -> float:
    """Give the pixel size of an image, which is never guessed.

    Raises
    ------
    BadImages
        If it is not known.
    """
    if sample.pixel_size_um is None:
        raise BadImages(
            f"{sample.name}: the file does not say its pixel size; give it with "
            "--pixel-size UM"
        )
    return sample.pixel_size_um


def single_shot(analyst: Analyst) -> Modality:
    """Give what a single image is taken for: what the model sees, never four steps."""
    others = [one for one in analyst.card.modalities if one != "slim"]
    return others[0] if others else "phase_contrast"


def coded_phase(phase_rad: NDArray[np.generic]) -> NDArray[np.uint16]:
    """Give phase in rad as counts, as it is stored and fed to networks."""
    coded = phase_rad.astype(np.float64) / PHASE_RAD_PER_COUNT + PHASE_ZERO_COUNT
    return np.rint(coded.clip(0, FULL_16)).astype(np.uint16)


def counts(image: NDArray[np.generic]) -> NDArray[np.uint16]:
    """Give an image of any type as 16-bit counts; numbers with a point are stretched.

    The grey level that a network sees does not depend on the stretch.
    """
    if image.dtype.kind == "u":
        return image.astype(np.uint16)
    grey = image.astype(np.float64)
    low, high = float(grey.min()), float(grey.max())
    stretched = (grey - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.rint(stretched * FULL_16).astype(np.uint16)


def instance_row(found: InstanceCounts) -> Row:
    """Give the figures of an image with a mask."""
    return {
        "instance_f1_50": found.f1_50,
        "instance_f1_75": found.f1_75,
        "iou_foreground": found.iou_foreground,
        "n_objects": found.true,
        "n_found": found.found,
    }


def compare_boxes(true: Boxes, cells: Cells) -> Row:
    """Compare boxes; what a box holds besides its cell is not known, so no IoU of it.

    ``auroc_dead`` and ``balanced_accuracy`` are of the boxes that were found.
    """
    iou = box_iou(true.box_px, cells.box_px.astype(np.float64))
    first, second = linear_sum_assignment(iou, maximize=True)
    paired = iou[first, second]
    hit = paired >= SAME_OBJECT_IOU
    table = InstanceCounts(
        true=len(true.box_px),
        found=len(cells.box_px),
        matched=int(hit.sum()),
        matched_closely=int((paired >= CLOSE_IOU).sum()),
    )
    calls = BoxCalls(
        cells.dead_probability[second[hit]].astype(np.float64),
        true.state[first[hit]] == CellState.DEAD,
    )
    return {
        **instance_row(table),
        "iou_foreground": None,
        "n_live": int((true.state == CellState.LIVE).sum()),
        "n_dead": int((true.state == CellState.DEAD).sum()),
        "calls": calls,
    }


def box_iou(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the IoU (first, second) of boxes y0 x0 y1 x1."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    other = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (other - corner).clip(0).prod(axis=2)
    area = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return np.asarray(common / (area[0][:, None] + area[1][None] - common))


def call_figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Take the calls out of the rows and give the figures of all of them together."""
    calls = [row.pop("calls") for row in rows if "calls" in row]
    if not calls:
        return {}
    probability = np.concatenate([one.probability for one in calls])
    dead = np.concatenate([one.dead for one in calls])
    return {
        "auroc_dead": auroc(probability, dead),
        "balanced_accuracy": balanced_accuracy(probability > 0.5, dead),
        "n_called": int(dead.size),
    }
