"""Processor and wall time of steps that are taken again and again in one thread."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from acquisition.errors import BadConfig

SMALLEST_PX, LARGEST_PX, STEP_PX = 128, 4096, 32

Times = list[tuple[float, float]]
"""Processor and wall time in ms of every repeat."""


def time_step(step: Callable[[int], object], repeat: int, warm_up: int = 2) -> Times:
    """Take a step with the numbers 0 to ``repeat``, after some that do not count."""
    times = []
    for number in range(-warm_up, repeat):
        cpu, wall = time.thread_time(), time.perf_counter()
        step(number + warm_up)
        taken = time.thread_time() - cpu, time.perf_counter() - wall
        if number >= 0:
            times.append((taken[0] * 1e3, taken[1] * 1e3))
    return times


def row_of(what: str, times: Times, plain: Times | None = None) -> dict[str, Any]:
    """Give a row; ``ratio`` is how much longer the plain way takes, null: no such."""
    cpu, wall = np.array(times).T
    median = float(np.median(cpu))
    ratio = None
    if plain is not None:
        ratio = round(
            float(np.median([one for one, _ in plain])) / max(median, 1e-6), 2
        )
    return {
        "what": what,
        "cpu_ms": round(median, 3),
        "cpu_ms_min": round(float(cpu.min()), 3),
        "wall_ms_p50": round(float(np.median(wall)), 3),
        "ratio": ratio,
    }


def check_wishes(bench: str, size: int, repeat: int) -> None:
    """Refuse sizes that no camera has, and no repeats.

    Raises
    ------
    BadConfig
        With every fault.
    """
    faults = []
    if not SMALLEST_PX <= size <= LARGEST_PX or size % STEP_PX:
        faults.append(
            f"--size: must be a multiple of {STEP_PX} from {SMALLEST_PX} to "
            f"{LARGEST_PX} (given: {size})"
        )
    if repeat < 1:
        faults.append(f"--repeat: must be at least 1 (given: {repeat})")
    if faults:
        raise BadConfig(bench, faults)
