"""One TOML file describes one experiment; this is its schema.

Every section is a frozen record with limits in the types. An unknown key is an error.
Each stage of the product receives only its own section.
"""

import itertools
from pathlib import Path
from typing import Annotated, Any, Literal

import useq
from pydantic import BeforeValidator, Field, model_validator

from configs.events import Events, Triggers
from configs.section import Positive, Probability, Section

Modality = Literal["slim", "phase_contrast", "brightfield", "fluorescence"]

AUTO = "auto"
"""In place of a model: the shipped one for the frames, see `configs.models`."""

SIMULATED_CHANNELS: dict[str, Modality] = {
    "SLIM": "slim",
    "PhaseContrast": "phase_contrast",
    "Brightfield": "brightfield",
    "NucBlue": "fluorescence",
    "NucGreen": "fluorescence",
    "AnnexinV": "fluorescence",
}
"""Presets of the group "Channel" on the simulated stand, and what each one shows."""


class Run(Section):
    """The run as a whole."""

    name: str = Field("vigil", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    directory: str = "runs"
    """Folder that receives one new run directory per run."""
    duration_s: Positive | None = None
    """Wall seconds after which the run ends; absent: when the time-lapse ends. The
    stepped clock does not wait: there it is experiment seconds divided by speed."""
    clock: Literal["real", "scaled", "stepped"] = "real"
    speed: float = Field(1.0, gt=0, le=100_000)
    """Experiment seconds per wall second, for the scaled clock."""
    seed: int = Field(1, ge=0, le=2**31 - 1)
    """Seed of everything random in a simulated run."""

    @property
    def pace(self) -> float:
        """Experiment seconds per wall second, whatever the clock: 1 when it is real."""
        return 1.0 if self.clock == "real" else self.speed


class Microscope(Section):
    """Which stand, and which of its devices plays which part."""

    kind: Literal["simulated", "sequence", "micromanager"]
    modality: Modality
    """What the cells are found in. Frames of this modality are analysed (with `channel`
    set: those of that channel), frames of all other channels are recorded only."""
    channel: str | None = None
    """Preset of the light path where the time-lapse names none; absent: as the stand
    was found, on the simulated one the first preset of the modality."""
    channels: dict[str, Modality] = Field(default_factory=dict)
    """What the presets of timelapse.channels show: four phase steps, or one shot of
    the named contrast. Absent: `modality` for all, on the simulated stand its own."""
    pixel_size_um: Positive | None = None
    """Micrometres per pixel in the image; absent: asked from the stand."""
    exposure_ms: Annotated[float, Field(gt=0, le=60_000)] = 10.0
    saturation_dn: int = Field(65_535, ge=1, le=65_535)
    """Counts at and above this value are saturated."""
    config_file: str | None = None
    """Micro-Manager configuration (.cfg); "demo" names the one that ships with it."""
    modulator: str | None = None
    """Label of the device that steps the phase (four states), for slim."""
    camera_settings: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Further device properties set at the start: device -> property -> value."""
    stage_tolerance_um: Positive = 1.0
    """Largest accepted difference between a commanded and a read-back position."""
    stage_limits_um: tuple[float, float, float, float] | None = None
    """(y0, x0, y1, x1) that no request may leave, beside staying near its position."""

    @model_validator(mode="after")
    def _needs_config(self) -> "Microscope":
        if self.kind == "micromanager" and self.config_file is None:
            raise ValueError('kind "micromanager" needs config_file')
        return self

    @model_validator(mode="after")
    def _channels_agree(self) -> "Microscope":
        if self.kind == "simulated":
            known = ", ".join(SIMULATED_CHANNELS)
            named = {*self.channels} | ({self.channel} if self.channel else set())
            if strange := sorted(named - {*SIMULATED_CHANNELS}):
                raise ValueError(
                    f"the simulated stand has no channel {strange[0]!r} ({known})"
                )
            for name, shows in self.channels.items():
                if shows != SIMULATED_CHANNELS[name]:
                    raise ValueError(
                        f"channel {name} of the simulated stand shows "
                        f"{SIMULATED_CHANNELS[name]} (given: {shows!r})"
                    )
        if self.channel is not None and self.modality_of(self.channel) != self.modality:
            raise ValueError(
                f"channel {self.channel!r} shows {self.modality_of(self.channel)}, "
                f"but modality is {self.modality!r}"
            )
        return self

    @property
    def main_channel(self) -> str | None:
        """The preset whose frames are analysed; None: all of the modality."""
        if self.channel is None and self.kind == "simulated":
            known = SIMULATED_CHANNELS.items()
            return next(name for name, shows in known if shows == self.modality)
        return self.channel

    def modality_of(self, channel: str | None) -> Modality:
        """Give what a preset shows; None stands for the plan that names none."""
        if channel is None:
            return self.modality
        simulated = SIMULATED_CHANNELS if self.kind == "simulated" else {}
        return self.channels.get(channel) or simulated.get(channel, self.modality)

    def analyses(self, channel: str | None) -> bool:
        """Whether the frames of a channel are analysed, or recorded only."""
        if channel is None:
            return True
        wanted = self.main_channel in (None, channel)
        return wanted and self.modality_of(channel) == self.modality


CameraFault = Literal[
    "missing",
    "dropped",
    "late",
    "torn",
    "wrong_size",
    "saturated",
    "constant",
    "nan",
    "stall",
    "stuck_stage",
    "frozen_modulator",
]
"""What can be made to go wrong; "dropped" is another word for "missing"."""


class Simulated(Section):
    """The embedded simulated microscope."""

    world: str = "demo"
    """Name of a shipped world, or the path of a world file."""
    size_px: int = Field(1024, ge=128, le=4096, multiple_of=32)
    """Edge of the square camera frame."""
    source: Literal["live", "bank"] = "live"
    """"bank" plays a few cycles rendered beforehand, to measure the loop without it."""
    truth: bool = True
    """Write the exact truth beside the run."""
    truth_detail: Literal["basic", "full"] = "full"
    """"full" adds what takes time of its own: later places, masks, haloed mass."""
    faults: dict[Annotated[int, Field(ge=0)], CameraFault] = Field(default_factory=dict)
    """Drill: number of the exposure (from 0) -> what goes wrong with it, or from it on
    for the next frame: a stage that misses its next move, a modulator that stands."""


class Sequence(Section):
    """A recorded image sequence that is played through the loop."""

    images: str | None = None
    """TIFF stack, OME-TIFF, or a folder of images."""
    interval_s: Positive | None = None
    """Seconds between the images; absent: taken from the file."""
    repeat: bool = False
    """Start again at the end instead of ending the run."""


class Stand(Section):
    """Optical constants of the phase module; a simulated one has those of its world."""

    wavelength_um: float = Field(0.59, ge=0.3, le=1.1)
    ring_amplitude: float = Field(0.6, ge=0.05, le=1.0)
    """Amplitude transmission of the ring for the direct light; calibrated."""
    step_sign: Literal[-1, 1] = 1
    """+1: I1 - I3 is positive in cells; -1: the opposite step direction."""
    camera_offset_dn: float = Field(100.0, ge=0, le=10_000)
    """Counts of the camera without light."""
    refraction_increment_um3_per_pg: float = Field(0.2, ge=0.1, le=0.3)


class Inference(Section):
    """Network, engine and instances."""

    model: str = AUTO
    """Name of shipped weights, or the path of a folder with weights and card; auto: the
    shipped ones for the modality and the pixel size of the frames."""
    engine: Literal[
        "auto", "tensorrt", "torch-cuda", "openvino", "torch", "classical"
    ] = "auto"
    """What runs the network; auto: the fastest that agrees with the reference."""
    precision: Literal["auto", "f32", "bf16", "f16", "int8"] = "auto"
    """Of the network; int8 is calibrated on the golden frame of the model (OpenVINO),
    f16 is for graphics cards."""
    threads: int = Field(0, ge=0, le=256)
    """Threads of the engine; 0: all cores but one, at least one."""
    min_area_um2: Positive = 25.0
    """Smaller objects are debris."""
    separation_um: Positive | None = None
    """Smoothing of the separation map before its maxima are sought; absent: that on
    the card of the model."""
    separation_height: float | None = Field(None, gt=0, lt=1)
    """A second maximum must rise this much above the saddle to part a cell; absent:
    that on the card of the model."""
    closer_looks: int = Field(64, ge=0, le=2_000)
    """Cells of a frame at most that the second network of the model looks at, if it has
    one: those whose call is most in doubt. 0: none, their calls are those of the maps.
    The evidence of death belongs to the number that its runs had.
    """
    unsure_band: tuple[Probability, Probability] = (0.35, 0.65)
    """Dead probabilities of a single frame in this band are marked unsure."""
    follow_prevalence: bool = True
    """Correct dead probabilities where the dead are clearly rarer in this run than in
    the training of the model; what was added is recorded with the frame."""


class Refine(Section):
    """A second look at tracks, some frames later."""

    live: bool = True
    """Smooth at a lag of lag_frames, record the places that result."""
    contacts: bool = True
    """Look again, in the background, at who is who after a contact."""
    smoothness: Literal["auto"] | Annotated[float, Field(ge=0, le=1e6)] = "auto"
    """Weight of the smoothness of a course beside the fidelity to its centres.

    ``auto``: as the noise of the centres asks for, learnt from all courses.
    """


class Chip(Section):
    """Where the square wells of a chip lie, in stage coordinates."""

    first_yx_um: tuple[float, float]
    """Middle of the well in the first row and column."""
    rows: int = Field(ge=1, le=1000)
    columns: int = Field(ge=1, le=1000)
    pitch_um: Positive = 70.0
    well_um: Positive = 50.0
    """Inner edge of a well."""
    block: int = Field(6, ge=1, le=1000)
    """Wells along the edge of a block."""
    block_gap_um: float = Field(0.0, ge=0, le=5_000)
    """Wider wall between two blocks, beyond the pitch."""
    turn_deg: float = Field(0.0, ge=-5, le=5)
    """How the chip lies under the camera, from x towards y; walls are taken upright."""


class Tracking(Section):
    """Online linking."""

    max_speed_um_per_min: Positive = 3.0
    """Fastest believable cell; sets the gate together with the interval."""
    localisation_um: Positive = 1.0
    """Standard deviation of a measured centre."""
    memory_frames: int = Field(5, ge=0, le=1000)
    """Frames during which an unseen cell keeps its name."""
    confirm_frames: int = Field(2, ge=1, le=100)
    """Frames after which a new cell is believed."""
    size_weight: float = Field(1.0, ge=0, le=100)
    """Weight of the logarithm of the area ratio in the cost."""
    contact_weight: float = Field(1.0, ge=0, le=100)
    """Weight of the term that keeps a cell from the name of one that it touched."""
    lag_frames: int = Field(5, ge=1, le=100)
    """Frames after a beginning or a contact for which a name is provisional; places are
    final after as many."""
    chip: Chip | None = None
    """Nanowells: cells do not leave their well, and their number in it is kept."""
    refine: Refine = Refine()


class Forecasting(Section):
    """Where the cells will be."""

    model: Literal["auto", "bank", "transformer"] = "auto"
    """The bank of walks, or the network that corrects it; auto: the network while it
    has been the better one in this run, the bank otherwise."""
    weights: str = "forecast"
    """Name of shipped weights of the network, or the path of a folder with a card."""
    horizons_s: tuple[Positive, ...] = Field(
        (20.0, 60.0, 300.0, 1200.0, 3600.0), max_length=10
    )
    """Experiment seconds ahead, the nearest first."""

    @model_validator(mode="after")
    def _nearest_first(self) -> "Forecasting":
        if any(b <= a for a, b in itertools.pairwise(self.horizons_s)):
            raise ValueError(f"horizons_s must ascend (given: {list(self.horizons_s)})")
        return self


class Log(Section):
    """What is kept on disk."""

    frames: Literal["all", "every", "events", "none"] = "all"
    """Which camera frames are kept; tables and masks are always kept."""
    every: int = Field(1, ge=1)
    """Keep each n-th frame of a channel when frames = "every"."""
    window_s: Positive = 300.0
    """Experiment seconds kept before and after an event when frames = "events"."""
    window_mb: float = Field(512, ge=16)
    """Memory for the frames before a possible event; the oldest leave first."""
    phase: bool = False
    """Keep the coded phase too (it can be computed again from the frames)."""
    labels: bool = True
    segment_minutes: Positive = 10.0
    segment_gb: Positive = 8.0
    queue_mb: float = Field(512, ge=16)
    """Frames waiting for the disk; at 75 % a warning, when full the scheduler holds."""
    min_free_gb: float = Field(1.0, ge=0)
    """The run stops cleanly when less disk is left."""


class Display(Section):
    """The window."""

    rate_hz: float = Field(30.0, gt=0, le=120)
    tail_frames: int = Field(30, ge=0, le=1000)
    levels: tuple[float, float] | None = None
    """Black and white level: radian for slim, counts otherwise; absent: automatic."""


class Budget(Section):
    """Time from the end of the exposure to the decision."""

    latency_ms: Positive = 100.0


def _strict_timelapse(value: Any) -> Any:
    """Refuse keys that useq would ignore without a word."""
    if isinstance(value, dict):
        unknown = sorted(set(value) - set(useq.MDASequence.model_fields))
        if unknown:
            raise ValueError(f"unknown key {', '.join(unknown)}")
    return value


class Experiment(Section):
    """A whole experiment."""

    run: Run = Run()
    microscope: Microscope
    simulated: Simulated | None = None
    sequence: Sequence | None = None
    stand: Stand = Stand()
    timelapse: Annotated[useq.MDASequence, BeforeValidator(_strict_timelapse)]
    inference: Inference = Inference()
    tracking: Tracking = Tracking()
    forecast: Forecasting = Forecasting()
    events: Events = Events()
    triggers: Triggers = ()
    log: Log = Log()
    display: Display = Display()
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _kind_has_its_section(self) -> "Experiment":
        wanted = {"simulated": self.simulated, "sequence": self.sequence}
        kind = self.microscope.kind
        if kind in wanted and wanted[kind] is None:
            raise ValueError(f'microscope.kind "{kind}" needs a section [{kind}]')
        for other, section in wanted.items():
            if section is not None and other != kind:
                raise ValueError(
                    f'[{other}] means nothing with microscope.kind "{kind}"'
                )
        if self.run.clock != "real" and kind == "micromanager":
            raise ValueError('run.clock must be "real" on a real microscope')
        return self


SHIPPED = Path(__file__).parent
"""Folder of the shipped presets and worlds."""
