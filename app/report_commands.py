"""``vigil report``: how the cells of a run moved, and what became of them."""

import argparse
from pathlib import Path
from typing import Any

from acquisition.errors import BadConfig
from app.model_commands import DONE, Answer, New
from app.tables import pages_text


def add_report(commands: Any, new: New) -> None:
    """Add the command."""
    report = new(commands, "report", "how cells moved, and their read-outs", _report)
    report.add_argument("run", type=Path, help="run directory")
    report.add_argument(
        "--output", type=Path, metavar="DIR", help="write the tables there"
    )
    report.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=PATTERN,...",
        help="positions or wells (r2c5) of a condition, with * and ?; may be repeated, "
        "the first group that fits counts",
    )


def _report(options: argparse.Namespace) -> Answer:
    from calibration.motion_report import report_run

    result = report_run(options.run, options.output, conditions_of(options.group))
    pages = (
        ("motion", result["motion"]),
        ("slopes of the moments in time", result["exponents"]),
        ("masks moved by their forecast, and copied", result["maps"]),
        ("read-outs by fate, mean and standard error", result["fates"]),
        ("read-outs by group, mean and standard error", result["groups"]),
        ("wells", result["wells"]),
        ("wells by group, mean and standard error", result["well_groups"]),
    )
    return Answer(DONE, result, pages_text(pages))


def conditions_of(said: list[str]) -> dict[str, tuple[str, ...]]:
    """Give the patterns of every group; one that is named twice has those of both."""
    conditions: dict[str, tuple[str, ...]] = {}
    for one in said:
        name, _, text = one.partition("=")
        patterns = tuple(pattern.strip() for pattern in text.split(","))
        if not (name and all(patterns)):  # an empty one would fit what lies on no well
            raise BadConfig("--group", [f"{one!r}: write NAME=PATTERN,PATTERN..."])
        conditions[name] = conditions.get(name, ()) + patterns
    return conditions
