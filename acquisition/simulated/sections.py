"""The sections of a world file: every constant of specimen and stand, with its limits.

The limits refuse what is physically impossible and nothing else; they lie at least
five times beyond the ranges that training draws from.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from configs.section import Section

Fraction = Annotated[float, Field(ge=0, le=1)]


def _ordered(value: Any) -> Any:
    """Refuse a range whose ends are the wrong way round."""
    if isinstance(value, list | tuple) and len(value) == 2:
        first, last = value
        numbers = isinstance(first, int | float) and isinstance(last, int | float)
        if numbers and first > last:
            raise ValueError("the first of the two must not exceed the second")
    return value


Minutes = Annotated[
    tuple[
        Annotated[float, Field(ge=1, le=10_000)],
        Annotated[float, Field(ge=1, le=10_000)],
    ],
    BeforeValidator(_ordered),
]
Hours = Annotated[
    tuple[
        Annotated[float, Field(ge=0.1, le=200)], Annotated[float, Field(ge=0.1, le=200)]
    ],
    BeforeValidator(_ordered),
]
FractionRange = Annotated[tuple[Fraction, Fraction], BeforeValidator(_ordered)]
StepError = Annotated[float, Field(ge=-0.5, le=0.5)]
DriftSpeed = Annotated[float, Field(ge=-50, le=50)]


class Optics(Section):
    """Objective, phase module and everything fixed that lies in the light path."""

    modality: Literal["slim", "phase_contrast", "brightfield"] = "slim"
    """What `vigil simulate` and the audit look at; a run says its own."""
    pixel_um: float = Field(0.65, ge=0.05, le=5)
    """Edge of a camera pixel in the specimen."""
    na: float = Field(0.30, ge=0.05, le=1.49)
    wavelength_um: float = Field(0.59, ge=0.3, le=1.1)
    refraction_increment_um3_per_pg: float = Field(0.2, ge=0.1, le=0.3)
    halo_um: float = Field(60.0, ge=5, le=600)
    """Length of the low-pass that makes the direct light; short lengths halo more."""
    ring_amplitude: float = Field(0.6, ge=0.05, le=1)
    """Amplitude transmission of the ring for the direct light."""
    step_error_rad: tuple[StepError, StepError, StepError, StepError] = (0, 0, 0, 0)
    """Deviation of each phase step from its nominal value."""
    defocus_um: float = Field(0.0, ge=-50, le=50)
    """Distance of the specimen from the focal plane at the start."""
    vignetting: float = Field(0.12, ge=0, le=0.9)
    """Loss of light towards the corners."""
    tilt_rad: float = Field(0.06, ge=0, le=3)
    """Slow phase background of dish and medium, one standard deviation."""
    speckle_mrad: float = Field(12.0, ge=0, le=200)
    """Fine fixed phase background, one standard deviation."""
    dust: int = Field(6, ge=0, le=500)
    """Rings of dust on intermediate surfaces, in the view."""
    debris_per_mm2: float = Field(160.0, ge=0, le=20_000)
    """Settled particles; they lie in the specimen and move with the stage."""
    floaters_per_mm2: float = Field(12.0, ge=0, le=5_000)
    """Particles that drift out of focus above the cells."""
    brightfield_defocus_um: float = Field(4.0, ge=-50, le=50)
    """A pure phase object vanishes in focus, so brightfield looks beside it."""
    absorption_per_rad: float = Field(0.02, ge=0, le=1)
    """Light that a cell takes away in brightfield, for a radian of its phase."""
    bubbles: int = Field(0, ge=0, le=200)
    """Air bubbles in the light path, in the view: wide dark rings."""
    condensation: float = Field(0.0, ge=0, le=1)
    """Mottled loss of light from droplets under the lid."""


class Camera(Section):
    """The camera behind the phase module."""

    background_e: float = Field(1800.0, ge=20, le=25_000)
    """Electrons a pixel in the empty field at the nominal exposure."""
    nominal_exposure_ms: float = Field(8.0, gt=0, le=60_000)
    read_e: float = Field(1.6, ge=0, le=20)
    gain_e_per_dn: float = Field(0.46, ge=0.01, le=100)
    offset_dn: float = Field(100.0, ge=0, le=10_000)
    full_well_e: float = Field(30_000.0, ge=500, le=1_000_000)
    response_spread: float = Field(0.006, ge=0, le=0.2)
    """Relative spread of the response from pixel to pixel."""
    offset_spread_dn: float = Field(0.8, ge=0, le=50)
    flicker: float = Field(0.0, ge=0, le=0.2)
    """Relative spread of the lamp from exposure to exposure."""
    row_noise_e: float = Field(0.0, ge=0, le=50)
    """Noise that a row shares, drawn for every exposure."""
    hot_pixels_per_mpx: float = Field(0.0, ge=0, le=100_000)
    """Pixels that glow, at fixed places, in a million."""
    beam_specks: int = Field(0, ge=0, le=5_000)
    """Direct hits on the sensor in every exposure while an x-ray beam is open."""


class Stage(Section):
    """What the stage does beside what it is told."""

    drift_um_per_h: tuple[DriftSpeed, DriftSpeed] = (0.0, 0.0)
    """Creep of the specimen against the stage, y then x."""
    focus_um_per_h: DriftSpeed = 0.0
    settle_ms: float = Field(0.0, ge=0, le=60_000)
    """Time after a move before the stage reports that it has arrived."""
    repeatability_um: float = Field(0.0, ge=0, le=100)
    """How far a move ends from where it was sent, one standard deviation an axis."""
    margin_um: float = Field(80.0, ge=0, le=10_000)
    """Dish that is simulated around the first view; its walls reflect the cells."""


class LogNormal(Section):
    """A quantity that varies by factors."""

    median: float = Field(95.0, gt=0, le=2_000)
    sigma: float = Field(0.27, ge=0, le=1.5)


class CycleTime(Section):
    """Duration of the cell cycle in hours."""

    mean: float = Field(16.0, ge=2, le=200)
    sd: float = Field(2.5, ge=0, le=50)


class Cells(Section):
    """The living cells."""

    line: str = Field("cho", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")
    """Name of the cell line, for the record only."""
    n: int = Field(320, ge=0, le=20_000)
    """Cells in 1024 x 1024 pixels at the start."""
    mass_pg: LogNormal = LogNormal()
    """Dry mass at birth."""
    area_scale: float = Field(1.0, ge=0.2, le=5)
    irregularity: float = Field(0.15, ge=0, le=1)
    """How far the outlines depart from an ellipse, relative to the radius."""
    granules: float = Field(0.2, ge=0, le=1)
    """Relative contrast of the granules in the cytoplasm."""
    nucleus_contrast_sigma: float = Field(0.30, ge=0, le=1)
    """Spread of the nucleus contrast from cell to cell (of the logarithm)."""
    cycle_h: CycleTime = CycleTime()
    speed_um_per_h: float = Field(18.0, ge=0, le=200)
    persistence_min: float = Field(25.0, ge=0.5, le=1000)
    jitter_um: float = Field(0.3, ge=0, le=5)
    """Fast trembling of the centre about its path, one standard deviation an axis."""
    neighbour_um: float = Field(25.0, ge=0, le=500)
    """Distance over which neighbours crawl alike; 0: each for itself."""
    floating_fraction: Fraction = 0.01
    """Living cells that hang detached above the focal plane."""


class Mix(Section):
    """Fractions of the states at the start; the rest is in interphase."""

    mitosis: Fraction = 0.03
    spreading: Fraction = 0.04
    early_apoptosis: Fraction = 0.0
    late_apoptosis: Fraction = 0.0
    secondary_necrosis: Fraction = 0.0
    swelling: Fraction = 0.0
    ghost: Fraction = 0.0

    @model_validator(mode="after")
    def _leaves_room(self) -> "Mix":
        total = sum(self.fractions())
        if total > 1:
            raise ValueError(f"the fractions add up to {total:.3f}, allowed 0 to 1")
        return self

    def fractions(self) -> tuple[float, ...]:
        """Give the fractions in the order of the codes of `LifeState`, from 1."""
        return (
            self.mitosis,
            self.spreading,
            self.early_apoptosis,
            self.late_apoptosis,
            self.secondary_necrosis,
            self.swelling,
            self.ghost,
        )

    def with_dead(self, share: float) -> "Mix":
        """Give a mix with this share of dead cells.

        Among the dead, and among the living, the states keep their proportions.
        """
        names = ("secondary_necrosis", "ghost")
        dead = sum(getattr(self, name) for name in names)
        if not dead:
            return self.model_copy(update={"ghost": 0.01}).with_dead(share)
        factors = {
            name: share / dead if name in names else (1 - share) / (1 - dead)
            for name in Mix.model_fields
        }
        return Mix(**{name: getattr(self, name) * by for name, by in factors.items()})

    @classmethod
    def of(cls, dead: float, alike: float) -> "Mix":
        """Share out a dead fraction and a fraction of live cells that look like them.

        Ages within a state are uniform over its duration, so late apoptosis, which
        lasts hours, outweighs early apoptosis as it does in a dish.
        """
        return cls(
            mitosis=0.18 * alike,
            spreading=0.20 * alike,
            early_apoptosis=0.14 * alike,
            late_apoptosis=0.30 * alike,
            swelling=0.18 * alike,
            secondary_necrosis=0.40 * dead,
            ghost=0.60 * dead,
        )


class Death(Section):
    """How cells die without a dose, and what happens to every dying cell."""

    spontaneous_per_h: float = Field(0.0012, ge=0, le=2)
    """Hazard of a cell in interphase."""
    stain_factor: float = Field(1.0, ge=0, le=50)
    """Factor on the hazard from the dye and its light."""
    necrotic_fraction: Fraction = 0.2
    apoptosis_min: Minutes = (60.0, 100.0)
    """From the first shrinking to fragments."""
    rupture_h: Hours = (6.0, 9.0)
    """From the first shrinking to the rupture of the membrane."""
    swelling_min: Minutes = (60.0, 120.0)
    """From the first swelling of necrosis to the rupture."""
    mass_loss: FractionRange = (0.06, 0.28)
    """Dry mass lost in the end, drawn per cell."""
    instant_loss: Fraction = 0.04
    """Part of the mass that leaves at the rupture itself."""
    loss_tau_min: float = Field(75.0, ge=1, le=5_000)
    detach_fraction: Fraction = 0.10
    """Dead cells that let go of the dish and float out of focus."""


class Radiation(Section):
    """Linear-quadratic dose response."""

    alpha: float = Field(0.228, ge=0, le=5)
    """Lethal lesions a gray, for hard radiation."""
    beta: float = Field(0.020, ge=0, le=2)
    """Lethal lesions a square gray."""
    repair_half_min: float = Field(60.0, ge=1, le=10_000)
    rbe: float = Field(1.15, ge=0.1, le=20)
    """Weight of the linear term for soft x-rays."""
    gy_per_min: float = Field(0.70, gt=0, le=1000)
    mitotic_fraction: Fraction = 0.30
    """Chance that a hit cell dies in its next mitosis instead of dividing."""
    interphase_fraction: Fraction = 0.08
    """Chance that a hit cell dies from interphase within hours."""
    delay_h_per_gy: float = Field(0.5, ge=0, le=20)
    """Mitotic delay."""


class Dose(Section):
    """One irradiation."""

    t_h: float = Field(ge=-500, le=500)
    """Hours after the start of the run; negative: before it."""
    gy: float = Field(ge=0, le=200)


class Drug(Section):
    """One drug that is given and stays in the medium."""

    name: str = Field("staurosporine", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    t_h: float = Field(0.0, ge=-500, le=500)
    """Hours after the start of the run; negative: before it."""
    hazard_per_h: float = Field(0.2, ge=0, le=20)
    """Added hazard of death by apoptosis once it works."""
    delay_h: float = Field(1.0, ge=0, le=100)
    """Hours until it works; it comes on over as long again."""


class Protocol(Section):
    """What is done to the specimen."""

    interval_s: float = Field(20.0, gt=0, le=1_000_000)
    """Experiment seconds between frames, where nobody says otherwise."""
    irradiate: tuple[Dose, ...] = ()
    drugs: tuple[Drug, ...] = ()


class Fluorescence(Section):
    """Dyes and their light: NucBlue, NucGreen and Annexin V."""

    bleed: float = Field(0.04, ge=0, le=1)
    """Share of the blue light that shows in the green channel."""
    haze: float = Field(0.25, ge=0, le=10)
    """Out-of-focus light around a nucleus, relative to the light in focus."""
    uptake_min: float = Field(20.0, gt=0, le=10_000)
    """Time constant with which an opened cell takes up the green dye."""
    annexin_min: float = Field(25.0, gt=0, le=10_000)
    """Time constant with which the membrane of an apoptotic cell turns."""
    nucleus_e: float = Field(2_500.0, gt=0, le=1_000_000)
    """Electrons a pixel from a stained G1 nucleus at the nominal exposure."""
    background_e: float = Field(60.0, ge=0, le=100_000)
    nominal_exposure_ms: float = Field(400.0, gt=0, le=600_000)
    bleaching: float = Field(0.0005, ge=0, le=0.5)
    """Share of the dye that one exposure at the nominal time destroys."""


Counts = Annotated[
    tuple[Annotated[int, Field(ge=0, le=20)], Annotated[int, Field(ge=0, le=20)]],
    BeforeValidator(_ordered),
]


class Nanowell(Section):
    """A chip of square wells with effector and target cells; replaces the open dish."""

    pitch_um: float = Field(70.0, ge=5, le=2_000)
    well_um: float = Field(50.0, ge=5, le=2_000)
    block: int = Field(6, ge=1, le=100)
    """Wells along the edge of a block."""
    block_gap_um: float = Field(40.0, ge=0, le=5_000)
    """Wider wall between two blocks, beyond the pitch."""
    turn_deg: float = Field(0.0, ge=-45, le=45)
    """How the chip lies under the camera."""
    wall_rad: float = Field(0.55, ge=0, le=20)
    """Phase of the walls above the bottom of the wells."""
    effectors: Counts = (0, 2)
    """Fewest and most effector cells in a well."""
    targets: Counts = (0, 2)
    effector_radius_um: float = Field(4.0, gt=0, le=50)
    target_radius_um: float = Field(5.5, gt=0, le=50)
    effector_um_per_min: float = Field(7.0, ge=0, le=200)
    target_um_per_min: float = Field(1.5, ge=0, le=200)
    persistence_min: float = Field(8.0, ge=0.5, le=1000)
    kill_probability: Fraction = 0.31
    """Chance that an effector ends up killing a target that it meets."""
    kill_delay_min: Minutes = (20.0, 90.0)
    """From the meeting to the first blebs of the target."""
    alike: Fraction = 0.3
    """Cells of each type that look like the other one in size and brightness."""

    @model_validator(mode="after")
    def _fits(self) -> "Nanowell":
        if self.pitch_um <= self.well_um:
            raise ValueError(
                f"pitch_um = {self.pitch_um:g} must exceed well_um = {self.well_um:g}, "
                "for there is a wall between two wells"
            )
        largest = max(self.effector_radius_um, self.target_radius_um)
        if 2 * largest > self.well_um:
            raise ValueError(
                f"a cell of effector_radius_um or target_radius_um = {largest:g} does "
                f"not fit into well_um = {self.well_um:g}"
            )
        return self


class Audit(Section):
    """What the shortcut audit demands of this world (AUROC of dead against live)."""

    max_auroc_single: Fraction = 0.80
    """Of the best single feature of the image."""
    max_auroc_linear6: Fraction = 0.88
    """Of a line through six first-order features."""
    auroc_forest21: FractionRange = (0.80, 0.95)
    """Of a forest on 21 hand-made features: neither trivial nor hopeless."""
    min_auroc_cnn: Fraction = 0.96
    """Of a small network: the world must carry the signal."""
    max_auroc_latent: Fraction = 0.92
    """Of the best single number that the drawing itself is made from."""
    min_oracle_f1_live: Fraction = 0.97
    min_oracle_f1_dead: Fraction = 0.95
