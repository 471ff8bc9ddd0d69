"""The sections ``[events]`` and ``[[triggers]]``: what is reported and asked for."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.section import Positive, Probability, Section

EventKind = Literal[
    "death",
    "contact",
    "division",
    "change",
    "count",
    "focus",
    "predicted death",
    "predicted contact",
]
"""What can be reported; "change" is an unexpected look, "count" a number of cells."""

RequestKind = Literal["burst", "channel", "stack", "faster", "return"]
"""What can be asked for."""


class DeathRule(Section):
    """Who died: live, then dead for good."""

    rule: Literal["filter", "k of n"] = "filter"
    """The filter adds up the evidence of all frames; "k of n" counts frames."""
    calibration: str = "slim"
    """Name of a shipped calibration of the evidence, or the path of such a file."""
    hazard_per_h: float = Field(0.03, gt=0, le=10)
    """Prior rate of dying ..."""
    hazard_per_h_per_gy: float = Field(0.0, ge=0, le=10)
    """... and by how much it grows with each gray absorbed."""
    alert: Probability = 0.5
    """At this probability a cell is suspected: the first alert of its death."""
    probability: float = Field(0.6, gt=0.5, lt=1)
    """It is reported when the probability to have died while it was watched lies above
    this, and its date is known ..."""
    frames: int = Field(2, ge=1, le=100)
    """... after so many steps of the evidence: in a row, or k of the last n."""
    of_frames: int = Field(4, ge=1, le=100)
    """The n of "k of n"."""
    confirm_min: Positive = 30.0
    """Minutes after the report at which it is judged again, with what came since."""
    unsure_band: tuple[Probability, Probability] = (0.35, 0.65)
    """Filtered probabilities in this band leave the state of a track open."""
    settle_frames: int = Field(5, ge=1, le=1000)
    """A track that is dead within its first frames was dead before: no event."""

    @model_validator(mode="after")
    def _k_of_n(self) -> "DeathRule":
        if self.rule == "k of n" and self.frames > self.of_frames:
            raise ValueError(
                f"frames is {self.frames}, but of_frames only {self.of_frames}"
            )
        return self


class ContactRule(Section):
    """Two cells that touch, or lie in one mask, after they were apart."""

    on_frames: int = Field(2, ge=1, le=100)
    """Touching frames that make a contact."""
    off_frames: int = Field(2, ge=1, le=1000)
    """Free frames in a row that end a touch; fewer are a flicker of the masks."""
    apart_frames: int = Field(5, ge=1, le=1000)
    """Free frames in a row after which the same pair can meet anew."""


class Watch(Section):
    """A rule that can be switched off."""

    on: bool = True


class PredictedDeathRule(Watch):
    """Cells that are likely to die within the horizon of the calibration."""

    probability: float = Field(0.5, gt=0, lt=1)
    frames: int = Field(2, ge=1, le=100)
    """Steps of the evidence in a row above it."""


class PredictedContactRule(Watch):
    """Pairs whose forecasts meet."""

    probability: float = Field(0.6, gt=0, lt=1)
    """Calibrated on simulated runs, and corrected by what became of the approaches of
    the run."""
    frames: int = Field(1, ge=1, le=100)
    """Frames in a row above it."""
    margin_um: float = Field(1.0, ge=0, le=50)
    """Gap between the ellipses of two cells that counts as contact."""
    min_lead_s: float = Field(0.0, ge=0)
    max_lead_s: Positive = 1200.0
    """Forecasts beyond this are not used."""


class ChangeRule(Watch):
    """A cell whose look changes at once, and stays changed."""

    sigmas: float = Field(15.0, gt=1, le=100)
    """In robust standard deviations of the changes of all cells of the run."""
    frames: int = Field(2, ge=1, le=100)


class CountRule(Watch):
    """The number of cells in the field changes for good."""

    share: float = Field(0.05, gt=0, le=1)
    """Smallest change; below one cell it is one cell."""
    window_frames: int = Field(20, ge=2, le=1000)
    frames: int = Field(5, ge=1, le=1000)
    """Frames in a row with the new number."""


class FocusRule(Watch):
    """The image becomes blurred."""

    share: float = Field(0.7, gt=0, lt=1)
    """Sharpness, as a share of the usual one, below which the focus is lost."""
    window_frames: int = Field(30, ge=2, le=1000)
    frames: int = Field(3, ge=1, le=1000)


class Events(Section):
    """Rules that turn tracks into events."""

    death: DeathRule = DeathRule()
    contact: ContactRule = ContactRule()
    division: Watch = Watch()
    change: ChangeRule = ChangeRule()
    count: CountRule = CountRule()
    focus: FocusRule = FocusRule()
    predicted_death: PredictedDeathRule = PredictedDeathRule()
    predicted_contact: PredictedContactRule = PredictedContactRule()


class Trigger(Section):
    """A rule that turns events into requests for extra frames.

    Nothing that it can ask for opens a beam: a request names frames, not light paths
    of treatment.
    """

    event: EventKind
    kind: RequestKind = "burst"
    """"burst": frames at once; "channel": in another channel; "stack": at several
    planes; "faster": the position more often, between its planned frames; "return":
    the position again after `after_s`."""
    frames: int = Field(3, ge=1, le=1000)
    """Extra frames; of a stack: planes."""
    interval_s: float = Field(0.0, ge=0)
    """Experiment seconds between the extra frames; 0: as fast as the stand can."""
    channel: str | None = None
    """Preset of the light path; absent: that of the frames that are analysed."""
    step_um: Positive = 2.0
    """Distance of the planes of a stack, which lie around the present focus."""
    after_s: float = Field(0.0, ge=0)
    """Experiment seconds from the event to the first extra frame."""
    recentre: bool = False
    """Move the event to the middle of the field, and return afterwards."""
    valid_for_s: Positive = 60.0
    """Experiment seconds after which the request has expired, if it has not begun. One
    for a predicted event expires at the predicted time if that is sooner."""
    min_probability: Probability = 0.0
    """Events that are less likely ask for nothing."""
    max_per_min: Positive = 6.0
    """Requests of this rule per wall minute; more are refused, and counted."""
    max_frames_per_h: Positive | None = None
    """Extra frames, so extra light, per experiment hour and position."""
    max_dose_gy: Positive | None = None
    """No extra frames once the specimen has absorbed this."""
    repeat_s: float = Field(0.0, ge=0)
    """The same cells ask once in this experiment time, whatever happens to them."""
    dry_run: bool = False
    """Record what would have been asked for, and ask for nothing."""

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> "Trigger":
        if (self.kind == "channel") != (self.channel is not None):
            raise ValueError('kind "channel" and the key channel belong together')
        if self.kind in ("faster", "return"):
            needed = "interval_s" if self.kind == "faster" else "after_s"
            if getattr(self, needed) <= 0:
                raise ValueError(f'kind "{self.kind}" needs {needed}')
        if self.kind == "stack" and self.frames < 2:
            raise ValueError('kind "stack" needs frames, its planes, of at least 2')
        return self


Triggers = Annotated[tuple[Trigger, ...], Field(max_length=100)]
