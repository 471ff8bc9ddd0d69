"""Synthetic data sets: a folder of images of a simulated world beside their truth.

The same specimen, optics and camera as in a run, without the loop around them; the
specimen stands at exactly the times of the frames. A set that is cut short between two
frames is complete as far as it goes.
"""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tifffile
import tomli_w
from numpy.typing import NDArray

from acquisition.archive.directory import create_exact_directory
from acquisition.clock import Clock
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.specimen.population import LifeState
from acquisition.simulated.stand.assembly import Cycle, SimulatedStand
from acquisition.simulated.truth.file import TruthWriter
from acquisition.simulated.world import World
from configs.schema import SIMULATED_CHANNELS
from inference.phase import PhaseRetrieval, dry_mass_factor, phase_in_rad

TRUTH, TABLE, WORLD, README = "truth.h5", "cells.csv", "world.toml", "README.md"
LARGEST_PLAIN_TIFF = 3_900_000_000
FLUSH_FRAMES = 8
"""A killed set loses the truth of fewer frames; a count, for times show in bytes."""
COLUMNS = (
    "frame",
    "time_s",
    "id",
    "parent",
    "y_um",
    "x_um",
    "state",
    "dead",
    "minutes_since_rupture",
    "mass_pg",
    "measured_mass_pg",
    "area_px",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a data set shows."""

    world: World  # its optics say the modality
    seed: int
    frames: int
    interval_s: float
    size_px: int = 1024

    @property
    def is_slim(self) -> bool:
        """Whether a frame has four steps and a phase."""
        return self.world.optics.modality == "slim"

    @property
    def bytes(self) -> int:
        """About the size of the folder."""
        images = 4 + 2 + 2 if self.is_slim else 1 + 2
        return self.frames * self.size_px**2 * 2 * images


@dataclass(frozen=True, slots=True)
class Shown:
    """One frame of a data set, for whoever watches it being made."""

    number: int  # from 0
    picture: NDArray[np.uint16]  # (y, x) coded phase, or counts
    labels: NDArray[np.uint16]  # (y, x) ids
    ids: NDArray[np.uint32]  # (cell,) visible cells
    dead: NDArray[np.bool_]  # (cell,)


Watch = Callable[[Shown], bool]
"""Is shown every frame; False ends the set after it."""


class TiffStack:
    """A stack of 16-bit or float images with OME metadata, written frame by frame."""

    def __init__(self, path: Path, plan: Plan, steps: int = 1) -> None:
        self._path = path
        self._plan = plan
        self._steps = steps
        self._count = 0
        self._dtype = np.dtype(np.uint16)
        self._file = tifffile.TiffWriter(
            path, bigtiff=plan.bytes > LARGEST_PLAIN_TIFF, byteorder="<"
        )

    def append(self, image: NDArray[Any]) -> None:
        """Add a frame, (y, x) or (step, y, x)."""
        self._dtype = image.dtype
        first = self._count == 0
        self._file.write(
            image,
            contiguous=not first,
            photometric="minisblack",
            metadata=None,
            description=self._describe(self._plan.frames) if first else None,
        )
        self._count += 1

    def close(self) -> None:
        """Finish the file; a set that was cut short says how many frames there are."""
        self._file.close()
        if 0 < self._count < self._plan.frames:
            tifffile.tiffcomment(self._path, self._describe(self._count))

    def _describe(self, frames: int) -> bytes:
        """Give the OME metadata of so many frames."""
        edge = self._plan.size_px
        pixel_um = self._plan.world.optics.pixel_um
        steps = (self._steps,) if self._steps > 1 else ()
        # NOTE: a fixed name instead of a random one: the same seed gives equal bytes.
        ome = tifffile.OmeXml(UUID=f"urn:uuid:{0:032x}", Creator="vigil")
        ome.addimage(
            dtype=self._dtype.name.replace("float32", "float"),
            shape=(frames, *steps, edge, edge),
            storedshape=(frames * self._steps, 1, 1, edge, edge, 1),
            axes="TCYX" if steps else "TYX",
            PhysicalSizeX=pixel_um,
            PhysicalSizeXUnit="µm",
            PhysicalSizeY=pixel_um,
            PhysicalSizeYUnit="µm",
            TimeIncrement=self._plan.interval_s,
            TimeIncrementUnit="s",
        )
        return ome.tostring(declaration=True).encode()


class DataSetWriter:
    """The open files of a data set.

    Parameters
    ----------
    folder
        Exists and is empty.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._plan = plan
        name, world = plan.world.name, plan.world
        text = world.model_dump(mode="json", by_alias=True, exclude_none=True)
        (folder / WORLD).write_text(tomli_w.dumps(text), encoding="utf-8")
        (folder / README).write_text(_readme(plan), encoding="utf-8")
        steps = 4 if plan.is_slim else 1
        self._frames = TiffStack(folder / f"{name}_frames.ome.tif", plan, steps)
        self._instances = TiffStack(folder / f"{name}_instances.tif", plan)
        self._nuclei = TiffStack(folder / f"{name}_nuclei.tif", plan)
        self._phase = None
        if plan.is_slim:
            self._phase = TiffStack(folder / f"{name}_phase.tif", plan)
        self._truth = TruthWriter(
            folder / TRUTH,
            world,
            plan.seed,
            plan.size_px,
            world.optics.pixel_um,
            flush_s=math.inf,
        )
        self._text = (folder / TABLE).open("w", encoding="utf-8", newline="")
        self._table = csv.writer(self._text, lineterminator="\n")
        self._table.writerow(COLUMNS)
        self._stand = stand_of(world)
        self._retrieve = PhaseRetrieval(self._stand, (plan.size_px, plan.size_px))

    def __enter__(self) -> "DataSetWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stacks = (self._frames, self._instances, self._nuclei, self._phase)
        for stack in stacks:
            if stack is not None:
                stack.close()
        self._truth.close()
        self._text.close()

    def add(self, number: int, cycle: Cycle, frames: NDArray[np.uint16]) -> Shown:
        """Write a frame, numbered from 0, of (step, y, x) counts."""
        picture = frames[0]
        phase = None
        self._frames.append(frames if self._plan.is_slim else picture)
        if self._phase is not None:
            picture = self._retrieve(frames)
            phase = phase_in_rad(picture)
            self._phase.append(phase)
        self._instances.append(cycle.labels)
        self._nuclei.append(cycle.nuclei)
        time_s = number * self._plan.interval_s
        self._truth.write(number + 1, time_s, cycle)
        self._tabulate(number, time_s, cycle, phase)
        if (number + 1) % FLUSH_FRAMES == 0:
            self._truth.flush()
        cells = cycle.cells
        return Shown(number, picture, cycle.labels, cells.id, cells.dead)

    def _tabulate(
        self,
        number: int,
        time_s: float,
        cycle: Cycle,
        phase: NDArray[np.float32] | None,
    ) -> None:
        cells = cycle.cells
        factor = dry_mass_factor(self._stand, self._plan.world.optics.pixel_um)
        mass = None
        if phase is not None:
            total = np.bincount(cycle.labels.ravel(), weights=phase.ravel())
            mass = factor * total
        for row, label in enumerate(cells.id.tolist()):
            since = float(cells.minutes_since_rupture[row])
            self._table.writerow(
                [
                    number,
                    f"{time_s:g}",
                    label,
                    int(cells.parent[row]),
                    f"{cells.centre_um[row, 0]:.3f}",
                    f"{cells.centre_um[row, 1]:.3f}",
                    LifeState(int(cells.state[row])).name.lower(),
                    int(cells.dead[row]),
                    "" if np.isnan(since) else f"{since:.2f}",
                    f"{cells.mass_pg[row]:.3f}",
                    "" if mass is None else f"{mass[label]:.3f}",
                    int(cells.area_px[row]),
                ]
            )


def make_data_set(plan: Plan, folder: Path, watch: Watch) -> dict[str, Any]:
    """Make a new folder and fill it; gives the facts of the set.

    The state is ``interrupted`` where ``watch`` ended it before its time.

    Raises
    ------
    BadRun
        If the folder exists or cannot be made.
    BadWorld
        If there are too many cells to simulate; no folder is left then.
    """
    names = {modality: name for name, modality in SIMULATED_CHANNELS.items()}
    clock = Clock("stepped")
    stand = SimulatedStand(
        plan.world,
        plan.seed,
        plan.size_px,
        clock,
        channels=[names[plan.world.optics.modality]],
    )
    create_exact_directory(folder)
    seen = dead = done = 0
    goes_on = True
    stand.keep_truth()
    stand.start()
    try:
        with DataSetWriter(folder, plan) as writer:
            while goes_on and done < plan.frames:
                clock.step_to(done * plan.interval_s)
                cycle = stand.begin_cycle()
                shown = writer.add(done, cycle, _exposed(stand, cycle, done))
                seen += len(shown.ids)
                dead += int(shown.dead.sum())
                done += 1
                goes_on = watch(shown)
    finally:
        stand.close()
    return {
        "output": str(folder),
        "state": "ended" if done == plan.frames else "interrupted",
        "frames": done,
        "interval_s": plan.interval_s,
        "n_cells": seen / done,
        "dead_share": dead / max(seen, 1),
    }


def _exposed(stand: SimulatedStand, cycle: Cycle, number: int) -> NDArray[np.uint16]:
    """Take all pictures (step, y, x) of a cycle."""
    steps = len(cycle.frames)
    frames = np.empty(cycle.frames.shape, np.uint16)
    exposure_ms = stand.world.camera.nominal_exposure_ms
    for step in range(steps):
        stand.expose(cycle, step, exposure_ms, number * steps + step, frames[step])
    return frames


def _readme(plan: Plan) -> str:
    name, optics = plan.world.name, plan.world.optics
    slim = (
        f"- `{name}_phase.tif`: (time, y, x) phase in rad, background-free, as "
        "retrieved from the steps\n"
    )
    return f"""# Simulated cells: world {name}, seed {plan.seed}

Everything here is simulated. {plan.frames} frames were asked for, one every
{plan.interval_s:g} s of experiment time; {optics.modality}, {optics.pixel_um:g} um a
pixel, {plan.size_px} x {plan.size_px} pixels.

- `{name}_frames.ome.tif`: {"(time, step, y, x)" if plan.is_slim else "(time, y, x)"}
  camera counts
{slim if plan.is_slim else ""}- `{name}_instances.tif`: (time, y, x) ids of the cells, \
0 background
- `{name}_nuclei.tif`: the same ids, only inside the nuclei
- `{TABLE}`: one row a visible cell and frame (from 0); centres in um from the middle
  of the frame, y down; state; dead (1: the membrane is open); minutes since it
  opened (negative before, empty where not known); true dry mass, and the dry mass
  measured from the phase, which the halo makes too small; visible pixels
- `{TRUTH}`: all of it, contacts, whole masks and where each cell will be, as beside a
  recorded run (HDF5)
- `oracle.csv`, if it was asked for: the best possible forecasts (mean and spread of
  the displacement, probability of death) for each cell, frame and horizon in seconds
- `{WORLD}`: the world with every value; with the seed it makes these bytes again
"""
