"""``vigil train`` with the recipe of a forecast network."""

import tomllib
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from acquisition.errors import BadConfig
from app.simulate import interruptible

DEFAULT_FOLDER = Path("training-runs")
POSITIONS, MAPS = "forecast", "forecast_maps"


def is_forecast(path: Path) -> bool:
    """Whether a recipe is that of a forecast network; one that is no TOML is not."""
    return kind_of(path) in (POSITIONS, MAPS)


def kind_of(path: Path) -> str | None:
    """Give what a recipe says that it trains; None: it says nothing, or is no TOML."""
    try:
        kind = tomllib.loads(path.read_text("utf-8")).get("kind")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
    return kind if isinstance(kind, str) else None


def train_forecasts(
    path: Path, output: Path | None, *, resume: bool, export: Path | None
) -> dict[str, Any]:
    """Train a forecast network; the result is that of ``vigil train --json``.

    Raises
    ------
    BadConfig
        If the recipe or an option is wrong.
    """
    from calibration.training.forecast_learner import ForecastRecipe
    from calibration.training.forecast_map_learner import MapRecipe
    from calibration.training.forecast_map_train import train_maps
    from calibration.training.forecast_train import train_forecast
    from calibration.training.recipe import read_recipe

    if resume or export is not None:
        raise BadConfig(
            str(path),
            ["a forecast network trains in minutes: no --resume, no --export"],
        )
    recipe: ForecastRecipe | MapRecipe
    if kind_of(path) == MAPS:
        recipe = read_recipe(path, MapRecipe)
    else:
        recipe = read_recipe(path, ForecastRecipe)
    folder = output or DEFAULT_FOLDER / recipe.name
    with Progress(console=Console(stderr=True)) as bar, interruptible() as stopped:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, of: int, loss: float | None) -> bool:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            shown = what if loss is None else f"{what}, loss {loss:.3f}"
            bar.update(tasks[what], total=of, completed=done, description=shown)
            return not stopped.is_set()

        if isinstance(recipe, MapRecipe):
            outcome = train_maps(recipe, folder, tell)
        else:
            outcome = train_forecast(recipe, folder, tell)
    return {
        "state": outcome.state,
        "run": str(folder),
        "steps": outcome.steps,
        "best": None,
        "metrics": None,
        "model": str(outcome.model) if outcome.model else None,
    }
