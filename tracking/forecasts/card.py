"""Forecast networks at rest: a card, weights as safetensors, nothing that is code.

The folder of a model is like that of a segmentation model: ``card.json``,
``weights.safetensors``, ``NOTICE``; hashes tie them together, and a few golden inputs
with their outputs travel with the weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from inference.model_folder import (
    CardPart,
    Sha256,
    Shelf,
    label_of,
    pop_golden,
    read_card,
    read_weights,
    write_model,
)

FORECASTS = Shelf(
    "forecast network", Path(__file__).parents[1] / "weights", b'"kind": "forecast"'
)
"""The networks that correct the bank of walks."""
GOLDEN = ("golden.steps", "golden.known", "golden.ahead", "golden.out")


class ResidualShape(CardPart):
    """Arguments of :class:`tracking.forecasts.transformer.ResidualTransformer`."""

    kind: Literal["residual_transformer"] = "residual_transformer"
    width: int = Field(48, ge=8, le=256, multiple_of=8)
    layers: int = Field(2, ge=1, le=6)
    heads: Literal[1, 2, 4, 8] = 4


class ForecastTraining(CardPart):
    """Where the weights come from."""

    source: str
    seeds: tuple[tuple[int, int], ...]
    """Ranges ``(first, last)`` that were trained on."""
    held_out_seeds: tuple[tuple[int, int], ...]
    samples: int = Field(ge=1)
    steps: int = Field(ge=1)
    seed: int = Field(ge=0)


class ForecastFigures(CardPart):
    """One model in one regime, on held-out seeds."""

    regime: str
    model: str
    ade_um: float
    fde_um: float
    nll: float | None
    coverage_90: float | None
    skill_over_stay: float
    skill_over_bank: float


class ForecastCard(CardPart):
    """Everything about a forecast network but its numbers."""

    schema_version: Literal[1] = 1
    kind: Literal["forecast"] = "forecast"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    architecture: ResidualShape
    training: ForecastTraining
    simulated: tuple[ForecastFigures, ...]
    """The network, the bank and the baselines side by side."""
    real: tuple[ForecastFigures, ...]
    not_good_for: tuple[str, ...]
    licence: str
    weights_sha256: Sha256


@dataclass(frozen=True, slots=True)
class ForecastModel:
    """A checked model in memory."""

    card: ForecastCard
    weights: Mapping[str, NDArray[np.generic]]
    golden: tuple[NDArray[np.generic], ...]  # steps, known, ahead, out

    @property
    def label(self) -> str:
        """Name and short hash of card and weights."""
        return label_of(self.card.name, self.card)


def load_forecast(name_or_path: str) -> ForecastModel:
    """Read card and weights, and check that they belong together.

    Raises
    ------
    BadModel
        If there is none, or a file is missing, damaged or not ours.
    """
    folder = FORECASTS.find(name_or_path)
    card = read_card(folder, ForecastCard)
    tensors = read_weights(folder, card.weights_sha256)
    golden = pop_golden(tensors, GOLDEN, folder)
    return ForecastModel(card, tensors, tuple(golden[name] for name in GOLDEN))


def save_forecast(
    folder: Path,
    card: ForecastCard,
    weights: Mapping[str, NDArray[np.generic]],
    golden: tuple[NDArray[np.generic], ...],
    notice: str,
) -> ForecastCard:
    """Write a model; gives the card with its hash filled in."""
    return write_model(
        folder, card, {**weights, **dict(zip(GOLDEN, golden, strict=True))}, notice
    )
