"""The commands around models: train, evaluate, models, fit-events.

What they do is imported when they are called, so that other commands start fast.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acquisition.errors import BadInput
from app.tables import pages_text, rows_text, table_text

if TYPE_CHECKING:
    from app.evaluate import Trial

DONE, FAILED, INTERRUPTED = 0, 1, 130
ENGINES = ("auto", "tensorrt", "torch-cuda", "openvino", "torch")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say."""

    code: int  # of the exit
    result: dict[str, Any]  # what --json prints
    text: str


New = Callable[[Any, str, str, Callable[[argparse.Namespace], Answer]], Any]
"""Adds a command of a name with its help; gives its parser."""


def add_model_commands(commands: Any, new: New) -> None:
    """Add all commands of this file."""
    _add_train(commands, new)
    _add_evaluate(commands, new)
    models = commands.add_parser("models", help="list, show, verify, build, compare")
    kinds = models.add_subparsers(required=True, metavar="WHAT")
    listing = new(kinds, "list", "the shipped models and those in folders", _list)
    listing.add_argument("folders", nargs="*", type=Path, metavar="DIR")
    named = "shipped model, or the folder of one"
    show = new(kinds, "show", "the card of a model in words, and its cost", _show)
    show.add_argument("name", help=named)
    verify = new(kinds, "verify", "is a model whole and itself?", _verify)
    verify.add_argument("name", help=named)
    build = new(kinds, "build", "make and try every engine on this PC", _build)
    build.add_argument("name", help=named)
    build.add_argument("--size", type=int, default=1024, metavar="PX")
    build.add_argument("--engine", choices=ENGINES, default="auto")
    _add_compare(kinds, new)
    _add_fit_events(commands, new)


def _add_fit_events(commands: Any, new: New) -> None:
    fit = new(
        commands,
        "fit-events",
        "fit the evidence of death to simulated runs",
        _fit_events,
    )
    fit.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="with truth")
    fit.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="calibration, for events.death.calibration",
    )
    fit.add_argument("--seed", type=int, default=1, metavar="N")


def _fit_events(options: argparse.Namespace) -> Answer:
    from calibration.event_fit import fit_runs

    if options.output.exists():
        raise BadInput(f"--output {options.output}: exists already; name a new file")
    result = fit_runs(options.runs, options.output, options.seed)
    return Answer(DONE, result, table_text(result))


def _add_compare(kinds: Any, new: New) -> None:
    compare = new(
        kinds, "compare", "two models on the same fields, or networks", _compare
    )
    compare.add_argument("names", nargs="*", metavar="MODEL", help="present, new")
    compare.add_argument("--recipe", help="train and compare the networks of a recipe")
    compare.add_argument("--output", type=Path, metavar="DIR", help="with --recipe")
    compare.add_argument(
        "--scale", type=float, metavar="X", help="with --recipe: budget times X"
    )
    _add_trial(compare)


def _add_train(commands: Any, new: New) -> None:
    train = new(commands, "train", "train a network by a recipe", _train)
    train.add_argument("recipe", help="recipe file, or a shipped one such as slim")
    train.add_argument(
        "--output", type=Path, metavar="DIR", help="of the run; training-runs/NAME"
    )
    train.add_argument(
        "--resume", action="store_true", help="go on with a run that was ended"
    )
    train.add_argument(
        "--export",
        type=Path,
        metavar="DIR",
        help="only write the best network so far as a model",
    )


def _add_evaluate(commands: Any, new: New) -> None:
    evaluate = new(
        commands, "evaluate", "a model on simulated worlds or real images", _evaluate
    )
    evaluate.add_argument(
        "name",
        help="shipped model, the folder of one, or cellpose, stardist, instanseg",
    )
    _add_trial(evaluate)
    evaluate.add_argument(
        "--images", type=Path, metavar="DIR", help="images with masks or boxes"
    )
    evaluate.add_argument(
        "--pixel-size", type=float, metavar="UM", help="of images that do not say it"
    )
    evaluate.add_argument(
        "--min-area", type=float, metavar="UM2", help="smaller objects are debris"
    )


def _add_trial(parser: Any) -> None:
    parser.add_argument(
        "--worlds",
        nargs="+",
        default=[],
        metavar="WORLD",
        help="names, world files or folders of them",
    )
    parser.add_argument(
        "--fields", type=int, default=4, metavar="N", help="of every world"
    )
    parser.add_argument(
        "--size", type=int, default=1024, metavar="PX", help="edge of the fields"
    )
    parser.add_argument(
        "--dead-share", type=float, metavar="S", help="make the dishes to this share"
    )
    parser.add_argument(
        "--crowding",
        type=float,
        default=1.0,
        metavar="X",
        help="X times the cells of each world",
    )
    parser.add_argument("--engine", choices=ENGINES, default="auto")


def _train(options: argparse.Namespace) -> Answer:
    from app.train import run_training

    result = run_training(
        options.recipe, options.output, options.resume, options.export
    )
    code = INTERRUPTED if result["state"] == "interrupted" else DONE
    return Answer(code, result, table_text(result))


def _evaluate(options: argparse.Namespace) -> Answer:
    from app.evaluate import evaluate, pages

    result = evaluate(options.name, _trial(options))
    return Answer(DONE, result, pages_text(pages(result)))


def _trial(options: argparse.Namespace) -> "Trial":
    from app.evaluate import Trial
    from calibration.models.worlds import Effort

    return Trial(
        worlds=tuple(options.worlds),
        images=getattr(options, "images", None),
        pixel_size_um=getattr(options, "pixel_size", None),
        effort=Effort(
            options.fields, options.size, options.dead_share, options.crowding
        ),
        engine=options.engine,
        min_area_um2=getattr(options, "min_area", None),
    )


def _list(options: argparse.Namespace) -> Answer:
    from calibration.models.catalogue import list_models

    rows = list_models(options.folders)
    hidden = ("folder", "fault", "measured")
    text = rows_text([{k: v for k, v in r.items() if k not in hidden} for r in rows])
    faults = [f"{row['name']}: {row['fault']}" for row in rows if row["fault"]]
    return Answer(DONE, {"models": rows}, "\n".join([text, *faults]))


def _show(options: argparse.Namespace) -> Answer:
    from calibration.models.catalogue import show_model

    result = show_model(options.name)
    return Answer(DONE, result, result["text"])


def _verify(options: argparse.Namespace) -> Answer:
    from calibration.models.catalogue import verify_model

    result = verify_model(options.name)
    if result["whole"]:
        return Answer(DONE, result, f"{options.name} is whole: {result['label']}")
    return Answer(FAILED, result, f"{options.name} failed: {result['reason']}")


def _build(options: argparse.Namespace) -> Answer:
    from app.models import build

    result = build(options.name, options.size, options.engine)
    serves = any(row["serves"] for row in result["engines"])
    text = "\n".join([rows_text(result["engines"]), *result["closer_look"]])
    return Answer(DONE if serves else FAILED, result, text)


def _compare(options: argparse.Namespace) -> Answer:
    from app.models import compare, compare_recipe, comparison_pages, network_pages

    if options.recipe is not None:
        if options.names:
            raise BadInput("models compare: give two models, or --recipe, not both")
        result = compare_recipe(options.recipe, options.output, options.scale)
        code = INTERRUPTED if result["state"] == "interrupted" else DONE
        return Answer(code, result, pages_text(network_pages(result)))
    if len(options.names) != 2:
        raise BadInput(
            f"models compare: two models are wanted, the present one and the new one "
            f"(given: {len(options.names)}), or --recipe"
        )
    result = compare(options.names[0], options.names[1], _trial(options))
    return Answer(DONE, result, pages_text(comparison_pages(result)))
