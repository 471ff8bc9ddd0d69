"""The engine cache: what was made once for this PC need not be made at the next start.

An entry is a folder with the raw bytes of an engine and a side file that says what they
were made of and their sha256. Nothing in it is unpickled or run as a program of ours,
and nothing in it is needed: an entry that is not exactly what was asked for is deleted,
and the engine is made again from card and weights.
"""

import json
import logging
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import platformdirs

from acquisition.errors import BadModel
from inference.cards import Model
from inference.model_folder import sha256

logger = logging.getLogger(__name__)

GRAPH_VERSION = 4
"""Raised when ``inference`` changes what an engine computes from the same card."""

SIDE_FILE = "entry.json"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What an engine is bound to beside its software; empty strings: a processor."""

    name: str = ""
    """Of the graphics card, as its driver calls it."""
    capability: str = ""
    """Compute capability, for example ``sm_90``."""
    cuda: str = ""
    """CUDA version of torch."""
    driver: str = ""
    """First number of the driver's version."""


@dataclass(frozen=True, slots=True)
class EngineKey:
    """All that an engine depends on. If one differs, it is another engine."""

    card_sha256: str
    weights_sha256: str
    shape: tuple[int, int]  # (y, x) of the network
    dtype: str
    precision: str
    engine: str
    """Name and version of the package that made it."""
    torch: str
    hardware: Hardware
    system: str
    graph_version: int

    @property
    def digest(self) -> str:
        """Give the sha256 over all fields."""
        return sha256(json.dumps(self.facts, sort_keys=True).encode())

    @property
    def facts(self) -> dict[str, Any]:
        """Give the fields as they stand in the side file."""
        return asdict(self) | {"shape": list(self.shape)}


def engine_key(
    model: Model,
    shape: tuple[int, int],
    precision: str,
    package: str,
    hardware: Hardware | None = None,
) -> EngineKey:
    """Give the key of an engine that ``package`` makes on this PC.

    Versions are read from the packages' own records, so nothing heavy is imported.
    """
    return EngineKey(
        card_sha256=sha256(model.card.model_dump_json().encode()),
        weights_sha256=model.card.weights_sha256,
        shape=shape,
        dtype="uint16",
        precision=precision,
        engine=f"{package} {installed_version(package) or 'absent'}",
        torch=installed_version("torch") or "absent",
        hardware=hardware or Hardware(),
        system=f"{platform.system()} {platform.machine()}",
        graph_version=GRAPH_VERSION,
    )


def installed_version(package: str) -> str | None:
    """Give the version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class EngineCache:
    """A folder of engines; None: that of the user."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or platformdirs.user_cache_path("vigil") / "engines"

    def place(self, model: Model, key: EngineKey) -> Path:
        """Give the folder of an entry, whether it exists or not."""
        return self.folder / f"{model.card.name}-{key.digest[:32]}"

    def find(self, model: Model, key: EngineKey) -> Path | None:
        """Give the folder of a whole entry; a damaged or foreign one is deleted."""
        place = self.place(model, key)
        if not place.exists():
            return None
        fault = _fault(place, key)
        if fault is None:
            return place
        logger.warning("%s: %s, deleted; it will be made again", place, fault)
        shutil.rmtree(place, ignore_errors=True)
        return None

    def put(
        self,
        model: Model,
        key: EngineKey,
        write: Callable[[Path], Mapping[str, Any] | None],
        renew: bool = False,
    ) -> Path:
        """Let ``write`` fill a folder, and keep it as an entry: all or nothing.

        What ``write`` gives is kept in the side file, for :meth:`notes`. A whole entry
        that another process has put there meanwhile stays, as somebody may be reading
        it, unless it is to be renewed.

        Raises
        ------
        BadModel
            If the cache cannot be written.
        """
        place = self.place(model, key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                fresh = Path(scratch) / "entry"
                fresh.mkdir()
                notes = write(fresh) or {}
                entry = {"key": key.facts, "files": _hashes(fresh), "notes": {**notes}}
                text = json.dumps(entry, indent=2)
                (fresh / SIDE_FILE).write_text(text, encoding="utf-8")
                if renew or _fault(place, key) is not None:
                    _move(fresh, place, key)
        except OSError as error:
            raise BadModel(
                f"the engine cache {self.folder} cannot be written ({error.strerror}); "
                "make room or correct its permissions, or set inference.engine = "
                '"torch"'
            ) from error
        return place


def notes(place: Path) -> dict[str, Any]:
    """Give what was noted when an entry was made."""
    kept: dict[str, Any] = json.loads((place / SIDE_FILE).read_bytes())["notes"]
    return kept


def _fault(place: Path, key: EngineKey) -> str | None:
    """Tell what is wrong with an entry; None: it is whole and the one asked for."""
    try:
        entry = json.loads((place / SIDE_FILE).read_bytes())
        if entry["key"] != key.facts:
            return "made for something else"
        if not entry["files"] or entry["files"] != _hashes(place):
            return "its files are not those that were written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"damaged ({error})"
    return None


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: sha256(path.read_bytes())
        for path in sorted(folder.iterdir())
        if path.name != SIDE_FILE
    }


def _move(fresh: Path, place: Path, key: EngineKey) -> None:
    """Move an entry into place; one that another process put there meanwhile stays."""
    shutil.rmtree(place, ignore_errors=True)
    try:
        fresh.replace(place)
    except OSError:
        if _fault(place, key) is not None:
            raise
