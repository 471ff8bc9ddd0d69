"""``vigil train`` with the recipe of a second network, which looks at single cells."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from app.simulate import interruptible
from app.train_forecast import DEFAULT_FOLDER, kind_of
from calibration.training.classifier_export import export_classifier
from calibration.training.classifier_recipe import ClassifierRecipe
from calibration.training.classifier_train import SAMPLES, train_classifier
from calibration.training.recipe import read_recipe
from calibration.training.standing import Standing

CLASSIFIER = "cell_classifier"


def is_classifier(path: Path) -> bool:
    """Whether a recipe is that of a second network."""
    return kind_of(path) == CLASSIFIER


def train_classifiers(
    path: Path, output: Path | None, *, resume: bool, export: Path | None
) -> dict[str, Any]:
    """Train a second network; the result is that of ``vigil train --json``.

    Raises
    ------
    BadInput
        If recipe, folder or device are wrong; see
        `calibration.training.classifier_train.train_classifier`.
    """
    recipe = read_recipe(path, ClassifierRecipe)
    folder = output or DEFAULT_FOLDER / f"{recipe.name}_classifier"
    if export is not None:
        model = export_classifier(recipe, folder, folder / SAMPLES, export)
        return {"state": "exported", "run": str(folder), "model": str(model)}
    with Progress(console=Console(stderr=True)) as bar, interruptible() as stopped:
        tasks: dict[str, Any] = {}

        def watch(standing: Standing) -> bool:
            what: str = standing.what
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            loss = standing.loss
            shown = what if loss is None else f"{what}, loss {loss:.3f}"
            bar.update(
                tasks[what],
                total=standing.of,
                completed=standing.done,
                description=shown,
            )
            if standing.row is not None:
                bar.console.print(_line(standing.row))
            return not stopped.is_set()

        outcome = train_classifier(path, folder, resume, watch)
    return outcome.told(folder)


def _line(row: dict[str, Any]) -> str:
    """Give the figures of an evaluation, those of the maps alone in brackets."""
    ranks = [
        "-" if row[name] is None else f"{row[name]:.4f}"
        for name in ("auroc", "auroc_maps")
    ]
    return (
        f"step {row['step']}: loss {row['loss']:.4f}, validation "
        f"{row['log_loss']:.4f} ({row['log_loss_maps']:.4f}), AUROC of cells in doubt "
        f"{ranks[0]} ({ranks[1]})"
    )
