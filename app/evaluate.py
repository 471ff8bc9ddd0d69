"""``vigil evaluate``: a model on simulated worlds, and on images of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from acquisition.errors import BadInput
from app.simulate import LARGEST_PX, SMALLEST_PX, STEP_PX, Tasks
from calibration.datasets.folders import load_folder
from calibration.models.analyst import Analyst
from calibration.models.figures import summarise_rows
from calibration.models.generalists import GENERALISTS, evaluate_generalist
from calibration.models.images import call_figures, evaluate_images
from calibration.models.worlds import Effort, Tell, evaluate_worlds, find_worlds
from configs.schema import Inference

IMAGE_FIGURES = ("instance_f1_50", "instance_f1_75", "iou_foreground")
CALLS = ("auroc_dead", "balanced_accuracy", "n_called")
PRINTED = (
    "name",
    "kind",
    "modality",
    "object_f1_live",
    "object_f1_dead",
    "mean_object_f1",
    "mean_object_f1_natural",
    "mean_pics_f1",
    "mean_pics_f1_even",
    "missed",
    "false",
    "instance_f1_50",
    "instance_f1_75",
    "touching_f1_50",
    "touching_recall_50",
    "iou_foreground",
    "ece",
    "ece_by_chance",
    "ece_uncorrected",
    "auroc_dead",
    "n_objects",
)
"""Columns of the printed table; --json has more."""
MOST_FIELDS = 1000


@dataclass(frozen=True, slots=True)
class Trial:
    """What a model is tried on."""

    worlds: tuple[str, ...] = ()
    """Names, files or folders."""
    images: Path | None = None
    pixel_size_um: float | None = None
    """Of the images whose files do not say it."""
    effort: Effort = field(default_factory=Effort)
    engine: str = "auto"
    min_area_um2: float | None = None
    """Smaller objects are debris; absent: as in a run that does not say it."""


def evaluate(name: str, trial: Trial) -> dict[str, Any]:
    """Evaluate a model; the result has the keys of ``vigil evaluate --json``.

    Figures of simulated worlds and of real images stay apart.

    Raises
    ------
    BadInput
        If model, world, image or option is wrong.
    """
    check_trial(trial)
    if name in GENERALISTS:
        return _generalist(name, trial)
    settings = inference_settings(name, trial.engine, trial.min_area_um2)
    result: dict[str, Any] = {"model": name}
    if trial.worlds:
        made = trial.effort
        result |= {"dead_share": made.dead_share, "crowding": made.crowding}
    with Analyst(settings) as analyst, progress() as tell:
        if trial.worlds:
            worlds = find_worlds(trial.worlds)
            (rows,) = evaluate_worlds([analyst], worlds, trial.effort, tell)
            result |= {"worlds": rows, "summary_worlds": summarise_rows(rows)}
        if trial.images is not None:
            images = load_folder(trial.images, trial.pixel_size_um)
            rows = evaluate_images(analyst, images, tell)
            summary = summarise_rows(rows, IMAGE_FIGURES)
            summary |= call_figures(rows)
            result |= {"images": rows, "summary_images": summary}
        result["engines"] = list(analyst.engines)
    return result


def _generalist(name: str, trial: Trial) -> dict[str, Any]:
    """Evaluate a public generalist, on images with masks."""
    if trial.images is None or trial.worlds:
        raise BadInput(
            f"{name} says nothing about live and dead, and has no phase: it is "
            "evaluated on --images DIR with masks, without --worlds"
        )
    images = load_folder(trial.images, trial.pixel_size_um)
    with progress() as tell:
        rows = evaluate_generalist(GENERALISTS[name](), images, tell)
    return {
        "model": name,
        "images": rows,
        "summary_images": summarise_rows(rows, IMAGE_FIGURES),
    }


def check_trial(trial: Trial) -> None:
    """Refuse options that make no sense, before anything is loaded.

    Raises
    ------
    BadInput
        Naming the option.
    """
    if not trial.worlds and trial.images is None:
        raise BadInput(
            "nothing to evaluate on: give --worlds (names, files or a folder) or "
            "--images DIR"
        )
    size = trial.effort.size_px
    if not SMALLEST_PX <= size <= LARGEST_PX or size % STEP_PX:
        raise BadInput(
            f"--size {size}: give a multiple of {STEP_PX} from {SMALLEST_PX} to "
            f"{LARGEST_PX}"
        )
    if not 1 <= trial.effort.fields <= MOST_FIELDS:
        raise BadInput(f"--fields {trial.effort.fields}: give 1 to {MOST_FIELDS}")
    share = trial.effort.dead_share
    if share is not None and not 0 < share < 1:
        raise BadInput(f"--dead-share {share:g}: give a number between 0 and 1")
    if not 0.05 <= trial.effort.crowding <= 5:
        raise BadInput(f"--crowding {trial.effort.crowding:g}: give 0.05 to 5")
    um = trial.pixel_size_um
    if um is not None and not 0.01 <= um <= 100:
        raise BadInput(f"--pixel-size {um:g}: give 0.01 to 100 um")
    if trial.min_area_um2 is not None and trial.min_area_um2 <= 0:
        raise BadInput(f"--min-area {trial.min_area_um2:g}: give more than 0 um2")


def inference_settings(
    name: str, engine: str, min_area_um2: float | None = None
) -> Inference:
    """Give the settings under which a model is tried: those of a run, all cores."""
    given: dict[str, Any] = {"model": name, "engine": engine}
    if min_area_um2 is not None:
        given["min_area_um2"] = min_area_um2
    return Inference.model_validate(given)


@contextmanager
def progress() -> Iterator[Tell]:
    """Show a progress bar on stderr; silent where nobody would see it move."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        yield Tasks(bar).tell


def pages(result: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give what is printed: rows, then median and worst; worlds and images apart."""
    for kind, title in (("worlds", "simulated worlds"), ("images", "images")):
        if kind not in result:
            continue
        rows = result[kind]
        keys = [key for key in PRINTED if any(key in row for row in rows)]
        yield title, [{key: row.get(key) for key in keys} for row in rows]
        known = [row for row in rows if any(row.get("intervals", {}).values())]
        if known:
            yield (
                f"{title}: 95 % intervals over fields",
                [_ranges(row) for row in known],
            )
        refused = [row for row in rows if row.get("reason")]
        if refused:
            yield (
                f"{title} left out",
                [{"name": row["name"], "reason": row["reason"]} for row in refused],
            )
        summary = result[f"summary_{kind}"]
        yield (
            f"{title}: median and worst",
            [
                {
                    "figure": key,
                    "median": summary["median"][key],
                    "worst": (summary["worst"][key] or {}).get("value"),
                    "of": (summary["worst"][key] or {}).get("name"),
                }
                for key in summary["median"]
            ],
        )


def _ranges(row: dict[str, Any]) -> dict[str, Any]:
    """Say the intervals of a row in words."""
    said = {
        key: None if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
        for key, ends in row["intervals"].items()
    }
    return {"name": row["name"], **said}
