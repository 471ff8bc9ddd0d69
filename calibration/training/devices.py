"""Where a training computes, how precisely, and with how many processes.

Several processes are started by ``torchrun``; each reads its number from the
environment that it sets. On graphics cards this is written, not run.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from acquisition.errors import BadInput
from calibration.training.recipe import Optimiser

Said = TypeVar("Said")

_BFLOAT16_SINCE = 8
"""Compute capability of the first graphics cards with bfloat16 units."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where the tensors lie, and the number format of the network."""

    kind: torch.device
    precision: torch.dtype

    def autocast(self) -> torch.autocast:
        """Give the context in which the network runs."""
        return torch.autocast(
            self.kind.type,
            dtype=self.precision if self.precision != torch.float32 else None,
            enabled=self.precision != torch.float32,
        )

    @property
    def scales_loss(self) -> bool:
        """Whether small gradients would vanish without a larger loss."""
        return self.precision == torch.float16


PROCESSOR = Device(torch.device("cpu"), torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of several processes this one is."""

    rank: int = 0
    processes: int = 1
    local: int = 0  # among those of this machine

    @property
    def leads(self) -> bool:
        """Whether this process makes the fields, evaluates and writes."""
        return self.rank == 0

    def agree(self, said: Said) -> Said:
        """Give what the first process says, in all of them."""
        if self.processes == 1:
            return said
        box = [said]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


def choose_device(settings: Optimiser, ranks: Ranks) -> Device:
    """Choose the device and the number format of a recipe.

    Raises
    ------
    BadInput
        If the recipe asks for a graphics card or a format that is not there.
    """
    has_card = torch.cuda.is_available()
    if settings.device == "cuda" and not has_card:
        raise BadInput(
            "optimiser.device is cuda, but torch sees no graphics card; set it to "
            "auto, or install the CUDA build of torch (vigil check says more)"
        )
    if settings.device == "cpu" or not has_card:
        kind = torch.device("cpu")
    else:
        kind = torch.device("cuda", ranks.local)
    wanted = settings.precision
    if wanted == "auto":
        wanted = "bfloat16" if _has_bfloat16(kind) else "float16"
    if wanted == "float16" and kind.type == "cpu":
        raise BadInput(
            "optimiser.precision is float16, which processors do not train in; set it "
            "to auto, bfloat16 or float32"
        )
    formats = {
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    }
    return Device(kind, formats[wanted])


def _has_bfloat16(kind: torch.device) -> bool:
    if kind.type == "cpu":
        return True
    return torch.cuda.get_device_capability(kind)[0] >= _BFLOAT16_SINCE


@contextlib.contextmanager
def joined_ranks(settings: Optimiser) -> Iterator[Ranks]:
    """Join the processes of a ``torchrun``; alone without one.

    Raises
    ------
    BadInput
        If the variables of ``torchrun`` are no numbers.
    """
    named = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    try:
        ranks = Ranks(
            *(int(os.environ.get(n, d)) for n, d in zip(named, "010", strict=True))
        )
    except ValueError as error:
        raise BadInput(
            f"{', '.join(named)}: numbers are wanted ({error}); start with torchrun, "
            "or unset them"
        ) from error
    if ranks.processes == 1:
        yield Ranks()
        return
    on_cards = torch.cuda.is_available() and settings.device != "cpu"
    if on_cards:
        torch.cuda.set_device(ranks.local)
    distributed.init_process_group("nccl" if on_cards else "gloo")
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()
