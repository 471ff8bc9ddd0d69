"""A world file: everything that fixes a simulated specimen and its microscope.

A world is a TOML file; every key is optional over its ``base``. Unknown keys are
refused. Shipped worlds lie in ``configs/worlds``; other paths are read alike.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from acquisition.errors import BadWorld
from configs.loading import describe_faults
from configs.schema import SHIPPED, Section

Fraction = Annotated[float, Field(ge=0, le=1)]

SHIPPED_WORLDS = SHIPPED / "worlds"
"""Folder of the worlds that come with the installation."""


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
    tilt_rad: float = Field(0.06, ge=0, le=1)
    """Slow phase background of dish and medium, one standard deviation."""
    speckle_mrad: float = Field(12.0, ge=0, le=200)
    """Fine fixed phase background, one standard deviation."""
    dust: int = Field(6, ge=0, le=500)
    """Rings of dust on intermediate surfaces, in the view."""
    debris_per_mm2: float = Field(160.0, ge=0, le=20_000)
    """Settled particles; they lie in the specimen and move with the stage."""
    floaters_per_mm2: float = Field(12.0, ge=0, le=5_000)
    """Particles that drift out of focus above the cells."""


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


class Stage(Section):
    """What the stage does beside what it is told."""

    drift_um_per_h: tuple[DriftSpeed, DriftSpeed] = (0.0, 0.0)
    """Creep of the specimen against the stage, y then x."""
    focus_um_per_h: DriftSpeed = 0.0
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

    n: int = Field(320, ge=0, le=20_000)
    """Cells in 1024 x 1024 pixels at the start."""
    mass_pg: LogNormal = LogNormal()
    """Dry mass at birth."""
    area_scale: float = Field(1.0, ge=0.2, le=5)
    irregularity: float = Field(1.0, ge=0, le=3)
    """How far the outlines depart from an ellipse; 1 is a CHO cell."""
    granules: float = Field(0.2, ge=0, le=1)
    """Relative contrast of the granules in the cytoplasm."""
    nucleus_contrast_sigma: float = Field(0.30, ge=0, le=1)
    """Spread of the nucleus contrast from cell to cell (of the logarithm)."""
    cycle_h: CycleTime = CycleTime()
    speed_um_per_h: float = Field(18.0, ge=0, le=200)
    persistence_min: float = Field(25.0, ge=0.5, le=1000)
    jitter_um: float = Field(0.3, ge=0, le=5)
    """Fast trembling of the centre about its path, one standard deviation an axis."""


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
    stain_factor: float = Field(1.0, ge=1, le=20)
    """Factor on the hazard from the dye and its light."""
    necrotic_fraction: Fraction = 0.2
    apoptosis_min: Minutes = (60.0, 100.0)
    """From the first shrinking to fragments."""
    rupture_h: Hours = (6.0, 9.0)
    """From the first shrinking to the rupture of the membrane."""
    swelling_min: Minutes = (60.0, 120.0)
    """From the first swelling of necrosis to the rupture."""
    mass_loss: FractionRange = (0.15, 0.42)
    """Dry mass lost in the end, drawn per cell."""
    instant_loss: Fraction = 0.08
    """Part of the mass that leaves at the rupture itself."""
    loss_tau_min: float = Field(75.0, ge=1, le=5_000)


class Radiation(Section):
    """Linear-quadratic dose response."""

    alpha_per_gy: float = Field(0.228, ge=0, le=5)
    beta_per_gy2: float = Field(0.020, ge=0, le=2)
    repair_half_min: float = Field(60.0, ge=1, le=10_000)
    rbe: float = Field(1.15, ge=0.1, le=20)
    """Weight of the linear term for soft x-rays."""
    gy_per_min: float = Field(0.70, gt=0, le=1000)
    mitotic_fraction: Fraction = 0.55
    """Chance that a hit cell dies in its next mitosis instead of dividing."""
    interphase_fraction: Fraction = 0.12
    """Chance that a hit cell dies from interphase within hours."""


class Dose(Section):
    """One irradiation."""

    t_h: float = Field(ge=-500, le=500)
    """Hours after the start of the run; negative: before it."""
    gy: float = Field(ge=0, le=200)


class Protocol(Section):
    """What is done to the specimen."""

    irradiate: tuple[Dose, ...] = ()


class World(Section):
    """A simulated specimen with its microscope."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field("unnamed", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    seeds: tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...] = ()
    """Seeds meant for this world, for whoever asks for several runs."""
    optics: Optics = Optics()
    camera: Camera = Camera()
    stage: Stage = Stage()
    cells: Cells = Cells()
    mix: Mix = Mix()
    death: Death = Death()
    radiation: Radiation = Radiation()
    protocol: Protocol = Protocol()

    @property
    def hash(self) -> str:
        """Short hash of all values, whichever way they were written."""
        text = self.model_dump_json(by_alias=True, exclude={"name", "seeds"})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def phase_rad_um2_per_pg(self) -> float:
        """Phase of a surface density of one picogram a square micrometre.

        2 pi a / lambda, the standard relation between phase and dry mass.
        """
        increment = self.optics.refraction_increment_um3_per_pg
        return float(2 * 3.141592653589793 * increment / self.optics.wavelength_um)

    @classmethod
    def load(cls, name_or_path: str | Path) -> "World":
        """Read a shipped world by name, or any world file by path.

        Raises
        ------
        BadWorld
            Naming the file and every fault: full key path, value, allowed range.
        """
        path = _find(str(name_or_path), Path())
        content = _content(path, ())
        content.setdefault("name", path.stem)
        return cls.check(content, str(path))

    @classmethod
    def check(cls, content: Mapping[str, Any], source: str) -> "World":
        """Check values that are already parsed; raises `BadWorld` with every fault."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            lines = describe_faults(error)
            places = [fault["loc"] for fault in error.errors()]
            lines = [
                line + _allowed(cls, place)
                for line, place in zip(lines, places, strict=True)
            ]
            head = f"{source}: {len(lines)} fault" + "s" * (len(lines) != 1)
            raise BadWorld("\n  ".join([head, *lines])) from error


def _find(name: str, beside: Path) -> Path:
    for path in (beside / name, SHIPPED_WORLDS / f"{name.removesuffix('.toml')}.toml"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(world.stem for world in SHIPPED_WORLDS.glob("*.toml")))
    raise BadWorld(
        f"{name}: no such world file, and no shipped world of this name; "
        f"give a path or one of {shipped}"
    )


def _content(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Read a file and put it over its base, and that over its own base."""
    if path.resolve() in above:
        raise BadWorld(f"{path}: base leads back to itself; remove one of the bases")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadWorld(f"{path}: not a readable TOML file: {error}") from error
    base = content.pop("base", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise BadWorld(f"{path}: base: write the name of a world (given: {base!r})")
    below = _content(_find(base, path.parent), (*above, path.resolve()))
    below.pop("name", None)
    below.pop("seeds", None)
    return _merged(below, content)


def _merged(below: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value)
        merged[key] = value
    return merged


def _allowed(section: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """Say the allowed range of a number, as far as the schema bounds it."""
    field = None
    for part in place:
        known = {info.alias or key: info for key, info in section.model_fields.items()}
        if part not in known:
            return ""
        field = known[str(part)]
        inner = field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        section = inner
    marks = field.metadata if field is not None else []
    low = next((mark for mark in marks if isinstance(mark, Ge | Gt)), None)
    high = next((mark for mark in marks if isinstance(mark, Le | Lt)), None)
    if low is None or high is None:
        return ""
    least = f"{low.ge}" if isinstance(low, Ge) else f"above {low.gt}"
    most = f"{high.le}" if isinstance(high, Le) else f"below {high.lt}"
    return f"; allowed: {least} to {most}"
