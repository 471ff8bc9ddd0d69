"""Training of a second network: cells first, then steps, then the model."""

import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from acquisition.errors import RunFailed
from calibration.training.classifier_export import export_classifier
from calibration.training.classifier_learner import ClassifierLearner
from calibration.training.classifier_recipe import SPLITS, ClassifierRecipe
from calibration.training.classifier_samples import (
    Samples,
    Shard,
    claim_samples,
    generate_samples,
    load_found,
    load_samples,
    shards,
)
from calibration.training.curves import Panels, draw_curves
from calibration.training.recipe import read_recipe
from calibration.training.standing import HISTORY, Outcome, Standing, Watch
from calibration.training.train import (
    MODEL,
    NICENESS,
    POLL_S,
    claim_run,
    keep_recipe,
    trim_history,
)
from inference.cards import MODELS, load_card

logger = logging.getLogger(__name__)

SAMPLES = "samples"
_FREE: dict[str, bool | set[str]] = {
    "threads": True,
    "device": True,
    "precision": True,
    "evaluate_every": True,
    "fields": {"validation", "test"},
}
"""What a recipe may change between the beginning of a run and its resumption."""
_PANELS: Panels = (
    ("log loss", ("loss", "log_loss", "log_loss_maps")),
    ("AUROC of cells in doubt, validation", ("auroc", "auroc_maps")),
)


def train_classifier(
    path: Path, run: Path, resume: bool = False, watch: Watch = lambda _: True
) -> Outcome:
    """Train by a recipe, up to the model with its second network.

    Cells, checkpoint, curves and figures go into ``run``; cells that are in
    ``run/samples`` already are not made again, and the steps begin when all are there,
    so that the same seed gives the same weights. A run that was killed or interrupted
    continues with ``resume``.

    Raises
    ------
    BadConfig
        If the recipe is wrong, or does not go with the model.
    BadRun
        If there is a checkpoint and ``resume`` is not set, or the cells or the
        checkpoint are of another recipe.
    BadModel
        If the model is missing or damaged.
    BadInput
        If the device or number format of the recipe is not there.
    RunFailed
        If a process that finds cells has died.
    """
    recipe = read_recipe(path, ClassifierRecipe)
    card = load_card(MODELS.find(recipe.model))
    recipe.check_suits(card)
    torch.set_num_threads(recipe.threads or os.cpu_count() or 1)
    claim_run(recipe, run, resume, _FREE)
    claim_samples(recipe, card, run / SAMPLES)
    keep_recipe(path, run)
    learner = ClassifierLearner(recipe, run)
    goes_on = _wait_for_samples(recipe, run / SAMPLES, watch)
    if goes_on:
        goes_on = _Course(learner, run, watch).run()
    if not goes_on:
        return Outcome("interrupted", learner.done, None, None)
    model = export_classifier(recipe, run, run / SAMPLES, run / MODEL)
    return Outcome("ended", learner.done, None, model)


def _wait_for_samples(recipe: ClassifierRecipe, directory: Path, watch: Watch) -> bool:
    """Have all cells found; False: whoever watches will not wait."""
    wanted = [one for split in SPLITS for one in shards(recipe, directory, split)]
    if not _missing(wanted):
        return True
    with _makers(recipe, directory) as makers:
        while missing := _missing(wanted):
            ended = [one.exitcode for one in makers]
            if any(ended) or None not in ended:
                raise RunFailed(
                    f"the processes that find the cells ended with {ended}, and "
                    f"{missing} fields are missing; see their message above"
                )
            of = sum(len(one.seeds) for one in wanted)
            if not watch(Standing("fields", of - missing, of)):
                return False
            time.sleep(POLL_S)
    return True


def _missing(wanted: list[Shard]) -> int:
    """Count the fields whose cells are not on disk."""
    return sum(len(one.seeds) for one in wanted if not one.path.exists())


@contextmanager
def _makers(recipe: ClassifierRecipe, directory: Path) -> Iterator[list[BaseProcess]]:
    """Give processes that find cells; they end with the block."""
    count = recipe.threads or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    makers: list[BaseProcess] = [
        context.Process(
            target=_generate_quietly,
            args=(recipe, directory, turn, count),
            name=f"cells-{turn}",
            daemon=True,
        )
        for turn in range(count)
    ]
    try:
        for maker in makers:
            maker.start()
        yield makers
    finally:
        for maker in makers:
            if maker.pid is not None:
                maker.terminate()
                maker.join()


def _generate_quietly(
    recipe: ClassifierRecipe, directory: Path, turn: int, of: int
) -> None:
    """Find cells in a process of its own, behind everything else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training ends this process
    if hasattr(os, "nice"):  # absent on Windows
        os.nice(NICENESS)
    generate_samples(recipe, directory, turn, of)


class _Course:
    """The steps of one run, with evaluations and checkpoints."""

    def __init__(self, learner: ClassifierLearner, run: Path, watch: Watch) -> None:
        self._learner = learner
        self._run = run
        self._watch = watch
        self._minutes = 0.0  # spent before this process took over
        self._start_s = time.monotonic()

    def run(self) -> bool:
        """Take the steps that are left; False: whoever watches has ended it."""
        learner, recipe = self._learner, self._learner.recipe
        training = load_samples(recipe, self._run / SAMPLES)
        held_out = load_found(recipe, self._run / SAMPLES, "validation").samples
        if learner.load():
            self._minutes = trim_history(self._run / HISTORY, learner.done)
            logger.info("resumed at step %d", learner.done)
        while learner.done < recipe.steps:
            loss = learner.step(training)
            row = self._evaluate(held_out)
            standing = Standing("training", learner.done, recipe.steps, loss, row=row)
            if not self._watch(standing):
                if row is None:
                    learner.save()
                return False
        return True

    def _evaluate(self, held_out: Samples) -> dict[str, Any] | None:
        """Evaluate and keep a checkpoint when it is time; gives the figures."""
        learner, recipe = self._learner, self._learner.recipe
        if learner.done % recipe.evaluate_every and learner.done < recipe.steps:
            return None
        minutes = self._minutes + (time.monotonic() - self._start_s) / 60
        row = {"step": learner.done, "minutes": minutes} | learner.judge(held_out)
        with (self._run / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        learner.save()
        draw_curves(self._run / HISTORY, self._run / "curves.png", _PANELS)
        return row
