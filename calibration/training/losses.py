"""The loss: classes of pixels, distance to the border, and whole cells.

The loss on whole cells is the binary cross-entropy of the mean logit (dead - live) of
each cell. It says what the product asks, every cell counts once whatever its size, and
it reaches the same result in about two thirds of the steps.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from acquisition.records import CellState
from calibration.training.pixel_losses import pixel_loss
from calibration.training.recipe import Losses

UNTOLD = 3
"""Class code of cells of which nobody says whether they live."""
IGNORED = 4
"""Class code of pixels of which nobody says whether they are cell."""

_SEPARATION_BETA = 0.1
"""Where the smooth L1 turns from a square to a line."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The truth of a batch."""

    classes: Tensor  # (B, H, W) int64 CellState codes, UNTOLD or IGNORED
    separation: Tensor  # (B, H, W) float, 0 at the border to 1 at the middle of a cell
    objects: Tensor  # (B, H, W) int64, 0 background, cells from 1 over the whole batch
    dead: Tensor  # (object,) float, 1 where cell ``index + 1`` is dead


@dataclass(frozen=True, slots=True)
class LossParts:
    """The parts of the loss of a batch, before their weights."""

    classes: Tensor
    separation: Tensor
    objects: Tensor

    def total(self, weights: Losses) -> Tensor:
        """Give the weighted sum."""
        return (
            self.classes
            + weights.separation * self.separation
            + weights.objects * self.objects
        )


def loss_parts(planes: Tensor, targets: Targets, weights: Losses) -> LossParts:
    """Compare the planes ``(B, 4, H, W)`` of the network with the truth."""
    # One split each: every slice would cost a plane of zeros on the way back.
    logits, separation = planes.float().split([3, 1], dim=1)
    _, live, dead = logits.unbind(dim=1)  # (B, H, W) each
    return LossParts(
        classes=class_loss(logits, targets.classes, weights),
        separation=separation_loss(separation[:, 0], targets),
        objects=object_loss(dead - live, targets, weights.min_object_px),
    )


def class_loss(logits: Tensor, classes: Tensor, weights: Losses) -> Tensor:
    """Compare the classes of pixels, in so far as they are told.

    Where only "cell" is told the likelihood is that of live and dead together, so that
    nothing pulls to either; ignored pixels weigh nothing. With neither among them it
    is the loss of the recipe; with them its cross-entropy.
    """
    class_weights = logits.new_tensor(weights.classes)
    if int(classes.max()) <= CellState.DEAD:
        return pixel_loss(weights.pixels, logits, classes, class_weights)
    log_p = functional.log_softmax(logits, dim=1)  # (B, 3, H, W)
    cell = log_p[:, CellState.LIVE :].logsumexp(dim=1, keepdim=True)
    told = torch.cat([log_p, cell, torch.zeros_like(cell)], dim=1)  # (B, 5, H, W)
    return functional.nll_loss(
        told,
        classes,
        torch.cat([class_weights, class_weights[[CellState.LIVE]], log_p.new_zeros(1)]),
    )


def separation_loss(separation: Tensor, targets: Targets) -> Tensor:
    """Compare the distances to the border ``(B, H, W)``, but for ignored pixels."""
    known = targets.classes != IGNORED
    if bool(known.all()):
        return functional.smooth_l1_loss(
            separation, targets.separation, beta=_SEPARATION_BETA
        )
    return functional.smooth_l1_loss(
        separation[known], targets.separation[known], beta=_SEPARATION_BETA
    )


def object_loss(margin: Tensor, targets: Targets, min_object_px: int) -> Tensor:
    """Give the binary cross-entropy of the mean logit of each cell.

    Pieces below ``min_object_px`` are left out; without any cell the loss is 0.
    """
    logits, pixels = object_logits(margin, targets.objects, len(targets.dead))
    whole = pixels >= min_object_px
    if not bool(whole.any()):
        return margin.sum() * 0.0
    return functional.binary_cross_entropy_with_logits(
        logits[whole], targets.dead[whole]
    )


def object_logits(margin: Tensor, objects: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Give the mean logit and the pixel count of cells 1 to ``count``."""
    index = objects.reshape(-1)
    sums = margin.new_zeros(count + 1).index_add(0, index, margin.reshape(-1))
    pixels = torch.bincount(index, minlength=count + 1)
    return sums[1:] / pixels[1:].clamp(min=1), pixels[1:]
