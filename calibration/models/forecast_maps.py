"""Networks that forecast maps among the models: in the list, in words, and checked."""

from pathlib import Path
from typing import Any

from acquisition.errors import BadModel
from inference.model_folder import weight_count
from tracking.forecasts.map_card import MAPS, MapFigures, MapModel, load_map_model


def map_row(folder: Path) -> dict[str, Any] | None:
    """Give what the list of models says of a folder; ``None``: it is no map network."""
    if MAPS.look(str(folder)) is None:
        return None
    try:
        model = load_map_model(folder)
    except BadModel as error:
        return {"name": folder.name, "fault": str(error)}
    return {
        "name": model.card.name,
        "kind": model.card.architecture.kind,
        "parameters": weight_count(model.weights),
        "steps": model.card.steps,
        "trained": True,
    }


def show_map_network(name: str) -> dict[str, Any] | None:
    """Give the card of a map network in words; ``None``: it is none."""
    folder = MAPS.look(name)
    if folder is None:
        return None
    model = load_map_model(folder)
    return {
        "name": model.card.name,
        "folder": str(folder),
        "card": model.card.model_dump(mode="json"),
        "parameters": weight_count(model.weights),
        "text": _describe(model, folder),
    }


def verify_map_network(name: str) -> dict[str, Any] | None:
    """Check the hash of the weights, and that they fit; ``None``: it is none."""
    folder = MAPS.look(name)
    if folder is None:
        return None
    result: dict[str, Any] = {"name": name, "folder": str(folder), "whole": False}
    try:
        model = load_map_model(folder)
    except BadModel as error:
        return result | {"reason": str(error)}
    # Only here the network is wanted; torch takes seconds.
    import torch

    from tracking.forecasts.map_transformer import MapTransformer

    weights = {key: torch.tensor(value) for key, value in model.weights.items()}
    reason = None
    try:
        MapTransformer(model.card.architecture).load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        reason = f"the weights do not fit the architecture ({first}); train again"
    return result | {"label": model.label, "whole": reason is None, "reason": reason}


def _describe(model: MapModel, folder: Path) -> str:
    card = model.card
    lines = [
        f"{card.name}: forecasts the map of live and dead cells {card.ahead_frames} "
        f"frames of {card.interval_s:g} s ahead; it finds no cells and serves no run. "
        f"Measure it with: vigil bench forecast --maps --weights {folder}",
        f"Network: sees {card.architecture.frames} maps, "
        f"{weight_count(model.weights)} weights.",
        f"Trained: {card.steps} steps on the world {card.world}, seeds "
        f"{card.seeds[0]} to {card.seeds[1]}.",
        "On simulated cells of held-out seeds:",
        *(map(_line, card.figures) if card.figures else ["  never measured"]),
        f"Licence: {card.licence}.",
    ]
    return "\n".join(lines)


def _line(one: MapFigures) -> str:
    return (
        f"  {one.model}: overlap of all cells {one.iou_all:.3f}, of the living "
        f"{one.iou_live:.3f}, over {one.maps} maps"
    )
