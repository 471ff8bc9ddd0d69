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
from pydantic import BaseModel, Field, ValidationError

from acquisition.errors import BadWorld
from acquisition.simulated.sections import (
    Audit,
    Camera,
    Cells,
    Death,
    Fluorescence,
    Mix,
    Nanowell,
    Optics,
    Protocol,
    Radiation,
    Stage,
)
from configs.loading import describe_faults
from configs.schema import SHIPPED
from configs.section import Section

SHIPPED_WORLDS = SHIPPED / "worlds"
"""Folder of the worlds that come with the installation."""


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
    fluorescence: Fluorescence = Fluorescence()
    nanowell: Nanowell | None = None
    audit: Audit = Audit()

    @property
    def hash(self) -> str:
        """Short hash of all values, whichever way they were written."""
        text = self.model_dump_json(by_alias=True, exclude={"name", "seeds", "audit"})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def phase_rad_um2_per_pg(self) -> float:
        """Phase of a surface density of one picogram a square micrometre.

        2 pi a / lambda, the standard relation between phase and dry mass.
        """
        increment = self.optics.refraction_increment_um3_per_pg
        return float(2 * 3.141592653589793 * increment / self.optics.wavelength_um)

    @property
    def speed_um_per_h(self) -> float:
        """Speed of the fastest sort of cells."""
        if self.nanowell is None:
            return self.cells.speed_um_per_h
        wells = self.nanowell
        return 60 * max(wells.effector_um_per_min, wells.target_um_per_min)

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
