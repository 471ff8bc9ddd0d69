"""`vigil bench log`: what the record of a run costs, written and read.

Frames of the simulated microscope, at the noise of its camera, with what the analysis
says of them. ``ratio`` is how much longer HDF5 takes with its own compression (gzip).
"""

import tempfile
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from acquisition.archive.reader import RunReader
from acquisition.archive.schema import RunFacts
from acquisition.archive.writer import RunWriter
from acquisition.errors import BadRun
from acquisition.recorder import software
from acquisition.records import Analysed, Frame, blank_info
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.fields import render_field
from acquisition.simulated.world import World
from calibration.benchmarks.timing import Times, check_wishes, row_of, time_step
from configs.events import Events
from configs.schema import Forecasting, Inference, Log, Tracking
from inference.engines.classical import ClassicalEngine
from inference.stage import InferenceStage
from tracking.stage import TrackingStage

WORLD = "cho_10x"
INTERVAL_S = 24.0
"""Experiment time between two frames: the demonstration at five frames a second."""
WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame and its analysis, to be recorded under any number."""

    frame: Frame
    analysed: Analysed

    @classmethod
    def of(cls, size: int, seed: int) -> "Sample":
        """Render a frame (4, y, x) and analyse it as a run without a network does."""
        world = World.load(WORLD)
        field = render_field(world, seed, size)
        frame = Frame(blank_info("slim", field.pixel_size_um), field.frames)
        find = InferenceStage(ClassicalEngine(), None, Inference(), stand_of(world))
        follow = TrackingStage(Tracking(), Forecasting(model="bank"), Events(), ())
        return cls(frame, follow(find(frame)))

    def numbered(self, number: int) -> "Sample":
        """Give the same as a later frame of a run."""
        sequence, time_s = number + 1, INTERVAL_S * number
        info = replace(self.frame.info, sequence=sequence, time_s=time_s)
        segmented = replace(self.analysed.segmented, info=info)
        return Sample(
            replace(self.frame, info=info), replace(self.analysed, segmented=segmented)
        )


def bench_log(
    size: int = 1024, repeat: int = 20, seed: int = 1, folder: Path | None = None
) -> dict[str, Any]:
    """Measure writing and reading; the rows of ``vigil bench log --json``.

    Parameters
    ----------
    size, repeat, seed
        Edge of the frames, how many of them, and of the specimen.
    folder
        On the disk that is to be tried; absent: where temporary files are.

    Raises
    ------
    BadConfig
        If a number is out of its range.
    BadRun
        If nothing can be written there.
    """
    check_wishes("bench log", size, repeat)
    sample = Sample.of(size, seed)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="vigil-bench-") as place:
            rows, megabytes = _measure(sample, Path(place), repeat, seed)
    except OSError as error:
        raise BadRun(
            f"{folder or tempfile.gettempdir()} cannot be written "
            f"({error.strerror or error}); give --output"
        ) from error
    cells = len(sample.analysed.segmented.cells.label)
    return {"rows": rows, "size": size, "cells": cells, "mb_per_frame": megabytes}


def _measure(
    sample: Sample, place: Path, repeat: int, seed: int
) -> tuple[list[dict[str, Any]], float]:
    directory = place / "run"
    directory.mkdir()
    many = [sample.numbered(number) for number in range(repeat + WARM_UP)]
    writer = RunWriter(directory, "", Log(), _facts(sample.frame, seed))
    frames = time_step(lambda n: writer.write_frame(many[n].frame), repeat, WARM_UP)
    analyses = time_step(
        lambda n: writer.write_analysed(many[n].analysed), repeat, WARM_UP
    )
    writer.close("ended")
    bytes_written = sum(path.stat().st_size for path in directory.glob("*.h5"))
    plain_writes, plain_reads = _plain(sample.frame.pixels, place / "plain.h5", repeat)
    with RunReader(directory) as run:
        numbers = run.sequences.tolist()
        rows = [
            row_of("write a frame", frames, plain_writes),
            row_of("write its analysis", analyses),
            row_of(
                "read a frame",
                time_step(lambda n: run.frame(numbers[n]), repeat, WARM_UP),
                plain_reads,
            ),
            row_of(
                "read its mask",
                time_step(lambda n: run.labels(numbers[n]), repeat, WARM_UP),
            ),
            row_of(
                "read its cells",
                time_step(lambda n: run.cells(numbers[n]), repeat, WARM_UP),
            ),
        ]
    return rows, round(bytes_written / len(many) / 1e6, 2)


def _facts(frame: Frame, seed: int) -> RunFacts:
    steps, rows, columns = frame.pixels.shape
    return RunFacts(
        run_id=uuid.uuid4().hex,
        software=software(),
        seed=seed,
        pixel_size_um=frame.info.pixel_size_um,
        modality="slim",
        shape=(steps, rows, columns),
        models=(),
        clock_mode="stepped",
        clock_speed=1.0,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _plain(
    pixels: np.ndarray[Any, Any], path: Path, repeat: int
) -> tuple[Times, Times]:
    """Time HDF5 with gzip, the compression that it brings along."""
    repeat = max(2, repeat // 5)
    shape = (repeat + 1, *pixels.shape)
    with h5py.File(path, "x") as file:
        kept = file.create_dataset(
            "frames",
            shape,
            "<u2",
            chunks=(1, *pixels.shape),
            compression="gzip",
            rdcc_nbytes=1,  # no cache: what is read is unpacked
        )

        def write(number: int) -> None:
            kept[number] = pixels
            file.flush()

        writes = time_step(write, repeat, 1)
        return writes, time_step(lambda number: kept[number], repeat, 1)
