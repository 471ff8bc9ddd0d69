"""Real images in a training: what is read, what is drawn, what the loss makes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import SHAPE, TWO_CELLS, write_png, write_tiff
from pydantic import ValidationError
from torch.nn import functional

from acquisition.errors import BadImages
from acquisition.records import PHASE_ZERO_COUNT, CellState
from calibration.datasets.folders import load_folder
from calibration.datasets.records import Boxes
from calibration.training.batches import assemble, draw_crop
from calibration.training.export import NORMALISATION, notice
from calibration.training.folds import fold_recipes
from calibration.training.images import (
    ROOT_VARIABLE,
    RealImages,
    draw_boxes,
    from_image,
    load_images,
    open_images,
)
from calibration.training.losses import IGNORED, UNTOLD, class_loss
from calibration.training.recipe import Augmentation, Fields, Images, Losses, Recipe

CELLS = Images(
    folder="cells",
    source="a set of cells",
    licence="MIT",
    copyright="Copyright (c) 2001 Somebody",
    um_per_px=0.65,
    share=0.75,
)
RECIPE = Recipe(fields=Fields(modality="phase_contrast"), images=(CELLS,))


@pytest.fixture
def four_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write four images with masks into the folder of real images."""
    for name in "abcd":
        write_png(tmp_path / "cells" / f"{name}.png", (TWO_CELLS * 100).astype("u1"))
        write_tiff(tmp_path / "cells" / f"{name}_instances.tif", TWO_CELLS)
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    return tmp_path / "cells"


@pytest.mark.parametrize("licence", ["CC BY-NC 4.0", "GPL-3.0", "not stated", ""])
def test_only_permitted_licences_train(licence: str) -> None:
    """A recipe cannot name images whose licence does not let weights ship."""
    with pytest.raises(ValidationError, match="licence"):
        Images.model_validate(CELLS.model_dump() | {"licence": licence})


def test_a_missing_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the images a training does not begin; the message says what to set."""
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)

    with pytest.raises(BadImages, match=f"set {ROOT_VARIABLE} to the folder"):
        load_images(RECIPE)


def test_cells_of_a_mask_are_of_unknown_state(four_images: Path) -> None:
    """A mask says where cells are, and nothing of their state is made up."""
    sample = load_folder(four_images, 0.65)[0]

    field = from_image(sample, 0.65, "phase_contrast")

    assert (field.labels == TWO_CELLS).all()
    assert field.states.tolist() == [0, UNTOLD, UNTOLD]
    assert (field.phase[TWO_CELLS == 0] == PHASE_ZERO_COUNT).all()
    assert field.phase[15, 18] > field.phase[4, 4] > PHASE_ZERO_COUNT


def test_images_come_at_the_pixel_size_of_the_recipe(four_images: Path) -> None:
    """An image of another pixel size is resampled, its mask with it."""
    sample = load_folder(four_images, 0.65)[0]

    field = from_image(sample, 1.3, "phase_contrast")

    assert field.phase.shape == field.labels.shape == (SHAPE[0] // 2, SHAPE[1] // 2)
    assert np.unique(field.labels).tolist() == [0, 1, 2]


def test_boxes_become_ellipses_in_an_ignored_rim() -> None:
    """The ellipse of a box is its cell, what lies around it is not judged."""
    boxes = Boxes(np.array([[10.0, 10, 30, 50]]), np.array([CellState.DEAD], "u1"))

    labels, states = draw_boxes(boxes, 1.0, (64, 64))

    codes = states[labels]
    assert codes[20, 30] == CellState.DEAD
    assert codes[11, 11] == codes[8, 30] == IGNORED
    assert codes[4, 30] == codes[20, 60] == CellState.BACKGROUND
    assert (codes == CellState.DEAD).sum() == pytest.approx(np.pi * 10 * 20, rel=0.02)


def test_unknown_states_pull_to_neither_side() -> None:
    """On a cell of unknown state the loss asks for cell, whether live or dead."""
    logits = torch.tensor([0.3, 1.0, -0.5]).reshape(1, 3, 1, 1).requires_grad_()

    class_loss(logits, torch.full((1, 1, 1), UNTOLD), Losses()).backward()

    background, live, dead = logits.grad.flatten()  # type: ignore[union-attr]
    share = logits.detach().flatten()[1:].softmax(0)
    assert background > 0 > live
    assert torch.allclose(live / dead, share[0] / share[1])


def test_ignored_pixels_cost_nothing() -> None:
    """The loss of told pixels is that of the usual cross-entropy without the others."""
    logits = torch.randn(1, 3, 4, 4, generator=torch.manual_seed(1))
    classes = torch.randint(0, 3, (1, 4, 4), generator=torch.manual_seed(2))
    classes[0, 2:] = IGNORED
    weights = Losses()

    loss = class_loss(logits, classes, weights)

    told = functional.cross_entropy(
        logits[..., :2, :], classes[:, :2], torch.tensor(weights.classes)
    )
    assert torch.allclose(loss, told)


def test_cells_of_unknown_state_are_no_objects(four_images: Path) -> None:
    """The loss on whole cells never sees a cell whose state nobody knows."""
    field = from_image(load_folder(four_images, 0.65)[0], 0.3, "phase_contrast")
    settings = Augmentation(crop_px=64, variants="moved")
    crop = draw_crop(field, settings, NORMALISATION, np.random.default_rng(3))

    batch = assemble([crop], [field], (0,))

    assert batch.targets.dead.numel() == 0
    assert not batch.targets.objects.any()
    assert UNTOLD in batch.targets.classes


def test_images_are_drawn_by_their_share(four_images: Path) -> None:
    """Three quarters of the crops are real where the recipe says so."""
    images = load_images(RECIPE)
    rng = np.random.default_rng(1)

    drawn = [images.draw(rng) is not None for _ in range(2000)]

    assert np.mean(drawn) == pytest.approx(0.75, abs=0.03)
    assert RealImages((), ()).draw(rng) is None


def test_every_image_is_held_out_by_one_fold(four_images: Path) -> None:
    """The folds hold every image out once, and train on all others."""
    recipes = fold_recipes(RECIPE.model_copy(update={"folds": 2}))

    held_out = [name for one in recipes for name in one.images[0].held_out]
    assert sorted(held_out) == ["a", "b", "c", "d"]
    for one in recipes:
        parts = open_images(one.images[0])
        assert {*parts.train.groups} == {*"abcd"} - {*parts.held_out.groups}


def test_notices_travel_with_the_weights() -> None:
    """The notice of a model names the images, their licence and their copyright."""
    text = notice(RECIPE, Path())

    assert "a set of cells: MIT, Copyright (c) 2001 Somebody" in text
    assert "No recording of a real" not in text
    assert "No recording of a real" in notice(Recipe(), Path())
