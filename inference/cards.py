"""Models at rest: ``card.json`` says what a network is, safetensors hold its weights.

A model is a folder with ``card.json``, ``weights.safetensors`` and ``NOTICE``. Nothing
in it is code: the architecture is one of a closed set, weights are plain numbers, and
their sha256 stands in the card. A small golden frame and its maps travel with the
weights, so that every engine can be tried before it serves.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from acquisition.errors import BadModel
from acquisition.records import Modality
from inference.architectures import Architecture
from inference.pixels import slim_grey_level

SHIPPED_WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the shipped models, one folder a name."""

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
GOLDEN_FRAME = "golden.frame"
GOLDEN_MAPS = "golden.maps"

Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    """A frozen part of a card; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Normalisation(_Part):
    """What the network sees: ``(count - offset) * scale``."""

    offset: float
    scale: float = Field(gt=0)


class Metrics(_Part):
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


class TrainingData(_Part):
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


class Golden(_Part):
    """Hashes of the golden frame and of its maps by the float32 reference."""

    frame_sha256: Sha256
    maps_sha256: Sha256


class Card(_Part):
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
    training: TrainingData
    simulated: tuple[Metrics, ...]
    """Figures on the simulated microscope."""
    real: tuple[Metrics, ...]
    """Figures on recordings of real microscopes; empty: none exist."""
    not_good_for: tuple[str, ...]
    licence: str
    weights_sha256: Sha256
    golden: Golden


@dataclass(frozen=True, slots=True)
class GoldenFrame:
    """A small frame and the maps that the float32 reference gives for it.

    The maps are those of the first ``(y, x)`` block of a plane tiled with the frame.
    """

    frame: NDArray[np.uint16]  # (y, x)
    maps: NDArray[np.uint8]  # (map, y, x)


@dataclass(frozen=True, slots=True)
class Model:
    """A checked model in memory."""

    card: Card
    weights: Mapping[str, NDArray[np.generic]]
    golden: GoldenFrame

    @property
    def label(self) -> str:
        """Name and short hash of card and weights, as it stands in every record.

        The card holds the hashes of weights and golden frame, so its own covers all.
        """
        return f"{self.card.name}-{sha256(self.card.model_dump_json().encode())[:8]}"


def sha256(data: bytes) -> str:
    """Give the hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def find_model(name_or_path: str) -> Path:
    """Find the folder of a model: a path, or the name of shipped weights.

    Raises
    ------
    BadModel
        If there is neither; the shipped names are listed.
    """
    for folder in (Path(name_or_path), SHIPPED_WEIGHTS / name_or_path):
        if (folder / CARD_FILE).is_file():
            return folder
    shipped = ", ".join(sorted(card.parent.name for card in _shipped_cards()))
    raise BadModel(
        f"model {name_or_path!r}: no folder with a {CARD_FILE}, and no shipped model "
        f"of this name; give the folder, or one of: {shipped or 'none shipped'}"
    )


def load_card(folder: Path) -> Card:
    """Read and check a card.

    Raises
    ------
    BadModel
        If it is no card of ours, or names an architecture that is not in the set.
    """
    path = folder / CARD_FILE
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "the file"
        raise BadModel(
            f"{path}: {key}: {fault['msg']}; take the card that was written with the "
            "weights, or train again"
        ) from error


def load_model(name_or_path: str) -> Model:
    """Read card and weights, and check that they belong together.

    Raises
    ------
    BadModel
        If a file is missing, damaged, not ours, or changed since it was written.
    """
    folder = find_model(name_or_path)
    card = load_card(folder)
    _check_normalisation(card, folder / CARD_FILE)
    path = folder / WEIGHTS_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadModel(
            f"{path}: cannot be read ({error.strerror}); copy the whole folder again"
        ) from error
    if sha256(data) != card.weights_sha256:
        raise BadModel(
            f"{path}: sha256 is {sha256(data)[:12]}..., the card says "
            f"{card.weights_sha256[:12]}...: damaged, or not the weights of this "
            "card; copy the whole folder again"
        )
    try:
        tensors = dict(read_tensors(data))
        golden = GoldenFrame(tensors.pop(GOLDEN_FRAME), tensors.pop(GOLDEN_MAPS))
    except (SafetensorError, KeyError, ValueError) as error:
        raise BadModel(
            f"{path}: not a safetensors file with golden frame ({error}); weights in "
            "other formats are never opened: train, or export again"
        ) from error
    _check_golden(card, golden, path)
    return Model(card, tensors, golden)


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


def _check_golden(card: Card, golden: GoldenFrame, path: Path) -> None:
    """Refuse a golden frame or golden maps that are not those of the card."""
    for what, array, stated in (
        ("golden frame", golden.frame, card.golden.frame_sha256),
        ("golden maps", golden.maps, card.golden.maps_sha256),
    ):
        found = sha256(np.ascontiguousarray(array).tobytes())
        if found != stated:
            raise BadModel(
                f"{path}: the sha256 of the {what} is {found[:12]}..., the card says "
                f"{stated[:12]}...; copy the whole folder again, or export again"
            )


def save_model(
    folder: Path,
    card: Card,
    weights: Mapping[str, NDArray[np.generic]],
    golden: GoldenFrame,
    notice: str,
) -> Card:
    """Write a model; gives the card with all hashes filled in.

    Convolution kernels are kept in half precision, which halves the file and moves no
    class decision; the few numbers of the normalisation layers stay in float32.
    """
    tensors: dict[str, NDArray[np.generic]] = {
        name: np.ascontiguousarray(
            value.astype(np.float16 if value.ndim == 4 else np.float32)
        )
        for name, value in weights.items()
    }
    tensors[GOLDEN_FRAME] = np.ascontiguousarray(golden.frame)
    tensors[GOLDEN_MAPS] = np.ascontiguousarray(golden.maps)
    data = write_tensors(tensors)
    hashes = {
        "weights_sha256": sha256(data),
        "golden": Golden(
            frame_sha256=sha256(tensors[GOLDEN_FRAME].tobytes()),
            maps_sha256=sha256(tensors[GOLDEN_MAPS].tobytes()),
        ),
    }
    card = Card.model_validate(card.model_copy(update=hashes).model_dump())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(data)
    (folder / CARD_FILE).write_text(
        card.model_dump_json(indent=2) + "\n", encoding="utf-8"
    )
    (folder / "NOTICE").write_text(notice, encoding="utf-8")
    return card


def _shipped_cards() -> list[Path]:
    return list(SHIPPED_WEIGHTS.glob(f"*/{CARD_FILE}"))
