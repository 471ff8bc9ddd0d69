"""What the truth says of one frame, and how it lies in the file."""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.truth.foresight import HORIZONS_S
from acquisition.simulated.view import Cycle

FORMAT: Final = "vigil-truth/2"

FRAME_ROW = np.dtype(
    [
        ("sequence", "<i8"),
        ("time_s", "<f8"),  # experiment time of the frame
        ("specimen_s", "<f8"),  # of the specimen it shows, a little earlier
        ("stage_yx_um", "<f8", 2),
        ("focus_um", "<f8"),
        # Rows of the frame end here, and begin where those of the frame before end:
        ("cell_stop", "<i8"),
        ("pair_stop", "<i8"),
        ("mask_stop", "<i8"),
        ("byte_stop", "<i8"),
        ("dose_stop", "<i8"),
    ]
)
CELL_ROW = np.dtype(
    [
        ("id", "<u4"),
        ("parent", "<u4"),
        ("kind", "u1"),
        ("well", "<u4"),
        ("killer", "<u4"),
        ("centre_um", "<f8", 2),
        ("lift_um", "<f4"),
        ("state", "u1"),
        ("dead", "?"),
        ("minutes_since_commit", "<f8"),
        ("minutes_since_rupture", "<f8"),
        ("mass_pg", "<f8"),
        ("haloed_mass_pg", "<f4"),
        ("dose_gy", "<f4"),
        ("velocity_um_per_min", "<f4", 2),
        ("jitter_um", "<f4", 2),
        ("mobility", "<f4"),
        ("area_px", "<i8"),
        ("nucleus_px", "<i4"),
        ("later_um", "<f4", (len(HORIZONS_S), 2)),
    ]
)
PAIR_ROW = np.dtype(
    [
        ("touching", "<u4", 2),
        ("gap_px", "<f4"),
        ("onset_s", "<f8"),
        ("overlap_px", "<i4"),
    ]
)
DOSE_ROW = np.dtype([("time_s", "<f8"), ("gy", "<f8")])


@dataclass(frozen=True, slots=True)
class TruthFrame:
    """What is in one frame; the cells are ordered by id.

    NaN stands for what is not known: a death that has not begun, or what only a truth
    kept in full tells (haloed mass, later places, onsets).
    """

    sequence: int
    time_s: float
    specimen_s: float  # experiment time of the specimen
    labels: NDArray[np.uint16]  # (y, x) ids, 0 background
    nuclei: NDArray[np.uint16]  # (y, x) the same ids, only inside the nuclei
    id: NDArray[np.int64]  # (cell,) visible cells
    parent: NDArray[np.int64]  # (cell,) 0 unknown
    kind: NDArray[np.uint8]  # (cell,) CellKind
    well: NDArray[np.int64]  # (cell,) 0 in an open dish
    killer: NDArray[np.int64]  # (cell,) effector it has begun to die of, 0 none
    centre_um: NDArray[np.float64]  # (cell, yx) stage coordinates
    lift_um: NDArray[np.float32]  # (cell,) height above the others
    state: NDArray[np.uint8]  # (cell,) LifeState
    dead: NDArray[np.bool_]  # (cell,) membrane ruptured
    minutes_since_commit: NDArray[np.float64]  # (cell,) of dying
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before
    mass_pg: NDArray[np.float64]  # (cell,) true dry mass
    haloed_mass_pg: NDArray[np.float32]  # (cell,) as a phase image without noise has it
    dose_gy: NDArray[np.float32]  # (cell,) absorbed so far
    velocity_um_per_min: NDArray[np.float32]  # (cell, yx) of the persistent walk
    jitter_um: NDArray[np.float32]  # (cell, yx) part of the centre
    mobility: NDArray[np.float32]  # (cell,) the path is mobility x velocity
    area_px: NDArray[np.int64]  # (cell,) visible pixels
    nucleus_px: NDArray[np.int32]  # (cell,) visible pixels of the nucleus
    later_um: NDArray[np.float32]  # (cell, horizon, yx) as HORIZONS_S; NaN: id ended
    touching: NDArray[np.int64]  # (pair, 2) ids whose masks lie <= 2 px apart
    gap_px: NDArray[np.float32]  # (pair,) between the nearest pixel centres
    onset_s: NDArray[np.float64]  # (pair,) specimen time of the first look at it
    overlap_px: NDArray[np.int32]  # (pair,) that both whole masks cover


def truth_of(sequence: int, time_s: float, cycle: Cycle) -> TruthFrame:
    """Give the truth of a cycle as that of a numbered frame."""
    return frame_of(
        (sequence, time_s, cycle.time_s),
        (cycle.labels, cycle.nuclei),
        cell_rows(cycle),
        pair_rows(cycle),
    )


def frame_of(
    mark: tuple[int, float, float],
    maps: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    cells: NDArray[np.void],
    pairs: NDArray[np.void],
) -> TruthFrame:
    """Give the truth of a frame from its rows.

    ``mark`` is its number, its time and that of the specimen.
    """
    columns: dict[str, Any] = {name: cells[name] for name in CELL_ROW.names or ()}
    columns |= {name: pairs[name] for name in PAIR_ROW.names or ()}
    for name in ("id", "parent", "well", "killer", "touching"):
        columns[name] = columns[name].astype(np.int64)
    return TruthFrame(*mark, *maps, **columns)


def cell_rows(cycle: Cycle) -> NDArray[np.void]:
    """Give the rows of the cells in view."""
    cells = cycle.cells
    rows = np.zeros(len(cells.id), CELL_ROW)
    rows["later_um"] = rows["haloed_mass_pg"] = np.nan
    for field in fields(cells):
        if field.name in (CELL_ROW.names or ()):
            rows[field.name] = getattr(cells, field.name)
    if cycle.insight is not None:
        rows["later_um"] = cycle.insight.later_um
        rows["haloed_mass_pg"] = cycle.insight.haloed_mass_pg
    return rows


def pair_rows(cycle: Cycle) -> NDArray[np.void]:
    """Give the rows of the pairs that touch."""
    rows = np.zeros(len(cycle.cells.touching), PAIR_ROW)
    rows["touching"] = cycle.cells.touching
    rows["gap_px"] = cycle.cells.gap_px
    rows["onset_s"] = np.nan
    if cycle.insight is not None:
        rows["onset_s"] = cycle.insight.onset_s
        rows["overlap_px"] = cycle.insight.overlap_px
    return rows
