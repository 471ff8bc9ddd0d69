"""Reading an experiment file: every fault at once, each with its full path."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from configs.faults import BadConfig
from configs.schema import SHIPPED, Experiment


def find_experiment(name: str) -> Path:
    """Find an experiment file: a path, or the name of a shipped preset.

    ``demo``, ``demo.toml`` and ``configs/demo.toml`` all fall back to the shipped file.

    Raises
    ------
    BadConfig
        If there is neither such a file nor such a preset; the presets are listed.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = SHIPPED / f"{path.stem}.toml"
    if path.parent in (Path(), Path("configs")) and shipped.is_file():
        return shipped
    presets = ", ".join(sorted(preset.stem for preset in SHIPPED.glob("*.toml")))
    raise BadConfig(name, [f"no such file, and no preset of this name ({presets})"])


def load_experiment(
    name: str, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> Experiment:
    """Read and check an experiment.

    Parameters
    ----------
    name
        Path of a TOML file or name of a preset.
    overrides
        ``section.key=value`` from the command line; the value is TOML, or else text.
    values
        The same as ready values by dotted key; ``None`` values are left out.

    Raises
    ------
    BadConfig
        Naming every fault with its path, the value and what is allowed.
    """
    path = find_experiment(name)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(str(path), [f"not a readable TOML file: {error}"]) from error
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise BadConfig("--set", [f"{override!r}: write section.key=value"])
        _put(content, key.strip(), _toml_value(text))
    for key, value in (values or {}).items():
        if value is not None:
            _put(content, key, value)
    return check_experiment(content, str(path))


def check_experiment(content: Mapping[str, Any], source: str) -> Experiment:
    """Check a parsed experiment; raises `BadConfig` with every fault."""
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise BadConfig(source, describe_faults(error)) from error


def describe_faults(error: ValidationError) -> list[str]:
    """Say each fault in one line: path, what is wrong, and the value that was given."""
    lines = []
    for fault in error.errors(include_url=False):
        path = ".".join(str(part) for part in fault["loc"]) or "(whole file)"
        given = fault.get("input")
        shown = "" if isinstance(given, dict | list) else f" (given: {given!r})"
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message, shown = "unknown key", ""
        if fault["type"] == "missing":
            message, shown = "this key is required", ""
        lines.append(f"{path}: {message}{shown}")
    return lines


def dump_experiment(experiment: Experiment) -> str:
    """Give the experiment as TOML text, every setting written out."""
    content = json.loads(experiment.model_dump_json(exclude_none=True))
    # TOML keys are text, which also covers the numbers of planned faults
    content["timelapse"] = _without_none(
        json.loads(experiment.timelapse.model_dump_json(exclude_defaults=True))
    )
    return tomli_w.dumps(content)


def _put(content: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        child = content.setdefault(parent, {})
        if not isinstance(child, dict):
            raise BadConfig("--set", [f"{dotted}: {parent} is not a section"])
        content = child
    content[last] = value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value
