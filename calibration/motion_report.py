"""How the cells of a recorded run moved, and what became of each: ``vigil report``.

Motion statistics of living and dead cells apart, and a row of assay read-outs for every
track. Everything comes from what the run recorded. How exactly centres are measured is
learnt from the run as the forecasts do it, and taken off.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from acquisition.records import CellState, Event
from calibration.mask_forecast import map_rows
from tracking import statistics as st
from tracking.forecasts.bank import Bank
from tracking.forecasts.forecaster import measured_centres

LEAST_FRAMES = 6
LEAST_CELLS = 5
"""Motion is stated of so many cells seen in so many frames, else not."""
BINS_UM = np.array([0.0, 20.0, 40.0, 80.0, 160.0, 320.0])
ASSUMED_NOISE_UM = 0.5
READ_OUTS = (
    "position",
    "track_id",
    "fate",
    "frames",
    "first_s",
    "last_s",
    "speed_um_per_min",
    "persistence_min",
    "area_last_over_first",
    "mass_last_over_first",
    "contacts",
    "first_contact_s",
    "touching_min",
    "death_s",
    "contact_to_death_min",
)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackTable:
    """The tracks of one position on regular times."""

    step_s: float
    start_s: float
    track_id: NDArray[np.int64]  # (track,)
    place_um: Array  # (track, time, yx), NaN where not measured
    dead: NDArray[np.bool_]  # (track, time)
    area_um2: Array  # (track, time)
    mass_pg: Array  # (track, time)
    touching: NDArray[np.bool_]  # (track, time)
    noise_um: float


def report_run(run_dir: Path, output: Path | None = None) -> dict[str, Any]:
    """Give the motion statistics and read-outs of a run, and write the tables.

    Parameters
    ----------
    run_dir
        The run; one that was cut off is reported as far as it goes.
    output
        Folder that receives ``cells.csv`` and ``motion.csv``; absent: none is written.

    Returns
    -------
    dict
        ``motion``, a row for each position and kind of cell; ``exponents``;
        ``groups``, mean and standard error of the read-outs by fate; ``maps``, how well
        moved masks met the later ones; ``cells``, how many rows there are.

    Raises
    ------
    BadRun
        If the run cannot be read or has no tracks.
    """
    with RunReader(run_dir) as run:
        tables = _tables(run)
        maps = map_rows(run)
        events = list(run.events())
    if not tables:
        raise BadRun(f"{run_dir} has no tracks in two frames: nothing can be reported")
    motion, exponents, cells = [], [], []
    for position, table in tables.items():
        for kind in ("live", "dead"):
            row, slopes = motion_of(table, kind)
            motion.append({"position": position, **row})
            exponents += [{"position": position, **slope} for slope in slopes]
        mine = [event for event in events if event.position == position]
        cells += [{"position": position, **row} for row in read_outs(table, mine)]
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        _write(output / "cells.csv", cells, READ_OUTS)
        _write(
            output / "motion.csv", exponents, tuple(exponents[0]) if exponents else ()
        )
    return {
        "motion": motion,
        "exponents": exponents,
        "groups": groups(cells),
        "maps": maps,
        "cells": len(cells),
        "output": None if output is None else str(output),
    }


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
        "speed_um_per_min": _round(np.nanmean(st.speeds(place, step, table.noise_um))),
        "persistence_min": _round(st.persistence(curve, step)),
        "span_um": _round(st.span(place)),
        "noise_um": _round(table.noise_um),
        "break_min": _round(np.exp(bent.at)) if bent else None,
    }
    row |= {
        f"correlation_to_{edge:g}_um": _round(value)
        for edge, value in zip(BINS_UM[1:], space, strict=True)
    }
    slopes = [
        {
            "kind": kind,
            "order": one.order,
            "slope": _round(one.slope),
            "low": _round(one.low),
            "high": _round(one.high),
        }
        for one in st.exponents(begun, step, noise=table.noise_um)
    ]
    return row, slopes


def read_outs(table: TrackTable, events: list[Event]) -> list[dict[str, Any]]:
    """Give a row of assay read-outs for every track."""
    step_min = table.step_s / 60
    seen = np.isfinite(table.place_um[..., 0])
    speed = st.speeds(table.place_um, step_min, table.noise_um)
    own = st.persistences(table.place_um, step_min, table.noise_um)
    area, mass = (st.relative_to_start(v) for v in (table.area_um2, table.mass_pg))
    rows = []
    for k, track in enumerate(table.track_id.tolist()):
        at = np.flatnonzero(seen[k])
        if not at.size:
            continue
        of = [event for event in events if track in event.tracks]
        met = [event.time_s for event in of if event.kind == "contact"]
        died = [event.time_s for event in of if event.kind == "death"]
        first, last = table.start_s + table.step_s * at[[0, -1]]
        after = died[0] - met[0] if died and met and died[0] > met[0] else None
        rows.append(
            {
                "track_id": track,
                "fate": _fate(bool(died), table.dead[k, at]),
                "frames": int(at.size),
                "first_s": float(first),
                "last_s": float(last),
                "speed_um_per_min": _round(speed[k]),
                "persistence_min": _round(own[k]),
                "area_last_over_first": _round(area[k, at[-1]]),
                "mass_last_over_first": _round(mass[k, at[-1]]),
                "contacts": len(met),
                "first_contact_s": met[0] if met else None,
                "touching_min": _round(step_min * table.touching[k].sum()),
                "death_s": died[0] if died else None,
                "contact_to_death_min": _round(after / 60) if after else None,
            }
        )
    return rows


def groups(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give mean and standard error of the read-outs of the cells of each fate."""
    rows = []
    for fate in sorted({cell["fate"] for cell in cells}):
        mine = [cell for cell in cells if cell["fate"] == fate]
        row: dict[str, Any] = {"fate": fate, "cells": len(mine)}
        for name in READ_OUTS[6:]:
            if name in ("first_contact_s", "death_s"):
                continue
            values = np.array([cell[name] for cell in mine], np.float64)
            mean, error = st.mean_and_error(values)
            row |= {name: _round(mean), f"{name}_se": _round(error)}
        rows.append(row)
    return rows


def _fate(died: bool, dead: NDArray[np.bool_]) -> str:
    if died:
        return "died"
    return "dead from the start" if dead.all() else "lives on"


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


def _round(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def _write(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
