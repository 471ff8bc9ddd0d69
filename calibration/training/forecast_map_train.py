"""``vigil train forecast_maps``: a map forecast network from recipe to folder."""

from pathlib import Path

from acquisition.errors import BadConfig
from calibration.benchmarks.forecast_maps import bench_maps
from calibration.training.forecast_map_learner import (
    MapRecipe,
    gather_maps,
    learn_maps,
)
from calibration.training.forecast_train import ForecastOutcome, Tell
from tracking.forecasts.map_card import MapCard, MapFigures, save_map_model
from tracking.forecasts.map_transformer import MapTransformer

NOTICE = """Weights of a map forecast network of vigil, trained on its simulated
microscope only. BSD-3-Clause, as vigil.
"""


def train_maps(recipe: MapRecipe, folder: Path, tell: Tell) -> ForecastOutcome:
    """Map specimens, train, write the model into ``folder/model``, and measure it.

    Raises
    ------
    BadConfig
        If the folder already holds a model.
    """
    model = folder / "model"
    if model.exists():
        raise BadConfig(str(folder), [f"{model} is there already; give --output"])
    maps = gather_maps(recipe, lambda done, of: tell("specimens", done, of, None))
    if maps is None:
        return ForecastOutcome("interrupted", 0, None)
    net = learn_maps(
        recipe, maps, lambda done, of, loss: tell("training", done, of, loss)
    )
    if net is None:
        return ForecastOutcome("interrupted", 0, None)
    write_maps(recipe, net, model, ())
    tell("figures on held-out seeds", 0, 1, None)
    write_maps(recipe, net, model, measure_maps(model))
    tell("figures on held-out seeds", 1, 1, None)
    return ForecastOutcome("ended", recipe.steps, model)


def measure_maps(model: Path) -> tuple[MapFigures, ...]:
    """Give the figures of the network and of what it must beat, side by side."""
    names = set(MapFigures.model_fields)
    return tuple(
        MapFigures(**{key: value for key, value in row.items() if key in names})
        for row in bench_maps(model=model)["rows"]
    )


def write_maps(
    recipe: MapRecipe,
    net: MapTransformer,
    folder: Path,
    figures: tuple[MapFigures, ...],
) -> MapCard:
    """Write a network with its card."""
    card = MapCard(
        name=recipe.name,
        architecture=recipe.architecture,
        world=recipe.world,
        reduced=recipe.reduced,
        interval_s=recipe.interval_s,
        ahead_frames=recipe.ahead_frames,
        seeds=(recipe.first_seed, recipe.first_seed + recipe.courses - 1),
        steps=recipe.steps,
        seed=recipe.seed,
        figures=figures,
        licence="BSD-3-Clause",
        weights_sha256="0" * 64,
    )
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    return save_map_model(folder, card, weights, NOTICE)
