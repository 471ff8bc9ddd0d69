"""``vigil bench log`` and ``vigil bench display``: what record and picture cost."""

import argparse
from pathlib import Path
from typing import Any

from app.model_commands import DONE, Answer, New
from app.tables import rows_text, table_text


def add_bench_log_and_display(benches: Any, new: New) -> None:
    """Add both commands."""
    log = new(benches, "log", "the record of a run, written and read", _log)
    log.add_argument("--output", type=Path, metavar="DIR", help="folder on that disk")
    display = new(benches, "display", "the picture of the window", _display)
    for bench in (log, display):
        bench.add_argument("--size", type=int, default=1024, metavar="N")
        bench.add_argument("--repeat", type=int, default=20, metavar="N")
        bench.add_argument("--seed", type=int, default=1, metavar="N")


def _log(options: argparse.Namespace) -> Answer:
    from calibration.benchmarks.log import bench_log

    return _answer(
        bench_log(options.size, options.repeat, options.seed, options.output)
    )


def _display(options: argparse.Namespace) -> Answer:
    from app.display_bench import bench_display

    return _answer(bench_display(options.size, options.repeat, options.seed))


def _answer(result: dict[str, Any]) -> Answer:
    about = {key: value for key, value in result.items() if key != "rows"}
    return Answer(DONE, result, f"{rows_text(result['rows'])}\n\n{table_text(about)}")
