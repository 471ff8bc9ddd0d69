"""What a network costs: parameters, and operations per frame."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from inference.architectures import Architecture
from inference.nets.graph import build_network


@dataclass(frozen=True, slots=True)
class Cost:
    """Size and effort of a network."""

    parameters: int
    trainable: int
    """Without those of a frozen encoder."""
    gflop: float
    """Of one frame; a multiplication and an addition are two operations."""


def network_cost(shape: Architecture, frame: tuple[int, int]) -> Cost:
    """Count without computing: tensors have shapes but no memory.

    Convolutions, matrix products and attention count, as in torch's own counter.

    Raises
    ------
    BadModel
        If the network cannot take a frame ``(y, x)`` of this size.
    """
    with torch.device("meta"), torch.no_grad():
        network = build_network(shape).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 1, *frame))
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return Cost(
        parameters=sum(size for size, _ in sizes),
        trainable=sum(size for size, trains in sizes if trains),
        gflop=counter.get_total_flops() / 1e9,
    )
