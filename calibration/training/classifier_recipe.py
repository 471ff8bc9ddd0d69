"""What the training of a second network needs to know: one TOML file."""

import math
from typing import Literal

from pydantic import Field, model_validator

from acquisition.errors import BadConfig
from calibration.training.recipe import Fields, Optimiser, Split
from configs.section import Positive, Probability, Section
from inference.cards import Card
from inference.cut import EDGE_PX

SPLITS: tuple[Split, ...] = ("validation", "test", "train")
"""In the order in which their cells are found."""


class ClassifierRecipe(Section):
    """A whole training of the network that looks at single cells in doubt."""

    kind: Literal["cell_classifier"]
    name: str = Field("slim", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    """The model that results: that of ``model`` with a second network."""
    seed: int = Field(1, ge=0, le=2**31 - 1)
    model: str = "slim"
    """Model (name or folder) whose maps are corrected."""
    warm_start: bool = False
    """Begin with the second network that the model has already."""
    base: int = Field(16, ge=8, le=64, multiple_of=8)
    """Channels of the first block."""
    edge_px: int = Field(EDGE_PX, ge=16, le=256, multiple_of=8)
    """Edge of the square around a cell."""
    doubt: tuple[Probability, Probability] = (0.005, 0.995)
    """Cells whose P(dead) by the maps lies between these are looked at."""
    fields: Fields = Fields()
    """Where cells are found; of ``held_out_worlds`` the maps alone are judged."""
    steps: int = Field(12_000, ge=1)
    batch: int = Field(128, ge=2, le=256)
    """Cells a step."""
    rate: Positive = 2e-3
    """Of AdamW, which steps what is no matrix inside the network."""
    matrix_rate: Positive = 1e-2
    """Of Muon, which steps the others."""
    weight_decay: float = Field(0.02, ge=0)
    warm_up_steps: int = Field(150, ge=1)
    average: float = Field(0.998, gt=0, lt=1)
    """Of the weights of the step before, in the average that becomes the model."""
    gain: float = Field(0.05, ge=0, lt=1)
    """Largest relative change of the grey level of a cell that is learnt from."""
    evaluate_every: int = Field(500, ge=1)
    threads: int = Field(0, ge=0, le=256)
    """Threads of torch, and processes that find cells; 0: all cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    @model_validator(mode="after")
    def _can_be_trained(self) -> "ClassifierRecipe":
        if not self.doubt[0] < self.doubt[1]:
            raise ValueError(f"doubt: {self.doubt[0]:g} is not below {self.doubt[1]:g}")
        if self.fields.kept is not None:
            raise ValueError("fields.kept: cells are kept, not fields; leave it out")
        named = "held_out_worlds" in self.fields.model_fields_set
        if named and self.fields.held_out_worlds:
            raise ValueError(
                "fields.held_out_worlds: a second network is measured on its test "
                "fields alone; leave it out, and ask vigil evaluate about other worlds"
            )
        return self

    @property
    def optimiser(self) -> Optimiser:
        """How the weights are stepped, as the other trainings say it."""
        own = set(Optimiser.model_fields) & set(type(self).model_fields) - {"kind"}
        return Optimiser(kind="muon", **self.model_dump(include=own))

    def check_suits(self, card: Card) -> None:
        """Make sure that the cells are those that the maps of a model will meet.

        Raises
        ------
        BadConfig
            If pixel size, modality or seeds do not go with the card.
        """
        faults: list[str] = []
        um_per_px = self.fields.pixel_um()
        if not math.isclose(um_per_px, card.um_per_px, rel_tol=1e-6):
            faults.append(
                f"fields.um_per_px: {um_per_px:g}, but {self.model} sees "
                f"{card.um_per_px:g} um a pixel: give that"
            )
        if self.fields.modality not in card.modalities:
            faults.append(
                f"fields.modality: {self.fields.modality}, but {self.model} is for "
                f"{', '.join(card.modalities)}"
            )
        if self.warm_start and (
            card.classifier is None or card.classifier.base != self.base
        ):
            faults.append(
                f"warm_start: {self.model} has no second network of base {self.base}; "
                "leave it out"
            )
        own = [self.fields.seeds(split) for split in SPLITS]
        for first, last in card.training.seeds:
            if any(first <= seeds[-1] and seeds[0] <= last for seeds in own):
                faults.append(
                    f"fields.first_seed: {self.fields.first_seed}, but {self.model} "
                    f"was trained on the fields {first} to {last}, where its maps are "
                    "better than elsewhere: choose others"
                )
        if faults:
            raise BadConfig("recipe", faults)
