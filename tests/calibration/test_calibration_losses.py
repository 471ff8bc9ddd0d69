"""Losses have the values of their equations, and slopes that lead the right way."""

from typing import get_args

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from calibration.training.losses import Targets, loss_parts
from calibration.training.pixel_losses import (
    boundary,
    cell_logit,
    cross_entropy,
    dice,
    dice_binary,
    focal,
    focal_binary,
    focal_dice_boundary,
    focal_tversky,
    hybrid,
    jaccard,
    pixel_loss,
    squared_distance,
    weighted_dice,
)
from calibration.training.recipe import Losses, PixelLoss, load_recipe

SHARES = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]], dtype=torch.float64)
LOGITS = SHARES.log().T.reshape(1, 3, 1, 2)  # two pixels
CLASSES = torch.tensor([[[0, 1]]])
P = torch.tensor([[[0.8, 0.4, 0.1]]], dtype=torch.float64)
CELL = torch.logit(P)
TRUTH = torch.tensor([[[1.0, 1.0, 0.0]]], dtype=torch.float64)

OF_CLASSES = {
    cross_entropy: -(np.log(0.7) + np.log(0.5)) / 2,
    jaccard: 1 - (1.7 / 2.2 + 1.5 / 2.2 + 1.0 / 1.4) / 3,
    focal: -(0.3**2 * np.log2(0.7) + 0.5**2 * np.log2(0.5)) / 2,
    dice: 1 - (1.4 / 1.9 + 1.0 / 1.7 + 0.0) / 3,
}
DICE = 1 - 2.4 / 3.3
ENTROPY = -(np.log(0.8) + np.log(0.4) + np.log(0.9)) / 3
HEAVY = -(10 * np.log(0.8) + 10 * np.log(0.4) + np.log(0.9)) / 3
FOCAL = (
    -(0.25 * 0.2**2 * np.log(0.8) + 0.25 * 0.6**2 * np.log(0.4)) / 3
    - 0.75 * 0.1**2 * np.log(0.9) / 3
)
BOUNDARY = (0.4 + abs(0.1 - -1.0) + abs(0.3 - 1.0)) / 3  # the rim repeats outwards
OF_CELLS = {
    focal_binary: FOCAL,
    dice_binary: DICE,
    boundary: BOUNDARY,
    focal_dice_boundary: 0.3 * FOCAL + 0.6 * DICE + 0.1 * BOUNDARY,
    weighted_dice: HEAVY + DICE,
    focal_tversky: (1 - 2.2 / (1.2 + 0.7 * 0.8 + 0.3 * 0.1 + 1)) ** 0.75,
    hybrid: 0.5 * ENTROPY + 0.5 * DICE,
}


@pytest.mark.parametrize("loss", OF_CLASSES, ids=lambda loss: loss.__name__)
def test_losses_of_classes_by_hand(loss) -> None:
    """Two pixels of three classes give the value of the equation."""
    assert loss(LOGITS, CLASSES).item() == pytest.approx(OF_CLASSES[loss])


@pytest.mark.parametrize("loss", OF_CELLS, ids=lambda loss: loss.__name__)
def test_losses_of_cells_by_hand(loss) -> None:
    """Three pixels against background give the value of the equation."""
    assert loss(CELL, TRUTH).item() == pytest.approx(OF_CELLS[loss], rel=1e-5)


@pytest.mark.parametrize("loss", OF_CLASSES, ids=lambda loss: loss.__name__)
def test_slopes_of_losses_of_classes(loss) -> None:
    """Slopes are those of small steps, and a step down them lowers the loss."""
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, generator=rng, dtype=torch.float64)
    classes = torch.randint(0, 3, (2, 4, 5), generator=rng)
    logits.requires_grad_(True)

    assert torch.autograd.gradcheck(lambda given: loss(given, classes), logits)
    assert _one_step_down(loss, logits, classes) < loss(logits, classes)


@pytest.mark.parametrize("loss", OF_CELLS, ids=lambda loss: loss.__name__)
def test_slopes_of_losses_of_cells(loss) -> None:
    """Slopes are those of small steps, and a step down them lowers the loss."""
    rng = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 4, 5, generator=rng, dtype=torch.float64)
    truth = torch.randint(0, 2, (2, 4, 5), generator=rng).double()
    logits.requires_grad_(True)

    assert torch.autograd.gradcheck(lambda given: loss(given, truth), logits)
    assert _one_step_down(loss, logits, truth) < loss(logits, truth)


def _one_step_down(loss, logits, truth):
    (slope,) = torch.autograd.grad(loss(logits, truth), logits)
    return loss(logits - 0.05 * slope / slope.norm(), truth)


@pytest.mark.parametrize("loss", OF_CELLS, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("size", [1e3, -1e3])
def test_extreme_logits_stay_finite(loss, size) -> None:
    """A network that is certain, rightly or wrongly, breaks no step."""
    logits = torch.full((1, 3, 3), size, requires_grad=True)
    truth = torch.ones(1, 3, 3)

    value = loss(logits, truth)
    value.backward()

    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_dice_equals_that_of_another_code() -> None:
    """The soft counts over the batch are those of MONAI."""
    rng = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 8, 8, generator=rng)
    classes = torch.randint(0, 3, (2, 8, 8), generator=rng)

    other = DiceLoss(
        to_onehot_y=True, softmax=True, batch=True, smooth_nr=0.0, smooth_dr=0.0
    )

    assert dice(logits, classes).item() == pytest.approx(
        other(logits, classes[:, None]).item(), rel=1e-5
    )


def test_distance_of_places() -> None:
    """The mean squared distance counts a place once, not each coordinate."""
    found = torch.tensor([[3.0, 4.0], [0.0, 0.0]])

    assert squared_distance(found, torch.zeros(2, 2)).item() == 12.5


def test_cell_logit_is_that_of_both_classes() -> None:
    """A cell of any class is as likely as live and dead together."""
    likely = torch.sigmoid(cell_logit(LOGITS))

    torch.testing.assert_close(likely, (1 - SHARES[:, 0]).reshape(1, 1, 2))


@pytest.mark.parametrize("name", get_args(PixelLoss))
def test_every_name_of_the_recipe_is_a_loss(name) -> None:
    """Each name gives a positive loss; plain cross-entropy alone takes the weights."""
    even, uneven = torch.ones(3).double(), torch.tensor([0.1, 1.0, 5.0]).double()
    losses = [pixel_loss(name, LOGITS, CLASSES, weights) for weights in (even, uneven)]

    assert losses[0] > 0
    assert torch.equal(*losses) == (name != "cross_entropy")


def test_recipe_chooses_the_loss(tmp_path) -> None:
    """A recipe's name reaches the loss; without one it is cross-entropy as before."""
    path = tmp_path / "recipe.toml"
    path.write_text('[losses]\npixels = "focal_dice"\n')
    blank = torch.zeros(1, 1, 2)
    targets = Targets(CLASSES, blank, blank.long(), torch.zeros(0))
    planes = torch.cat([LOGITS, torch.zeros(1, 1, 1, 2)], dim=1)

    parts = loss_parts(planes, targets, load_recipe(path).losses)

    expected = OF_CLASSES[focal] + OF_CLASSES[dice]
    assert parts.classes.item() == pytest.approx(expected, rel=1e-5)
    assert Losses().pixels == "cross_entropy"
