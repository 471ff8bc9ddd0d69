"""Segmentation models: what a card says, and golden frames to try engines by.

A small golden frame and its maps travel with the weights, so that every engine can be
tried before it serves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from acquisition.errors import BadModel
from acquisition.records import Modality
from configs.schema import Inference
from inference.architectures import Architecture
from inference.model_folder import (
    CARD_FILE,
    CardPart,
    Sha256,
    Shelf,
    Tensors,
    label_of,
    pop_golden,
    read_card,
    read_weights,
    sha256,
    write_model,
)
from inference.pixels import slim_grey_level

MODELS = Shelf("model", Path(__file__).parent / "weights", foreign=b'"kind": "forecast')
"""The segmentation models; a card too damaged to tell its kind counts as theirs."""

GOLDEN_FRAME = "golden.frame"
GOLDEN_MAPS = "golden.maps"
CLASSIFIER = "classifier."
"""Weights of the second network begin with this."""
GOLDEN_CROPS, GOLDEN_TOLD, GOLDEN_LOGITS = (
    "golden.crops",
    "golden.told",
    "golden.logits",
)

Share = Annotated[float, Field(ge=0, le=1)]


class Normalisation(CardPart):
    """What the network sees: ``(count - offset) * scale``."""

    offset: float
    scale: float = Field(gt=0)


class Metrics(CardPart):
    """Figures on held-out data of one kind; objects are whole cells."""

    data: str
    """What was measured on, in words."""
    fields: int = Field(ge=1)
    objects_live: int = Field(ge=0)
    objects_dead: int = Field(ge=0)
    objects_untold: int = Field(0, ge=0)
    """Cells of which nobody has said whether they live."""
    object_f1_live: Share | None = None
    object_f1_dead: Share | None = None
    object_f1_live_25: Share | None = None
    """Re-weighted to 25 % dead cells."""
    object_f1_dead_25: Share | None = None
    instance_f1_50: Share | None = None
    auroc_dead: Share | None = None
    """Of the mean logit inside the true mask."""
    ece: Share | None = None
    """Expected calibration error of the dead probability of whole cells."""
    balanced_accuracy: Share | None = None
    """Of the cells that were found."""
    classical_f1_50: Share | None = None
    """``instance_f1_50`` of the engine without a network on the same images."""
    one_number_auroc: Share | None = None
    """``auroc_dead`` of one number instead: the 98th percentile of the grey levels in
    the box of a cell, less the median of the image."""


class TrainingData(CardPart):
    """Where the weights come from."""

    source: str
    worlds: tuple[str, ...]
    """Names and hashes of the simulated worlds, or of the image sets."""
    seeds: tuple[tuple[int, int], ...]
    """Ranges ``(first, last)`` of the seeds that were trained on."""
    held_out_seeds: tuple[tuple[int, int], ...]
    """Ranges never trained on: validation, calibration, test."""
    steps: int = Field(ge=1)
    seed: int = Field(ge=0)
    dead_share: float | None = Field(None, gt=0, lt=1)
    """Share of dead cells that P(dead) assumes."""
    warm_start: str | None = None
    """Model whose weights the training began with."""


class Parting(CardPart):
    """How touching cells are parted at the valleys of the separation map."""

    separation_um: float = Field(1.2, gt=0)
    """Smoothing of the map before its maxima are sought."""
    separation_height: float = Field(0.15, gt=0, lt=1)
    """A second maximum must rise this much above the saddle to part a cell."""


class Classifier(CardPart):
    """The second network of a model, which looks at single cells that are in doubt."""

    base: int = Field(16, ge=8, le=64, multiple_of=8)
    """Channels of its first block."""
    edge_px: int = Field(48, ge=16, le=256, multiple_of=8)
    """Edge of the crop around a cell, at the pixel size of the card."""
    doubt: tuple[Share, Share] = (0.005, 0.995)
    """Cells whose P(dead) by the maps lies between these are looked at."""
    temperature: float = Field(gt=0, le=100)
    dead_offset: float = Field(0.0, ge=-20, le=20)
    """As those of the maps, for the sum of both logits."""
    training: TrainingData
    cells: int = Field(ge=0)
    """Found cells of the held-out fields on which the figures below rest."""
    cells_in_doubt: int = Field(ge=0)
    auroc_maps: Share | None = None
    """AUROC of P(dead) of all found cells by the maps alone."""
    auroc: Share | None = None
    """The same when all cells in doubt were looked at; a run bounds their number."""

    @model_validator(mode="after")
    def _doubt_is_a_band(self) -> "Classifier":
        if not self.doubt[0] < self.doubt[1]:
            raise ValueError(f"doubt: {self.doubt[0]:g} is not below {self.doubt[1]:g}")
        return self


class Golden(CardPart):
    """Hashes of the golden frame and of its maps by the float32 reference."""

    frame_sha256: Sha256
    maps_sha256: Sha256


class Card(CardPart):
    """Everything about a model but its numbers."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    architecture: Architecture
    modalities: tuple[Modality, ...] = Field(min_length=1)
    um_per_px: float = Field(gt=0)
    """Pixel size the network was trained at; frames are resampled to it."""
    normalisation: Normalisation
    classes: tuple[Literal["background"], Literal["live"], Literal["dead"]]
    temperature: float = Field(gt=0, le=100)
    """Divides the logit of dead against live (Guo et al. 2017)."""
    dead_offset: float = Field(0.0, ge=-20, le=20)
    """Then added to it, so that P(dead) assumes ``training.dead_share``."""
    parting: Parting = Parting()
    """What suits the separation map of these weights."""
    classifier: Classifier | None = None
    """Absent: P(dead) is that of the maps."""
    training: TrainingData
    simulated: tuple[Metrics, ...]
    """Figures on the simulated microscope."""
    real: tuple[Metrics, ...]
    """Figures on recordings of real microscopes; empty: none exist."""
    not_good_for: tuple[str, ...]
    licence: str
    weights_sha256: Sha256
    golden: Golden

    @model_serializer(mode="wrap")
    def _as_written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a second network that is not there.

        The hash of a card covers all that is written, and stands in the records of runs
        and in the evidence of death.
        """
        written: dict[str, Any] = write(self)
        if self.classifier is None:
            written.pop("classifier", None)
        return written


@dataclass(frozen=True, slots=True)
class GoldenFrame:
    """A small frame and the maps that the float32 reference gives for it.

    The maps are those of the first ``(y, x)`` block of a plane tiled with the frame.
    """

    frame: NDArray[np.uint16]  # (y, x)
    maps: NDArray[np.uint8]  # (map, y, x)


@dataclass(frozen=True, slots=True)
class SecondNetwork:
    """Weights of the classifier of cells, and a few crops to try its engines by."""

    weights: Mapping[str, NDArray[np.generic]]
    crops: NDArray[np.float32]  # (cell, 2, y, x) grey level and mask
    told: NDArray[np.float32]  # (cell,) logit of the maps
    logits: NDArray[np.float32]  # (cell,) by the float32 reference


@dataclass(frozen=True, slots=True)
class Model:
    """A checked model in memory."""

    card: Card
    weights: Mapping[str, NDArray[np.generic]]
    golden: GoldenFrame
    second: SecondNetwork | None = None

    @property
    def label(self) -> str:
        """Name and short hash of card and weights, as it stands in every record."""
        return label_of(self.card.name, self.card)


def parting_of(settings: Inference, card: Card | None) -> Parting:
    """Give how cells are parted: as the settings say, else the card of the model."""
    own = Parting() if card is None else card.parting
    asked = settings.model_dump(include=set(Parting.model_fields), exclude_none=True)
    return own.model_copy(update=asked)


def load_card(folder: Path) -> Card:
    """Read and check a card.

    Raises
    ------
    BadModel
        If it is no card of ours, or names an architecture that is not in the set.
    """
    return read_card(folder, Card)


def load_model(name_or_path: str) -> Model:
    """Read card and weights, and check that they belong together.

    Raises
    ------
    BadModel
        If a file is missing, damaged, not ours, or changed since it was written.
    """
    folder = MODELS.find(name_or_path)
    card = load_card(folder)
    _check_normalisation(card, folder / CARD_FILE)
    tensors = read_weights(folder, card.weights_sha256)
    taken = pop_golden(tensors, (GOLDEN_FRAME, GOLDEN_MAPS), folder)
    golden = GoldenFrame(taken[GOLDEN_FRAME], taken[GOLDEN_MAPS])
    _check_golden(card, golden, folder)
    second = None if card.classifier is None else _pop_second(tensors, folder)
    return Model(card, tensors, golden, second)


def _pop_second(tensors: Tensors, folder: Path) -> SecondNetwork:
    """Take what belongs to the classifier out of the weights."""
    names = (GOLDEN_CROPS, GOLDEN_TOLD, GOLDEN_LOGITS)
    crops, told, logits = pop_golden(tensors, names, folder).values()
    own = [name for name in tensors if name.startswith(CLASSIFIER)]
    weights = {name.removeprefix(CLASSIFIER): tensors.pop(name) for name in own}
    return SecondNetwork(weights, crops.astype(np.float32), told, logits)


def _check_normalisation(card: Card, path: Path) -> None:
    """Refuse a card for SLIM frames that were not seen in the unit of the live path."""
    offset, scale = slim_grey_level()
    stated = card.normalisation
    same = stated.offset == offset and math.isclose(stated.scale, scale, rel_tol=1e-6)
    if "slim" in card.modalities and not same:
        raise BadModel(
            f"{path}: normalisation: offset {stated.offset:g} and scale "
            f"{stated.scale:g}; a network sees SLIM frames with {offset:g} and "
            f"{scale:g}: take the card that was written with the weights, or train "
            "again"
        )


def _check_golden(card: Card, golden: GoldenFrame, folder: Path) -> None:
    """Refuse a golden frame or golden maps that are not those of the card."""
    for what, array, stated in (
        ("golden frame", golden.frame, card.golden.frame_sha256),
        ("golden maps", golden.maps, card.golden.maps_sha256),
    ):
        found = sha256(np.ascontiguousarray(array).tobytes())
        if found != stated:
            raise BadModel(
                f"{folder}: the sha256 of the {what} is {found[:12]}..., the card says "
                f"{stated[:12]}...; copy the whole folder again, or export again"
            )


def save_model(
    folder: Path,
    card: Card,
    weights: Mapping[str, NDArray[np.generic]],
    golden: GoldenFrame,
    notice: str,
    second: SecondNetwork | None = None,
) -> Card:
    """Write a model; gives the card with all hashes filled in.

    Convolution kernels are kept in half precision, which halves the file and moves no
    class decision; the few numbers of the normalisation layers stay in float32.

    Raises
    ------
    BadModel
        If the card tells of a second network that is not given, or the other way round.
    """
    if (card.classifier is None) != (second is None):
        raise BadModel(
            f"model {card.name}: card and weights do not agree on a second network; "
            "give both, or neither"
        )
    tensors = _kept(weights)
    if second is not None:
        tensors |= _kept({CLASSIFIER + name: v for name, v in second.weights.items()})
        tensors[GOLDEN_CROPS] = second.crops.astype(np.float16)
        tensors |= {GOLDEN_TOLD: second.told, GOLDEN_LOGITS: second.logits}
    tensors[GOLDEN_FRAME] = np.ascontiguousarray(golden.frame)
    tensors[GOLDEN_MAPS] = np.ascontiguousarray(golden.maps)
    hashes = Golden(
        frame_sha256=sha256(tensors[GOLDEN_FRAME].tobytes()),
        maps_sha256=sha256(tensors[GOLDEN_MAPS].tobytes()),
    )
    stated = card.model_copy(update={"golden": hashes})
    return write_model(folder, stated, tensors, notice)


def _kept(
    weights: Mapping[str, NDArray[np.generic]],
) -> dict[str, NDArray[np.generic]]:
    """Give weights in the precision that they are kept in."""
    return {
        name: np.ascontiguousarray(
            value.astype(np.float16 if value.ndim == 4 else np.float32)
        )
        for name, value in weights.items()
    }
