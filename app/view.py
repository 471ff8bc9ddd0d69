"""What the window and the terminal draw: frozen records, no toolkit, no logic of Qt.

Pixel positions are those of the displayed frame: y before x, pixel ``i`` covers
``[i, i + 1)``, so the middle of the first pixel is 0.5.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Cells, FrameInfo
from configs.events import EventKind


class Mark(IntEnum):
    """How a cell is drawn; counts use the same codes."""

    NONE = 0
    LIVE = 1
    DEAD = 2
    UNSURE = 3


MARK_WORDS = {
    Mark.NONE: "background",
    Mark.LIVE: "live",
    Mark.DEAD: "dead",
    Mark.UNSURE: "unsure",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user looks at; ``None``: the newest position, no cell."""

    position: str | None = None
    track_id: int | None = None


EVERYTHING = Selection()
"""The newest position, no cell selected."""

FRAMELESS = (
    "messages refused",
    "triggers refused",
    "requests refused",
    "recorded only",
    "late",
)
"""Counts of what cost no frame."""


@dataclass(frozen=True, slots=True)
class Target:
    """The selected cell in the displayed frame."""

    track_id: int
    centre_px: tuple[float, float]  # y, x
    radius_px: float
    band_px: tuple[float, float, float] | None  # forecast y, x and its reach


@dataclass(frozen=True, slots=True)
class Picture:
    """One analysed frame, ready to be drawn."""

    info: FrameInfo
    pixels: NDArray[np.uint16]  # (y, x)
    labels: NDArray[np.uint16]  # (y, x)
    levels: tuple[float, float]  # counts shown black and white
    cells: Cells
    mark: NDArray[np.uint8]  # (label,) Mark, entry 0 is the background
    track: NDArray[np.int64]  # (label,) track id, 0 where the cell has none
    probability: NDArray[np.float32]  # (label,) that the cell is dead, filtered
    centre_px: NDArray[np.float64]  # (label, yx), NaN where there is no such label
    radius_px: NDArray[np.float64]  # (label,) of the disc of equal area
    tails_live_px: NDArray[np.float32]  # (point, yx), NaN between tracks
    tails_dead_px: NDArray[np.float32]  # (point, yx), NaN between tracks
    arrows_px: NDArray[np.float32]  # (2 arrow, yx) from here, to there
    contacts_px: NDArray[np.float32]  # (2 pair, yx) strokes between touching cells
    target: Target | None

    def place_of(self, point_yx_um: tuple[float, float]) -> tuple[float, float]:
        """Give the pixel position y, x of a stage position."""
        scale = self.info.pixel_size_um
        stage_y, stage_x = self.info.stage_yx_um
        height, width = self.labels.shape
        y = (point_yx_um[0] - stage_y) / scale + height / 2
        return y, (point_yx_um[1] - stage_x) / scale + width / 2

    def label_at(self, y_px: float, x_px: float) -> int:
        """Give the label under a point, 0 outside of cells and of the frame."""
        y, x = int(np.floor(y_px)), int(np.floor(x_px))
        height, width = self.labels.shape
        inside = 0 <= y < height and 0 <= x < width
        label = int(self.labels[y, x]) if inside else 0
        return label if label < self.mark.size else 0

    def describe_target(self) -> str:
        """Say in one line what is known about the selected cell."""
        if self.target is None:
            return ""
        rows = np.flatnonzero(self.track == self.target.track_id)
        if rows.size == 0:
            return f"track {self.target.track_id}   not seen in this frame"
        return self.describe(int(rows[0]))

    def describe(self, label: int) -> str:
        """Say in one line what is known about the cell with this label."""
        if not 0 < label < self.mark.size or self.mark[label] == Mark.NONE:
            return ""
        row = int(np.searchsorted(self.cells.label, label))
        track = int(self.track[label])
        name = f"track {track}" if track else "not tracked yet"
        return "   ".join(
            (
                name,
                MARK_WORDS[Mark(int(self.mark[label]))],
                f"p(dead) {self.probability[label]:.2f}",
                f"{self.cells.area_um2[row]:.0f} µm²",
                f"{self.cells.dry_mass_pg[row]:.0f} pg",
            )
        )


@dataclass(frozen=True, slots=True)
class Strips:
    """The curves beside the picture."""

    time_s: NDArray[np.float64]  # (point,) experiment time, the whole run
    live: NDArray[np.float64]  # (point,) cells
    dead: NDArray[np.float64]
    unsure: NDArray[np.float64]
    fraction: NDArray[np.float64]  # (point,) live / (live + dead), NaN without cells
    fraction_low: NDArray[np.float64]  # (point,) 95 % Wilson interval
    fraction_high: NDArray[np.float64]
    frame: NDArray[np.int64]  # (recent,) sequence numbers
    latency_ms: NDArray[np.float64]  # (recent,)
    lost: NDArray[np.int64]  # sequence numbers of skipped frames in that range


@dataclass(frozen=True, slots=True, eq=False)
class EventRow:
    """One line of the event list; another line, if anything of it is another.

    Lines are told apart as objects, since pictures cannot be compared with ``==``.
    """

    event_id: int
    kind: EventKind
    time_s: float
    position: str
    tracks: tuple[int, ...]
    centre_yx_um: tuple[float, float]
    probability: float
    cause: str  # what speaks for it
    lead_s: float  # how far ahead it was predicted; 0: it has happened
    verdict: str  # "confirmed", "refuted", or empty while nobody knows
    action: str  # what became of the request, empty when none was made
    thumbnail: NDArray[np.uint8] | None  # (y, x, rgba)


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of the top bar and of the terminal."""

    state: str
    time_s: float
    speed: float
    frames_per_s: float | None
    age_ms: float | None  # since the end of the exposure of the newest frame
    stalled: bool  # the newest frame is far older than the frame interval
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    budget_ms: float
    dropped: int  # frames, wherever they were left out
    losses: tuple[tuple[str, int], ...]  # what and how many, also what is no frame
    queued: int  # records that wait for the disk
    disk_free_gb: float | None
    dose_gy: float
    beam_open: bool
    cells: int
    live: int
    dead: int
    unsure: int
    live_fraction: float | None
    deaths: int
    contacts: int
    predicted: int  # deaths and contacts that were foreseen
    other_events: int
    requests: int
    forecast: str  # which model forecasts, and how well; empty: nothing known yet

    @property
    def over_budget(self) -> bool:
        """The 95th percentile of the latency lies above the budget."""
        p95 = self.latency_p95_ms
        return p95 is not None and p95 > self.budget_ms


@dataclass(frozen=True, slots=True)
class View:
    """Everything there is to draw at one moment."""

    figures: Figures
    picture: Picture | None
    strips: Strips
    events: tuple[EventRow, ...]  # newest first
    alarms: tuple[str, ...]  # until a person has seen them
    message: str  # the last remark of a process


def clock_text(time_s: float) -> str:
    """Write experiment time as ``h:mm:ss``, with days in front when there are any."""
    seconds = int(max(time_s, 0.0))
    days, rest = divmod(seconds, 86_400)
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text
