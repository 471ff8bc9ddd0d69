"""Real records with made-up content, for tests of what carries them."""

from dataclasses import replace

import numpy as np

from acquisition.records import (
    Analysed,
    Cells,
    Event,
    Forecast,
    FrameInfo,
    Request,
    Segmented,
    Tracks,
    blank_info,
)


def make_info(sequence: int = 1, time_s: float = 0.0) -> FrameInfo:
    """Give the header of a simulated four-step frame."""
    return replace(
        blank_info("slim", 0.65),
        sequence=sequence,
        time_s=time_s,
        dose_gy=3.5,
        exposure_start_ns=1_000,
        exposure_end_ns=2_000,
        read_ns=3_000,
    )


def make_cells(count: int, seed: int = 0) -> Cells:
    """Give a table of cells in a 64 um field."""
    rng = np.random.default_rng(seed)
    f4 = lambda low, high: rng.uniform(low, high, count).astype(np.float32)  # noqa: E731
    pairs = [[1, 2]] if count > 1 else []
    return Cells(
        label=np.arange(1, count + 1, dtype=np.int32),
        centre_um=rng.uniform(-32, 32, (count, 2)),
        area_um2=f4(200, 600),
        axes_um=rng.uniform(10, 30, (count, 2)).astype(np.float32),
        angle_rad=f4(-1.5, 1.5),
        mean_phase_rad=f4(0.4, 1.2),
        dry_mass_pg=f4(80, 250),
        dead_probability=f4(0, 1),
        state=rng.integers(1, 3, count).astype(np.uint8),
        unsure=rng.random(count) < 0.1,
        touches_edge=rng.random(count) < 0.1,
        box_px=rng.integers(0, 64, (count, 4)).astype(np.int32),
        touching=np.array(pairs, np.int32).reshape(-1, 2),
    )


def make_segmented(count: int, sequence: int = 1, time_s: float = 0.0) -> Segmented:
    """Give a segmented frame of 64 x 64 pixels."""
    labels = np.zeros((64, 64), np.uint16)
    labels[:count, :4] = np.arange(1, count + 1, dtype=np.uint16)[:, None]
    return Segmented(
        info=make_info(sequence, time_s),
        phase=np.full((64, 64), 16384, np.uint16),
        labels=labels,
        cells=make_cells(count, sequence),
        model="slim-0123abcd",
        engine="classical",
        received_ns=4_000,
        phase_ns=5_000,
        network_ns=6_000,
        cells_ns=7_000,
    )


def make_tracks(count: int) -> Tracks:
    """Give tracks that follow the cells one to one."""
    rng = np.random.default_rng(count)
    return Tracks(
        track_id=np.arange(1, count + 1, dtype=np.int64),
        label=np.arange(1, count + 1, dtype=np.int32),
        centre_um=rng.uniform(-32, 32, (count, 2)),
        velocity_um_per_s=rng.normal(0, 0.01, (count, 2)),
        radius_um=np.full(count, 10, np.float32),
        age_frames=np.full(count, 7, np.int32),
        missed_frames=np.zeros(count, np.int32),
        dead_probability=rng.random(count).astype(np.float32),
        state=np.ones(count, np.uint8),
        unsure=np.zeros(count, np.bool_),
        parent=np.zeros(count, np.int64),
        merged_with=np.zeros(count, np.int64),
        quality=np.ones(count, np.float32),
        provisional=np.zeros(count, np.bool_),
        death_risk=np.full(count, 0.1, np.float32),
    )


def make_analysed(count: int, sequence: int = 1, time_s: float = 0.0) -> Analysed:
    """Give a complete analysis with one event and one request."""
    tracks = make_tracks(count)
    event = Event(
        1, "death", time_s, sequence, "dish", (1,), (1.0, 2.0), 0.97, 0.95, "slim"
    )
    request = Request(
        1, 1, "burst", "death of track 1", "dish", None, 3, 0.0, time_s, time_s + 60
    )
    forecast = Forecast(
        tracks.track_id,
        np.array([60.0, 300.0]),
        np.repeat(tracks.centre_um[:, None], 2, axis=1),
        np.full((count, 2), 2.0),
        "stay",
    )
    segmented = make_segmented(count, sequence, time_s)
    return Analysed(
        segmented, tracks, forecast, (event,), (request,), 8_000, 9_000, 10_000
    )
