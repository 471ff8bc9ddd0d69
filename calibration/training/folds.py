"""How good a training is on real images that it has not seen: folds.

The images of every set are dealt to folds by their group. One training for each fold
leaves its images out and is measured on them; the last training sees all images, and
its card carries the figures of the folds.
"""

from pathlib import Path

from calibration.datasets.splits import fold_groups
from calibration.training.images import open_images
from calibration.training.real_figures import FOLD, MODEL
from calibration.training.recipe import Recipe
from calibration.training.standing import Outcome, Watch
from calibration.training.train import FIELDS, train
from inference.model_folder import CARD_FILE


def fold_recipes(recipe: Recipe) -> list[Recipe]:
    """Give the recipe of every fold; held-out images of the recipe stay held out.

    Raises
    ------
    BadImages
        If the images are missing, or fewer than the folds.
    """
    dealt = [
        fold_groups(open_images(images).train.groups, recipe.folds, recipe.seed)
        for images in recipe.images
    ]
    fields = recipe.fields.model_copy(update={"held_out_worlds": (), "test": 1})
    recipes = []
    for fold in range(recipe.folds):
        images = tuple(
            one.model_copy(update={"held_out": (*one.held_out, *parts[fold])})
            for one, parts in zip(recipe.images, dealt, strict=True)
        )
        changes = {"images": images, "fields": fields, "folds": 0}
        recipes.append(recipe.model_copy(update=changes))
    return recipes


def train_folds(recipe: Recipe, output: Path, watch: Watch) -> Outcome | None:
    """Train every fold that is not finished; None: all are, or there are none.

    A fold that was interrupted goes on where it stood. All share their simulated
    fields with the last training.

    Raises
    ------
    BadImages, BadRun, BadConfig
        As `calibration.training.train.train`.
    """
    if not recipe.folds:
        return None
    for fold, one in enumerate(fold_recipes(recipe), start=1):
        folder = output / FOLD.format(fold)
        if (folder / MODEL / CARD_FILE).is_file():
            continue
        outcome = train(one, folder, True, watch, output / FIELDS)
        if outcome.state == "interrupted":
            return outcome
    return None
