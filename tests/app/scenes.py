"""A small made-up culture that moves, dies and touches, as analysed frames."""

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from acquisition.records import (
    PHASE_RAD_PER_COUNT,
    PHASE_ZERO_COUNT,
    Analysed,
    Cells,
    CellState,
    Event,
    Forecast,
    FrameInfo,
    Request,
    Segmented,
    Tracks,
    blank_info,
)

PIXEL_UM = 0.65
INTERVAL_S = 24.0


class Scene:
    """Ellipses on a noisy background; each call of `frame` gives the next one."""

    def __init__(self, size_px: int = 1024, cells: int = 280, seed: int = 3) -> None:
        self._rng = np.random.default_rng(seed)
        self.size_px = size_px
        self.centres = self._rng.uniform(10, size_px - 10, (cells, 2))
        self.heading = self._rng.uniform(0, 2 * np.pi, cells)
        self.axes = self._rng.uniform((11, 8), (22, 13), (cells, 2))
        self.angle = self._rng.uniform(-np.pi / 2, np.pi / 2, cells)
        self.dead = self._rng.random(cells) < 0.2
        self.height = self._rng.uniform(0.8, 2.2, cells)
        self.sequence = 0

    def frame(self, now_ns: int | None = None) -> Analysed:
        """Let time pass and give the next frame."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        self.sequence += 1
        events = self._live_on()
        phase, labels = self._draw()
        info = self._info(now_ns - 62_000_000)
        cells = self._cells(labels)
        segmented = Segmented(
            info, phase, labels, cells, "slim-0123abcd", "classical", *[now_ns] * 4
        )
        requests = tuple(
            Request(
                event.event_id,
                event.event_id,
                "burst",
                f"{event.kind} of track {event.tracks[0]}",
                "dish",
                None,
                3,
                0.0,
                event.time_s,
                event.time_s + 60,
            )
            for event in events
        )
        tracks = self._tracks(cells)
        forecast = Forecast(
            tracks.track_id,
            np.array([300.0]),
            (tracks.centre_um + 300 * tracks.velocity_um_per_s)[:, None],
            np.full((tracks.track_id.size, 1), 2.5),
            "constant velocity",
        )
        jitter_ns = int(abs(self._rng.normal(0, 9e6)))
        return Analysed(
            segmented, tracks, forecast, events, requests, *[now_ns + jitter_ns] * 3
        )

    def _live_on(self) -> tuple[Event, ...]:
        alive = ~self.dead
        self.heading += self._rng.normal(0, 0.2, self.heading.size)
        step = np.column_stack((np.sin(self.heading), np.cos(self.heading)))
        self.centres[alive] += 0.7 * step[alive]
        self.centres = np.clip(self.centres, 5, self.size_px - 6)
        if self.sequence % 17 or not alive.any():
            return ()
        victim = int(np.flatnonzero(alive)[0])
        self.dead[victim] = True
        y, x = self._to_um(self.centres[victim])
        now_s = self.sequence * INTERVAL_S
        return (
            Event(
                self.sequence,
                "death" if self.sequence % 34 else "contact",
                now_s,
                self.sequence,
                "dish",
                (victim + 1,),
                (float(y), float(x)),
                0.97,
                0.95,
                "slim",
            ),
        )

    def _draw(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        size = self.size_px
        phase = self._rng.normal(0, 0.05, (size, size)).astype(np.float32)
        labels = np.zeros((size, size), np.uint16)
        grid = np.indices((size, size), np.float32, sparse=False)
        for i in np.argsort(-self.axes[:, 0]):
            y, x = self.centres[i].astype(int)
            reach = int(self.axes[i, 0] * 1.2) + 2
            part = np.s_[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
            yy, xx = grid[0][part], grid[1][part]
            dy, dx = yy - self.centres[i, 0], xx - self.centres[i, 1]
            cos, sin = np.cos(self.angle[i]), np.sin(self.angle[i])
            along, across = dx * cos + dy * sin, dy * cos - dx * sin
            turn = np.arctan2(across, along)
            wave = 1 + 0.10 * np.sin(3 * turn + i) + 0.06 * np.sin(5 * turn + 2 * i)
            major, minor = self.axes[i]
            radius = np.hypot(along / major, across / minor) / wave
            height = self.height[i] * (0.3 if self.dead[i] else 1.0)
            bump = height * np.clip(1 - radius**2, 0, None) ** 0.7
            phase[part] = np.maximum(phase[part], bump * (1 + 0.1 * np.sin(yy * xx)))
            labels[part][(radius < 1) & (labels[part] == 0)] = i + 1
        counts = PHASE_ZERO_COUNT + phase / PHASE_RAD_PER_COUNT
        return counts.astype(np.uint16), labels

    def _to_um(self, centres_px: NDArray[np.float64]) -> NDArray[np.float64]:
        return (centres_px - self.size_px / 2) * PIXEL_UM

    def _info(self, end_ns: int) -> FrameInfo:
        return replace(
            blank_info("slim", PIXEL_UM),
            sequence=self.sequence,
            time_s=self.sequence * INTERVAL_S,
            dose_gy=3.5,
            exposure_start_ns=end_ns - 40_000_000,
            exposure_end_ns=end_ns,
            read_ns=end_ns + 2_000_000,
        )

    def _cells(self, labels: NDArray[np.uint16]) -> Cells:
        present, area = np.unique(labels, return_counts=True)
        label, area = present[1:].astype(np.int32), area[1:]
        row = label - 1
        probability = np.where(self.dead[row], 0.93, 0.04).astype(np.float32)
        unsure = row % 23 == 7
        near = np.hypot(*(self.centres[:-1] - self.centres[1:]).T) < 26
        seen = np.isin(np.arange(1, self.dead.size + 1), label)
        pairs = np.flatnonzero(near & seen[:-1] & seen[1:])
        return Cells(
            label=label,
            centre_um=self._to_um(self.centres[row]),
            area_um2=(area * PIXEL_UM**2).astype(np.float32),
            axes_um=(2 * PIXEL_UM * self.axes[row]).astype(np.float32),
            angle_rad=self.angle[row].astype(np.float32),
            mean_phase_rad=self.height[row].astype(np.float32),
            dry_mass_pg=(area * 0.2).astype(np.float32),
            dead_probability=np.where(unsure, 0.5, probability).astype(np.float32),
            state=np.where(self.dead[row], CellState.DEAD, CellState.LIVE).astype(
                np.uint8
            ),
            unsure=unsure,
            touches_edge=np.zeros(label.size, np.bool_),
            box_px=np.zeros((label.size, 4), np.int32),
            touching=np.column_stack((pairs + 1, pairs + 2)).astype(np.int32),
        )

    def _tracks(self, cells: Cells) -> Tracks:
        row = cells.label - 1
        step = np.column_stack((np.sin(self.heading), np.cos(self.heading)))[row]
        return Tracks(
            track_id=cells.label.astype(np.int64),
            label=cells.label,
            centre_um=cells.centre_um,
            velocity_um_per_s=0.7 * PIXEL_UM / INTERVAL_S * step,
            radius_um=np.sqrt(cells.area_um2 / np.pi),
            age_frames=np.full(row.size, self.sequence, np.int32),
            missed_frames=np.zeros(row.size, np.int32),
            dead_probability=cells.dead_probability,
            state=cells.state,
            unsure=cells.unsure,
            parent=np.zeros(row.size, np.int64),
            merged_with=np.zeros(row.size, np.int64),
            quality=np.ones(row.size, np.float32),
            provisional=np.zeros(row.size, np.bool_),
        )
