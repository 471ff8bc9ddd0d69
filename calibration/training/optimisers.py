"""Muon for the matrices inside a network, AdamW for all else; stepped as one.

Muon (Jordan et al. 2024; `torch.optim.Muon`) makes the step of a weight matrix
orthogonal, so that every direction of it moves alike. A convolution is the matrix
(outputs, inputs x positions). On the stem network the first thousand steps halved the
error that AdamW had after as many (figures: README of this folder).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from calibration.training.recipe import Optimiser

HEADS = ("head.", "network.segmentation_head.")
"""Last layers of the networks: their outputs are no hidden features."""

MATRIX_RATE = 10.0
"""Rate of Muon, as a multiple of that of AdamW, where a recipe names none."""


class Optimisers:
    """The optimisers of a network, used like a single one.

    Parameters
    ----------
    network
        On the device where it will stay: its weights are stepped in place.
    settings
        Of the recipe. ``adamw`` takes every weight; ``muon`` leaves it biases, norms,
        depthwise and first convolutions (of one channel) and the head.
    """

    def __init__(self, network: nn.Module, settings: Optimiser) -> None:
        is_muon = settings.kind == "muon"
        named = list(network.named_parameters())
        hidden = [p for name, p in named if is_muon and is_hidden_matrix(name, p)]
        chosen = {id(one) for one in hidden}
        rest = [p for _, p in named if id(p) not in chosen]
        self._matrices = [(p, nn.Parameter(as_matrix(p.detach()))) for p in hidden]
        decay = settings.weight_decay
        adamw = torch.optim.AdamW(rest, lr=settings.rate, weight_decay=decay)
        self._all: list[tuple[torch.optim.Optimizer, float]] = [(adamw, settings.rate)]
        if hidden:
            matrix_rate = settings.matrix_rate or MATRIX_RATE * settings.rate
            muon = torch.optim.Muon(
                [matrix for _, matrix in self._matrices],
                lr=matrix_rate,
                weight_decay=decay,
                adjust_lr_fn="match_rms_adamw",
            )
            self._all.append((muon, matrix_rate))
        self._stepped = [*rest, *(matrix for _, matrix in self._matrices)]

    def step(
        self, loss: Tensor, scaler: torch.amp.GradScaler, factor: float, longest: float
    ) -> None:
        """Go down the gradient of a loss, at ``factor`` times the rates of the recipe.

        The gradient of all weights together is cut to the length ``longest``.
        """
        self._forget(weight for weight, _ in self._matrices)
        self._forget(self._stepped)
        scaler.scale(loss).backward()
        for weight, matrix in self._matrices:
            if weight.grad is not None:
                matrix.grad = as_matrix(weight.grad)
        for optimiser, _ in self._all:
            scaler.unscale_(optimiser)
        length = nn.utils.clip_grad_norm_(self._stepped, longest)
        # The scaler leaves out who has overflown; cutting has spoilt the others' too.
        sound = not scaler.is_enabled() or bool(length.isfinite())
        for optimiser, rate in self._all:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            if sound:
                scaler.step(optimiser)
        scaler.update()

    def state_dict(self) -> list[dict[str, Any]]:
        """Give the state of every optimiser, for a checkpoint."""
        return [optimiser.state_dict() for optimiser, _ in self._all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Take up the states of a checkpoint."""
        for (optimiser, _), state in zip(self._all, states, strict=True):
            optimiser.load_state_dict(state)

    @staticmethod
    def _forget(weights: Iterable[Tensor]) -> None:
        for weight in weights:
            weight.grad = None


def is_hidden_matrix(name: str, weight: Tensor) -> bool:
    """Tell whether a weight maps features to features, so that Muon may step it."""
    if weight.ndim not in (2, 4) or name.startswith(HEADS):
        return False
    return weight.shape[1] > 1  # a depthwise convolution mixes no features


def as_matrix(weight: Tensor) -> Tensor:
    """Give a weight as (outputs, inputs x positions), in the memory of the weight.

    Raises
    ------
    ValueError
        If the weight lies in memory so that no such view exists.
    """
    if weight.ndim == 2:
        return weight
    if weight.is_contiguous(memory_format=torch.channels_last):
        weight = weight.permute(0, 2, 3, 1)
    matrix = weight.flatten(1)
    if matrix.data_ptr() != weight.data_ptr():
        raise ValueError(f"a weight of strides {weight.stride()} is no matrix")
    return matrix
