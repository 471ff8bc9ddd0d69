"""``vigil bench forecast``: the forecasts beside what any must beat."""

import argparse
from pathlib import Path
from typing import Any

from acquisition.errors import BadConfig
from app.model_commands import DONE, Answer, New
from app.tables import rows_text

MODELS = ("bank", "transformer")
SEEDS = 3
OF = {
    "--pixel-size": "tracks",
    "--interval": "tracks",
    "--weights": "maps",
    "--regime": "courses",
    "--absolute": "courses",
    "--model": "courses tracks",
    "--seeds": "courses maps",
}
"""What is measured, by the options that have a say in it: simulated courses, real
tracks, or maps."""


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
    bench.add_argument("--seeds", type=int, metavar="N", help=f"absent: {SEEDS}")


def _bench(options: argparse.Namespace) -> Answer:
    from calibration.benchmarks.forecast import bench_forecast
    from calibration.benchmarks.forecast_real import bench_tracks

    _check(options)
    seeds = SEEDS if options.seeds is None else options.seeds
    if options.maps:
        from calibration.benchmarks.forecast_maps import bench_maps

        result = bench_maps(seeds, options.weights)
        return Answer(DONE, result, rows_text(result["rows"]))
    models = ("bank",) if options.model == "bank" else MODELS
    if options.tracks:
        result = bench_tracks(
            options.tracks, models, options.pixel_size, options.interval
        )
    else:
        result = bench_forecast(
            seeds, models, options.regime, absolute=options.absolute
        )
    text = [rows_text(result["summary"]), rows_text(result["rows"])]
    if "cpu_ms_500_tracks" in result:
        text += [
            f"{model}: {ms} ms of processor time for 500 tracks"
            for model, ms in result["cpu_ms_500_tracks"].items()
        ]
    return Answer(DONE, result, "\n\n".join(text))


def _check(options: argparse.Namespace) -> None:
    """Refuse what would have no effect, every fault at once."""
    faults = []
    if options.maps and options.tracks:
        faults.append("--maps is of simulated specimens: leave out --tracks or --maps")
    what = "maps" if options.maps else "tracks" if options.tracks else "courses"
    for option, of in OF.items():
        value = getattr(options, option.removeprefix("--").replace("-", "_"))
        if value not in (None, False) and what not in of.split():
            faults.append(_no_say(option, what, of))
    if options.seeds is not None and options.seeds < 1:
        faults.append(f"--seeds must be at least 1 (given: {options.seeds})")
    if faults:
        raise BadConfig("bench forecast", faults)


def _no_say(option: str, what: str, of: str) -> str:
    """Say why an option has no effect, and where it would have one."""
    where = " or ".join(
        "no --maps or --tracks" if one == "courses" else f"--{one}"
        for one in of.split()
    )
    here = "without --maps or --tracks" if what == "courses" else f"with --{what}"
    return f"{option} has no effect {here}: it goes with {where}"
