"""The records that travel between the stages: frozen, columns, units in the names.

One record describes one frame (or one event, request, skip). Arrays are read-only
and say their axes; y stands before x; ids count from 1; angles are in radians.
Every record carries two times: ``time_s``, experiment time from the clock of the run,
and monotonic nanoseconds (``*_ns``), which serve latency only.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.events import EventKind, RequestKind

Modality = Literal["slim", "phase_contrast", "brightfield", "fluorescence"]
"""How the frame was made: four phase steps, or one shot of the named contrast."""

ASIDE = ("request-", "plane-")
"""Positions whose names begin so lie beside the fields of the plan: visits to an event,
and planes out of focus. Their frames are measured and recorded, and not tracked."""

PHASE_RAD_PER_COUNT = 2e-4
"""Phase travels as uint16: 0.2 mrad a count ..."""
PHASE_ZERO_COUNT = 16384
"""... with zero at this count, so -3.28 to +9.83 rad are covered."""


class CellState(IntEnum):
    """Class codes, the same in every map, column and file."""

    BACKGROUND = 0
    LIVE = 1
    DEAD = 2


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """Everything about a frame but its pixels."""

    sequence: int  # from 1, without gaps in the acquisition
    time_s: float  # experiment time at the end of the last exposure
    modality: Modality
    channel: str  # preset of the light path, "" where the stand has none
    pixel_size_um: float
    exposure_ms: float  # of one step
    saturation_dn: int  # counts at and above this are saturated
    position: str  # name of the stage position; tracks belong to one position
    stage_yx_um: tuple[float, float]  # read back; the centre of the frame
    focus_um: float
    cause: str  # "protocol", or "request:ID" for an extra frame
    dose_gy: float  # absorbed by the specimen so far
    beam_open: bool  # a dose was being given, as the stand tells; nobody opens it here
    exposure_start_ns: int
    exposure_end_ns: int  # t0 of every latency
    read_ns: int  # pixels in memory

    @property
    def is_aside(self) -> bool:
        """Whether its cells are measured only, and belong to no tracks."""
        return self.position.startswith(ASIDE)


def blank_info(modality: Modality, pixel_size_um: float) -> FrameInfo:
    """Give the header of a frame that no camera took: frame 1, at no time, no dose."""
    return FrameInfo(
        sequence=1,
        time_s=0.0,
        modality=modality,
        channel="",
        pixel_size_um=pixel_size_um,
        exposure_ms=8.0,
        saturation_dn=65_535,
        position="dish",
        stage_yx_um=(0.0, 0.0),
        focus_um=0.0,
        cause="protocol",
        dose_gy=0.0,
        beam_open=False,
        exposure_start_ns=0,
        exposure_end_ns=0,
        read_ns=0,
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as the camera gave it: four phase steps or one shot."""

    info: FrameInfo
    pixels: NDArray[np.uint16]  # (step, y, x)


@dataclass(frozen=True, slots=True)
class Skip:
    """A frame, or a stage of it, that was left out, and why. Never silent."""

    sequence: int
    time_s: float
    stage: str  # "camera", "transport", "inference", "tracking", "recorder"
    reason: str


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one frame, one row a cell, in the order of their labels."""

    label: NDArray[np.int32]  # (cell,) value in the label map, from 1
    centre_um: NDArray[np.float64]  # (cell, yx) stage coordinates
    area_um2: NDArray[np.float32]  # (cell,)
    axes_um: NDArray[np.float32]  # (cell, major minor) of the ellipse of equal moments
    angle_rad: NDArray[np.float32]  # (cell,) of the major axis from +x towards +y
    mean_phase_rad: NDArray[np.float32]  # (cell,)
    dry_mass_pg: NDArray[np.float32]  # (cell,) haloed: too low, see inference/README.md
    dead_probability: NDArray[np.float32]  # (cell,) of this frame alone
    state: NDArray[np.uint8]  # (cell,) CellState of this frame alone
    unsure: NDArray[np.bool_]  # (cell,) probability inside the unsure band
    touches_edge: NDArray[np.bool_]  # (cell,) cut by the border of the frame
    box_px: NDArray[np.int32]  # (cell, y0 x0 y1 x1) half open
    touching: NDArray[np.int32]  # (pair, 2) labels whose masks lie <= 2 px apart


@dataclass(frozen=True, slots=True)
class Segmented:
    """A frame after phase retrieval, network and instances."""

    info: FrameInfo
    phase: NDArray[np.uint16]  # (y, x) coded phase (slim) or the pixels as they came
    labels: NDArray[np.uint16]  # (y, x) instance map, 0 background
    cells: Cells
    model: str  # name, and short hash of card and weights
    engine: str  # what served this frame, for example "openvino-bf16"
    received_ns: int
    phase_ns: int
    network_ns: int
    cells_ns: int
    prior_shift: float = 0.0  # log odds that dead_probability got for the run's share


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks that are alive after a frame, one row a track, ordered by id.

    Of cells that fused into one blob, one track carries the blob; the others ride on
    it: they bear the label of the blob too, and ``merged_with`` names the carrier. What
    is measured on the blob is no measurement of a rider.
    """

    track_id: NDArray[np.int64]  # (track,) from 1, never reused
    label: NDArray[np.int32]  # (track,) label in this frame, 0 while coasting
    centre_um: NDArray[np.float64]  # (track, yx) stage coordinates
    velocity_um_per_s: NDArray[np.float64]  # (track, yx)
    radius_um: NDArray[np.float32]  # (track,) of the disc of equal area
    age_frames: NDArray[np.int32]  # (track,) frames in which it was seen
    missed_frames: NDArray[np.int32]  # (track,) since it was last seen
    dead_probability: NDArray[np.float32]  # (track,) filtered over frames
    state: NDArray[np.uint8]  # (track,) CellState, dead is absorbing
    unsure: NDArray[np.bool_]  # (track,)
    parent: NDArray[np.int64]  # (track,) the cell it divided from, 0 where unknown
    merged_with: NDArray[np.int64]  # (track,) whose blob it shares, 0: has its own
    quality: NDArray[np.float32]  # (track,) 0 to 1, how sure the name is
    provisional: NDArray[np.bool_]  # (track,) the name may still be revised
    death_risk: NDArray[np.float32] | None = None
    """(track,) chance to die within the hour, NaN of the dead and of the unknown."""


FORECAST_AFTER_FRAMES = 3
"""A forecast is shown, and judged, once its track was seen in this many frames."""
BAND_SIGMAS = math.sqrt(-2 * math.log(0.1))
"""Radius of the disc that holds 90 % of a round Gaussian, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where every track is expected to be; ``BAND_SIGMAS`` deviations hold 90 %."""

    track_id: NDArray[np.int64]  # (track,)
    horizon_s: NDArray[np.float64]  # (horizon,) experiment seconds ahead
    centre_um: NDArray[np.float64]  # (track, horizon, yx)
    sigma_um: NDArray[np.float64]  # (track, horizon) one standard deviation an axis
    model: str  # "bank" or "transformer", which corrects the bank


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to cells or to the image, or that will."""

    event_id: int
    kind: EventKind
    time_s: float  # when it began; of a predicted event, by when it is expected
    sequence: int  # of the frame that decided it
    position: str
    tracks: tuple[int, ...]  # a mother before her daughters; none: the whole field
    centre_yx_um: tuple[float, float]
    probability: float
    threshold: float
    model: str
    alert_s: float | None = None  # of the first frame in which it was suspected
    lead_s: float = 0.0  # how far ahead it was predicted; 0: it has happened
    cause: str = ""  # what speaks for it, in words


@dataclass(frozen=True, slots=True)
class Verdict:
    """What later frames say of an event that was reported."""

    event_id: int
    time_s: float  # of the frame that decided it
    outcome: Literal["confirmed", "refuted"]
    onset_s: float  # when it began, as it looks now
    probability: float
    reason: str


@dataclass(frozen=True, slots=True)
class Refined:
    """An earlier frame as it looks now that the lag has passed, one row a track."""

    sequence: int  # of that frame
    track_id: NDArray[np.int64]  # (track,)
    centre_um: NDArray[np.float64]  # (track, yx) smoothed with what came after
    filled: NDArray[np.bool_]  # (track,) it had no outline of its own
    doubtful: NDArray[np.bool_]  # (track,) backwards, its next frame fits another


@dataclass(frozen=True, slots=True)
class Revision:
    """What was said of a track and is now held to have been otherwise.

    A course: the places of ``track`` in ``frames`` were ``new_um``, not ``old_um``. A
    name: from ``frames[0]`` on, what was called ``track`` is the cell called ``name``.
    What was recorded stays; who wants the better view applies the revisions in order.
    An exchange: from ``frames[0]`` on the tracks themselves bear the names ``track``
    and ``name`` the other way, for the latest contact of the two had mixed them; the
    frames between stand as they were, and there is nothing to apply.
    """

    revision_id: int
    kind: Literal["course", "name", "exchange"]
    sequence: int  # of the frame that decided it
    time_s: float
    position: str
    track: int
    name: int  # of a course the same as the track
    frames: tuple[int, ...]  # sequences
    old_um: tuple[tuple[float, float], ...]  # (frame, yx) of a course
    new_um: tuple[tuple[float, float], ...]
    gain: float  # variances by which a name explains the frames better, else 0
    method: str  # "osqp", "banded" and why, or "looks" of an exchange


@dataclass(frozen=True, slots=True)
class Request:
    """A wish for extra frames, sent back to the scheduler."""

    request_id: int
    event_id: int
    kind: RequestKind
    cause: str  # in words, for the log and the screen
    position: str  # where the event was seen
    centre_yx_um: tuple[float, float] | None  # move there; None stays at the position
    frames: int
    interval_s: float  # experiment seconds between the extra frames
    created_s: float
    valid_until_s: float  # not begun by then: expired, and counted
    channel: str = ""  # preset of the light path; "": that of the analysed frames
    planes_um: tuple[float, ...] = ()  # of a stack, from the present focus
    begin_s: float = 0.0  # not before this
    dry_run: bool = False  # recorded, and not sent


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request: accepted, refused (why), done or expired."""

    request_id: int
    time_s: float
    outcome: Literal["accepted", "refused", "done", "expired"]
    reason: str
    frames_s: tuple[float, ...] = ()  # when its frames were begun


@dataclass(frozen=True, slots=True)
class Analysed:
    """All that one frame led to."""

    segmented: Segmented
    tracks: Tracks
    forecast: Forecast
    events: tuple[Event, ...]
    requests: tuple[Request, ...]
    tracks_ns: int
    forecast_ns: int
    decision_ns: int  # requests handed over
    verdicts: tuple[Verdict, ...] = ()
    refined: Refined | None = None  # until the lag has passed there is none
    revisions: tuple[Revision, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamCount:
    """The exact account of one subscriber: made == delivered + replaced + in_flight."""

    subscriber: str
    made: int
    delivered: int
    replaced: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Health:
    """What a process says about itself, every half second and at its end."""

    process: str
    state: str  # idle, armed, running, holding, stopping, ended, faulted
    time_s: float
    sent_ns: int
    cpu_s: float  # processor time used so far
    queued: int  # records waiting
    skipped: int
    message: str  # last thing worth a human's eye, may be empty
    streams: tuple[StreamCount, ...]
    facts: tuple[tuple[str, float], ...]  # further figures by name


@dataclass(frozen=True, slots=True)
class Ready:
    """A process has its sockets and models and can begin."""

    process: str
    addresses: tuple[tuple[str, str], ...]  # what -> where others connect
    facts: tuple[tuple[str, float], ...]  # figures others need, by name
    notes: tuple[str, ...]  # what a person should know, in words


@dataclass(frozen=True, slots=True)
class Command:
    """What the supervisor tells a process."""

    name: Literal["prepare", "run", "ping", "stop"]
    addresses: tuple[tuple[str, str], ...] = ()  # words: where others are, why
    facts: tuple[tuple[str, float], ...] = ()


def read_only(record: Any) -> Any:
    """Make every array of a record read-only, in place, and give the record back."""
    for array in _arrays(record):
        array.setflags(write=False)
    return record


def _arrays(value: Any) -> Iterable[NDArray[Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _arrays(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _arrays(getattr(value, field.name))
