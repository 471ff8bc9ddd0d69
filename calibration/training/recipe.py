"""What a training run needs to know: one TOML file, checked before anything starts."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from acquisition.errors import BadConfig
from configs.schema import Positive, Probability, Section
from inference.architectures import Architecture, StemUNetShape

FIRST_TRAINING_SEED = 1_000_000
"""Smaller seeds belong to runs and demonstrations, and are never trained on."""

Split = Literal["train", "validation", "test"]

PixelLoss = Literal[
    "cross_entropy",
    "cross_entropy_jaccard",
    "jaccard",
    "focal",
    "dice",
    "focal_dice",
    "focal_binary",
    "focal_dice_boundary",
    "weighted_dice",
    "focal_tversky",
    "hybrid",
]
"""Losses on pixels, see `calibration.training.pixel_losses`."""


class Fields(Section):
    """The simulated fields: every field is its own draw of world and seed."""

    world: str = "cho_10x"
    """World around which the draws are made."""
    held_out_worlds: tuple[str, ...] = ("demo",)
    """Further worlds, taken as they are, that only the final test sees."""
    first_seed: int = Field(FIRST_TRAINING_SEED, ge=FIRST_TRAINING_SEED)
    size_px: int = Field(1024, ge=256, le=4096, multiple_of=32)
    train: int = Field(400, ge=1)
    validation: int = Field(12, ge=1)
    test: int = Field(20, ge=1)
    natural: Probability = 0.15
    """Share of the fields with the mix of the world instead of an enriched one."""
    dead: tuple[Probability, Probability] = (0.14, 0.34)
    """Range of the share of dead cells in an enriched field."""
    look_alikes: tuple[Probability, Probability] = (0.15, 0.37)
    """Range of the share of round or fragmented living cells in an enriched field."""

    def seeds(self, split: Split) -> range:
        """Give the seeds of a split; the splits never share one."""
        starts = {"train": 0, "validation": 500_000, "test": 700_000}
        counts = {"train": self.train, "validation": self.validation, "test": self.test}
        first = self.first_seed + starts[split]
        return range(first, first + counts[split])

    @model_validator(mode="after")
    def _splits_stay_apart(self) -> "Fields":
        if self.train > 500_000 or max(self.validation, self.test) > 200_000:
            raise ValueError("train <= 500000, validation and test <= 200000 fields")
        if self.dead[1] + self.look_alikes[1] > 1:
            raise ValueError("dead and look_alikes may not exceed 1 together")
        return self


class Augmentation(Section):
    """Changes of a crop that keep its truth."""

    crop_px: int = Field(384, ge=64, le=1024, multiple_of=32)
    scale: tuple[Positive, Positive] = (0.8, 1.25)
    gain: float = Field(0.08, ge=0, lt=1)
    """Largest relative change of the phase."""
    offset_rad: float = Field(0.05, ge=0, le=1)
    noise_rad: float = Field(0.008, ge=0, le=1)
    """Largest standard deviation of added white noise."""


class Losses(Section):
    """The loss on pixels, and the weights of the parts of the whole loss."""

    pixels: PixelLoss = "cross_entropy"
    """Those of one class (the last five) see cells against background only."""
    classes: tuple[Positive, Positive, Positive] = (0.8, 1.0, 1.5)
    """Cross-entropy weights of background, live and dead pixels."""
    separation: float = Field(3.0, ge=0)
    objects: float = Field(0.5, ge=0)
    """Weight of the loss on whole cells."""
    min_object_px: int = Field(100, ge=1)
    """Smaller pieces of cells, cut by the crop or covered, are left out of it."""


class Optimiser(Section):
    """AdamW with a warm-up and a cosine to zero, and averaged weights."""

    steps: int = Field(8000, ge=1)
    batch: int = Field(8, ge=1, le=256)
    rate: Positive = 2e-3
    weight_decay: float = Field(0.01, ge=0)
    warm_up_steps: int = Field(150, ge=1)
    average: float = Field(0.998, gt=0, lt=1)
    evaluate_every: int = Field(500, ge=1)
    patience: int = Field(8, ge=1)
    """Evaluations without a better one after which the training ends."""
    threads: int = Field(0, ge=0, le=256)
    """Threads of torch; 0: all cores."""


class Recipe(Section):
    """A whole training run."""

    name: str = Field("slim", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    seed: int = Field(1, ge=0, le=2**31 - 1)
    network: Architecture = StemUNetShape()
    warm_start: str | None = None
    """Model (name or folder) whose weights the training begins with, where they fit."""
    fields: Fields = Fields()
    augmentation: Augmentation = Augmentation()
    losses: Losses = Losses()
    optimiser: Optimiser = Optimiser()


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    BadConfig
        With every fault and its full key path.
    """
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadConfig(str(path), [f"cannot be read: {error.strerror}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(str(path), [f"no TOML: {error}"]) from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise BadConfig(str(path), faults) from error
