"""``python -m calibration.training RECIPE [--output DIR] [--resume]``."""

import argparse
import logging
from pathlib import Path

from rich.logging import RichHandler

from calibration.training.export import export_model
from calibration.training.recipe import load_recipe
from calibration.training.train import train


def main() -> None:
    """Train by a recipe, or write the best network of a run so far as a model."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--output", type=Path, default=Path("training-runs/slim"))
    parser.add_argument("--resume", action="store_true", help="go on with a killed run")
    parser.add_argument(
        "--export", type=Path, metavar="DIR", help="only write the model, to DIR"
    )
    given = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(message)s", handlers=[RichHandler()]
    )
    if given.export:
        export_model(load_recipe(given.recipe), given.output, given.export)
    else:
        train(given.recipe, given.output, given.resume)


if __name__ == "__main__":
    main()
