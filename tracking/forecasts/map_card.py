"""Networks that forecast maps, at rest: a card, and weights as safetensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inference.model_folder import (
    CardPart,
    Sha256,
    Shelf,
    label_of,
    read_card,
    read_weights,
    write_model,
)

MAPS = Shelf(
    "map network", Path(__file__).parents[1] / "weights", b'"kind": "forecast_maps"'
)
"""The networks that forecast maps; none is shipped."""
CLASSES = 3
"""Nothing, live, dead: the values of a map."""


class MapShape(CardPart):
    """Arguments of `tracking.forecasts.map_transformer.MapTransformer`."""

    kind: Literal["map_transformer"] = "map_transformer"
    edge: int = Field(256, ge=16, le=1024)
    """Of a map, px; a multiple of ``patch``."""
    patch: int = Field(16, ge=2, le=64)
    frames: int = Field(5, ge=1, le=16)
    """Maps that are seen."""
    width: int = Field(128, ge=8, le=512, multiple_of=8)
    layers: int = Field(2, ge=1, le=6)
    """Of the encoder, and of the decoder."""
    heads: Literal[1, 2, 4, 8] = 4

    @model_validator(mode="after")
    def _patches_fill_the_map(self) -> "MapShape":
        if self.edge % self.patch:
            fitting = self.edge - self.edge % self.patch or self.patch
            raise ValueError(
                f"edge {self.edge} is no multiple of patch {self.patch}; give an edge "
                f"such as {fitting}"
            )
        return self


class MapFigures(CardPart):
    """How well one kind of map met the true one, on held-out seeds."""

    model: str
    iou_all: float
    iou_live: float
    maps: int


class MapCard(CardPart):
    """Everything about such a network but its numbers."""

    schema_version: Literal[1] = 1
    kind: Literal["forecast_maps"] = "forecast_maps"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    architecture: MapShape
    world: str
    reduced: int = Field(ge=1)
    interval_s: float = Field(gt=0)
    ahead_frames: int = Field(ge=1)
    seeds: tuple[int, int]
    """First and last that were trained on."""
    steps: int = Field(ge=1)
    seed: int = Field(ge=0)
    figures: tuple[MapFigures, ...]
    licence: str
    weights_sha256: Sha256


@dataclass(frozen=True, slots=True)
class MapModel:
    """A checked network in memory."""

    card: MapCard
    weights: Mapping[str, NDArray[np.generic]]

    @property
    def label(self) -> str:
        """Name and short hash of card and weights."""
        return label_of(self.card.name, self.card)


def load_map_model(folder: Path) -> MapModel:
    """Read card and weights, and check that they belong together.

    Raises
    ------
    BadModel
        If a file is missing, damaged or not ours.
    """
    card = read_card(folder, MapCard)
    return MapModel(card, read_weights(folder, card.weights_sha256))


def save_map_model(
    folder: Path, card: MapCard, weights: Mapping[str, NDArray[np.generic]], notice: str
) -> MapCard:
    """Write a network; gives the card with its hash filled in."""
    return write_model(folder, card, weights, notice)
