"""``vigil train``: a training run with its progress, or a model of one so far."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from acquisition.errors import BadConfig
from app.simulate import interruptible
from app.train_classifier import is_classifier, train_classifiers
from app.train_forecast import is_forecast, train_forecasts
from calibration.training.export import export_model
from calibration.training.folds import train_folds
from calibration.training.recipe import load_recipe
from calibration.training.standing import Standing
from calibration.training.train import FIELDS, train
from configs.schema import SHIPPED

DEFAULT_FOLDER = Path("training-runs")


def run_training(
    recipe: str, output: Path | None, resume: bool, export: Path | None
) -> dict[str, Any]:
    """Train, or only write the model; the result is that of ``vigil train --json``.

    Parameters
    ----------
    recipe
        File, or the name of a shipped one.
    output
        Folder of the run; absent: one of the name of the recipe.
    resume
        Go on with a run that was ended.
    export
        Only write the best network so far as a model, into this folder.

    Raises
    ------
    BadInput
        If recipe, folder or device are wrong; see `calibration.training.train.train`.
    """
    path = find_recipe(recipe)
    if is_forecast(path):
        return train_forecasts(path, output, resume=resume, export=export)
    if is_classifier(path):
        return train_classifiers(path, output, resume=resume, export=export)
    checked = load_recipe(path)
    folder = output or DEFAULT_FOLDER / checked.name
    if export is not None:
        model = export_model(checked, folder, export, folder / FIELDS)
        return {"state": "exported", "run": str(folder), "model": str(model)}
    with training_bar() as bar, interruptible() as stopped:
        shown = Shown(bar)

        def watch(standing: Standing) -> bool:
            shown.tell(standing)
            return not stopped.is_set()

        outcome = train_folds(checked, folder, watch) or train(
            path, folder, resume, watch
        )
    return outcome.told(folder)


def find_recipe(name_or_path: str) -> Path:
    """Find a recipe: a path, or the name of a shipped one.

    Raises
    ------
    BadConfig
        If there is neither.
    """
    folder = SHIPPED / "training"
    name = name_or_path.removesuffix(".toml")
    for path in (Path(name_or_path), folder / f"{name}.toml"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(path.stem for path in folder.glob("*.toml")))
    raise BadConfig(
        name_or_path, [f"no such recipe; give a file, or one of: {shipped}"]
    )


def training_bar() -> Progress:
    """Give a progress bar on stderr with the figures of a training."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[figures]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class Shown:
    """The bar of a run, and a line for every evaluation."""

    def __init__(self, bar: Progress, name: str = "") -> None:
        self._bar = bar
        self._name = name
        self._tasks: dict[str, Any] = {}

    def tell(self, standing: Standing) -> None:
        """Show where the run stands."""
        what = f"{self._name} {standing.what}".strip()
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, figures="")
        figures = ""
        if standing.loss is not None:
            figures = f"loss {standing.loss:.3f}"
        if standing.best is not None:
            figures += f", best F1 {standing.best:.3f}"
        self._bar.update(
            self._tasks[what],
            total=standing.of,
            completed=standing.done,
            figures=figures,
        )
        if standing.row is not None:
            row = standing.row
            self._bar.console.print(
                f"{self._name} step {row['step']}: loss {row['loss']:.3f}, AUROC "
                f"{row['auroc_dead']:.3f}, F1 live {row['f1_live']:.3f} dead "
                f"{row['f1_dead']:.3f}, IoU {row['foreground_iou']:.3f}".strip()
            )
