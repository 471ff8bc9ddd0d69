"""What became of every cell, well and group of a run: the read-outs of an assay.

Groups are positions or wells under one condition. Means come with their standard error,
over cells and, on a chip, over wells: cells of one well are no independent trials.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadConfig
from acquisition.records import Event
from configs.schema import Chip
from tracking import statistics as st
from tracking.linking.table import NOBODY
from tracking.linking.wells import lay_out_wells, wells_of

READ_OUTS = (
    "position",
    "track_id",
    "well",
    "group",
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
ABOUT = ("position", "track_id", "well", "group", "fate", "frames", "first_s", "last_s")
"""Columns that no mean is stated of."""
NAMED = 20
"""A message names no more wells: a chip has thousands."""

Array = NDArray[np.float64]
Row = dict[str, Any]


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


def read_outs(
    table: TrackTable, events: list[Event], wells: list[str | None]
) -> list[Row]:
    """Give a row of assay read-outs for every track that was seen.

    Areas and masses are the last over the first; ``touching_min`` is how long its mask
    had another one beside it. ``wells`` are those of `wells_of_tracks`.
    """
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
                "well": wells[k],
                "group": None,
                "fate": _fate(bool(died), table.dead[k, at]),
                "frames": int(at.size),
                "first_s": float(first),
                "last_s": float(last),
                "speed_um_per_min": rounded(speed[k]),
                "persistence_min": rounded(own[k]),
                "area_last_over_first": rounded(area[k, at[-1]]),
                "mass_last_over_first": rounded(mass[k, at[-1]]),
                "contacts": len(met),
                "first_contact_s": met[0] if met else None,
                "touching_min": rounded(step_min * table.touching[k].sum()),
                "death_s": died[0] if died else None,
                "contact_to_death_min": rounded(after / 60) if after else None,
            }
        )
    return rows


def wells_of_tracks(table: TrackTable, chip: Chip | None) -> list[str | None]:
    """Give the well of every track by its middle place, row and column from 1.

    ``None`` without a chip, and of a track that lies on no well.
    """
    if chip is None:
        return [None] * table.track_id.size
    seen = np.isfinite(table.place_um[..., 0]).any(axis=1)
    middle_um = np.zeros((table.track_id.size, 2))
    middle_um[seen] = np.nanmedian(table.place_um[seen], axis=1)
    number = wells_of(middle_um, chip, lay_out_wells(chip))
    number[~seen] = NOBODY
    return [
        None
        if one == NOBODY
        else f"r{one // chip.columns + 1}c{one % chip.columns + 1}"
        for one in number.tolist()
    ]


def well_rows(cells: list[Row], events: list[Event]) -> list[Row]:
    """Give a row for every well of a position: what its cells did together.

    The time to kill is that from the first contact of the well to its first death after
    it; ``touching_min`` is of the cell that touched longest.
    """
    well = {row["track_id"]: row["well"] for row in cells if row["well"] is not None}
    rows = []
    for name in sorted(set(well.values())):
        mine = [row for row in cells if row["well"] == name]
        of = [event for event in events if name in map(well.get, event.tracks)]
        met = sorted(event.time_s for event in of if event.kind == "contact")
        died = sorted(event.time_s for event in of if event.kind == "death")
        after = [time_s - met[0] for time_s in died if met and time_s > met[0]]
        rows.append(
            {
                "well": name,
                "group": None,
                "cells": len(mine),
                "contacts": len(met),
                "first_contact_s": met[0] if met else None,
                "touching_min": max(row["touching_min"] or 0.0 for row in mine),
                "deaths": len(died),
                "first_death_s": died[0] if died else None,
                "contact_to_death_min": rounded(after[0] / 60) if after else None,
            }
        )
    return rows


def label_groups(
    cells: list[Row], wells: list[Row], conditions: Mapping[str, tuple[str, ...]]
) -> None:
    """Write into every row which group it is of, ``None`` where no pattern fits.

    A pattern is the name of a position or of a well (``r2c5``), with ``*`` and ``?``
    for anything; the first group that fits counts. Without any group each position is
    one.

    Raises
    ------
    BadConfig
        If a group fits no row, or earlier groups have all that it fits.
    """
    takers: dict[str, set[str]] = {group: set() for group in conditions}
    for row in (*cells, *wells):
        names = [name for name in (row["position"], row["well"]) if name]
        fits = [
            group
            for group, patterns in conditions.items()
            if any(fnmatchcase(name, one) for name in names for one in patterns)
        ]
        row["group"] = fits[0] if fits else None
        for group in fits:
            takers[group].add(fits[0])
    if not conditions:
        for row in (*cells, *wells):
            row["group"] = row["position"]
    empty = [group for group, by in takers.items() if group not in by]
    if empty:
        known = _known(cells, wells)
        raise BadConfig(
            "--group",
            [_why_empty(one, conditions[one], takers[one], known) for one in empty],
        )


def _why_empty(
    group: str, patterns: tuple[str, ...], takers: set[str], known: str
) -> str:
    wanted = ", ".join(patterns)
    if takers:
        return (
            f"{group}: all that fits {wanted} is already of {', '.join(sorted(takers))}"
            ", for the first group that fits counts: name this one before"
        )
    return f"{group}: no position or well fits {wanted}; {known}"


def _known(cells: list[Row], wells: list[Row]) -> str:
    """Name the positions, and the first wells that have cells."""
    positions = sorted({row["position"] for row in cells})
    named = sorted({row["well"] for row in (*cells, *wells) if row["well"]})
    said = f"positions are: {', '.join(positions)}"
    if not named:
        return said
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"{said}; wells with cells are: {', '.join(named[:NAMED])}{more}"


def grouped(rows: list[Row], by: str) -> list[Row]:
    """Give mean and standard error of the read-outs of the rows of each kind.

    ``rows`` are of cells or of wells; those without a kind are left out.
    """
    found = []
    for kind in sorted({row[by] for row in rows if row[by] is not None}):
        mine = [row for row in rows if row[by] == kind]
        means: Row = {by: kind, "count": len(mine)}
        for name in mine[0]:
            if name in ABOUT or name.endswith("_s"):
                continue
            values = np.array([row[name] for row in mine], np.float64)
            mean, error = st.mean_and_error(values)
            means |= {name: rounded(mean), f"{name}_se": rounded(error)}
        found.append(means)
    return found


def _fate(died: bool, dead: NDArray[np.bool_]) -> str:
    if died:
        return "died"
    return "dead from the start" if dead.all() else "lives on"


def rounded(value: Any) -> float | None:
    """Give a number for a table; ``None`` where there is none."""
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
