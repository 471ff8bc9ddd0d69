"""What a training run needs to know: one TOML file, checked before anything starts."""

import tomllib
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from acquisition.errors import BadConfig
from acquisition.simulated.world import World
from calibration.datasets.records import Shippable
from configs.section import Positive, Probability, Section
from inference.architectures import WITH_ENCODER, Architecture, StemUNetShape
from inference.cards import Parting
from inference.pixels import RESAMPLING_RANGE

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

Contrast = Literal["slim", "phase_contrast", "brightfield"]


class Fields(Section):
    """The simulated fields: every field is its own draw of world and seed."""

    worlds: tuple[str, ...] = Field(("cho_10x",), min_length=1)
    """Worlds around which the draws are made; the seeds go round among them."""
    modality: Contrast = "slim"
    """What the microscope shows of them."""
    um_per_px: Positive | None = None
    """Pixel size to which all fields are brought; absent: that of the first world."""
    held_out_worlds: tuple[str, ...] = ("demo",)
    """Further worlds, taken as they are, that only the final test sees."""
    first_seed: int = Field(FIRST_TRAINING_SEED, ge=FIRST_TRAINING_SEED)
    size_px: int = Field(1024, ge=256, le=4096, multiple_of=32)
    """Edge of a field at this pixel size."""
    train: int = Field(400, ge=1)
    kept: int | None = Field(None, ge=64)
    """Fresh fields: the training fields held at once, of all that are drawn while the
    training runs; a new one takes the place of the oldest. Absent: all are held."""
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

    def world_of(self, seed: int) -> World:
        """Give the world around which the field of a seed is drawn."""
        return World.load(self.worlds[(seed - self.first_seed) % len(self.worlds)])

    def pixel_um(self) -> float:
        """Give the pixel size of all fields.

        Raises
        ------
        BadConfig
            If a world would have to be resampled more than a model can bear.
        """
        wanted = self.um_per_px or World.load(self.worlds[0]).optics.pixel_um
        lowest, highest = RESAMPLING_RANGE
        faults = [
            f"fields.worlds: {name} has {pixel_um:g} um a pixel, the recipe "
            f"{wanted:g} um; a ratio of {lowest:g} to {highest:g} is possible: change "
            "fields.um_per_px or leave the world out"
            for name in self.worlds
            if not lowest <= (pixel_um := World.load(name).optics.pixel_um) / wanted
            or pixel_um / wanted > highest
        ]
        if faults:
            raise BadConfig("recipe", faults)
        return wanted

    @model_validator(mode="after")
    def _splits_stay_apart(self) -> "Fields":
        if self.train > 500_000 or max(self.validation, self.test) > 200_000:
            raise ValueError("train <= 500000, validation and test <= 200000 fields")
        if self.dead[1] + self.look_alikes[1] > 1:
            raise ValueError("dead and look_alikes may not exceed 1 together")
        return self


class Images(Section):
    """Real images with masks or boxes that join the simulated fields."""

    folder: str = Field(min_length=1)
    """In the folder that the environment variable VIGIL_REAL_DATA names; or a path."""
    source: str = Field(min_length=1)
    """As the card names the set."""
    licence: Shippable
    copyright: str = Field(min_length=1)
    """The notice that the licence asks to keep; it travels with the weights."""
    um_per_px: Positive
    """Pixel size of the images; it is never guessed."""
    share: float = Field(gt=0, lt=1)
    """Of the crops that are cut from these images."""
    smallest_um2: Positive = 25.0
    """Where a model is measured on the set, smaller objects are debris
    (``inference.min_area_um2`` of a run)."""
    held_out: tuple[str, ...] = ()
    """Groups (images, where the set has no groups) that only the test sees."""
    note: str = ""
    """What else the card has to say about the set, a pixel size assumed for example."""


class Augmentation(Section):
    """Changes of a crop that keep its truth."""

    variants: Literal["plain", "moved", "twenty_one"] = "plain"
    """Beside scale, turns, gain, offset and noise: nothing more; one of the changes of
    place of the 21-fold set; or one of these and one of its changes of appearance."""
    turns: Literal["quarter", "free"] = "quarter"
    """Crops keep the grid of their field, or lie in it at any angle."""
    crop_px: int = Field(384, ge=64, le=1024, multiple_of=32)
    scale: tuple[Positive, Positive] = (0.8, 1.25)
    gain: float = Field(0.08, ge=0, lt=1)
    """Largest relative change of the phase."""
    offset_rad: float = Field(0.05, ge=0, le=1)
    noise_rad: float = Field(0.008, ge=0, le=1)
    """Largest standard deviation of added white noise."""


class Drawing(Section):
    """Which fields the crops are cut from."""

    kind: Literal["even", "hard", "rare"] = "even"
    """All alike; those with the largest losses more often; those with dead cells more
    often."""
    dead_share: float = Field(0.25, gt=0, lt=1)
    """Share of dead cells among those drawn that ``rare`` tries to reach."""


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


class Schedule(Section):
    """How the learning rate falls after the warm-up."""

    kind: Literal["cosine", "plateau", "step"] = "cosine"
    patience: int = Field(10, ge=1)
    """plateau: evaluations without a better one before the rate falls."""
    every: int = Field(9000, ge=1)
    """step: steps between two falls."""
    factor: float | None = Field(None, gt=0, lt=1)
    """Of a fall; absent: 0.8 for plateau, 0.9 for step."""


class Optimiser(Section):
    """How weights are stepped: a warm-up and a falling rate, and averaged weights."""

    kind: Literal["adamw", "muon"] = "muon"
    """muon: orthogonal steps for the matrices inside the network, AdamW for the rest
    (`optimisers.py`); adamw: for all."""

    steps: int = Field(8000, ge=1)
    batch: int = Field(8, ge=1, le=256)
    """Crops a step, of every process where several train together."""
    rate: Positive = 2e-3
    """Of AdamW."""
    matrix_rate: Positive | None = None
    """Of Muon, in the measure of AdamW (0.2 sqrt(longer side) of the matrix); when
    nothing is said ten times ``rate``, so that who begins gently does so everywhere."""
    schedule: Schedule = Schedule()
    weight_decay: float = Field(0.01, ge=0)
    warm_up_steps: int = Field(150, ge=1)
    average: float = Field(0.998, gt=0, lt=1)
    evaluate_every: int = Field(500, ge=1)
    patience: int = Field(8, ge=1)
    """Evaluations without a better one after which the training ends."""
    keep: Literal["best", "last"] = "best"
    """Weights that become the model: of the best evaluation, which sees simulated
    fields alone, or the last ones, where real images count."""
    threads: int = Field(0, ge=0, le=256)
    """Threads of torch; 0: all cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the network; auto: bfloat16, on older graphics cards float16."""


class Encoder(Section):
    """Weights that the encoder begins with: a file of yours, nothing is fetched."""

    file: str = Field(min_length=1)
    """Safetensors, or plain tensors of torch."""
    source: str = Field(min_length=1)
    """As the card names them."""
    licence: Shippable
    """Of the file, which reaches the trained weights."""
    copyright: str = Field(min_length=1)
    """The notice that the licence asks to keep; it travels with the weights."""


class Candidate(Section):
    """A network that is compared with others."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    network: Architecture
    encoder: Encoder | None = None
    """What its encoder begins with; absent: random numbers."""

    @model_validator(mode="after")
    def _has_an_encoder(self) -> "Candidate":
        _check_encoder(self.network, self.encoder)
        return self


class Comparison(Section):
    """Networks under the same data, loss and budget (``vigil models compare``)."""

    scale: float = Field(1.0, gt=0, le=1000)
    """Multiplies steps and training fields: 1 suits two cores."""
    frame_px: int = Field(512, ge=64, le=4096, multiple_of=32)
    """Edge of the frames on which the inference is timed."""
    repeat: int = Field(20, ge=1, le=1000)
    """How often."""
    networks: tuple[Candidate, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> "Comparison":
        names = [network.name for network in self.networks]
        if len(set(names)) < len(names):
            raise ValueError("two networks have the same name; a name is a folder")
        return self


class Recipe(Section):
    """A whole training run."""

    name: str = Field("slim", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    seed: int = Field(1, ge=0, le=2**31 - 1)
    network: Architecture = StemUNetShape()
    warm_start: str | None = None
    """Model (name or folder) whose weights the training begins with, where they fit."""
    encoder: Encoder | None = None
    """What the encoder of the network begins with, if it has a published one; absent:
    random numbers, or what ``warm_start`` gives."""
    fields: Fields = Fields()
    augmentation: Augmentation = Augmentation()
    drawing: Drawing = Drawing()
    losses: Losses = Losses()
    optimiser: Optimiser = Optimiser()
    compare: Comparison = Comparison()
    parting: Parting = Parting()
    """How touching cells are parted in the maps of this model: for its card."""
    images: tuple[Images, ...] = ()
    folds: int = Field(0, ge=0, le=20)
    """Trainings beforehand, each without a part of the real images, on which it is
    measured; the last training sees all. 0: none."""
    limits: tuple[str, ...] = ()
    """What the model is not good for, beside what every card says."""

    @model_validator(mode="after")
    def _has_an_encoder(self) -> "Recipe":
        _check_encoder(self.network, self.encoder)
        if self.encoder is not None and self.compare.networks:
            raise ValueError(
                "networks that are compared do not share an encoder: leave out "
                "[encoder], or give it to one of [[compare.networks]]"
            )
        return self

    @model_validator(mode="after")
    def _images_fit(self) -> "Recipe":
        if not self.images:
            if self.folds:
                raise ValueError("folds part the real images; name some in [[images]]")
            return self
        if sum(one.share for one in self.images) >= 1:
            raise ValueError("the shares of the images leave none to simulated fields")
        if self.losses.pixels != "cross_entropy" or self.drawing.kind != "even":
            raise ValueError(
                "cells of unknown state, or known by boxes alone, need losses.pixels "
                '"cross_entropy" and drawing.kind "even"'
            )
        return self

    @model_validator(mode="after")
    def _losses_of_fields_that_stay(self) -> "Recipe":
        if self.fields.kept is not None and self.drawing.kind == "hard":
            raise ValueError(
                'drawing.kind "hard" remembers losses of fields: leave out fields.kept'
            )
        return self


AnyRecipe = TypeVar("AnyRecipe", bound=Section)


def _check_encoder(network: Architecture, encoder: Encoder | None) -> None:
    if encoder is not None and network.kind not in WITH_ENCODER:
        raise ValueError(
            f'a network of kind "{network.kind}" has no published encoder: leave out '
            f"encoder, or take one of {', '.join(WITH_ENCODER)}"
        )


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    BadConfig
        With every fault and its full key path.
    """
    return read_recipe(path, Recipe)


def read_recipe(path: Path, kind: type[AnyRecipe]) -> AnyRecipe:
    """Read and check a recipe of a kind.

    Raises
    ------
    BadConfig
        With every fault and its full key path.
    """
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadConfig(str(path), [f"cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(str(path), [f"not TOML: {error}"]) from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or '(whole file)'}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        raise BadConfig(str(path), faults) from error
