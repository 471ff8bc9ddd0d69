"""``vigil check``: is this PC ready? In plain words, the cure beside each fault."""

import importlib.metadata
import importlib.util
import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from acquisition.errors import BadModel, BadRun
from app.preflight import free_bytes, nearest_folder
from configs.models import CHOSEN_MODELS

OUR_PACKAGES = (
    "app",
    "acquisition",
    "inference",
    "tracking",
    "calibration",
    "configs",
)
DISTRIBUTION = "vigil-microscopy"


@dataclass(frozen=True)
class Finding:
    """One line of the check."""

    topic: str
    level: Literal["ok", "note", "fault"]
    text: str


def check_machine(directory: Path) -> list[Finding]:
    """Look at everything a run needs.

    Parameters
    ----------
    directory
        Folder that would receive the runs.
    """
    looks: tuple[Callable[[], Finding], ...] = (
        _python,
        check_package_owners,
        _processor,
        _graphics,
        _engine,
        _model,
        _micro_manager,
        _screen,
        lambda: _disk(directory),
    )
    return [look() for look in looks]


def _python() -> Finding:
    version = sys.version.split()[0]
    return Finding("python", "ok", f"{version} on {sys.platform}")


def check_package_owners() -> Finding:
    """Find out whether another distribution owns or shadows one of our folders."""
    owners = importlib.metadata.packages_distributions()
    for name in OUR_PACKAGES:
        foreign = sorted(set(owners.get(name, [])) - {DISTRIBUTION})
        if foreign:
            cure = f"pip uninstall {foreign[0]}, or give vigil its own environment"
            text = f"the folder {name!r} belongs to {foreign[0]} as well: {cure}"
            return Finding("packages", "fault", text)
    parents = {_parent_of(name) for name in OUR_PACKAGES}
    if len(parents) != 1:
        found = ", ".join(sorted(str(parent) for parent in parents))
        text = f"vigil's folders come from several places ({found}): reinstall it"
        return Finding("packages", "fault", text)
    return Finding("packages", "ok", f"vigil {_version()}")


def _parent_of(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent.parent


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "from a source folder"


def _processor() -> Finding:
    cores = os.cpu_count() or 1
    memory_gb = psutil.virtual_memory().total / 1e9
    level: Literal["ok", "note"] = "ok" if cores >= 4 else "note"
    advice = "" if cores >= 4 else " (four cores or more are advised for a window)"
    return Finding("processor", level, f"{cores} cores, {memory_gb:.0f} GB{advice}")


def _graphics() -> Finding:
    import torch

    if torch.version.cuda is None:
        text = (
            "the installed torch is a CPU build, so no NVIDIA card is used; networks "
            "run on the processor"
        )
        return Finding("graphics card", "note", text)
    if not torch.cuda.is_available():
        text = "torch has CUDA, but no NVIDIA card answers: check its driver"
        return Finding("graphics card", "note", text)
    name = torch.cuda.get_device_name(0)
    text = f"{name}; engines for it are written, not run: vigil models build tries them"
    return Finding("graphics card", "note", text)


def _engine() -> Finding:
    from inference.engines.openvino_engine import supported_precisions

    precisions = ", ".join(supported_precisions())
    return Finding("engine", "ok", f"OpenVINO on the processor ({precisions})")


def _model() -> Finding:
    from inference.cards import load_model

    try:
        cards = [
            load_model(one).card for one in itertools.chain(*CHOSEN_MODELS.values())
        ]
    except BadModel as error:
        return Finding("model", "fault", str(error))
    said = (f"{card.name} ({card.um_per_px:g} um per pixel)" for card in cards)
    return Finding("model", "ok", ", ".join(said))


def _micro_manager() -> Finding:
    core = importlib.metadata.version("pymmcore")
    interface = core.split(".")[3]
    text = f"core {core}; an installed Micro-Manager needs device interface {interface}"
    return Finding("micro-manager", "ok", text)


def _screen() -> Finding:
    from app.display import display_fault

    fault = display_fault()
    if fault is None:
        return Finding("screen", "ok", "a window can be opened")
    return Finding("screen", "note", f"{fault}; runs show a status line instead")


def _disk(directory: Path) -> Finding:
    try:
        free_gb = free_bytes(directory) / 1e9
    except BadRun as error:
        return Finding("disk", "fault", str(error))
    folder = nearest_folder(directory)
    level: Literal["ok", "note"] = "ok" if free_gb > 20 else "note"
    return Finding("disk", level, f"{free_gb:.0f} GB free in {folder}")
