"""The shipped weights that have seen real images: their cards, and the way to them."""

from pathlib import Path

import pytest

from app.evaluate import Trial, evaluate
from app.train import find_recipe
from calibration.training.recipe import load_recipe
from inference.cards import MODELS, load_model

NAMES = ("phase", "brightfield")


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_the_images_and_their_terms(name: str) -> None:
    """Who uses the weights learns which images went into them, and the notice stays."""
    recipe = load_recipe(find_recipe(name))
    model = load_model(name)
    text = (MODELS.find(name) / "NOTICE").read_text(encoding="utf-8")

    assert model.card.modalities == (recipe.fields.modality,)
    assert {*recipe.limits} <= {*model.card.not_good_for}
    for images in recipe.images:
        assert any(images.source in one for one in model.card.training.worlds)
        assert f"{images.licence}, {images.copyright}" in text


@pytest.mark.parametrize("name", NAMES)
def test_real_figures_are_of_images_that_were_held_out(name: str) -> None:
    """Every real figure of a card says what it was measured on, beside a yardstick."""
    card = load_model(name).card

    assert card.real
    for row in card.real:
        assert "fold" in row.data or "groups" in row.data
        assert row.classical_f1_50 is not None or row.one_number_auroc is not None


def test_phase_beats_the_classical_engine_on_every_field() -> None:
    """On each real field that a fold has not seen, the network is the better way."""
    rows = load_model("phase").card.real

    assert len(rows) == 8
    for row in rows:
        assert (row.instance_f1_50 or 0) > (row.classical_f1_50 or 1) + 0.25


def test_the_way_of_a_user_leads_to_the_figures(
    real_data: Path, tmp_path: Path
) -> None:
    """``vigil evaluate phase --images`` finds the cells of a real field."""
    for path in (real_data / "seg_phase_usiigaci").glob("train_set25_*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())

    result = evaluate("phase", Trial(images=tmp_path, pixel_size_um=0.87))

    assert result["images"][0]["instance_f1_50"] > 0.6
