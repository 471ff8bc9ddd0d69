"""Training of the network that forecasts maps, on simulated cells alone."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch.nn.functional import cross_entropy

from calibration.training.forecast_learner import (
    FIRST_TRAINING_SEED,
    Watch,
    descend,
)
from calibration.training.forecast_maps import MapView, map_course
from configs.section import Section
from tracking.forecasts.map_card import MapShape
from tracking.forecasts.map_transformer import MapTransformer

Maps = NDArray[np.uint8]  # (course, frame, y, x)


class MapRecipe(Section):
    """What a training run of a map network needs to know."""

    kind: Literal["forecast_maps"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    architecture: MapShape = MapShape()
    world: str = "cho_10x"
    reduced: int = Field(4, ge=1, le=16)
    """Pixels of the frame to one of the map, along an axis."""
    interval_s: float = Field(600.0, gt=0)
    ahead_frames: int = Field(2, ge=1)
    courses: int = Field(40, ge=1)
    """Specimens that are trained on."""
    frames: int = Field(40, ge=8)
    """Maps of each."""
    first_seed: int = Field(FIRST_TRAINING_SEED, ge=FIRST_TRAINING_SEED)
    steps: int = Field(1500, ge=1)
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    seed: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _has_a_later_map(self) -> "MapRecipe":
        least = self.architecture.frames + self.ahead_frames
        if self.frames < least:
            raise ValueError(
                f"frames {self.frames}: a network that sees architecture.frames "
                f"{self.architecture.frames} learns what comes ahead_frames "
                f"{self.ahead_frames} later from {least} maps or more; give frames "
                f"{least}, better twice as many"
            )
        return self

    @property
    def view(self) -> MapView:
        """How the specimens are looked at."""
        edge_px = self.architecture.edge
        return MapView(self.world, edge_px, self.reduced, self.interval_s, self.frames)


def gather_maps(recipe: MapRecipe, tell: Callable[[int, int], bool]) -> Maps | None:
    """Map all specimens of a training; ``None`` when it was told to stop."""
    courses = []
    for number in range(recipe.courses):
        seed = recipe.first_seed + number
        courses.append(map_course(recipe.view, seed, (recipe.ahead_frames,)).maps)
        if not tell(number + 1, recipe.courses):
            return None
    return np.stack(courses)


def learn_maps(recipe: MapRecipe, maps: Maps, watch: Watch) -> MapTransformer | None:
    """Train a network; ``None`` when it was told to stop.

    The loss is the cross-entropy of all pixels. Every window of maps is seen turned and
    mirrored at random.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, 35])
    net = MapTransformer(recipe.architecture)

    def loss() -> torch.Tensor:
        shown, later = _batch(recipe, maps, rng)
        return cross_entropy(net(torch.from_numpy(shown)), torch.from_numpy(later))

    whole = descend(net, loss, recipe.steps, recipe.learning_rate, watch)
    return net if whole else None


def _batch(
    recipe: MapRecipe, maps: Maps, rng: Generator
) -> tuple[Maps, NDArray[np.int64]]:
    """Draw windows (B, T, y, x), and the map that came of each (B, y, x)."""
    seen = recipe.architecture.frames
    last = maps.shape[1] - seen - recipe.ahead_frames
    shown, later = [], []
    for _ in range(recipe.batch):
        course, start = rng.integers(len(maps)), rng.integers(last + 1)
        window = maps[course, start : start + seen + recipe.ahead_frames]
        window = np.rot90(window, int(rng.integers(4)), axes=(1, 2))
        window = window if rng.random() < 0.5 else window[:, ::-1]
        shown.append(window[:seen])
        later.append(window[-1])
    return np.stack(shown), np.stack(later).astype(np.int64)
