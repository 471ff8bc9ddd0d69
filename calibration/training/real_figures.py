"""A model on the real images that its training has not seen, for its card."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.records import CellState
from calibration.datasets.records import Boxes, Entry, ImageSet, Sample
from calibration.metrics.confidence import calibration_error, dead_probability
from calibration.metrics.ranking import auroc
from calibration.models.analyst import Analyst
from calibration.models.figures import Row
from calibration.models.images import call_figures, evaluate_images
from calibration.training.evaluation import predict
from calibration.training.images import from_image, open_images
from calibration.training.losses import object_logits
from calibration.training.recipe import Contrast, Images, Recipe
from configs.schema import Inference
from inference.cards import Metrics, load_card, load_model
from inference.engines.padding import padded_shape
from inference.nets.graph import build_graph

FOLD = "fold-{}"
MODEL = "model"
_BRIGHT_PERCENTILE = 98


def fold_figures(recipe: Recipe, run: Path) -> tuple[Metrics, ...]:
    """Gather what the trainings without a part of the images say of that part.

    Raises
    ------
    BadModel
        If one of them has not been done.
    """
    rows = [
        row.model_copy(update={"data": f"{row.data}; fold {fold} of {recipe.folds}"})
        for fold in range(1, recipe.folds + 1)
        for row in load_card(run / FOLD.format(fold) / MODEL).real
    ]
    return tuple(sorted(rows, key=lambda row: row.data))


def measure_held_out(recipe: Recipe, folder: Path) -> tuple[Metrics, ...]:
    """Measure a model that has been written on the images that are held out.

    An image with a mask has a row of its own, with the classical engine beside it; the
    images with boxes of a set have one row.
    """
    rows: list[Metrics] = []
    for images in recipe.images:
        samples = [*open_images(images).held_out]
        masked = [one for one in samples if one.labels is not None]
        rows += [_mask_row(folder, one, images.smallest_um2) for one in masked]
        boxed = [one for one in samples if one.boxes is not None]
        if boxed:
            rows.append(_box_row(folder, boxed, images, recipe.fields.modality))
    return tuple(rows)


def _mask_row(folder: Path, sample: Sample, smallest_um2: float) -> Metrics:
    found, classical = (
        _evaluated(folder, [sample], engine, smallest_um2)[0]
        for engine in ("torch", "classical")
    )
    return Metrics(
        data=f"{sample.name} of {sample.source}; the state of its cells is unknown; "
        f"objects below {smallest_um2:g} um2 left out",
        fields=1,
        objects_live=0,
        objects_dead=0,
        objects_untold=found["n_objects"],
        instance_f1_50=found["instance_f1_50"],
        classical_f1_50=classical["instance_f1_50"],
    )


def _box_row(
    folder: Path, samples: Sequence[Sample], images: Images, modality: Contrast
) -> Metrics:
    """Give the figures of all boxes of some images.

    ``auroc_dead`` and ``ece`` are of the mean logit in the ellipses of all boxes,
    whether they were found or not.
    """
    rows = _evaluated(folder, samples, "torch", images.smallest_um2)
    calls = call_figures(rows)
    logit, number, dead = _box_scores(folder, samples, modality)
    card = load_card(folder)
    probability = dead_probability(logit, card.temperature, card.dead_offset)
    by_number = auroc(number, dead)
    return Metrics(
        data=f"groups {', '.join(images.held_out)} of {images.source}; boxes against "
        f"boxes; balanced accuracy of the {calls['n_called']} that were found",
        fields=len(samples),
        objects_live=int((~dead).sum()),
        objects_dead=int(dead.sum()),
        instance_f1_50=_pooled_f1(rows),
        auroc_dead=auroc(logit, dead),
        ece=calibration_error(probability, dead),
        balanced_accuracy=calls["balanced_accuracy"],
        one_number_auroc=None if by_number is None else max(by_number, 1 - by_number),
    )


def _evaluated(
    folder: Path, samples: Sequence[Sample], engine: str, smallest_um2: float
) -> list[Row]:
    """Give the row of every image by the path of ``vigil evaluate``."""
    settings = Inference.model_validate(
        {"model": str(folder), "engine": engine, "min_area_um2": smallest_um2}
    )
    images = ImageSet(
        tuple(Entry(one.name, one.group, partial(_same, one)) for one in samples)
    )
    with Analyst(settings) as analyst:
        return evaluate_images(analyst, images, lambda *_: None)


def _same(sample: Sample) -> Sample:
    return sample


def _pooled_f1(rows: Sequence[Row]) -> float | None:
    """Give the F1 of all objects of some images, from that of every image."""
    # F1 = 2 TP / (true + found), so that the weights are true + found.
    sizes = np.array([row["n_objects"] + row["n_found"] for row in rows], np.float64)
    values = np.array([row["instance_f1_50"] or 0.0 for row in rows])
    return float((values * sizes).sum() / sizes.sum()) if sizes.sum() else None


def _box_scores(
    folder: Path, samples: Sequence[Sample], modality: Contrast
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Give of every box the mean logit, the one number, and whether it is dead."""
    model = load_model(str(folder))
    network = build_graph(model.card, model.weights).network
    logits, numbers, dead = [], [], []
    for sample in samples:
        boxes = sample.boxes
        if boxes is None or not len(boxes.box_px):
            continue
        field = from_image(sample, model.card.um_per_px, modality)
        height, width = field.labels.shape
        tall, wide = padded_shape((height, width))
        around = ((0, tall - height), (0, wide - width))
        phase = np.pad(field.phase, around, "symmetric")
        planes = predict(network, phase, model.card.normalisation)[:, :height, :width]
        objects = torch.from_numpy(field.labels.astype(np.int64))
        count = len(boxes.box_px)  # the label after these is what is ignored
        margin = planes[CellState.DEAD] - planes[CellState.LIVE]
        means, _ = object_logits(margin, objects, count + 1)
        logits.append(means.numpy()[:count].astype(np.float64))
        numbers.append(brightness(sample, boxes))
        dead.append(boxes.state == CellState.DEAD)
    return np.concatenate(logits), np.concatenate(numbers), np.concatenate(dead)


def brightness(sample: Sample, boxes: Boxes) -> NDArray[np.float64]:
    """Give the one number (box,): how far the bright pixels of a box stand out."""
    image = sample.image.astype(np.float64)
    median = np.median(image)
    corners = np.rint(boxes.box_px).astype(int).clip(0).tolist()
    return np.array(
        [
            np.percentile(image[top:bottom, left:right], _BRIGHT_PERCENTILE) - median
            for top, left, bottom, right in corners
        ]
    )
