"""How good a network is on held-out fields: per cell on true masks, and end to end."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from acquisition.records import CellState
from calibration.metrics.objects import object_f1, tabulate_calls
from calibration.metrics.ranking import auroc
from calibration.training.devices import PROCESSOR, Device
from calibration.training.fields import TrainingField, object_classes
from calibration.training.losses import class_loss, object_logits
from calibration.training.recipe import Losses
from inference.cards import Normalisation

_MIN_OBJECT_PX = 100


@dataclass(frozen=True, slots=True)
class ObjectScores:
    """The network's opinion of whole cells, on their true masks."""

    logit: NDArray[np.float64]  # (object,) mean logit (dead - live)
    dead: NDArray[np.bool_]  # (object,)
    foreground_iou: float  # of cell against background, over all fields
    pixel_loss: float | None = None  # mean over the fields, where it was asked for


@dataclass(frozen=True, slots=True)
class ObjectMetrics:
    """Figures of one evaluation."""

    auroc_dead: float
    f1_live: float
    f1_dead: float
    foreground_iou: float
    objects_live: int
    objects_dead: int
    pixel_loss_validation: float | None
    pixel_f1_validation: float  # of cell against background

    @property
    def mean_f1(self) -> float:
        """What the training tries to raise."""
        return 0.5 * (self.f1_live + self.f1_dead)


def score_objects(
    network: nn.Module,
    fields: list[TrainingField],
    normalisation: Normalisation,
    device: Device = PROCESSOR,
    losses: Losses | None = None,
) -> ObjectScores:
    """Run the network on whole fields and gather the logits of their cells.

    With ``losses`` the loss on their pixels is told, too.
    """
    logits: list[NDArray[np.float64]] = []
    pixel_losses: list[float] = []
    dead: list[NDArray[np.bool_]] = []
    common_px = either_px = 0
    for field in fields:
        planes = predict(network, field.phase, normalisation, device)
        margin = planes[CellState.DEAD] - planes[CellState.LIVE]
        labels = torch.from_numpy(field.labels.astype(np.int64))
        means, pixels = object_logits(margin, labels, len(field.states) - 1)
        kept = pixels.numpy() >= _MIN_OBJECT_PX
        logits.append(means.numpy()[kept].astype(np.float64))
        dead.append(field.states[1:][kept] == CellState.DEAD)
        found = (planes[1:3].amax(dim=0) > planes[0]).numpy()
        classes = object_classes(field)
        cell = classes > 0
        if losses is not None:
            truth = torch.from_numpy(classes.astype(np.int64))[None]
            pixel_losses.append(float(class_loss(planes[None, :3], truth, losses)))
        common_px += int(np.count_nonzero(found & cell))
        either_px += int(np.count_nonzero(found | cell))
    return ObjectScores(
        np.concatenate(logits),
        np.concatenate(dead),
        common_px / max(either_px, 1),
        sum(pixel_losses) / len(pixel_losses) if pixel_losses else None,
    )


def predict(
    network: nn.Module,
    phase: NDArray[np.uint16],
    normalisation: Normalisation,
    device: Device = PROCESSOR,
) -> torch.Tensor:
    """Give the planes ``(4, y, x)`` of a field, float32."""
    image = (phase.astype(np.float32) - normalisation.offset) * normalisation.scale
    batch = torch.from_numpy(image.astype(np.float32))[None, None].to(device.kind)
    with torch.inference_mode(), device.autocast():
        planes: torch.Tensor = network(batch)[0].float().cpu()
    return planes


def object_metrics(scores: ObjectScores) -> ObjectMetrics:
    """Give the figures of a set of cells; a cell is called dead above logit 0."""
    table = tabulate_calls(scores.logit > 0, scores.dead)
    return ObjectMetrics(
        auroc_dead=auroc(scores.logit, scores.dead) or 0.0,
        f1_live=object_f1(table, CellState.LIVE) or 0.0,
        f1_dead=object_f1(table, CellState.DEAD) or 0.0,
        foreground_iou=scores.foreground_iou,
        objects_live=int(np.count_nonzero(~scores.dead)),
        objects_dead=int(np.count_nonzero(scores.dead)),
        pixel_loss_validation=scores.pixel_loss,
        pixel_f1_validation=2 * scores.foreground_iou / (1 + scores.foreground_iou),
    )
