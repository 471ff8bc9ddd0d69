"""The format of a run on disk: names, table types, and records to rows and back.

A table row is one cell, track, forecast, event or frame; every row starts with the
``sequence`` of its frame. All types are fixed (no variable-length strings), little
endian, and part of the format ``vigil-run/3``: a change of any of them is a new format.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from acquisition.archive.refined import REFINED, refined_rows
from acquisition.clock import ClockMode
from acquisition.records import (
    Analysed,
    Cells,
    Event,
    Forecast,
    FrameInfo,
    Modality,
    Tracks,
    Verdict,
)

FORMAT: Final = "vigil-run/3"
MANIFEST = "manifest.json"
CONFIG = "config.toml"
EVENTS = "events.jsonl"
SKIPS = "skips.jsonl"
HEALTH = "health.jsonl"
TRUTH = "truth.h5"
BALLAST = "ballast"
SEGMENT_GLOB = "seg-[0-9][0-9][0-9][0-9][0-9].h5"

Rows = NDArray[np.void]
"""Rows of one of the tables below."""

_Edge = Annotated[int, Field(ge=1, le=16_384)]
_Steps = Annotated[int, Field(ge=1, le=16)]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What holds for a whole run; stored in the manifest and in every segment."""

    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]  # uuid4().hex
    software: str  # name and version
    seed: int
    pixel_size_um: Annotated[float, Field(gt=0)]
    modality: Modality
    shape: tuple[_Steps, _Edge, _Edge]  # (step, y, x) of the frames that are analysed
    models: tuple[Any, ...]  # plain JSON values: names, hashes, engines
    clock_mode: ClockMode
    clock_speed: Annotated[float, Field(gt=0)]
    started: str  # wall clock, ISO 8601, UTC
    replay_of: str = ""  # run_id of the run whose frames were analysed again


def segment_name(number: int) -> str:
    """File name of a segment."""
    return f"seg-{number:05d}.h5"


FRAME = np.dtype(
    [
        ("sequence", "<i8"),
        ("time_s", "<f8"),
        ("modality", "S16"),
        ("channel", "S32"),
        ("pixel_size_um", "<f8"),
        ("exposure_ms", "<f8"),
        ("saturation_dn", "<i4"),
        ("position", "S64"),
        ("stage_yx_um", "<f8", (2,)),
        ("focus_um", "<f8"),
        ("cause", "S64"),
        ("dose_gy", "<f8"),
        ("beam_open", "u1"),
        ("exposure_start_ns", "<i8"),
        ("exposure_end_ns", "<i8"),
        ("read_ns", "<i8"),
    ]
)
"""``/frames/index``: one row per frame, whether its pixels are kept or not."""

RAW = np.dtype(
    [("sequence", "<i8"), ("crc32", "<u4"), ("single", "u1"), ("row", "<i8")]
)
"""``/frames/raw_index``: where the pixels of a frame lie, and the CRC of their bytes.

``single`` names ``/frames/single``: one shot in a run whose own frames have steps.
"""

ANALYSIS = np.dtype(
    [
        ("sequence", "<i8"),
        ("labels_row", "<i8"),  # in /analysis/labels, -1 where not kept
        ("phase_row", "<i8"),  # in /analysis/phase, -1 where not kept
        ("cells", "<i8", (2,)),  # half-open row ranges in the tables
        ("touching", "<i8", (2,)),
        ("tracks", "<i8", (2,)),
        ("horizons", "<i8", (2,)),
        ("forecast", "<i8", (2,)),
        ("refined", "<i8", (2,)),
        ("model", "S64"),
        ("engine", "S64"),
        ("prior_shift", "<f8"),
        ("forecast_model", "S64"),
        ("received_ns", "<i8"),
        ("phase_ns", "<i8"),
        ("network_ns", "<i8"),
        ("cells_ns", "<i8"),
        ("tracks_ns", "<i8"),
        ("forecast_ns", "<i8"),
        ("decision_ns", "<i8"),
    ]
)
"""``/analysis/index``: one row per analysed frame."""

CELLS = np.dtype(
    [
        ("sequence", "<i8"),
        ("label", "<i4"),
        ("centre_um", "<f8", (2,)),
        ("area_um2", "<f4"),
        ("axes_um", "<f4", (2,)),
        ("angle_rad", "<f4"),
        ("mean_phase_rad", "<f4"),
        ("dry_mass_pg", "<f4"),
        ("dead_probability", "<f4"),
        ("state", "u1"),
        ("unsure", "u1"),
        ("touches_edge", "u1"),
        ("box_px", "<i4", (4,)),
    ]
)
TOUCHING = np.dtype([("sequence", "<i8"), ("labels", "<i4", (2,))])
TRACKS = np.dtype(
    [
        ("sequence", "<i8"),
        ("track_id", "<i8"),
        ("label", "<i4"),
        ("centre_um", "<f8", (2,)),
        ("velocity_um_per_s", "<f8", (2,)),
        ("radius_um", "<f4"),
        ("age_frames", "<i4"),
        ("missed_frames", "<i4"),
        ("dead_probability", "<f4"),
        ("state", "u1"),
        ("unsure", "u1"),
        ("parent", "<i8"),
        ("merged_with", "<i8"),
        ("quality", "<f4"),
        ("provisional", "u1"),
        ("death_risk", "<f4"),  # NaN where not known
    ]
)
HORIZONS = np.dtype([("sequence", "<i8"), ("horizon_s", "<f8")])
FORECAST = np.dtype(
    [
        ("sequence", "<i8"),
        ("track_id", "<i8"),
        ("horizon_s", "<f8"),
        ("centre_um", "<f8", (2,)),
        ("sigma_um", "<f8"),
    ]
)
EVENT = np.dtype(
    [
        ("sequence", "<i8"),
        ("event_id", "<i8"),
        ("kind", "S24"),
        ("time_s", "<f8"),
        ("position", "S64"),
        ("tracks", "<i8", (3,)),  # 0 where fewer cells are concerned
        ("centre_yx_um", "<f8", (2,)),
        ("probability", "<f8"),
        ("threshold", "<f8"),
        ("model", "S64"),
        ("alert_s", "<f8"),  # NaN where nothing was suspected before
        ("lead_s", "<f8"),
    ]
)
VERDICT = np.dtype(
    [
        ("sequence", "<i8"),
        ("event_id", "<i8"),
        ("time_s", "<f8"),
        ("outcome", "S16"),
        ("onset_s", "<f8"),
        ("probability", "<f8"),
    ]
)
"""``/analysis/verdicts``: what became of events of earlier frames."""
STAMPS = np.dtype(
    [
        (name, "<i8")
        for name in (
            "sequence",
            "exposure_start_ns",
            "exposure_end_ns",
            "read_ns",
            "received_ns",
            "phase_ns",
            "network_ns",
            "cells_ns",
            "tracks_ns",
            "forecast_ns",
            "decision_ns",
        )
    ]
)
"""All stage stamps of a frame in the order in which they happen; 0 where none."""

FRAME_INDEX = "frames/index"
RAW_INDEX = "frames/raw_index"
ANALYSIS_INDEX = "analysis/index"
PIXELS = "frames/raw"
SINGLES = "frames/single"
LABELS = "analysis/labels"
PHASE = "analysis/phase"

INDEXES: Mapping[str, np.dtype[np.void]] = {
    FRAME_INDEX: FRAME,
    RAW_INDEX: RAW,
    ANALYSIS_INDEX: ANALYSIS,
}
"""Commit marks: written after everything they point at."""

TABLES: Mapping[str, np.dtype[np.void]] = {
    "analysis/cells": CELLS,
    "analysis/touching": TOUCHING,
    "analysis/tracks": TRACKS,
    "analysis/horizons": HORIZONS,
    "analysis/forecast": FORECAST,
    "analysis/refined": REFINED,
    "analysis/events": EVENT,
    "analysis/verdicts": VERDICT,
}


def image_shapes(shape: tuple[int, int, int]) -> Mapping[str, tuple[int, ...]]:
    """Shape of one row of each image data set, for frames of (step, y, x)."""
    image = shape[1:]
    return {PIXELS: shape, SINGLES: (1, *image), LABELS: image, PHASE: image}


def encode_text(value: str, size: int = 64) -> bytes:
    """UTF-8, cut to a number of bytes without splitting a character."""
    data = value.encode("utf-8", errors="replace")
    return data[:size].decode("utf-8", errors="ignore").encode("utf-8")


def decode_text(value: bytes) -> str:
    """Text of a fixed-length field."""
    return value.decode("utf-8", errors="replace")


def frame_rows(info: FrameInfo) -> Rows:
    """One row for ``/frames/index``."""
    rows = np.zeros(1, FRAME)
    for name in FRAME.names or ():
        value = getattr(info, name)
        if isinstance(value, str):
            value = encode_text(value, FRAME[name].itemsize)
        rows[name] = value
    return rows


def info_from_row(row: np.void) -> FrameInfo:
    """Give back the frame info of a row of ``/frames/index``."""
    values: dict[str, Any] = {name: row[name] for name in FRAME.names or ()}
    for name in ("modality", "channel", "position", "cause"):
        values[name] = decode_text(values[name])
    y_um, x_um = row["stage_yx_um"]
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in values.items()
    }
    plain["stage_yx_um"] = (float(y_um), float(x_um))
    plain["beam_open"] = bool(plain["beam_open"])
    return FrameInfo(**plain)


def event_rows(events: tuple[Event, ...]) -> Rows:
    """Rows of ``/analysis/events``; of more than three tracks the first three."""
    rows = np.zeros(len(events), EVENT)
    for row, event in zip(rows, events, strict=True):
        for name in EVENT.names or ():
            value = getattr(event, name)
            if name == "tracks":
                value = (*event.tracks, 0, 0, 0)[:3]
            elif value is None:
                value = np.nan
            row[name] = encode_text(value) if isinstance(value, str) else value
    return rows


def verdict_rows(verdicts: tuple[Verdict, ...], sequence: int) -> Rows:
    """Rows of ``/analysis/verdicts``; the reasons stand in the journal."""
    rows = np.zeros(len(verdicts), VERDICT)
    rows["sequence"] = sequence
    for row, verdict in zip(rows, verdicts, strict=True):
        for name in (VERDICT.names or ())[1:]:
            value = getattr(verdict, name)
            row[name] = encode_text(value) if isinstance(value, str) else value
    return rows


def analysis_rows(analysed: Analysed) -> Mapping[str, Rows]:
    """Rows of all the tables for one analysed frame."""
    sequence = analysed.segmented.info.sequence
    cells, forecast = analysed.segmented.cells, analysed.forecast
    touching = np.zeros(len(cells.touching), TOUCHING)
    touching["sequence"] = sequence
    touching["labels"] = cells.touching.reshape(-1, 2)
    horizons = np.zeros(len(forecast.horizon_s), HORIZONS)
    horizons["sequence"] = sequence
    horizons["horizon_s"] = forecast.horizon_s
    return {
        "analysis/cells": _column_rows(cells, CELLS, sequence, len(cells.label)),
        "analysis/touching": touching,
        "analysis/tracks": _column_rows(
            analysed.tracks, TRACKS, sequence, len(analysed.tracks.track_id)
        ),
        "analysis/horizons": horizons,
        "analysis/forecast": _forecast_rows(forecast, sequence),
        "analysis/refined": refined_rows(analysed.refined, sequence),
        "analysis/events": event_rows(analysed.events),
        "analysis/verdicts": verdict_rows(analysed.verdicts, sequence),
    }


def cells_from_rows(rows: Rows, touching: Rows) -> Cells:
    """Give back the cells of one frame."""
    columns = _columns(rows, "unsure", "touches_edge")
    return Cells(**columns, touching=np.ascontiguousarray(touching["labels"]))


def tracks_from_rows(rows: Rows) -> Tracks:
    """Give back the tracks of one frame."""
    return Tracks(**_columns(rows, "unsure", "provisional"))


def forecast_from_rows(rows: Rows, horizons: Rows, model: str) -> Forecast:
    """Give back the forecast of one frame; without horizons it has no tracks."""
    horizon_s = np.ascontiguousarray(horizons["horizon_s"])
    shape = (len(rows) // max(len(horizon_s), 1), len(horizon_s))
    return Forecast(
        track_id=rows["track_id"].reshape(shape)[:, :1].reshape(-1).copy(),
        horizon_s=horizon_s,
        centre_um=rows["centre_um"].reshape(*shape, 2).copy(),
        sigma_um=rows["sigma_um"].reshape(shape).copy(),
        model=model,
    )


def _column_rows(
    record: Cells | Tracks, dtype: np.dtype[np.void], sequence: int, count: int
) -> Rows:
    rows = np.zeros(count, dtype)
    rows["sequence"] = sequence
    for name in (dtype.names or ())[1:]:
        value = getattr(record, name)
        rows[name] = np.nan if value is None else value
    return rows


def _columns(rows: Rows, *truths: str) -> dict[str, Any]:
    names = (rows.dtype.names or ())[1:]
    columns = {name: np.ascontiguousarray(rows[name]) for name in names}
    for name in truths:
        columns[name] = columns[name].astype(np.bool_)
    return columns


def _forecast_rows(forecast: Forecast, sequence: int) -> Rows:
    shape = (len(forecast.track_id), len(forecast.horizon_s))
    rows = np.zeros(shape, FORECAST)
    rows["sequence"] = sequence
    rows["track_id"] = forecast.track_id[:, None]
    rows["horizon_s"] = forecast.horizon_s[None, :]
    rows["centre_um"] = forecast.centre_um
    rows["sigma_um"] = forecast.sigma_um
    return rows.reshape(-1)
