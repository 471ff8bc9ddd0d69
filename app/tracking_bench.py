"""``vigil bench tracking``: names through time beside other trackers."""

import argparse
from pathlib import Path
from typing import Any

from acquisition.errors import BadConfig
from app.model_commands import DONE, Answer, New
from app.tables import rows_text


def add_bench_tracking(benches: Any, new: New) -> None:
    """Add the command."""
    bench = new(
        benches, "tracking", "names through time, beside other trackers", _bench
    )
    bench.add_argument(
        "--tracks",
        type=Path,
        nargs="+",
        metavar="CSV",
        help="real tracks (frame, track_id, x_px, y_px) instead of simulated scenes",
    )
    bench.add_argument(
        "--thin", default="1,4,8", metavar="N,N", help="of --tracks: each n-th frame"
    )
    bench.add_argument("--pixel-size", type=float, metavar="UM", help="of --tracks")
    bench.add_argument("--interval", type=float, metavar="S", help="of --tracks")
    bench.add_argument("--scene", help="only this one: A, B or wells")
    bench.add_argument("--cells", type=int, help="only this number: 50, 500 or 5000")
    bench.add_argument("--seeds", type=int, default=5, metavar="N")
    bench.add_argument(
        "--budget",
        type=float,
        default=60.0,
        metavar="S",
        help="processor time of another tracker on a row; then it begins no more seeds",
    )


def _bench(options: argparse.Namespace) -> Answer:
    from app.evaluate import progress
    from calibration.benchmarks.tracking import SHOWN, Wishes, bench_tracking
    from calibration.benchmarks.tracking_real import bench_real_tracks

    with progress() as tell:
        if options.tracks:
            scale = (options.pixel_size, options.interval)
            thin = _thin(options.thin)
            result = bench_real_tracks(options.tracks, thin, scale, tell)
            return Answer(DONE, result, rows_text(result["rows"]))
        chosen: dict[str, Any] = {"seeds": options.seeds, "budget_s": options.budget}
        if options.scene:
            chosen["scenes"] = (options.scene,)
        if options.cells:
            chosen["cells"] = (options.cells,)
        result = bench_tracking(Wishes(**chosen), tell)
    rows = [{key: row[key] for key in SHOWN} for row in result["rows"]]
    parts = [rows_text(rows), *result["left_out"], *result["over_budget"]]
    if result["stage"]:
        parts += ["whole stage, scene A", rows_text(result["stage"])]
    return Answer(DONE, result, "\n".join(parts))


def _thin(text: str) -> tuple[int, ...]:
    try:
        thin = tuple(int(word) for word in text.split(","))
    except ValueError:
        thin = ()
    if not thin or min(thin) < 1:
        fault = f"--thin: give whole numbers above 0, as 1,4,8 (given: {text})"
        raise BadConfig("bench tracking", [fault])
    return thin
