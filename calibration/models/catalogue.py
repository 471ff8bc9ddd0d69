"""What models there are, what one of them is in words, and whether it is whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.errors import BadModel
from calibration.models.forecast_maps import (
    map_row,
    show_map_network,
    verify_map_network,
)
from calibration.models.forecasts import (
    forecast_row,
    show_forecast,
    verify_forecast,
)
from inference.cards import (
    MODELS,
    Card,
    Classifier,
    Metrics,
    Model,
    load_card,
    load_model,
)
from inference.engines.cell_engines import TorchCells, largest_difference
from inference.engines.cuda_device import NOT_RUN
from inference.engines.torch_engine import TorchEngine
from inference.model_folder import CARD_FILE
from inference.nets.cost import network_cost
from inference.probe import probe_engine, tiled
from tracking.forecasts.card import FORECASTS
from tracking.forecasts.map_card import MAPS

COUNTED_PX = 1024
"""Edge of the frame whose operations are counted."""
_TILES = 4
"""The golden maps are of a plane tiled so many times a side with the golden frame."""
LARGEST_STEP = 2
"""The reference may round a map of 0 to 255 so differently on another processor."""
LEAST_EQUAL = 0.999
"""Share of the pixels of the golden maps that must agree to this."""
MOST_OFF = 0.002
"""Largest difference of P(dead) of a golden crop between two processors."""


def list_models(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Give a row for every shipped model and for every model in the folders.

    A folder is that of a model, or holds such folders. One that cannot be read has a
    row with the reason.

    Raises
    ------
    BadModel
        If a folder holds no model at all.
    """
    found = MODELS.folders() + FORECASTS.folders() + MAPS.folders()
    for folder in folders:
        inside = [folder] if (folder / CARD_FILE).is_file() else []
        inside += sorted(card.parent for card in folder.glob(f"*/{CARD_FILE}"))
        if not inside:
            raise BadModel(
                f"{folder}: no model in it or in its folders (a model has a "
                f"{CARD_FILE}); name another folder"
            )
        found += inside
    return [_row(folder) for folder in found]


def _row(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(
        ("name", "kind", "parameters", "modalities", "um_per_px", "steps", "trained")
    )
    row |= {"instance_f1_50": None, "mean_object_f1_25": None, "measured": None}
    row |= {"folder": str(folder), "fault": None}
    if (forecast := forecast_row(folder) or map_row(folder)) is not None:
        return row | forecast
    try:
        card = load_card(folder)
    except BadModel as error:
        return row | {"name": folder.name, "fault": str(error)}
    worst = _worst(card.simulated)
    return row | {
        "name": card.name,
        "kind": card.architecture.kind,
        "parameters": network_cost(card.architecture, (64, 64)).parameters,
        "modalities": list(card.modalities),
        "um_per_px": card.um_per_px,
        "steps": card.training.steps,
        "trained": bool(card.simulated or card.real),
        "instance_f1_50": worst.instance_f1_50 if worst else None,
        "mean_object_f1_25": _mean_f1(worst) if worst else None,
        "measured": f"simulated, {worst.data}" if worst else None,
    }


def _worst(metrics: Sequence[Metrics]) -> Metrics | None:
    """Give the set on which a model did worst."""
    return min(metrics, key=lambda one: _mean_f1(one) or 0.0, default=None)


def _mean_f1(metrics: Metrics) -> float | None:
    live, dead = metrics.object_f1_live_25, metrics.object_f1_dead_25
    return None if live is None or dead is None else (live + dead) / 2


def show_model(name: str) -> dict[str, Any]:
    """Give the card of a model with what its network costs.

    Raises
    ------
    BadModel
        If there is no such model.
    """
    if (forecast := show_forecast(name) or show_map_network(name)) is not None:
        return forecast
    folder = MODELS.find(name)
    card = load_card(folder)
    cost = network_cost(card.architecture, (COUNTED_PX, COUNTED_PX))
    return {
        "name": card.name,
        "folder": str(folder),
        "card": card.model_dump(mode="json"),
        "parameters": cost.parameters,
        "gflop": cost.gflop,
        "frame_px": COUNTED_PX,
        "text": describe(card, cost.parameters, cost.gflop),
    }


def describe(card: Card, parameters: int, gflop: float) -> str:
    """Give a card in words."""
    training = card.training
    lines = [
        f"{card.name}: finds cells in {', '.join(card.modalities)} at "
        f"{card.um_per_px:g} um a pixel and says live or dead.",
        f"Network: {card.architecture.kind}, {parameters / 1e6:.2f} million weights, "
        f"{gflop:.1f} GFLOP a frame of {COUNTED_PX} x {COUNTED_PX} pixels.",
        f"Trained: {training.steps} steps on {training.source}; "
        f"worlds {', '.join(training.worlds)}; seeds "
        f"{', '.join(f'{a} to {b}' for a, b in training.seeds)}; "
        f"begun with {training.warm_start or 'random numbers'}.",
        f"Probability of death: logit divided by the temperature "
        f"{card.temperature:.3f}, plus {card.dead_offset:.3f}; assumed share of dead "
        f"cells: {training.dead_share or 'not known'}.",
        *_second_network(card.classifier),
        "On simulated worlds:",
        *_described(card.simulated),
        "On recordings of real microscopes:",
        *_described(card.real),
        "It is not good for:",
        *(f"  - {what}" for what in card.not_good_for),
        "Engines: OpenVINO (bf16, int8, f32) and torch on processors; TensorRT and "
        f"torch on NVIDIA cards are {NOT_RUN}.",
        f"Licence: {card.licence}.",
    ]
    return "\n".join(lines)


def _second_network(part: Classifier | None) -> list[str]:
    """Tell of the network that looks closer at cells in doubt."""
    if part is None:
        return ["No second network: the calls are those of the maps."]
    return [
        f"Second network: looks at cells whose P(dead) lies between {part.doubt[0]:g} "
        f"and {part.doubt[1]:g}, {part.edge_px} x {part.edge_px} pixels around each, "
        f"{part.training.steps} steps on {part.training.source}; AUROC of "
        f"{part.cells} found cells ({part.cells_in_doubt} in doubt) "
        f"{_say(part.auroc_maps)} by the maps, {_say(part.auroc)} with it. The figures "
        "below are those of the maps alone.",
    ]


def _described(metrics: Sequence[Metrics]) -> list[str]:
    if not metrics:
        return ["  never measured"]
    return [f"  {one.data}: {_figures(one)}" for one in metrics]


def _figures(one: Metrics) -> str:
    if one.objects_untold:
        return (
            f"{one.objects_untold} cells, instance F1 {_say(one.instance_f1_50)}, "
            f"without a network {_say(one.classical_f1_50)}"
        )
    text = (
        f"{one.objects_live} live and {one.objects_dead} dead cells, "
        f"object F1 at 25 % dead {_say(one.object_f1_live_25)} live "
        f"{_say(one.object_f1_dead_25)} dead, instance F1 {_say(one.instance_f1_50)}, "
        f"AUROC {_say(one.auroc_dead)}, calibration error {_say(one.ece)}"
    )
    if one.one_number_auroc is None:
        return text
    return (
        f"{text}, balanced accuracy {_say(one.balanced_accuracy)}; AUROC of the "
        f"brightness alone {_say(one.one_number_auroc)}"
    )


def _say(value: float | None) -> str:
    return "not stated" if value is None else f"{value:.3f}"


def verify_model(name: str) -> dict[str, Any]:
    """Check hashes, architecture and golden maps; says what is wrong, if anything is.

    The float32 reference runs the golden frame anew: its maps must be those that were
    stored with the weights.

    Raises
    ------
    BadModel
        If there is no such model.
    """
    if (forecast := verify_forecast(name) or verify_map_network(name)) is not None:
        return forecast
    folder = MODELS.find(name)
    result: dict[str, Any] = {"name": name, "folder": str(folder), "whole": False}
    try:
        model = load_model(str(folder))
        checks = _run_golden(model)
    except BadModel as error:
        return result | {"reason": str(error)}
    return result | {"label": model.label, **checks}


def _run_golden(model: Model) -> dict[str, Any]:
    """Run the reference on the golden frame, and compare every map."""
    golden = model.golden
    height, width = golden.frame.shape
    shape = (_TILES * height, _TILES * width)
    engine = TorchEngine(model, shape, threads=1)
    normalisation = model.card.normalisation
    maps = engine.infer(
        tiled(golden.frame, shape), normalisation.offset, normalisation.scale
    )
    planes = np.stack([maps.classes, maps.dead, maps.separation])[:, :height, :width]
    step = np.abs(planes.astype(np.int16) - golden.maps.astype(np.int16))
    step[0] *= LARGEST_STEP + 1  # another class is no rounding
    equal = float((step <= LARGEST_STEP).mean())
    reason = None
    if equal < LEAST_EQUAL:
        reason = (
            f"the reference gives other maps of the golden frame than those stored "
            f"({equal:.2%} of their pixels agree, {LEAST_EQUAL:.1%} are needed): the "
            "network of this version is not that of the weights; export the model again"
        )
    else:
        reason = probe_engine(engine, model, shape).fault or _second_fault(model)
    engine.close()
    return {"golden_equal": equal, "whole": reason is None, "reason": reason}


def _second_fault(model: Model) -> str | None:
    """Say what is wrong with the second network; None: nothing, or there is none."""
    part, second = model.card.classifier, model.second
    if part is None or second is None:
        return None
    off = largest_difference(TorchCells(model), part, second)
    if off <= MOST_OFF:
        return None
    return (
        f"the second network gives another P(dead) of a golden crop than the one "
        f"stored ({off:.3f} off): it is not that of the weights; train it again"
    )
