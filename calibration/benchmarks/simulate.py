"""`vigil bench simulate`: what the simulated microscope costs, step by step.

Everything runs in one thread. ``cpu_ms`` is the median of the processor time of the
thread, ``cpu_ms_min`` the least, ``ratio`` how much longer plain NumPy takes for the
same step in the same run, and ``floor_ms`` the time to move, at the rate of a large
copy on this machine, the bytes that the step cannot avoid to move. Null: there is no
plain version, or no such bound.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadConfig
from acquisition.simulated.drawing.render import Renderer
from acquisition.simulated.light.camera import CameraModel
from acquisition.simulated.light.optics import Optics
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.view import visible_cells
from acquisition.simulated.world import World
from calibration.benchmarks import plain_optics

WORLD = "cho_10x"
SIZES = (1024, 2048)
SMALLEST_PX, LARGEST_PX = 128, 4096
INTERVAL_S = 24.0
"""Experiment time between two cycles: the demonstration at five frames a second."""
DEFOCUS_UM = 0.5
WARM_UP = 3
PHYSICS_CELLS = 300
PHYSICS_H = 18.0

SPRITES, COMPOSE, SCENERY = "specimen + sprites", "compose", "particles"
PSF, LIGHT, CAMERA = "PSF", "direct light + frames", "camera-only cycle"
TRUTH = "truth of a frame"
IN_CYCLE = (SPRITES, COMPOSE, SCENERY, PSF, LIGHT, CAMERA)

BYTES = {COMPOSE: 8, PSF: 8, LIGHT: 28, CAMERA: 4 * 18, TRUTH: 2}
"""Bytes a pixel that a step must read or write at least once."""

Times = dict[str, list[tuple[float, float]]]
"""Processor and wall time in ms of every repeat of a step."""


@dataclass(frozen=True)
class Scene:
    """One stand with the buffers of a frame."""

    world: World
    specimen: Specimen
    renderer: Renderer
    optics: Optics
    camera: CameraModel
    phase: NDArray[np.float32]  # (y, x)
    labels: NDArray[np.uint16]  # (y, x)
    nuclei: NDArray[np.uint16]  # (y, x)
    electrons: NDArray[np.float32]  # (step, y, x)
    counts: NDArray[np.uint16]  # (step, y, x)

    @classmethod
    def of(cls, world: World, seed: int, size_px: int) -> "Scene":
        """Make a stand as a run does."""
        specimen = Specimen.under_stand(world, seed, size_px)
        shape = (size_px, size_px)
        return cls(
            world=world,
            specimen=specimen,
            renderer=Renderer(world, size_px),
            optics=Optics(world, seed, size_px, specimen.field_um),
            camera=CameraModel(world, seed, size_px),
            phase=np.empty(shape, np.float32),
            labels=np.empty(shape, np.uint16),
            nuclei=np.empty(shape, np.uint16),
            electrons=np.empty((4, *shape), np.float32),
            counts=np.empty((4, *shape), np.uint16),
        )

    def steps(self, cycle: int) -> dict[str, Callable[[], object]]:
        """Give what is done for one cycle, in order; the truth last."""
        optics, phase, middle = self.optics, self.phase, (0.0, 0.0)
        return {
            SPRITES: lambda: self._age(middle),
            COMPOSE: lambda: self.renderer.compose(phase, self.labels, self.nuclei),
            SCENERY: lambda: optics.add_scenery(phase, middle, self.specimen.minutes),
            PSF: lambda: optics.blur(phase, DEFOCUS_UM),
            LIGHT: lambda: self._interfere(),
            CAMERA: lambda: self._expose(cycle),
            TRUTH: lambda: visible_cells(
                self.specimen.columns(), self.labels, self.nuclei, middle
            ),
        }

    def plain_steps(self, seed: int) -> dict[str, Callable[[], object]]:
        """Give the same in plain NumPy, where there is such a version."""
        settings, camera = self.world.optics, self.world.camera
        rng = np.random.default_rng(seed)
        soft = plain_optics.blurred(self.phase, settings, DEFOCUS_UM)
        fixed = np.ones_like(soft), np.full_like(soft, camera.offset_dn)
        return {
            PSF: lambda: plain_optics.blurred(self.phase, settings, DEFOCUS_UM),
            LIGHT: lambda: plain_optics.four_frames(
                soft, self.optics.background, self.optics.lamp, settings, DEFOCUS_UM
            ),
            CAMERA: lambda: [
                plain_optics.exposed(picture, fixed, camera, rng)
                for picture in self.electrons
            ],
            TRUTH: lambda: plain_optics.areas_and_pairs(self.labels),
        }

    def _age(self, middle: tuple[float, float]) -> None:
        self.specimen.advance(INTERVAL_S)
        self.renderer.draw(self.specimen, middle)

    def _interfere(self) -> None:
        self.optics.make_light(DEFOCUS_UM)
        self.optics.interfere(self.electrons)

    def _expose(self, cycle: int) -> None:
        exposure_ms = self.world.camera.nominal_exposure_ms
        for step, picture in enumerate(self.electrons):
            number = 4 * cycle + step
            self.camera.expose(picture, exposure_ms, number, self.counts[step])


def bench_simulate(
    size: int | None = None,
    repeat: int = 20,
    seed: int = 1,
    physics_h: float = PHYSICS_H,
) -> dict[str, Any]:
    """Measure the simulated microscope.

    Parameters
    ----------
    size
        Edge of the frames; ``None``: 1024 and 2048.
    repeat
        Cycles that are measured.
    seed
        Of the specimen.
    physics_h
        Experiment time for which the biology alone is advanced.

    Returns
    -------
    dict
        ``rows``, and the rate of a large copy in ``copy_gb_per_s``.

    Raises
    ------
    BadConfig
        If size or number of repeats make no sense.
    """
    faults = []
    if repeat < 1:
        faults.append(f"--repeat: must be at least 1 (given: {repeat})")
    fits = size is None or (SMALLEST_PX <= size <= LARGEST_PX and size % 32 == 0)
    if not fits:
        faults.append(
            f"--size: must be a multiple of 32 from {SMALLEST_PX} to {LARGEST_PX} "
            f"(given: {size})"
        )
    if faults:
        raise BadConfig("bench simulate", faults)
    copy = copy_rate()
    rows = []
    for size_px in SIZES if size is None else (size,):
        rows += _rows_of_size(size_px, repeat, seed, copy)
    rows.append(_physics(seed, physics_h))
    return {"rows": rows, "copy_gb_per_s": round(copy / 1e9, 1)}


def _rows_of_size(
    size_px: int, repeat: int, seed: int, copy: float
) -> list[dict[str, Any]]:
    scene = Scene.of(World.load(WORLD), seed, size_px)
    ours: Times = {}
    for cycle in range(-WARM_UP, repeat):
        measured = _measure(scene.steps(cycle + WARM_UP))
        if cycle >= 0:
            _collect(ours, measured)
    plain: Times = {}
    steps = scene.plain_steps(seed)
    for _ in range(1 + max(2, repeat // 5)):
        _collect(plain, _measure(steps))
    cells = len(np.unique(scene.labels)) - 1
    ratios: dict[str, float | None] = {
        name: _median(plain[name]) / _median(ours[name]) for name in plain
    }
    floors: dict[str, float | None] = {
        name: size_px**2 * count / copy * 1e3 for name, count in BYTES.items()
    }
    whole = f"cycle {size_px}"
    ours[whole] = _sums(ours, IN_CYCLE)
    slower = sum(_median(plain[n]) - _median(ours[n]) for n in IN_CYCLE if n in plain)
    ratios[whole] = 1 + slower / _median(ours[whole])
    floors[whole] = sum(floors.get(name) or 0.0 for name in IN_CYCLE)
    ours[f"{CAMERA} {size_px}"] = ours.pop(CAMERA)
    for table in (ratios, floors):
        table[f"{CAMERA} {size_px}"] = table.pop(CAMERA)
    order = [whole, f"{CAMERA} {size_px}", *(n for n in ours if n in IN_CYCLE), TRUTH]
    about = {"size": size_px, "cells": cells}
    return [
        _row(name, ours[name], ratios.get(name), floors.get(name)) | about
        for name in order
    ]


def _physics(seed: int, hours: float) -> dict[str, Any]:
    world = World.load(WORLD)
    cells = world.cells.model_copy(update={"n": PHYSICS_CELLS})
    world = world.model_copy(update={"cells": cells})
    specimen = Specimen(world, seed, 1024 * world.optics.pixel_um)
    specimen.advance(60.0)  # compiles
    times = _measure({"physics": lambda: specimen.advance(3600 * hours)})
    row = _row(f"{hours:g} h of physics", [times["physics"]], None, None)
    return row | {"size": None, "cells": PHYSICS_CELLS}


def _row(
    what: str,
    times: list[tuple[float, float]],
    ratio: float | None,
    floor_ms: float | None,
) -> dict[str, Any]:
    cpu, wall = np.array(times).T
    return {
        "what": what,
        "cpu_ms": round(float(np.median(cpu)), 3),
        "cpu_ms_min": round(float(cpu.min()), 3),
        "wall_ms_p50": round(float(np.median(wall)), 3),
        "ratio": None if ratio is None else round(ratio, 2),
        "floor_ms": None if floor_ms is None else round(floor_ms, 3),
    }


def _measure(steps: Mapping[str, Callable[[], object]]) -> dict[str, Any]:
    """Run each step once; give its processor and wall time in ms."""
    times = {}
    for name, step in steps.items():
        cpu, wall = time.thread_time(), time.perf_counter()
        step()
        times[name] = (
            (time.thread_time() - cpu) * 1e3,
            (time.perf_counter() - wall) * 1e3,
        )
    return times


def _collect(times: Times, measured: Mapping[str, tuple[float, float]]) -> None:
    for name, pair in measured.items():
        times.setdefault(name, []).append(pair)


def _sums(times: Times, names: tuple[str, ...]) -> list[tuple[float, float]]:
    """Add up the steps of every repeat."""
    every = np.array([times[name] for name in names])  # (step, repeat, 2)
    return [(float(cpu), float(wall)) for cpu, wall in every.sum(axis=0)]


def _median(times: list[tuple[float, float]]) -> float:
    return float(np.median([cpu for cpu, _ in times]))


def copy_rate() -> float:
    """Give the bytes that a large copy reads and writes in a second."""
    source = np.ones(16 << 20, np.float32)
    target = np.empty_like(source)
    seconds = []
    for _ in range(5):
        start = time.thread_time()
        np.copyto(target, source)
        seconds.append(time.thread_time() - start)
    return 2 * source.nbytes / max(min(seconds), 1e-9)
