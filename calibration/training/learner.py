"""What learns: network, averaged network and optimisers, and their checkpoint."""

import copy
import dataclasses
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from acquisition.errors import BadRun
from calibration.training.batches import Batch
from calibration.training.devices import Device, Ranks, choose_device
from calibration.training.evaluation import ObjectMetrics, object_metrics, score_objects
from calibration.training.export import ENCODER, NORMALISATION
from calibration.training.fields import TrainingField
from calibration.training.losses import IGNORED, Targets, loss_parts
from calibration.training.optimisers import Optimisers
from calibration.training.recipe import Optimiser, Recipe
from calibration.training.schedules import Plateau, cosine, step_decay, warm_up
from inference.architectures import WITH_ENCODER
from inference.cards import load_model
from inference.model_folder import sha256
from inference.nets.encoder_weights import Encoded, load_encoder
from inference.nets.graph import build_network

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
_PLATEAU_FACTOR, _STEP_FACTOR = 0.8, 0.9
_LONGEST_GRADIENT = 1.0
UNREADABLE = (
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    pickle.UnpicklingError,
)
"""What a checkpoint that is damaged, or of another network, leads to."""


@dataclass
class Progress:
    """Where a training run stands."""

    step: int = 0
    best: float = -1.0
    since_best: int = 0  # evaluations
    # of the batches since the last evaluation:
    batches: int = 0
    pixel_loss: float = 0.0  # their sum
    common_px: int = 0  # cell, and found
    marked_px: int = 0  # cell, plus found

    def take_seen(self) -> dict[str, float]:
        """Give loss and F1 of the pixels since the last evaluation, and forget them."""
        seen = {
            "pixel_loss_train": self.pixel_loss / max(self.batches, 1),
            "pixel_f1_train": 2 * self.common_px / max(self.marked_px, 1),
        }
        self.batches, self.pixel_loss = 0, 0.0
        self.common_px = self.marked_px = 0
        return seen


class Training:
    """Network, averaged network and optimisers of one run, and their checkpoint."""

    def __init__(
        self, recipe: Recipe, directory: Path, ranks: Ranks | None = None
    ) -> None:
        torch.manual_seed(recipe.seed)
        ranks = ranks or Ranks()
        network = build_network(recipe.network)
        if recipe.warm_start is not None:
            copy_weights(network, recipe.warm_start)
        begun = (directory / CHECKPOINT).exists()  # it holds the encoder by then
        if recipe.encoder is not None and not begun:
            begin_encoder(network, Path(recipe.encoder.file), directory)
        self.recipe = recipe
        self.directory = directory
        self.device: Device = choose_device(recipe.optimiser, ranks)
        self.network: nn.Module = network.to(
            self.device.kind, memory_format=torch.channels_last
        )
        self.averaged: nn.Module = copy.deepcopy(self.network).eval()
        self.optimisers = Optimisers(self.network, recipe.optimiser)
        self.scaler = torch.amp.GradScaler(
            self.device.kind.type, enabled=self.device.scales_loss
        )
        self.progress = Progress()
        self.crop_losses: list[float] = []  # of the last step, where fields are weighed
        self.plateau = Plateau(
            recipe.optimiser.schedule.patience,
            recipe.optimiser.schedule.factor or _PLATEAU_FACTOR,
        )
        self._runs: nn.Module = self.network
        if ranks.processes > 1:
            self._runs = DistributedDataParallel(self.network)

    def step(self, batch: Batch) -> dict[str, float]:
        """Take one step of the optimisers; gives the parts of the loss."""
        settings = self.recipe.optimiser
        factor = rate_factor(settings, self.progress.step, self.plateau.rate)
        self._runs.train()
        targets = _moved(batch.targets, self.device.kind)
        with self.device.autocast():
            planes = self._runs(self._seen(batch))
        if self.recipe.drawing.kind == "hard":
            self.crop_losses = _crop_losses(planes.detach().float(), targets)
        parts = loss_parts(planes, targets, self.recipe.losses)
        total = parts.total(self.recipe.losses)
        self.optimisers.step(total, self.scaler, factor, _LONGEST_GRADIENT)
        self.progress.step += 1
        self._average()
        self._note(planes.detach(), targets.classes, parts.classes.item())
        return {
            "loss": total.item(),
            "classes": parts.classes.item(),
            "separation": parts.separation.item(),
            "objects": parts.objects.item(),
            "rate": settings.rate * factor,
        }

    def _note(
        self, planes: torch.Tensor, classes: torch.Tensor, pixel_loss: float
    ) -> None:
        """Count how well the pixels of a batch were told before its step."""
        known = classes != IGNORED
        cell = (classes > 0) & known
        found = (planes[:, 1:3].amax(dim=1) > planes[:, 0]) & known
        common_px, marked_px = torch.stack(
            [(found & cell).sum(), found.sum() + cell.sum()]
        ).tolist()
        progress = self.progress
        progress.batches += 1
        progress.pixel_loss += pixel_loss
        progress.common_px += common_px
        progress.marked_px += marked_px

    def _seen(self, batch: Batch) -> torch.Tensor:
        return batch.images.to(self.device.kind, memory_format=torch.channels_last)

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

    def save(self, memory: torch.Tensor | None = None) -> None:
        """Write the checkpoint, all or nothing, with what the mining remembers."""
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": self.optimisers.state_dict(),
            "scaler": self.scaler.state_dict(),
            "plateau": asdict(self.plateau),
            "progress": asdict(self.progress),
            "memory": memory,
        }
        write_state(state, self.directory / CHECKPOINT)

    def load(self) -> tuple[bool, torch.Tensor | None]:
        """Take up the checkpoint; tells whether there was one, and what was remembered.

        Raises
        ------
        BadRun
            If it is damaged, or of another network.
        """
        path = self.directory / CHECKPOINT
        if not path.exists():
            return False, None
        try:
            state = torch.load(path, weights_only=True, map_location=self.device.kind)
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimisers.load_state_dict(state["optimisers"])
            self.scaler.load_state_dict(state["scaler"])
            self.plateau = Plateau(**state["plateau"])
            self.progress = Progress(**state["progress"])
        except UNREADABLE as error:
            first = (str(error) or "empty").splitlines()[0]
            raise BadRun(
                f"{path}: no checkpoint of this recipe ({first}); resume with the "
                "recipe that began the run, or choose another folder"
            ) from error
        memory: torch.Tensor | None = state["memory"]
        return True, memory

    def judge(self, fields: list[TrainingField]) -> ObjectMetrics:
        """Evaluate the averaged network, and keep it if the recipe wants this one."""
        scores = score_objects(
            self.averaged, fields, NORMALISATION, self.device, self.recipe.losses
        )
        metrics = object_metrics(scores)
        self.plateau.judge(metrics.mean_f1)
        keeps_last = self.recipe.optimiser.keep == "last"
        if keeps_last or metrics.mean_f1 > self.progress.best:
            self.progress.best = metrics.mean_f1
            self.progress.since_best = 0
            write_state(self.averaged.state_dict(), self.directory / BEST)
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


def begin_encoder(network: nn.Module, file: Path, directory: Path) -> None:
    """Fill the encoder of a network from a file, and note in the run which it was.

    Raises
    ------
    BadModel
        If the file cannot be read, or holds another encoder.
    BadRun
        If the network has no published encoder.
    """
    if not isinstance(network, Encoded):
        raise BadRun(
            f"[encoder]: only {', '.join(WITH_ENCODER)} have a published encoder"
        )
    load_encoder(network, file)
    directory.mkdir(parents=True, exist_ok=True)
    digest = sha256(file.read_bytes())
    (directory / ENCODER).write_text(digest + "\n", encoding="utf-8")


def rate_factor(settings: Optimiser, step: int, plateau: float = 1.0) -> float:
    """Give the factor of the rates in a step: a linear warm-up, then the schedule.

    ``plateau`` is the factor that the evaluations so far have led to.
    """
    schedule = settings.schedule
    if schedule.kind == "cosine":
        factor = cosine(step, settings.steps)
    elif schedule.kind == "step":
        factor = step_decay(step, schedule.every, schedule.factor or _STEP_FACTOR)
    else:
        factor = plateau
    return warm_up(step, settings.warm_up_steps) * factor


def _crop_losses(planes: torch.Tensor, targets: Targets) -> list[float]:
    """Give the cross-entropy of the classes of every crop."""
    wrong = functional.cross_entropy(planes[:, :3], targets.classes, reduction="none")
    return [float(one) for one in wrong.mean(dim=(1, 2))]


def _moved(targets: Targets, device: torch.device) -> Targets:
    columns = (field.name for field in dataclasses.fields(targets))
    return Targets(*(getattr(targets, name).to(device) for name in columns))


def write_state(state: dict[str, Any], path: Path) -> None:
    """Write what torch can read again, all or nothing."""
    scratch = path.with_suffix(".part")
    torch.save(state, scratch)
    scratch.replace(path)
