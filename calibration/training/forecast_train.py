"""``vigil train forecast``: a forecast network from recipe to shipped folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from acquisition.errors import BadConfig
from calibration.benchmarks.forecast import bench_forecast
from calibration.training.forecast_learner import (
    ForecastRecipe,
    Samples,
    gather,
    learn,
)
from tracking.forecasts.card import (
    ForecastCard,
    ForecastFigures,
    ForecastTraining,
    save_forecast,
)
from tracking.forecasts.transformer import ResidualTransformer

HELD_OUT = 1
"""Runs of every regime that the figures of the card rest on: seed 1."""
GOLDEN_SAMPLES = 16
NOTICE = """Weights of a forecast network of vigil, trained on its simulated microscope
and on made-up walks only. BSD-3-Clause, as vigil.
"""
NOT_GOOD_FOR = (
    "dead cells: they are forecast to stay",
    "cells seen in fewer than three frames: nothing is shown of them",
    "real cells before it was scored on them: it serves only where it was better",
)

Tell = Callable[[str, int, int, float | None], bool]
"""Is told what is done, how far, of how many, and the loss; says whether to go on."""


@dataclass(frozen=True, slots=True)
class ForecastOutcome:
    """What became of a training."""

    state: str  # ended, interrupted
    steps: int
    model: Path | None


def train_forecast(recipe: ForecastRecipe, folder: Path, tell: Tell) -> ForecastOutcome:
    """Collect, train, write the model into ``folder/model``, and measure it.

    Raises
    ------
    BadConfig
        If the folder already holds a model.
    """
    model = folder / "model"
    if model.exists():
        raise BadConfig(str(folder), [f"{model} is there already; give --output"])
    samples = gather(recipe, lambda done, of: tell("cells", done, of, None))
    if samples is None:
        return ForecastOutcome("interrupted", 0, None)
    net = learn(
        recipe, samples, lambda done, of, loss: tell("training", done, of, loss)
    )
    if net is None:
        return ForecastOutcome("interrupted", 0, None)
    write_forecast(recipe, net, samples, model, ())
    tell("figures on held-out seeds", 0, 1, None)
    write_forecast(recipe, net, samples, model, measure(model))
    tell("figures on held-out seeds", 1, 1, None)
    return ForecastOutcome("ended", recipe.steps, model)


def measure(model: Path) -> tuple[ForecastFigures, ...]:
    """Give the figures of the network, the bank and the baselines, side by side."""
    table = bench_forecast(HELD_OUT, ("bank", "transformer"), weights=str(model))
    names = set(ForecastFigures.model_fields)
    return tuple(
        ForecastFigures(**{key: value for key, value in row.items() if key in names})
        for row in table["summary"]
    )


def write_forecast(
    recipe: ForecastRecipe,
    net: ResidualTransformer,
    samples: Samples,
    folder: Path,
    figures: tuple[ForecastFigures, ...],
) -> ForecastCard:
    """Write a network with its card and some golden samples."""
    count = recipe.populations + recipe.specimens
    last = recipe.first_seed + count - 1
    card = ForecastCard(
        name=recipe.name,
        architecture=recipe.architecture,
        training=ForecastTraining(
            source=(
                f"{recipe.populations} made-up populations and {recipe.specimens} runs "
                f"of the simulated specimen ({', '.join(recipe.worlds)})"
            ),
            seeds=((recipe.first_seed, last),),
            held_out_seeds=((1, HELD_OUT), (1000, 1000)),
            samples=len(samples.steps),
            steps=recipe.steps,
            seed=recipe.seed,
        ),
        simulated=figures,
        real=(),
        not_good_for=NOT_GOOD_FOR,
        licence="BSD-3-Clause",
        weights_sha256="0" * 64,
    )
    some = np.linspace(0, len(samples.steps) - 1, GOLDEN_SAMPLES).astype(np.int64)
    inputs = (samples.steps[some], samples.known[some], samples.ahead[some])
    with torch.inference_mode():
        out = net(*(torch.from_numpy(one) for one in inputs)).numpy()
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    return save_forecast(folder, card, weights, (*inputs, out), NOTICE)
