"""How the cells of a recorded run moved, and what became of each: ``vigil report``.

Motion statistics of living and dead cells apart, and a row of assay read-outs for every
track. Everything comes from what the run recorded. How exactly centres are measured is
learnt from the run as the forecasts do it, and taken off.
"""

import csv
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from acquisition.archive.reader import RunReader
from acquisition.errors import BadConfig, BadRun
from acquisition.records import CellState
from calibration.mask_forecast import map_rows
from calibration.read_outs import (
    READ_OUTS,
    TrackTable,
    grouped,
    label_groups,
    read_outs,
    rounded,
    well_rows,
    wells_of_tracks,
)
from configs.loading import describe_faults
from configs.schema import Chip
from tracking import statistics as st
from tracking.forecasts.bank import Bank
from tracking.forecasts.forecaster import measured_centres

LEAST_FRAMES = 6
LEAST_CELLS = 5
"""Motion is stated of so many cells seen in so many frames, else not."""
BINS_UM = np.array([0.0, 20.0, 40.0, 80.0, 160.0, 320.0])
ASSUMED_NOISE_UM = 0.5
Array = NDArray[np.float64]


def report_run(
    run_dir: Path,
    output: Path | None = None,
    conditions: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, Any]:
    """Give the motion statistics and read-outs of a run, and write the tables.

    Parameters
    ----------
    run_dir
        The run; one that was cut off is reported as far as it goes.
    output
        Folder that receives ``cells.csv``, ``motion.csv`` and, of a chip,
        ``wells.csv``; absent: none is written.
    conditions
        Name of every group, and patterns of the positions or wells that are in it, see
        `calibration.read_outs.label_groups`; absent: every position is a group.

    Returns
    -------
    dict
        ``motion``, a row for each position and kind of cell; ``exponents``;
        ``fates`` and ``groups``, mean and standard error of the read-outs of the cells
        by fate and by group; ``wells``, a row for each well of a chip, and
        ``well_groups``, mean and standard error over the wells of a group; ``maps``,
        how well moved masks met the later ones; ``cells``, how many rows there are.

    Raises
    ------
    BadRun
        If the run cannot be read or has no tracks.
    BadConfig
        If a group holds no position and no well, or the chip is not understood.
    """
    with RunReader(run_dir) as run:
        chip = chip_of(run_dir / "config.toml")
        tables = _tables(run)
        maps = map_rows(run)
        events = list(run.events())
    if not tables:
        raise BadRun(f"{run_dir} has no tracks in two frames: nothing can be reported")
    motion, exponents, cells, wells = [], [], [], []
    for position, table in tables.items():
        for kind in ("live", "dead"):
            row, slopes = motion_of(table, kind)
            motion.append({"position": position, **row})
            exponents += [{"position": position, **slope} for slope in slopes]
        mine = [event for event in events if event.position == position]
        well = wells_of_tracks(table, chip)
        rows = read_outs(table, mine, well)
        cells += [{"position": position, **row} for row in rows]
        wells += [{"position": position, **row} for row in well_rows(rows, mine)]
    label_groups(cells, wells, conditions or {})
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        _write(output / "cells.csv", cells, READ_OUTS)
        if wells:
            _write(output / "wells.csv", wells, tuple(wells[0]))
        _write(
            output / "motion.csv", exponents, tuple(exponents[0]) if exponents else ()
        )
    return {
        "motion": motion,
        "exponents": exponents,
        "fates": grouped(cells, "fate"),
        "groups": grouped(cells, "group"),
        "wells": wells,
        "well_groups": grouped(wells, "group"),
        "maps": maps,
        "cells": len(cells),
        "output": None if output is None else str(output),
    }


def chip_of(config: Path) -> Chip | None:
    """Give the chip of a run from its settings, whatever else stands in them.

    No other section is checked: earlier versions had settings that are gone.

    Raises
    ------
    BadRun
        If the file cannot be read.
    BadConfig
        If there is a chip and its section is not understood.
    """
    try:
        content = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadRun(f"{config} cannot be read: {error}") from error
    chip = content.get("tracking", {}).get("chip")
    try:
        return None if chip is None else Chip.model_validate(chip)
    except ValidationError as error:
        faults = [f"tracking.chip.{fault}" for fault in describe_faults(error)]
        raise BadConfig(str(config), faults) from error


def motion_of(
    table: TrackTable, kind: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give the motion statistics of the living or the dead, and the exponents."""
    mine = table.dead if kind == "dead" else ~table.dead
    place = np.where(mine[..., None], table.place_um, np.nan)
    enough = np.isfinite(place[..., 0]).sum(axis=1) >= LEAST_FRAMES
    place, step = place[enough], table.step_s / 60
    row: dict[str, Any] = {"kind": kind, "cells": len(place), "step_min": step}
    names = ("speed_um_per_min", "persistence_min", "span_um", "noise_um", "break_min")
    row |= dict.fromkeys(names)
    row |= {f"correlation_to_{edge:g}_um": None for edge in BINS_UM[1:]}
    if len(place) < LEAST_CELLS:
        return row, []
    velocity = st.velocities(place, step)
    curve = st.correlation_in_time(velocity, step, table.noise_um, place.shape[1] // 3)
    space = st.correlation_in_space(place, velocity, BINS_UM)
    begun = _from_first(place)
    curves = st.moments(begun, noise=table.noise_um)
    time = np.log(step * np.arange(1, curves.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        bent = st.two_lines(time, np.log(curves[2, 1:]))
    row |= {
        "speed_um_per_min": rounded(np.nanmean(st.speeds(place, step, table.noise_um))),
        "persistence_min": rounded(st.persistence(curve, step)),
        "span_um": rounded(st.span(place)),
        "noise_um": rounded(table.noise_um),
        "break_min": rounded(np.exp(bent.at)) if bent else None,
    }
    row |= {
        f"correlation_to_{edge:g}_um": rounded(value)
        for edge, value in zip(BINS_UM[1:], space, strict=True)
    }
    slopes = [
        {
            "kind": kind,
            "order": one.order,
            "slope": rounded(one.slope),
            "low": rounded(one.low),
            "high": rounded(one.high),
        }
        for one in st.exponents(begun, step, noise=table.noise_um)
    ]
    return row, slopes


def _from_first(place: Array) -> Array:
    """Shift every row so that its first known place stands first."""
    shifted = np.full_like(place, np.nan)
    for row, one in enumerate(place):
        first = int(np.isfinite(one[:, 0]).argmax())
        shifted[row, : len(one) - first] = one[first:]
    return shifted


def _tables(run: RunReader) -> dict[str, TrackTable]:
    frames: dict[str, list[tuple[float, int]]] = {}
    for number in run.analysed_sequences.tolist():
        info = run.info(number)
        if not info.is_aside:
            frames.setdefault(info.position, []).append((info.time_s, number))
    return {
        position: _table(run, sorted(times))
        for position, times in frames.items()
        if len(times) > 1
    }


def _table(run: RunReader, frames: list[tuple[float, int]]) -> TrackTable:
    """Put the frames of a position on regular times: their median step."""
    times = np.array([time_s for time_s, _ in frames])
    step_s = float(np.median(np.diff(times)))
    slot = np.round((times - times[0]) / max(step_s, 1e-9)).astype(np.int64)
    tracks = [run.tracks(number) for _, number in frames]
    ids = np.unique(np.concatenate([one.track_id for one in tracks]))
    shape = (ids.size, int(slot[-1]) + 1)
    place = np.full((*shape, 2), np.nan)
    dead, touching = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    area, mass = np.full(shape, np.nan), np.full(shape, np.nan)
    bank = Bank(ASSUMED_NOISE_UM)
    noise = [ASSUMED_NOISE_UM**2]
    for at, one, (time_s, number) in zip(slot, tracks, frames, strict=True):
        cells, row = run.cells(number), np.searchsorted(ids, one.track_id)
        seen, centre_um = measured_centres(cells, one)
        live = one.state != CellState.DEAD
        bank.observe(time_s, one.track_id, centre_um, seen, live)
        noise += [float(bank.noise_um2(one.track_id).mean())] if row.size else []
        dead[row, at] = ~live
        order = np.argsort(cells.label)
        cell = order[np.searchsorted(cells.label[order], one.label[seen])]
        place[row[seen], at] = centre_um[seen]
        area[row[seen], at] = cells.area_um2[cell]
        mass[row[seen], at] = cells.dry_mass_pg[cell]
        touching[row, at] = seen & np.isin(one.label, cells.touching)
    return TrackTable(
        step_s,
        float(times[0]),
        ids,
        place,
        dead,
        area,
        mass,
        touching,
        noise[-1] ** 0.5,
    )


def _write(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
