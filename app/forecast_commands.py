"""``vigil bench forecast``: the forecasts beside what any must beat."""

import argparse
from pathlib import Path
from typing import Any

from acquisition.errors import BadConfig
from app.model_commands import DONE, Answer, New
from app.tables import rows_text

MODELS = ("bank", "transformer")


def add_bench_forecast(benches: Any, new: New) -> None:
    """Add the command."""
    bench = new(benches, "forecast", "how far off forecasts are", _bench)
    bench.add_argument(
        "--tracks",
        type=Path,
        nargs="+",
        metavar="CSV",
        help="real tracks (frame, track_id, x_px, y_px) instead of simulated ones",
    )
    bench.add_argument("--pixel-size", type=float, metavar="UM", help="of --tracks")
    bench.add_argument("--interval", type=float, metavar="S", help="of --tracks")
    bench.add_argument(
        "--maps",
        action="store_true",
        help="the map of live and dead cells two frames ahead instead",
    )
    bench.add_argument(
        "--weights", type=Path, metavar="DIR", help="of --maps: also this map network"
    )
    bench.add_argument("--regime", help="only this one")
    bench.add_argument(
        "--absolute",
        action="store_true",
        help="also train the paper's own transformer, to reproduce it",
    )
    bench.add_argument("--model", choices=MODELS, help="absent: both")
    bench.add_argument("--seeds", type=int, default=3, metavar="N")


def _bench(options: argparse.Namespace) -> Answer:
    from calibration.benchmarks.forecast import bench_forecast
    from calibration.benchmarks.forecast_real import bench_tracks

    if options.weights and not options.maps:
        raise BadConfig("bench forecast", ["--weights is of --maps: give both"])
    if options.maps:
        from calibration.benchmarks.forecast_maps import bench_maps

        result = bench_maps(options.seeds, options.weights)
        return Answer(DONE, result, rows_text(result["rows"]))
    models = ("bank",) if options.model == "bank" else MODELS
    if options.tracks:
        result = bench_tracks(
            options.tracks, models, options.pixel_size, options.interval
        )
    else:
        result = bench_forecast(
            options.seeds, models, options.regime, absolute=options.absolute
        )
    text = [rows_text(result["summary"]), rows_text(result["rows"])]
    if "cpu_ms_500_tracks" in result:
        text += [
            f"{model}: {ms} ms of processor time for 500 tracks"
            for model, ms in result["cpu_ms_500_tracks"].items()
        ]
    return Answer(DONE, result, "\n\n".join(text))
