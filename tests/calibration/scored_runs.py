"""Small runs with a scripted fate, recorded and with exact truth, for the score."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from plain_evidence import make_evidence
from samples import make_cells, make_info

from acquisition.archive.directory import create_exact_directory
from acquisition.archive.schema import RunFacts
from acquisition.archive.writer import RunWriter
from acquisition.records import CellState, Frame, Segmented
from acquisition.simulated.truth.file import TruthWriter
from acquisition.simulated.view import Cycle, VisibleCells, meetings
from acquisition.simulated.world import World
from calibration.event_fit import write_evidence
from configs.loading import dump_experiment, load_experiment
from configs.schema import Log
from tracking.stage import TrackingStage

SIZE_PX = 384
SIDE = 11  # cells along an edge
PITCH_PX = 34
RADIUS_PX = 7
STEP_S = 300.0
DYING, DEATH_S = 60, 2850.0
MOVER, PARTNER = 1, 2
PEOPLE = SIDE * SIDE


@dataclass(frozen=True)
class Flaws:
    """What the made-up analysis does wrong."""

    blind_to: tuple[int, ...] = ()  # cells that are never found
    misread: tuple[int, ...] = ()  # live cells that are called dead
    unsure: tuple[int, ...] = ()


def record_run(
    directory: Path,
    frames: int = 32,
    flaws: Flaws = Flaws(),
    death_s: float = DEATH_S,
) -> Path:
    """Record a run of a grid of cells, of which one dies and two meet."""
    evidence = directory.with_name("evidence.toml")
    write_evidence(make_evidence(), evidence)
    experiment = load_experiment("demo", [f"events.death.calibration={evidence}"])
    facts = RunFacts(
        "0" * 32, "test", 1, 1.0, "slim", (4, SIZE_PX, SIZE_PX), (), "stepped", 1.0, ""
    )
    create_exact_directory(directory)
    log = Log(frames="none")
    writer = RunWriter(directory, dump_experiment(experiment), log, facts)
    truth = TruthWriter(
        directory / "truth.h5", World.load("cho_10x"), 1, SIZE_PX, facts.pixel_size_um
    )
    stage = TrackingStage(
        experiment.tracking, experiment.forecast, experiment.events, ()
    )
    pixels = np.zeros((4, SIZE_PX, SIZE_PX), np.uint16)
    for sequence in range(1, frames + 1):
        cycle = show(STEP_S * sequence, death_s)
        segmented = analyse(cycle, sequence, flaws)
        writer.write_frame(Frame(segmented.info, pixels))
        writer.write_analysed(stage(segmented))
        truth.write(sequence, cycle.time_s, cycle)
    truth.close()
    writer.close("ended")
    return directory


def show(time_s: float, death_s: float = DEATH_S) -> Cycle:
    """Give the scripted specimen: live cells left of the middle, dead ones right."""
    centre_px = places(time_s)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    labels = np.zeros((SIZE_PX, SIZE_PX), np.uint16)
    for cell, (cy, cx) in enumerate(centre_px, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= RADIUS_PX**2] = cell
    number = np.arange(1, PEOPLE + 1)
    dead = centre_px[:, 1] > SIZE_PX / 2
    since_min = np.full(PEOPLE, np.nan)
    since_min[DYING - 1] = (time_s - death_s) / 60
    dead[DYING - 1] = time_s >= death_s
    touching, gap_px = meetings(labels)
    zeros = np.zeros(PEOPLE)
    cells = VisibleCells(
        id=number.astype(np.uint32),
        parent=np.zeros(PEOPLE, np.uint32),
        kind=np.zeros(PEOPLE, np.uint8),
        well=np.zeros(PEOPLE, np.uint32),
        killer=np.zeros(PEOPLE, np.uint32),
        centre_um=centre_px - (SIZE_PX - 1) / 2,
        lift_um=zeros,
        state=np.where(dead, 6, 0).astype(np.uint8),
        dead=dead,
        minutes_since_commit=since_min,
        minutes_since_rupture=since_min,
        mass_pg=np.full(PEOPLE, 100.0),
        dose_gy=zeros,
        velocity_um_per_min=np.zeros((PEOPLE, 2)),
        jitter_um=np.zeros((PEOPLE, 2)),
        mobility=zeros,
        area_px=np.bincount(labels.ravel(), minlength=PEOPLE + 1)[1:],
        nucleus_px=np.bincount(labels.ravel(), minlength=PEOPLE + 1)[1:],
        touching=touching,
        gap_px=gap_px,
    )
    frames = np.zeros((4, 1, 1), np.float32)
    return Cycle(time_s, (0.0, 0.0), 0.0, frames, labels, labels, cells)


def places(time_s: float) -> NDArray[np.float64]:
    """Give the centres (cell, yx) in px; one cell walks towards its neighbour."""
    row, column = np.divmod(np.arange(PEOPLE), SIDE)
    centre_px = np.stack((row, column), axis=1) * float(PITCH_PX) + 20
    centre_px[MOVER - 1, 1] += min(1.5 * time_s / STEP_S, PITCH_PX - 2 * RADIUS_PX - 1)
    return centre_px


def analyse(cycle: Cycle, sequence: int, flaws: Flaws) -> Segmented:
    """Give the analysis of a cycle: perfect but for the flaws, labels renumbered."""
    kept = ~np.isin(cycle.cells.id, flaws.blind_to)
    count = int(kept.sum())
    number = np.zeros(PEOPLE + 1, np.uint16)
    number[1:][kept] = np.arange(count, 0, -1)  # an order of its own
    seen = np.flatnonzero(kept)[::-1]
    known = cycle.cells.id[seen]
    dead = cycle.cells.dead[seen] | np.isin(known, flaws.misread)
    labels = number[cycle.labels]
    pairs = np.sort(number[cycle.cells.touching].astype(np.int32), axis=1)
    cells = replace(
        make_cells(count),
        centre_um=cycle.cells.centre_um[seen],
        area_um2=cycle.cells.area_px[seen].astype(np.float32),
        dead_probability=np.where(dead, 0.98, 0.02).astype(np.float32),
        state=np.where(dead, CellState.DEAD, CellState.LIVE).astype(np.uint8),
        unsure=np.isin(known, flaws.unsure),
        touches_edge=np.zeros(count, np.bool_),
        box_px=np.tile(np.array([0, 0, SIZE_PX, SIZE_PX], np.int32), (count, 1)),
        touching=pairs[(pairs > 0).all(axis=1)],
    )
    info = replace(make_info(sequence, cycle.time_s), pixel_size_um=1.0)
    blank = np.zeros_like(labels)
    return Segmented(info, blank, labels, cells, "scripted", "none", 1, 2, 3, 4)
