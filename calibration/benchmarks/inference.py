"""`vigil bench inference`: every engine that can serve here, from frame to cells.

Engines take turns frame by frame, so that a busy minute hits all of them alike, and
ratios are of processor time. A frame has four steps and 500 cells per 1024 x 1024
pixels; the network runs in full, then the cells are found in drawn maps, since the
answer of an untrained network is noise (``trained`` says which is).

Without torch among the engines (``--engine``) there is no ratio and no parity: null.
``floor_ms`` is the processor time of the network's operations at the rate of a large
matrix product in the same precision, ``over_floor`` how much longer the engine takes.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadConfig, VigilError
from acquisition.records import Cells
from calibration.benchmarks.drawn_cells import DrawnField, Prompted, draw_field
from calibration.benchmarks.networks import (
    NETWORKS,
    matmul_rates,
    network_to_time,
)
from calibration.benchmarks.plain_cells import plain_cells, same_instance_share
from configs.schema import Inference, Stand
from inference.cards import Model, Parting
from inference.cells import find_cells
from inference.closer_look import CloserLook
from inference.engines.candidates import Candidate, candidates
from inference.engines.cell_engines import closer_look_of
from inference.engines.torch_engine import TorchEngine
from inference.maps import Engine
from inference.phase import retrieve_phase
from inference.probe import class_agreement, tiled
from inference.stage import InferenceStage

SIZES = (1024, 512)
SMALLEST_PX, LARGEST_PX = 128, 4096
SHOWN = (
    "engine",
    "network",
    "size",
    "cpu_ms",
    "wall_ms_p50",
    "ratio_to_torch_fp32",
    "over_floor",
    "parity_cells",
    "post_ms",
    "post_ratio_to_skimage",
    "end_to_end_ms",
)
"""What of a row fits on a screen."""
WARM_UP = 2
REFERENCE = TorchEngine.name
_CALM_S = 0.005
"""Threads of torch spin on for a while after their work; that is not the next one's."""
_FIRST_FRAME = """
import json, sys, time
start = time.perf_counter()
import numpy as np
from configs.schema import Inference
from inference.engines.cell_engines import select_closer_look
from inference.select import select_engine
threads, size = int(sys.argv[1]), int(sys.argv[2])
settings = Inference(model="slim", threads=threads)
engine, card, _ = select_engine(settings, (size, size), background=True)
closer, _ = select_closer_look(settings, card, engine.name)
if closer is not None:
    closer.warm_up()
engine.infer(np.full((size, size), 16384, np.uint16), 16384.0, 1 / 3500)
wall, cpu = time.perf_counter() - start, time.process_time()
print(json.dumps({"wall_s": round(wall, 2), "cpu_s": round(cpu, 2),
                  "engine": engine.name}))
"""

Pair = tuple[float, float]
"""Processor and wall time in ms."""


@dataclass(frozen=True)
class Wishes:
    """What to measure."""

    sizes: tuple[int, ...] = SIZES
    networks: tuple[str, ...] = NETWORKS
    engine: str = "auto"
    threads: int = 1
    """Of the engines. Above one, threads of torch spin where they wait for each other:
    on a busy machine its processor time, and so every ratio, grows many times."""
    repeat: int = 15
    quick: bool = False
    busy: bool = False
    """Keep one more core busy meanwhile."""

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises
        ------
        BadConfig
            With every fault.
        """
        faults = [
            f"--size: must be a multiple of 32 from {SMALLEST_PX} to {LARGEST_PX} "
            f"(given: {size})"
            for size in self.sizes
            if not (SMALLEST_PX <= size <= LARGEST_PX and size % 32 == 0)
        ]
        if self.repeat < 1:
            faults.append(f"--repeat: must be at least 1 (given: {self.repeat})")
        if not 1 <= self.threads <= 256:
            faults.append(f"--threads: must be 1 to 256 (given: {self.threads})")
        if faults:
            raise BadConfig("bench inference", faults)


@dataclass
class Contestant:
    """An engine with what was measured of it."""

    precision: str
    engine: Engine
    stage: InferenceStage
    closer: CloserLook | None
    network: list[Pair] = field(default_factory=list)
    whole: list[Pair] = field(default_factory=list)


def bench_inference(wishes: Wishes) -> dict[str, Any]:
    """Measure the engines; gives ``rows`` and what is needed to read them.

    Raises
    ------
    BadConfig
        If the wishes make no sense.
    """
    wishes.check()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rates = matmul_rates(wishes.threads, 1024 if wishes.quick else 2048)
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    with _busy(wishes.busy):
        for size in wishes.sizes:
            drawn = draw_field(size, 1, Stand())
            after = _post(drawn, 1 if wishes.quick else 3)
            for name in wishes.networks:
                model = network_to_time(name)
                found, refused = _rows(model, drawn, wishes, rates)
                rows += [{"network": name} | row | after for row in found]
                left_out += [f"{name} {size}: {reason}" for reason in refused]
    return {
        "rows": rows,
        "left_out": left_out,
        "threads": wishes.threads,
        "cores": os.cpu_count(),
        "load": load,
        "busy": wishes.busy,
        "matmul_gflop_per_cpu_s": {k: v and round(v, 1) for k, v in rates.items()},
        "first_frame": None if wishes.quick else _first_frame(wishes),
    }


def _rows(
    model: Model, drawn: DrawnField, wishes: Wishes, rates: dict[str, float | None]
) -> tuple[list[dict[str, Any]], list[str]]:
    from inference.nets.cost import network_cost

    height, width = drawn.maps.classes.shape
    settings = Inference.model_validate(
        {"engine": wishes.engine, "threads": wishes.threads}
    )
    listed = candidates(settings, model, (height, width))
    contestants, refused = _made(listed, drawn, model, settings)
    _take_turns(contestants, model, drawn, 3 if wishes.quick else wishes.repeat)
    gflop = network_cost(model.card.architecture, (height, width)).gflop
    alike = _agreements(contestants, model, (height, width))
    torch_ms = next(
        (_median(c.network)[0] for c in contestants if c.engine.name == REFERENCE), None
    )
    rows = []
    for contestant in contestants:
        rate = rates.get(contestant.precision)
        row = _row(contestant, torch_ms, gflop, rate)
        name = contestant.engine.name
        about = {"engine": name, "size": height}
        rows.append(about | row | {"parity_cells": alike[name]})
        contestant.engine.close()
        if contestant.closer is not None:
            contestant.closer.close()
    return rows, refused


def _made(
    listed: list[Candidate], drawn: DrawnField, model: Model, settings: Inference
) -> tuple[list[Contestant], list[str]]:
    """Make every engine that can be made here; gives the reasons of the others."""
    um_per_px = drawn.frame.info.pixel_size_um
    # Frames are made as large as the network is to see them.
    suited = model.card.model_copy(update={"um_per_px": um_per_px})
    made, refused = [], []
    for candidate in listed:
        try:
            engine = candidate.build()
        except (VigilError, RuntimeError, ImportError, OSError) as error:
            refused.append(f"{candidate.name} left out: {error}")
            continue
        closer, _ = closer_look_of(model, settings, engine.name)
        prompted = Prompted(engine, drawn.maps)
        stage = InferenceStage(prompted, suited, settings, Stand(), closer)
        made.append(Contestant(candidate.precision, engine, stage, closer))
    return made, refused


def _take_turns(
    contestants: list[Contestant], model: Model, drawn: DrawnField, repeat: int
) -> None:
    given = model.card.normalisation
    phase = retrieve_phase(drawn.frame.pixels, Stand())
    for turn in range(-WARM_UP, repeat):
        for one in contestants:
            network = _time(partial(one.engine.infer, phase, given.offset, given.scale))
            whole = _time(partial(one.stage, drawn.frame))
            if turn >= 0:
                one.network.append(network)
                one.whole.append(whole)


def _row(
    contestant: Contestant, torch_ms: float | None, gflop: float, rate: float | None
) -> dict[str, Any]:
    cpu, wall = _median(contestant.network)
    whole_cpu, whole_wall = _median(contestant.whole)
    floor = gflop / rate * 1e3 if rate else None
    return {
        "wall_ms_p50": round(wall, 2),
        "cpu_ms": round(cpu, 2),
        "ratio_to_torch_fp32": torch_ms and round(torch_ms / cpu, 2),
        "end_to_end_ms": round(whole_wall, 2),
        "end_to_end_cpu_ms": round(whole_cpu, 2),
        "end_to_end_ms_max": round(max(wall for _, wall in contestant.whole), 2),
        "gflop": round(gflop, 1),
        "floor_ms": None if floor is None else round(floor, 2),
        "over_floor": None if floor is None else round(cpu / floor, 2),
    }


def _agreements(
    contestants: list[Contestant], model: Model, shape: tuple[int, int]
) -> dict[str, float | None]:
    """Give the share of equal classes on cell pixels; null without the reference."""
    frame = tiled(model.golden.frame, shape)
    given = model.card.normalisation
    maps = {
        one.engine.name: one.engine.infer(frame, given.offset, given.scale)
        for one in contestants
    }
    wanted = maps.get(REFERENCE)
    shares: dict[str, float | None] = {}
    for name, found in maps.items():
        shares[name] = (
            round(class_agreement(found.classes, wanted.classes), 5)
            if wanted is not None
            else None
        )
    return shares


def _post(drawn: DrawnField, repeat: int) -> dict[str, Any]:
    """Time finding the cells in the maps, beside the usual way."""
    info, maps = drawn.frame.info, drawn.maps
    phase = retrieve_phase(drawn.frame.pixels, Stand())
    settings, parting = Inference(), Parting()

    def find() -> tuple[NDArray[np.uint16], Cells]:
        return find_cells(maps, info, phase, settings, Stand(), parting)

    labels, cells = find()  # compiles
    ours = [_time(find) for _ in range(3 * repeat)]
    post_ms = _median(ours)[0]
    result: dict[str, Any] = {"post_ms": round(post_ms, 2), "cells": len(cells.label)}
    if find_spec("skimage") is None:
        return result | {
            "post_ratio_to_skimage": None,
            "post_same_instance": None,
            "post_note": "scikit-image is not installed: pip install scikit-image",
        }
    pixel_um = info.pixel_size_um
    plain = [
        _time(lambda: plain_cells(maps, phase, pixel_um, parting))
        for _ in range(repeat)
    ]
    reference, _ = plain_cells(maps, phase, pixel_um, parting)
    return result | {
        "post_ratio_to_skimage": round(_median(plain)[0] / post_ms, 2),
        "post_same_instance": round(same_instance_share(labels, reference), 5),
    }


def _first_frame(wishes: Wishes) -> dict[str, Any]:
    """Time a process from its start to its first frame, with the cache now warm."""
    command = [sys.executable, "-c", _FIRST_FRAME, str(wishes.threads)]
    done = subprocess.run(
        [*command, str(wishes.sizes[0])], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return {"wall_s": None, "reason": done.stderr.strip().splitlines()[-1:]}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


@contextmanager
def _busy(wanted: bool) -> Iterator[None]:
    """Keep one core busy with another process."""
    if not wanted:
        yield
        return
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinner.kill()
        spinner.wait()


def _time(call: Callable[[], object]) -> Pair:
    time.sleep(_CALM_S)
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3


def _median(pairs: list[Pair]) -> Pair:
    cpu, wall = np.median(np.array(pairs), axis=0)
    return float(cpu), float(wall)
