"""A forecast network is trained from a recipe, and stands among the models."""

from pathlib import Path

import pytest

from acquisition.errors import BadConfig
from app.train_forecast import is_forecast
from calibration.models.catalogue import list_models, show_model, verify_model
from calibration.training.forecast_learner import (
    ForecastRecipe,
    gather,
    learn,
)
from calibration.training.forecast_train import write_forecast
from calibration.training.recipe import read_recipe
from configs.schema import SHIPPED

SHIPPED_RECIPE = SHIPPED / "training" / "forecast.toml"
SMALL = ForecastRecipe(
    kind="forecast", name="small", populations=2, specimens=0, samples=60, steps=3
)


def test_a_recipe_gives_a_model_that_can_be_verified(tmp_path: Path) -> None:
    """Cells, training, card: twice the same bytes, and whole."""
    samples = gather(SMALL, lambda *_: True)
    assert samples is not None
    for name in ("one", "two"):
        net = learn(SMALL, samples, lambda *_: True)
        assert net is not None
        write_forecast(SMALL, net, samples, tmp_path / name, ())

    weights = [
        (tmp_path / n / "weights.safetensors").read_bytes() for n in ("one", "two")
    ]
    assert weights[0] == weights[1]
    assert verify_model(str(tmp_path / "one"))["whole"]


def test_training_can_be_stopped() -> None:
    """Told to stop, neither the cells nor the training go on."""
    samples = gather(SMALL, lambda *_: True)
    assert samples is not None

    assert gather(SMALL, lambda *_: False) is None
    assert learn(SMALL, samples, lambda *_: False) is None


def test_the_shipped_network_is_whole_and_says_what_it_is() -> None:
    """It is listed, described beside the bank, and gives its golden outputs."""
    rows = {row["name"]: row for row in list_models(())}

    assert rows["forecast"]["kind"] == "residual_transformer"
    assert verify_model("forecast")["whole"]
    text = show_model("forecast")["text"]
    assert "mixed, bank" in text
    assert "mixed, transformer" in text


def test_the_shipped_recipe_is_that_of_a_forecast(tmp_path: Path) -> None:
    """It is told from those of segmentation, and a wrong key is named."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(SHIPPED_RECIPE.read_text("utf-8") + "\ncolour = 3\n", "utf-8")

    assert is_forecast(SHIPPED_RECIPE)
    assert not is_forecast(SHIPPED / "training" / "slim.toml")
    assert read_recipe(SHIPPED_RECIPE, ForecastRecipe).steps == 2000
    with pytest.raises(BadConfig, match="colour"):
        read_recipe(wrong, ForecastRecipe)
