"""The commands on recorded runs: export, refine, replay."""

import argparse
from pathlib import Path
from typing import Any

from app.model_commands import DONE, INTERRUPTED, Answer, New
from app.tables import rows_text, table_text

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
    _add_replay(commands, new)


def _add_replay(commands: Any, new: New) -> None:
    replay = new(
        commands, "replay", "analyse the frames of a run again, into a new run", _replay
    )
    replay.add_argument("run", type=Path, help="run directory")
    replay.add_argument("--output", type=Path, metavar="DIR", help="new run directory")
    replay.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another setting, for example inference.model=slim_eunet_b0",
    )
    replay.add_argument(
        "--all",
        action="store_true",
        help="also frames that were recorded and that the run had no time to analyse",
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


def _replay(options: argparse.Namespace) -> Answer:
    from app.replay import Wish, replay

    result = replay(Wish(options.run, options.output, tuple(options.set), options.all))
    shown = {k: v for k, v in result.items() if k not in ("differences", "notes")}
    tables = [table_text(shown)]
    if result["differences"]:
        tables.append(f"differences\n{rows_text(result['differences'])}")
    code = INTERRUPTED if result["state"] == "interrupted" else DONE
    return Answer(code, result, "\n\n".join([*tables, *result["notes"]]))
