"""Forecast networks at rest: a card, weights as safetensors, nothing that is code.

The folder of a model is like that of a segmentation model: ``card.json``,
``weights.safetensors``, ``NOTICE``; hashes tie them together, and a few golden inputs
with their outputs travel with the weights.
"""

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
from inference.cards import CARD_FILE, WEIGHTS_FILE, sha256

SHIPPED_FORECASTS = Path(__file__).parents[1] / "weights"
GOLDEN = ("golden.steps", "golden.known", "golden.ahead", "golden.out")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    """A frozen part of a card; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ResidualShape(_Part):
    """Arguments of :class:`tracking.transformer.ResidualTransformer`."""

    kind: Literal["residual_transformer"] = "residual_transformer"
    width: int = Field(48, ge=8, le=256, multiple_of=8)
    layers: int = Field(2, ge=1, le=6)
    heads: Literal[1, 2, 4, 8] = 4


class ForecastTraining(_Part):
    """Where the weights come from."""

    source: str
    seeds: tuple[tuple[int, int], ...]
    """Ranges ``(first, last)`` that were trained on."""
    held_out_seeds: tuple[tuple[int, int], ...]
    samples: int = Field(ge=1)
    steps: int = Field(ge=1)
    seed: int = Field(ge=0)


class ForecastFigures(_Part):
    """One model in one regime, on held-out seeds."""

    regime: str
    model: str
    ade_um: float
    fde_um: float
    nll: float | None
    coverage_90: float | None
    skill_over_stay: float
    skill_over_bank: float


class ForecastCard(_Part):
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
        return f"{self.card.name}-{sha256(self.card.model_dump_json().encode())[:8]}"


def find_forecast(name_or_path: str) -> Path | None:
    """Find the folder of a forecast network, shipped or not; ``None``: it is none."""
    for folder in (Path(name_or_path), SHIPPED_FORECASTS / name_or_path):
        path = folder / CARD_FILE
        if path.is_file() and b'"kind": "forecast"' in path.read_bytes():
            return folder
    return None


def load_forecast(name_or_path: str) -> ForecastModel:
    """Read card and weights, and check that they belong together.

    Raises
    ------
    BadModel
        If there is none, or a file is missing, damaged or not ours.
    """
    folder = find_forecast(name_or_path)
    if folder is None:
        shipped = sorted(
            p.parent.name for p in SHIPPED_FORECASTS.glob(f"*/{CARD_FILE}")
        )
        raise BadModel(
            f"forecast network {name_or_path!r}: no folder with such a {CARD_FILE}; "
            f"give the folder, or one of: {', '.join(shipped) or 'none shipped'}"
        )
    path = folder / WEIGHTS_FILE
    try:
        card = ForecastCard.model_validate_json((folder / CARD_FILE).read_bytes())
        data = path.read_bytes()
        if sha256(data) != card.weights_sha256:
            raise BadModel(
                f"{path}: not the weights of this card, or damaged (sha256 "
                f"{sha256(data)[:12]}...); copy the whole folder again"
            )
        tensors = dict(read_tensors(data))
        golden = tuple(tensors.pop(name) for name in GOLDEN)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "the file"
        raise BadModel(
            f"{folder / CARD_FILE}: {key}: {fault['msg']}; take the card that was "
            "written with the weights, or train again"
        ) from error
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadModel(f"{path}: cannot be read ({error}); copy it again") from error
    return ForecastModel(card, tensors, golden)


def save_forecast(
    folder: Path,
    card: ForecastCard,
    weights: Mapping[str, NDArray[np.generic]],
    golden: tuple[NDArray[np.generic], ...],
    notice: str,
) -> ForecastCard:
    """Write a model; gives the card with its hash filled in."""
    tensors = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    tensors |= {
        name: np.ascontiguousarray(value)
        for name, value in zip(GOLDEN, golden, strict=True)
    }
    data = write_tensors(tensors)
    card = card.model_copy(update={"weights_sha256": sha256(data)})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(data)
    (folder / CARD_FILE).write_text(
        card.model_dump_json(indent=2) + "\n", encoding="utf-8"
    )
    (folder / "NOTICE").write_text(notice, encoding="utf-8")
    return card
