"""Forecast networks among the models: in the list, in words, and checked."""

from pathlib import Path
from typing import Any

import numpy as np

from acquisition.errors import BadModel
from inference.model_folder import weight_count
from tracking.forecasts.card import (
    FORECASTS,
    ForecastCard,
    ForecastFigures,
    load_forecast,
)
from tracking.forecasts.tokens import Tokens

CLOSE = 1e-3
"""The golden outputs, in deviations, must come back to this."""


def forecast_row(folder: Path) -> dict[str, Any] | None:
    """Give what the list of models says of a folder; ``None``: it is no forecast."""
    if FORECASTS.look(str(folder)) is None:
        return None
    try:
        model = load_forecast(str(folder))
    except BadModel as error:
        return {"name": folder.name, "fault": str(error)}
    return {
        "name": model.card.name,
        "kind": model.card.architecture.kind,
        "parameters": weight_count(model.weights),
        "steps": model.card.training.steps,
        "trained": True,
    }


def show_forecast(name: str) -> dict[str, Any] | None:
    """Give the card of a forecast network in words; ``None``: it is none."""
    folder = FORECASTS.look(name)
    if folder is None:
        return None
    model = load_forecast(str(folder))
    return {
        "name": model.card.name,
        "folder": str(folder),
        "card": model.card.model_dump(mode="json"),
        "parameters": weight_count(model.weights),
        "text": _describe(model.card, weight_count(model.weights)),
    }


def verify_forecast(name: str) -> dict[str, Any] | None:
    """Check hashes and golden outputs of a forecast network; ``None``: it is none."""
    folder = FORECASTS.look(name)
    if folder is None:
        return None
    result: dict[str, Any] = {"name": name, "folder": str(folder), "whole": False}
    try:
        model = load_forecast(str(folder))
    except BadModel as error:
        return result | {"reason": str(error)}
    from tracking.forecasts.transformer import Corrector

    steps, known, ahead, out = (np.array(one) for one in model.golden)
    tokens = Tokens(steps, known.astype(bool), ahead, np.ones((len(steps), 2)))
    shift, factor = Corrector(model)(tokens)
    found = np.concatenate((shift, np.log(factor)[..., None]), axis=2)
    away = float(np.abs(found - out).max())
    reason = None
    if away > CLOSE:
        reason = (
            f"golden outputs are off by {away:.3g} deviations ({CLOSE:g} are allowed): "
            "the network of this version is not that of the weights; train again"
        )
    about = {"label": model.label, "golden_off": away}
    return result | about | {"whole": reason is None, "reason": reason}


def _describe(card: ForecastCard, parameters: int) -> str:
    training = card.training
    seeds = ", ".join(f"{first} to {last}" for first, last in training.seeds)
    lines = [
        f"{card.name}: corrects the forecasts of the bank of walks.",
        f"Network: {card.architecture.layers} layers, {card.architecture.heads} heads, "
        f"{parameters} weights.",
        f"Trained: {training.steps} steps on {training.samples} samples of "
        f"{training.source}; seeds {seeds}.",
        "On simulated cells of held-out seeds (mean error over the horizons):",
        *map(_line, card.simulated),
        "On real cells, 1, 3 and 5 frames ahead, measured places:",
        *(map(_line, card.real) if card.real else ["  never measured"]),
        "It is not good for:",
        *(f"  - {what}" for what in card.not_good_for),
        f"Licence: {card.licence}.",
    ]
    return "\n".join(lines)


def _line(one: ForecastFigures) -> str:
    return (
        f"  {one.regime}, {one.model}: {one.ade_um:.3f} um, skill over staying "
        f"{one.skill_over_stay:.3f}, over the bank {one.skill_over_bank:.3f}, NLL "
        f"{_say(one.nll)}, 90 % band holds {_say(one.coverage_90)}"
    )


def _say(value: float | None) -> str:
    return "not stated" if value is None else f"{value:.3f}"
