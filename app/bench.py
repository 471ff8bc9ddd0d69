"""``vigil bench live``: the whole loop on the simulated stand, measured honestly.

Latency counts from the end of the exposure to the decision; a frame that was replaced
before the analysis could take it counts as over budget in ``latency_all_ms``.
"""

import math
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.archive.directory import create_exact_directory
from acquisition.archive.reader import RunReader
from acquisition.errors import BadConfig, BadRun, RunFailed
from acquisition.records import Health
from app.live import LiveRun
from configs import load_experiment

WARM_UP_FRAMES = 10


def bench_live(
    size: int, fps: float, seconds: float, source: str, seed: int
) -> dict[str, Any]:
    """Run the loop on the real clock and give its figures.

    Parameters
    ----------
    size
        Edge of the frames in pixels.
    fps
        Four-step frames asked for per second.
    seconds
        Length of the run after the start-up.
    source
        "live" renders the specimen beside the loop, "bank" plays rendered cycles.
    seed
        Of the simulated specimen.
    """
    for name, value in (("--fps", fps), ("--seconds", seconds)):
        if not (math.isfinite(value) and value > 0):
            raise BadConfig("bench live", [f"{name}: must be above 0 (given: {value})"])
    experiment = load_experiment(
        "demo",
        values={
            "run.clock": "real",
            "run.speed": 1.0,
            "run.duration_s": seconds,
            "run.seed": seed,
            "simulated.size_px": size,
            "simulated.source": source,
            "simulated.truth": False,
            "triggers": [],
            "log.frames": "every",
            "log.every": max(1, round(fps)),
            "timelapse": {
                "time_plan": {"interval": 1.0 / fps, "loops": 1_000_000},
                "stage_positions": [{"x": 0, "y": 0, "name": "dish"}],
            },
        },
    )
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder:
        directory = create_exact_directory(Path(folder) / "run")
        with closing(LiveRun(experiment, directory, headless=True)) as run:
            outcome = run.run()
        if outcome.state != "ended":
            raise RunFailed(f"the run was {outcome.state}: {outcome.reason}")
        figures = _figures(directory, outcome.health)
    return {"fps_asked": fps, **figures}


def _figures(directory: Path, health: dict[str, Health]) -> dict[str, Any]:
    (frames,) = [s for s in health["acquisition"].streams if s.subscriber == "analysis"]
    (log,) = [s for s in health["acquisition"].streams if s.subscriber == "recorder"]
    with RunReader(directory) as run:
        sequences = run.analysed_sequences
        every = run.stamps()
        stamps = every[every["decision_ns"] > 0][WARM_UP_FRAMES:]
        cells = [len(run.cells(s).label) for s in sequences]
        _model, engine = run.model_and_engine(int(sequences[-1]))
        recorded = len(run.sequences)
    if len(stamps) < 2:
        raise BadRun(
            f"only {len(stamps)} frames after the warm-up: ask for more seconds"
        )
    t0 = stamps["exposure_end_ns"]
    latency = (stamps["decision_ns"] - t0) / 1e6
    seconds = (t0[-1] - t0[0]) / 1e9
    budget_missed = np.full(frames.replaced, np.inf)
    return {
        "fps_done": round((len(t0) - 1) / seconds, 3),
        "cells_mean": round(float(np.mean(cells)), 1),
        "made": frames.made,
        "delivered": frames.delivered,
        "replaced": frames.replaced,
        "in_flight": frames.in_flight,
        "lost": log.made - recorded,
        "latency_ms": _percentiles(latency),
        "latency_all_ms": _percentiles(np.concatenate([latency, budget_missed])),
        "stage_ms": _stages(stamps),
        "cpu_share": _shares(health),
        "engine": engine,
    }


def _percentiles(values: NDArray[np.float64]) -> dict[str, float | None]:
    """Give the nearest-rank percentiles; None stands for a frame never analysed."""
    ordered = np.sort(values)
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    picked = {
        name: float(ordered[max(0, int(np.ceil(rank * len(ordered))) - 1)])
        for name, rank in ranks.items()
    }
    return {k: round(v, 2) if np.isfinite(v) else None for k, v in picked.items()}


def _stages(stamps: NDArray[Any]) -> dict[str, dict[str, float | None]]:
    order = (
        ("read", "exposure_end_ns", "read_ns"),
        ("transport", "read_ns", "received_ns"),
        ("phase", "received_ns", "phase_ns"),
        ("network", "phase_ns", "network_ns"),
        ("cells", "network_ns", "cells_ns"),
        ("track", "cells_ns", "tracks_ns"),
        ("forecast", "tracks_ns", "forecast_ns"),
        ("decision", "forecast_ns", "decision_ns"),
    )
    return {
        name: _percentiles((stamps[after] - stamps[before]) / 1e6)
        for name, before, after in order
    }


def _shares(health: dict[str, Health]) -> dict[str, float]:
    """Processor time of each process in cores, while it was running."""
    shares = {}
    for name, last in health.items():
        facts = dict(last.facts)
        if "cpu_share" in facts:
            shares[name] = round(facts["cpu_share"], 3)
        if "simulator_cpu_share" in facts:
            shares["simulator"] = round(facts["simulator_cpu_share"], 3)
    return shares
