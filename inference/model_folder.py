"""A model at rest: a folder with a card, safetensors and a notice, tied by hashes.

Nothing in it is code: the card is checked JSON, weights are plain numbers, and their
sha256 stands in the card.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from acquisition.errors import BadModel

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
NOTICE_FILE = "NOTICE"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Tensors = dict[str, NDArray[Any]]


class CardPart(BaseModel):
    """A frozen part of a card; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnyCard = TypeVar("AnyCard", bound=CardPart)


def sha256(data: bytes) -> str:
    """Give the hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def label_of(name: str, card: CardPart) -> str:
    """Give name and short hash, as a model stands in every record.

    The card holds the hash of the weights, so its own covers both.
    """
    return f"{name}-{sha256(card.model_dump_json().encode())[:8]}"


def weight_count(weights: Mapping[str, NDArray[np.generic]]) -> int:
    """Give how many numbers the weights of a model hold."""
    return sum(value.size for value in weights.values())


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the models of one kind are found: in the user's folders, or shipped."""

    kind: str  # in words, for messages
    shipped: Path  # one folder a model
    mark: bytes = b""  # stands in every card of this kind, and of no other
    foreign: bytes | None = None  # stands in cards of other kinds alone

    def look(self, name_or_path: str) -> Path | None:
        """Find the folder of a model: a path, or a shipped name; ``None``: neither."""
        for folder in (Path(name_or_path), self.shipped / name_or_path):
            if self._holds(folder):
                return folder
        return None

    def find(self, name_or_path: str) -> Path:
        """Find the folder of a model.

        Raises
        ------
        BadModel
            If there is neither such a folder nor such a name; the shipped are listed.
        """
        folder = self.look(name_or_path)
        if folder is None:
            known = ", ".join(one.name for one in self.folders())
            raise BadModel(
                f"{self.kind} {name_or_path!r}: no folder with a {CARD_FILE} of this "
                "kind, and no shipped one of this name; give the folder, or one of: "
                f"{known or 'none shipped'}"
            )
        return folder

    def folders(self) -> list[Path]:
        """Give the folders of the shipped models, by name."""
        cards = self.shipped.glob(f"*/{CARD_FILE}")
        return sorted(card.parent for card in cards if self._holds(card.parent))

    def _holds(self, folder: Path) -> bool:
        card = folder / CARD_FILE
        if not card.is_file():
            return False
        said = card.read_bytes()
        return self.mark in said and (self.foreign is None or self.foreign not in said)


def read_card(folder: Path, kind: type[AnyCard]) -> AnyCard:
    """Read and check a card.

    Raises
    ------
    BadModel
        If it is no card of this kind, or names an architecture that is not in the set.
    """
    path = folder / CARD_FILE
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "the file"
        raise BadModel(
            f"{path}: {key}: {fault['msg']}; take the card that was written with the "
            "weights, or train again"
        ) from error


def read_weights(folder: Path, stated_sha256: str) -> Tensors:
    """Read the weights, which must be those whose hash the card states.

    Raises
    ------
    BadModel
        If they are missing, damaged, in another format, or those of another card.
    """
    path = folder / WEIGHTS_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadModel(
            f"{path}: cannot be read ({error.strerror}); copy the whole folder again"
        ) from error
    if sha256(data) != stated_sha256:
        raise BadModel(
            f"{path}: sha256 is {sha256(data)[:12]}..., the card says "
            f"{stated_sha256[:12]}...: damaged, or not the weights of this "
            "card; copy the whole folder again"
        )
    try:
        return dict(read_tensors(data))
    except (SafetensorError, ValueError) as error:
        raise BadModel(
            f"{path}: not a safetensors file ({error}); weights in other formats are "
            "never opened: train, or export again"
        ) from error


def pop_golden(tensors: Tensors, names: tuple[str, ...], folder: Path) -> Tensors:
    """Take the golden tensors, by which engines are tried, out of the weights.

    Raises
    ------
    BadModel
        If one is missing.
    """
    missing = [name for name in names if name not in tensors]
    if missing:
        raise BadModel(
            f"{folder / WEIGHTS_FILE}: without {missing[0]}, by which a model is tried "
            "before it serves; copy the whole folder again, or export again"
        )
    return {name: tensors.pop(name) for name in names}


def write_model(
    folder: Path,
    card: AnyCard,
    tensors: Mapping[str, NDArray[np.generic]],
    notice: str,
) -> AnyCard:
    """Write a model; gives the card with the hash of its weights."""
    data = write_tensors(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    )
    stated = card.model_copy(update={"weights_sha256": sha256(data)})
    card = type(card).model_validate(stated.model_dump())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(data)
    text = card.model_dump_json(indent=2) + "\n"
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    (folder / NOTICE_FILE).write_text(notice, encoding="utf-8")
    return card
