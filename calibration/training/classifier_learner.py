"""What learns of a second network: network, average, optimisers, and checkpoint."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from acquisition.errors import BadRun
from calibration.crops import follow, turned
from calibration.metrics.ranking import auroc
from calibration.training.classifier_recipe import ClassifierRecipe
from calibration.training.classifier_samples import Samples
from calibration.training.devices import PROCESSOR, Device, Ranks, choose_device
from calibration.training.learner import (
    CHECKPOINT,
    UNREADABLE,
    rate_factor,
    write_state,
)
from calibration.training.optimisers import Optimisers
from inference.cards import load_model
from inference.nets.cell_classifier import CellClassifier

_LONGEST_GRADIENT = 2.0
_AT_ONCE = 256


class ClassifierLearner:
    """One second network while it learns.

    Parameters
    ----------
    recipe
        Of the training.
    directory
        Of the run, for the checkpoint.

    Raises
    ------
    BadInput
        If the device or number format of the recipe is not there.
    """

    def __init__(self, recipe: ClassifierRecipe, directory: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.settings = recipe.optimiser
        self.path = directory / CHECKPOINT
        self.device: Device = choose_device(self.settings, Ranks())
        network = CellClassifier(recipe.base)
        second = load_model(recipe.model).second if recipe.warm_start else None
        if second is not None:
            fill(network, second.weights)
            network.trust.zero_()  # it learns without the maps, as at first
        self.network: nn.Module = network.to(
            self.device.kind, memory_format=torch.channels_last
        )
        self.averaged: nn.Module = copy.deepcopy(self.network).eval()
        self.optimisers = Optimisers(self.network, self.settings)
        self.scaler = torch.amp.GradScaler(
            self.device.kind.type, enabled=self.device.scales_loss
        )
        self.done = 0  # steps
        self.losses: list[float] = []  # since the last evaluation

    def step(self, samples: Samples) -> float:
        """Take one step on a draw that depends on seed and step alone; gives the loss.

        Cells are turned, mirrored and made a little brighter or darker.
        """
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, self.done])
        torch.manual_seed(int(rng.integers(2**62)))  # of the dropout
        rows = np.sort(rng.integers(0, len(samples), recipe.batch))
        drawn = samples.take(rows)
        crops = drawn.crops()
        span = (1 - recipe.gain, 1 + recipe.gain)
        crops[:, :1] *= rng.uniform(*span, (len(rows), 1, 1, 1)).astype(np.float32)
        seen = turned(torch.from_numpy(crops), rng).to(self.device.kind)
        told, dead = (
            torch.from_numpy(column.astype(np.float32)).to(self.device.kind)
            for column in (drawn.told, drawn.dead)
        )
        self.network.train()
        with self.device.autocast():
            logits = self.network(seen, told)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), dead)
        factor = rate_factor(self.settings, self.done)
        self.optimisers.step(loss, self.scaler, factor, _LONGEST_GRADIENT)
        self.done += 1
        follow(
            self.averaged,
            self.network,
            min(recipe.average, self.done / (self.done + 10)),
        )
        self.losses.append(loss.item())
        return self.losses[-1]

    def judge(self, held_out: Samples) -> dict[str, float | None]:
        """Give the figures of the averaged network, and begin a new mean loss."""
        logits = logits_of(self.averaged, held_out, self.device)
        row = {
            "loss": float(np.mean(self.losses)),
            "log_loss": log_loss(logits, held_out.dead),
            "log_loss_maps": log_loss(held_out.told, held_out.dead),
            "auroc": auroc(logits, held_out.dead),
            "auroc_maps": auroc(held_out.told, held_out.dead),
        }
        self.losses = []
        return row

    def save(self) -> None:
        """Write the checkpoint, all or nothing."""
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": self.optimisers.state_dict(),
            "scaler": self.scaler.state_dict(),
            "done": self.done,
            "losses": self.losses,
        }
        write_state(state, self.path)

    def load(self) -> bool:
        """Take up the checkpoint; tells whether there was one.

        Raises
        ------
        BadRun
            If it is damaged, or of another network.
        """
        if not self.path.exists():
            return False
        try:
            state: dict[str, Any] = torch.load(
                self.path, weights_only=True, map_location=self.device.kind
            )
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimisers.load_state_dict(state["optimisers"])
            self.scaler.load_state_dict(state["scaler"])
            self.done, self.losses = int(state["done"]), list(state["losses"])
        except UNREADABLE as error:
            first = (str(error) or "empty").splitlines()[0]
            raise BadRun(
                f"{self.path}: no checkpoint of this recipe ({first}); resume with the "
                "recipe that began the run, or choose another folder"
            ) from error
        return True


def fill(
    network: CellClassifier, weights: Mapping[str, NDArray[np.generic]]
) -> CellClassifier:
    """Give the network with weights as they are stored, in float32."""
    state = {
        name: torch.from_numpy(value.astype(np.float32))
        for name, value in weights.items()
    }
    network.load_state_dict({**network.state_dict(), **state})
    return network


def logits_of(
    network: nn.Module, samples: Samples, device: Device = PROCESSOR
) -> NDArray[np.float64]:
    """Give the logits of death (cell,) by a network as it stands."""
    parts = [np.zeros(0)]
    for start in range(0, len(samples), _AT_ONCE):
        some = samples.take(np.arange(start, min(start + _AT_ONCE, len(samples))))
        crops = torch.from_numpy(some.crops()).to(
            device.kind, memory_format=torch.channels_last
        )
        told = torch.from_numpy(some.told).to(device.kind)
        with torch.inference_mode(), device.autocast():
            logits = network(crops, told)
        parts.append(logits.float().cpu().numpy().astype(np.float64))
    return np.concatenate(parts)


def log_loss(logit: NDArray[np.floating], dead: NDArray[np.bool_]) -> float:
    """Give the mean log loss of logits (cell,)."""
    return float(np.logaddexp(0.0, np.where(dead, -logit, logit)).mean())
