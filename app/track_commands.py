"""The commands on the tracks of recorded runs: export, refine."""

import argparse
from pathlib import Path
from typing import Any

from app.model_commands import DONE, Answer, New
from app.tables import table_text

FORMATS = ("ctc",)
"""What the exporter writes; named here so that the command line starts fast."""


def add_track_commands(commands: Any, new: New) -> None:
    """Add all commands of this file."""
    export = new(commands, "export", "write a run in the format of others", _export)
    export.add_argument("run", type=Path, help="run directory")
    export.add_argument(
        "--format",
        choices=FORMATS,
        required=True,
        help="ctc: label maps and lineage of the Cell Tracking Challenge",
    )
    export.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="new folder"
    )
    export.add_argument(
        "--revised", action="store_true", help="names after the revisions of the run"
    )
    refine = new(
        commands, "refine", "look again at the tracks of a run that ended", _refine
    )
    refine.add_argument("run", type=Path, help="run directory")
    refine.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another setting, for example tracking.refine.smoothness=3",
    )


def _export(options: argparse.Namespace) -> Answer:
    from calibration.export import export_run

    written = export_run(
        options.run, options.format, options.output, revised=options.revised
    )
    result = {"output": str(options.output), **written}
    return Answer(DONE, result, table_text(result))


def _refine(options: argparse.Namespace) -> Answer:
    from calibration.second_look import refine_run

    result = refine_run(options.run, tuple(options.set))
    return Answer(DONE, result, table_text(result))
