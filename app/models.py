"""``vigil models``: list, show, verify, build and compare."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from acquisition.errors import BadInput
from app.evaluate import Trial, check_trial, inference_settings, progress
from app.simulate import interruptible
from app.train import DEFAULT_FOLDER, Shown, find_recipe, training_bar
from calibration.models.analyst import Analyst
from calibration.models.harness import compare_networks
from calibration.models.learning import LEARNING
from calibration.models.promotion import compare_rows
from calibration.models.worlds import evaluate_worlds, find_worlds
from calibration.training.recipe import load_recipe
from calibration.training.standing import Standing
from configs.schema import Inference
from inference.cards import load_model
from inference.engines.cell_engines import closer_look_of
from inference.select import build_engines

COMPARED_WORLDS = ("demo", "cho_10x", "cho_40x")
"""On which two models are compared, unless others are named."""


def build(name: str, size_px: int, engine: str) -> dict[str, Any]:
    """Make, try and time every engine that could serve a model on this PC.

    Raises
    ------
    BadInput
        If there is no such model, or the size is none of a frame.
    """
    if not 64 <= size_px <= 8192:
        raise BadInput(f"--size {size_px}: give 64 to 8192 pixels")
    tried, kept = build_engines(inference_settings(name, engine), (size_px, size_px))
    rows = [
        {
            "engine": one.name,
            "serves": one.fault is None,
            "frame_ms": one.probe.frame_ms if one.probe else None,
            "agreement": one.probe.agreement if one.probe else None,
            "made_s": one.made_s,
            "reason": one.fault,
        }
        for one in tried
    ]
    return {
        "model": name,
        "size_px": size_px,
        "engines": rows,
        "order_kept": kept,
        "closer_look": _closer_look(name, rows),
    }


def _closer_look(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """Make what looks closer at cells in doubt beside the fastest engine of the maps.

    Gives a sentence about it; empty: the model has no second network, or nothing serves
    its maps.
    """
    serving = [row for row in rows if row["serves"]]
    if not serving:
        return []
    fastest = min(serving, key=lambda row: row["frame_ms"])["engine"]
    model = load_model(name)
    closer, said = closer_look_of(model, Inference(model=name), fastest)
    if closer is not None:
        closer.close()
    return list(said)


def compare(present: str, new: str, trial: Trial) -> dict[str, Any]:
    """Put two models side by side on the same fields, and say whether to promote.

    Raises
    ------
    BadInput
        If a model, world or option is wrong, or the two see no modality in common.
    """
    trial = replace(trial, worlds=trial.worlds or COMPARED_WORLDS)
    check_trial(trial)
    worlds = find_worlds(trial.worlds)
    with (
        Analyst(inference_settings(present, trial.engine)) as first,
        Analyst(inference_settings(new, trial.engine)) as second,
        progress() as tell,
    ):
        sees = [set(one.card.modalities) for one in (first, second)]
        if not sees[0] & sees[1]:
            raise BadInput(
                f"{present} sees {', '.join(sorted(sees[0]))}, {new} "
                f"{', '.join(sorted(sees[1]))}; models of one modality can be compared"
            )
        rows = evaluate_worlds([first, second], worlds, trial.effort, tell)
    return {"present": present, "new": new, **compare_rows(rows[0], rows[1])}


def compare_recipe(
    recipe: str, output: Path | None, scale: float | None
) -> dict[str, Any]:
    """Train and measure the networks of a recipe; a run that was ended goes on.

    Raises
    ------
    BadInput
        If the recipe is wrong or names no networks.
    """
    if scale is not None and not 0 < scale <= 1000:
        raise BadInput(f"--scale {scale:g}: give more than 0, at most 1000")
    checked = load_recipe(find_recipe(recipe))
    folder = output or DEFAULT_FOLDER / checked.name
    with training_bar() as bar, interruptible() as stopped:
        bars: dict[str, Shown] = {}

        def watch(name: str, standing: Standing) -> bool:
            bars.setdefault(name, Shown(bar, name)).tell(standing)
            return not stopped.is_set()

        rows = list(compare_networks(checked, folder, scale, watch))
    done = len(rows) == len(checked.compare.networks)
    return {
        "state": "ended" if done else "interrupted",
        "output": str(folder),
        "rows": rows,
    }


def network_pages(
    result: dict[str, Any],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give what is printed of a comparison of networks."""
    rows = result["rows"]
    shown = [{k: v for k, v in row.items() if k not in LEARNING} for row in rows]
    yield "quality on the test fields, and cost", shown
    learned = [{key: row[key] for key in ("name", *LEARNING)} for row in rows]
    yield "how they learned: cell pixels at the last evaluation", learned


def comparison_pages(
    result: dict[str, Any],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give what is printed of a comparison of two models."""
    yield f"{result['present']} and {result['new']}", result["strata"]
    verdict = f"{result['new']} may take the place of {result['present']}"
    rows = [{"verdict": verdict}]
    if not result["promote"]:
        rows = [{"worse by more than a point": one} for one in result["reasons"]]
    yield "promotion", rows
