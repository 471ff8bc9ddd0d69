"""``vigil report``: how the cells of a run moved, and what became of them."""

import argparse
from pathlib import Path
from typing import Any

from app.model_commands import DONE, Answer, New
from app.tables import pages_text


def add_report(commands: Any, new: New) -> None:
    """Add the command."""
    report = new(commands, "report", "how cells moved, and their read-outs", _report)
    report.add_argument("run", type=Path, help="run directory")
    report.add_argument(
        "--output", type=Path, metavar="DIR", help="write cells.csv and motion.csv"
    )


def _report(options: argparse.Namespace) -> Answer:
    from calibration.motion_report import report_run

    result = report_run(options.run, options.output)
    pages = (
        ("motion", result["motion"]),
        ("slopes of the moments in time", result["exponents"]),
        ("masks moved by their forecast, and copied", result["maps"]),
        ("read-outs by fate, mean and standard error", result["groups"]),
    )
    return Answer(DONE, result, pages_text(pages))
