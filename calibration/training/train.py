"""A training run: resumable, seeded, watched on held-out worlds."""

import json
import logging
import math
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import BadRun, RunFailed
from acquisition.records import CellState
from calibration.training.batches import Batch, BatchMaker, Draws, Pool
from calibration.training.curves import draw_curves
from calibration.training.devices import Ranks, joined_ranks
from calibration.training.export import NORMALISATION, export_model
from calibration.training.fields import (
    TrainingField,
    claim_folder,
    field_path,
    generate,
    load_field,
    newest_seed,
)
from calibration.training.images import load_images
from calibration.training.learner import CHECKPOINT, Training
from calibration.training.mining import LossMemory, rare_class_weights
from calibration.training.recipe import Recipe, Split, load_recipe, read_recipe
from calibration.training.standing import HISTORY, Outcome, Standing, Watch
from configs.section import Section

logger = logging.getLogger(__name__)

RECIPE = "recipe.toml"
FIELDS = "fields"
MODEL = "model"
_FIRST_FIELDS = 16
"""Training begins when this many fields are on disk; the others join in."""
POLL_S = 0.5
NICENESS = 10
_REFRESH_STEPS = 100
_FREE: dict[str, bool | set[str]] = {
    "compare": True,
    "encoder": {"file"},
    "fields": {"train", "kept", "validation", "test", "held_out_worlds"},
    "limits": True,
    "optimiser": {"patience", "evaluate_every", "threads", "device", "precision"},
    "parting": True,
}
"""What a recipe may change between the beginning of a run and its resumption."""


def train(
    recipe: Path | Recipe,
    output_dir: Path,
    resume: bool = False,
    watch: Watch = lambda _: True,
    fields_dir: Path | None = None,
) -> Outcome:
    """Train by a recipe, up to the finished model.

    Fields, checkpoint, curves and figures go into ``output_dir``. A run that was killed
    or interrupted continues with ``resume``; without it an existing checkpoint is
    refused, so that hours of work are never overwritten. Other runs may share the
    fields in ``fields_dir``.

    Raises
    ------
    BadConfig
        If the recipe is wrong.
    BadRun
        If there is a checkpoint and ``resume`` is not set, the fields are of others,
        the recipe is not that of the run, or the weights to start from do not fit.
    BadModel
        If the model to start from is missing or damaged.
    BadInput
        If the device or number format of the recipe is not there.
    """
    given = load_recipe(recipe) if isinstance(recipe, Path) else recipe
    given.fields.pixel_um()  # worlds that do not go together are refused here
    torch.set_num_threads(given.optimiser.threads or os.cpu_count() or 1)
    fields = fields_dir or output_dir / FIELDS
    with joined_ranks(given.optimiser) as ranks:
        maker = None
        if ranks.leads:
            claim_run(given, output_dir, resume, _FREE)
            claim_folder(given.fields, fields)
            if isinstance(recipe, Path):
                keep_recipe(recipe, output_dir)
            maker = _start_maker(given, fields)
        try:
            course = Course(given, output_dir, fields, ranks, watch)
            return course.run(maker)
        finally:
            if maker is not None:
                maker.terminate()
                maker.join()


def claim_run(
    recipe: Section,
    directory: Path,
    resume: bool,
    free: dict[str, bool | set[str]],
) -> None:
    """Make the folder, or make sure that it holds a run of this recipe.

    ``free`` is what the recipe may have changed since the run began.

    Raises
    ------
    BadRun
        If there is a checkpoint and ``resume`` is not set, or it is of another recipe.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / CHECKPOINT).exists():
        return
    if not resume:
        raise BadRun(
            f"{directory} holds a training run; resume it with --resume, or choose "
            "another folder with --output"
        )
    kept = directory / RECIPE
    if not kept.exists():
        return
    begun = read_recipe(kept, type(recipe))
    before, now = (one.model_dump(exclude=free) for one in (begun, recipe))
    other = [name for name in now if now[name] != before[name]]
    if other:
        raise BadRun(
            f"{directory} was begun with another recipe ({', '.join(other)} differ); "
            f"resume with {kept}, or choose another folder with --output"
        )


def keep_recipe(recipe: Path, directory: Path) -> None:
    """Put the file of a recipe beside the run that follows it."""
    if recipe.resolve() != (directory / RECIPE).resolve():
        shutil.copyfile(recipe, directory / RECIPE)


def _start_maker(recipe: Recipe, directory: Path) -> Any:
    maker = multiprocessing.get_context("spawn").Process(
        target=_generate_quietly, args=(recipe, directory), name="fields", daemon=True
    )
    maker.start()
    return maker


def _generate_quietly(recipe: Recipe, directory: Path) -> None:
    """Make the fields in a process of its own, behind everything else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training ends this process
    if hasattr(os, "nice"):  # absent on Windows
        os.nice(NICENESS)
    if recipe.fields.kept is None:
        generate(recipe.fields, directory, ("validation", "train", "test"))
    else:  # the drawing of training fields ends with the training only
        generate(recipe.fields, directory, ("validation", "test", "train"))


class Course:
    """One run under way: fields, steps, evaluations, checkpoints, model."""

    def __init__(
        self,
        recipe: Recipe,
        directory: Path,
        fields: Path,
        ranks: Ranks,
        watch: Watch,
    ) -> None:
        self.recipe = recipe
        self.directory = directory
        self.fields = fields
        self.ranks = ranks
        self.watch = watch
        self.images = load_images(recipe)
        self.training = Training(recipe, directory, ranks)
        self.memory = LossMemory(recipe.fields.train)
        self.minutes = 0.0  # spent before this process took over
        self._start_s = time.monotonic()

    def run(self, maker: Any) -> Outcome:
        """Wait for the fields, train, and write the model."""
        first = [*self._paths("validation"), *self._first_paths()]
        goes_on = self._wait_for(first, maker)
        if goes_on:
            goes_on = self._train()
        if goes_on:
            goes_on = self._wait_for(self._paths("test"), maker)
        progress = self.training.progress
        best = progress.best if progress.best >= 0 else None
        if not goes_on:
            return Outcome("interrupted", progress.step, best, None)
        model = None
        if self.ranks.leads:
            model = export_model(
                self.recipe, self.directory, self.directory / MODEL, self.fields
            )
        return Outcome("ended", progress.step, best, model)

    def _paths(self, split: Split) -> list[Path]:
        seeds = self.recipe.fields.seeds(split)
        return [field_path(self.fields, seed) for seed in seeds]

    def _first_paths(self) -> list[Path]:
        """Give the training fields that must be there before the first step."""
        settings, paths = self.recipe.fields, self._paths("train")
        newest = newest_seed(settings, self.fields)
        if settings.kept is None or newest is None:
            return paths[:_FIRST_FIELDS]
        last = newest - settings.first_seed + 1
        first = max(last - min(_FIRST_FIELDS, settings.kept // 2), 0)
        return paths[first:last]

    def _wait_for(self, paths: list[Path], maker: Any) -> bool:
        """Wait until fields are on disk; False: whoever watches will not wait.

        Raises
        ------
        RunFailed
            If the process that makes them has died.
        """
        while missing := sum(not path.exists() for path in paths):
            if maker is not None and maker.exitcode not in (None, 0):
                raise RunFailed(
                    f"the process that renders the fields ended with {maker.exitcode}; "
                    "see its message above"
                )
            standing = Standing("fields", len(paths) - missing, len(paths))
            if self.ranks.leads and not self.watch(standing):
                return self.ranks.agree(False)
            time.sleep(POLL_S)
        return self.ranks.agree(True)

    def _train(self) -> bool:
        """Take the steps; False: whoever watches has ended it."""
        settings, training = self.recipe.optimiser, self.training
        validation = [load_field(path) for path in self._paths("validation")]
        self._resume()
        pool = Pool(self._paths("train"), self.recipe.fields.kept)
        draws = Draws(
            settings.batch, self.recipe.seed, self.ranks.rank, self.ranks.processes
        )
        batches = BatchMaker(
            pool,
            self.recipe.augmentation,
            NORMALISATION,
            draws,
            lambda: self._weights(pool.fields),
            self.images.draw,
        )
        if training.progress.since_best >= settings.patience:
            return True
        ahead = batches.ahead(training.progress.step, settings.steps)
        try:
            for batch in ahead:
                parts = training.step(batch)
                self._remember(batch)
                if training.progress.step % _REFRESH_STEPS == 0:
                    pool.refresh()
                row = self._evaluate(validation, parts)
                goes_on, is_done = self._look_around(parts["loss"], row)
                if is_done or not goes_on:
                    return goes_on
        finally:
            ahead.close()
        return True

    def _resume(self) -> None:
        found, remembered = self.training.load()
        if remembered is not None:
            self.memory.restore(remembered.cpu().numpy())
        if found and self.ranks.leads:
            self.minutes = trim_history(
                self.directory / HISTORY, self.training.progress.step
            )
            logger.info("resumed at step %d", self.training.progress.step)

    def _weights(self, fields: list[TrainingField]) -> NDArray[np.float64] | None:
        """Give the weights by which fields are drawn; None: all alike."""
        drawing = self.recipe.drawing
        if drawing.kind == "even":
            return None
        if drawing.kind == "hard":
            return self.memory.weights[: len(fields)]
        counts = [
            np.array([np.count_nonzero(one.states == state) for one in fields])
            for state in (CellState.LIVE, CellState.DEAD)
        ]
        return rare_class_weights(counts[0], counts[1], drawing.dead_share)

    def _remember(self, batch: Batch) -> None:
        """Note how wrong the crops were; a new epoch draws by it."""
        if self.recipe.drawing.kind != "hard":
            return
        self.memory.note(batch.fields, self.training.crop_losses)
        epoch = math.ceil(self.recipe.fields.train / self.recipe.optimiser.batch)
        if self.training.progress.step % epoch == 0:
            self.memory.begin_epoch()

    def _evaluate(
        self, validation: list[TrainingField], parts: dict[str, float]
    ) -> dict[str, Any] | None:
        """Evaluate and keep a checkpoint when it is time; gives the figures."""
        settings, step = self.recipe.optimiser, self.training.progress.step
        is_due = step % settings.evaluate_every == 0 or step == settings.steps
        if not (is_due and self.ranks.leads):
            return None
        metrics = self.training.judge(validation)
        minutes = self.minutes + (time.monotonic() - self._start_s) / 60
        row = {"step": step, "minutes": minutes} | parts | asdict(metrics)
        row |= self.training.progress.take_seen()
        _record(self.directory, row)
        self._save()
        return row

    def _look_around(
        self, loss: float, row: dict[str, Any] | None
    ) -> tuple[bool, bool]:
        """Tell whether to go on, and whether all is done; all processes agree."""
        progress, settings = self.training.progress, self.recipe.optimiser
        goes_on = True
        if self.ranks.leads:
            best = progress.best if progress.best >= 0 else None
            standing = Standing(
                "training", progress.step, settings.steps, loss, best, row
            )
            goes_on = self.watch(standing)
        is_done = progress.since_best >= settings.patience
        goes_on, is_done, self.training.plateau.rate = self.ranks.agree(
            (goes_on, is_done, self.training.plateau.rate)
        )
        if not goes_on and self.ranks.leads:
            self._save()
        return goes_on, is_done

    def _save(self) -> None:
        hard = self.recipe.drawing.kind == "hard"
        losses = torch.from_numpy(self.memory.losses) if hard else None
        self.training.save(losses)


def trim_history(history: Path, step: int) -> float:
    """Drop the rows after a checkpoint; gives the minutes of the last one kept."""
    if not history.exists():
        return 0.0
    lines = history.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    history.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    return float(json.loads(kept[-1])["minutes"]) if kept else 0.0


def _record(directory: Path, row: dict[str, Any]) -> None:
    """Append a row of figures, redraw the curves, and say where training stands."""
    with (directory / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    draw_curves(directory / HISTORY, directory / "curves.png")
    logger.info(
        "step %d, %.0f min: loss %.3f, AUROC %.3f, F1 live %.3f dead %.3f, IoU %.3f",
        *(row[key] for key in ("step", "minutes", "loss", "auroc_dead")),
        *(row[key] for key in ("f1_live", "f1_dead", "foreground_iou")),
    )
