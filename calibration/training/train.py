"""The training loop: resumable, seeded, watched on held-out worlds."""

import copy
import json
import logging
import math
import multiprocessing
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from acquisition.errors import BadRun, VigilError
from calibration.training.batches import BatchMaker, Pool
from calibration.training.curves import draw_curves
from calibration.training.evaluation import (
    ObjectMetrics,
    object_metrics,
    score_objects,
)
from calibration.training.export import NORMALISATION, export_model
from calibration.training.fields import (
    TrainingField,
    claim_folder,
    field_path,
    generate,
    load_field,
)
from calibration.training.losses import loss_parts
from calibration.training.recipe import Optimiser, Recipe, load_recipe
from inference.cards import load_model
from inference.nets.graph import build_network

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
HISTORY = "metrics.jsonl"
_FIRST_FIELDS = 16
"""Training begins when this many fields are on disk; the others join in."""
_POLL_S = 2.0
_NICENESS = 10


@dataclass
class Progress:
    """Where a training run stands."""

    step: int = 0
    best: float = -1.0
    since_best: int = 0  # evaluations


class Training:
    """Network, averaged network and optimiser of one run, and their checkpoint."""

    def __init__(self, recipe: Recipe, directory: Path) -> None:
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.network)
        if recipe.warm_start is not None:
            copy_weights(network, recipe.warm_start)
        self.recipe = recipe
        self.directory = directory
        self.network: nn.Module = network.to(memory_format=torch.channels_last)
        self.averaged: nn.Module = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=recipe.optimiser.rate,
            weight_decay=recipe.optimiser.weight_decay,
        )
        self.progress = Progress()

    def step(self, batch: Any) -> dict[str, float]:
        """Take one step of the optimiser; gives the parts of the loss."""
        rate = learning_rate(self.recipe.optimiser, self.progress.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        images = batch.images.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            planes = self.network(images)
        parts = loss_parts(planes, batch.targets, self.recipe.losses)
        total = parts.total(self.recipe.losses)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.progress.step += 1
        self._average()
        return {
            "loss": total.item(),
            "classes": parts.classes.item(),
            "separation": parts.separation.item(),
            "objects": parts.objects.item(),
        }

    def _average(self) -> None:
        """Follow the network slowly, faster at the beginning (Polyak averaging)."""
        step = self.progress.step
        decay = min(self.recipe.optimiser.average, (1 + step) / (10 + step))
        with torch.no_grad():
            pairs = zip(
                self.averaged.state_dict().values(),
                self.network.state_dict().values(),
                strict=True,
            )
            for slow, fast in pairs:
                if slow.dtype.is_floating_point:
                    slow.lerp_(fast, 1.0 - decay)

    def save(self) -> None:
        """Write the checkpoint, all or nothing."""
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": asdict(self.progress),
        }
        _write(state, self.directory / CHECKPOINT)

    def load(self) -> bool:
        """Take up the checkpoint; tells whether there was one."""
        path = self.directory / CHECKPOINT
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = Progress(**state["progress"])
        return True

    def judge(self, fields: list[TrainingField]) -> ObjectMetrics:
        """Evaluate the averaged network, and keep it if it is the best so far."""
        scores = score_objects(self.averaged, fields, NORMALISATION)
        metrics = object_metrics(scores)
        if metrics.mean_f1 > self.progress.best:
            self.progress.best = metrics.mean_f1
            self.progress.since_best = 0
            _write(self.averaged.state_dict(), self.directory / BEST)
        else:
            self.progress.since_best += 1
        return metrics


def copy_weights(network: nn.Module, name_or_path: str) -> None:
    """Copy every weight of a model that has its name and shape in the network.

    Raises
    ------
    BadModel
        If the model is missing or damaged.
    BadRun
        If none of its weights fits.
    """
    given = load_model(name_or_path).weights
    wanted = network.state_dict()
    fitting = {
        name: torch.from_numpy(given[name].astype("float32"))
        for name, tensor in wanted.items()
        if name in given and tuple(given[name].shape) == tuple(tensor.shape)
    }
    if not fitting:
        raise BadRun(
            f"warm_start: no weight of {name_or_path} fits the network of the recipe; "
            "leave it out, or take a model of the same kind"
        )
    network.load_state_dict({**wanted, **fitting})


def learning_rate(settings: Optimiser, step: int) -> float:
    """Give the rate of a step: a linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / settings.warm_up_steps)
    done = min(1.0, step / settings.steps)
    return settings.rate * warm * 0.5 * (1.0 + math.cos(math.pi * done))


def train(recipe_path: Path, output_dir: Path, resume: bool = False) -> Path:
    """Train by a recipe; gives the folder of the finished model.

    Fields, checkpoint, curves and figures go into ``output_dir``. A run that was killed
    continues with ``resume``; without it an existing checkpoint is refused, so
    that hours of work are never overwritten.

    Raises
    ------
    BadConfig
        If the recipe is wrong.
    BadRun
        If there is a checkpoint and ``resume`` is not set, the fields are of others, or
        the weights to start from do not fit.
    BadModel
        If the model to start from is missing or damaged.
    """
    recipe = load_recipe(recipe_path)
    output_dir.mkdir(parents=True, exist_ok=True)
    if (output_dir / CHECKPOINT).exists() and not resume:
        raise BadRun(
            f"{output_dir} holds a training run; resume it, or choose another folder"
        )
    torch.set_num_threads(recipe.optimiser.threads or os.cpu_count() or 1)
    fields = output_dir / "fields"
    claim_folder(recipe.fields, fields)
    maker = multiprocessing.get_context("spawn").Process(
        target=_generate_quietly, args=(recipe, fields), name="fields", daemon=True
    )
    maker.start()
    try:
        _run(Training(recipe, output_dir), fields, maker)
        maker.join()  # the test fields come last
    finally:
        maker.terminate()
    return export_model(recipe, output_dir, output_dir / "model")


def _generate_quietly(recipe: Recipe, directory: Path) -> None:
    """Make the fields in a process of its own, behind everything else."""
    if hasattr(os, "nice"):  # absent on Windows
        os.nice(_NICENESS)
    generate(recipe.fields, directory, ("validation", "train", "test"))


def _run(training: Training, directory: Path, maker: Any) -> None:
    """Train until the last step, or until the validation no longer improves."""
    recipe = training.recipe
    settings = recipe.optimiser
    paths = [field_path(directory, seed) for seed in recipe.fields.seeds("train")]
    held_out = [
        field_path(directory, seed) for seed in recipe.fields.seeds("validation")
    ]
    _wait_for([*held_out, *paths[:_FIRST_FIELDS]], maker)
    validation = [load_field(path) for path in held_out]
    if training.load():
        logger.info("resumed at step %d", training.progress.step)
    pool = Pool(paths)
    batches = BatchMaker(
        pool, recipe.augmentation, NORMALISATION, settings.batch, recipe.seed
    )
    start_s = time.monotonic()
    for batch in batches.ahead(training.progress.step, settings.steps):
        parts = training.step(batch)
        step = training.progress.step
        if step % 100 == 0:
            pool.refresh()
        if step % settings.evaluate_every == 0 or step == settings.steps:
            metrics = training.judge(validation)
            row = {"step": step, "minutes": (time.monotonic() - start_s) / 60}
            _record(training.directory, row | parts | asdict(metrics))
            training.save()
            if training.progress.since_best >= settings.patience:
                logger.info("no better for %d evaluations: done", settings.patience)
                break


def _wait_for(paths: list[Path], maker: Any) -> None:
    """Wait until the fields are on disk.

    Raises
    ------
    VigilError
        If the process that makes them has died.
    """
    while not all(path.exists() for path in paths):
        if maker.exitcode not in (None, 0):
            raise VigilError(
                f"the process that renders the fields ended with {maker.exitcode}; "
                "see its message above"
            )
        time.sleep(_POLL_S)


def _record(directory: Path, row: dict[str, Any]) -> None:
    """Append a row of figures, redraw the curves, and say where training stands."""
    with (directory / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    draw_curves(directory / HISTORY, directory / "curves.png")
    logger.info(
        "step %d, %.0f min: loss %.3f, AUROC %.3f, F1 live %.3f dead %.3f, IoU %.3f",
        row["step"],
        row["minutes"],
        row["loss"],
        row["auroc_dead"],
        row["f1_live"],
        row["f1_dead"],
        row["foreground_iou"],
    )


def _write(state: dict[str, Any], path: Path) -> None:
    scratch = path.with_suffix(".part")
    torch.save(state, scratch)
    scratch.replace(path)
