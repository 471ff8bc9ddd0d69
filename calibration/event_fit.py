"""A calibration of the deaths out of recorded simulated runs, as one TOML file."""

import importlib.metadata
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from acquisition.records import Segmented
from acquisition.simulated.truth.file import TruthReader
from calibration.comparison import Comparison, compare_frame
from calibration.evidence_fit import fit_nets
from calibration.evidence_samples import Course, Watched, collect, count_deaths
from calibration.onset_fit import STEPS
from configs.loading import load_experiment
from inference.prevalence import shift_frame
from tracking.events.evidence import FORMAT, Evidence, Provenance
from tracking.events.histories import BIN_S, feature_names

Views = list[tuple[Course, ...]]
"""The courses of a position from the beginning, and as if it had begun later."""


def fit_runs(
    runs: Sequence[Path], output: Path, seed: int, steps: int = STEPS
) -> dict[str, Any]:
    """Fit a calibration to recorded runs and write it; gives what it rests on.

    ``steps`` of the fit of the onset, which takes nearly all of the time.

    Raises
    ------
    BadRun
        If a run cannot be read, has no truth, or none has a death.
    """
    parts: list[Views] = []
    names, models = [], []
    for directory in runs:
        with RunReader(directory) as run:
            if run.truth_path is None:
                raise BadRun(f"{directory} has no truth: fit to simulated runs")
            with TruthReader(run.truth_path) as truth:
                parts += _samples(run, truth)
                names.append(_describe(run, truth))
            models += [run.model_and_engine(n)[0] for n in run.analysed_sequences[:1]]
    deaths, hours = count_deaths(one for part in parts for one in part[0])
    if deaths == 0:
        raise BadRun("no cell dies in these runs: nothing can be learnt from them")
    provenance = Provenance(
        made=datetime.now(UTC).date().isoformat(),
        software=f"vigil {importlib.metadata.version('vigil-microscopy')}",
        model=", ".join(dict.fromkeys(models)),
        runs=tuple(names),
        deaths=deaths,
        cell_hours=round(hours, 1),
        command=f"vigil fit-events RUN... --seed {seed}",
    )
    write_evidence(fit_evidence(parts, provenance, seed, steps), output)
    return {"output": str(output), "deaths": deaths, "cell_hours": round(hours, 1)}


def fit_evidence(
    parts: Sequence[Views], provenance: Provenance, seed: int = 1, steps: int = STEPS
) -> Evidence:
    """Fit everything on the courses of several runs; the same input, the same bytes."""
    torch.set_num_threads(1)
    views = [
        [one for courses in view for one in courses]
        for view in zip(*parts, strict=True)
    ]
    return Evidence(
        format=FORMAT,
        features=feature_names(),
        phase=fit_nets(views, seed, phase=True, steps=steps),
        plain=fit_nets(views, seed, phase=False, steps=steps),
        provenance=provenance,
    )


def write_evidence(evidence: Evidence, path: Path) -> None:
    """Write a calibration as the file that ``events.death.calibration`` names."""
    text = tomli_w.dumps(evidence.model_dump())
    text = re.sub(r"\[\n\s+(?=-?\d)", "[", text)  # a row of numbers in one line
    text = re.sub(r"(?<=\d),\n\s+(?=-?\d)", ", ", text)
    text = re.sub(r"(?<=\d),\n\s*\]", "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _samples(run: RunReader, truth: TruthReader) -> list[Views]:
    """Collect the courses of every stage position of a run."""
    positions: dict[str, list[Watched]] = {}
    settings = load_experiment(str(run.directory / "config.toml"))
    known = np.intersect1d(run.analysed_sequences, truth.sequences)
    table = run.analysis_table()
    shifts = dict(
        zip(table["sequence"].tolist(), table["prior_shift"].tolist(), strict=True)
    )
    for number in known.tolist():
        info, labels = run.info(number), run.labels(number)
        if labels is None or info.is_aside:
            continue
        cells, tracks = run.cells(number), run.tracks(number)
        smallest_px = settings.inference.min_area_um2 / info.pixel_size_um**2
        compared = compare_frame(
            truth.frame(number), labels, cells, tracks, smallest_px
        )
        model, engine = run.model_and_engine(number)
        recorded = Segmented(info, labels, labels, cells, model, engine, 0, 0, 0, 0)
        # The filters of a run see what the network said, before the shift by share.
        band = settings.inference.unsure_band
        segmented = shift_frame(recorded, -shifts.get(number, 0.0), band)
        watched = Watched(segmented, tracks, _names(compared))
        positions.setdefault(info.position, []).append(watched)
    for name, frames in positions.items():
        _check_interval(run, name, [one.segmented.info.time_s for one in frames])
    # Cells that were dead before the run died too, nobody knows when.
    deaths = dict.fromkeys(_dead_at_first(truth), -np.inf) | dict(truth.deaths())
    return [collect(frames, deaths) for frames in positions.values()]


def _check_interval(run: RunReader, position: str, times_s: Sequence[float]) -> None:
    """Refuse frames so far apart that bins of the filter are skipped."""
    step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    if step_s > BIN_S:
        raise BadRun(
            f"{run.directory}: {step_s:g} s between the frames of {position}; evidence "
            f"of death is fitted to frames {BIN_S:g} s apart or less: record again "
            "with a shorter timelapse.time_plan.interval"
        )


def _dead_at_first(truth: TruthReader) -> list[int]:
    """Name the cells of the first frame that are dead in it."""
    first = truth.frame(int(truth.sequences[0]))
    dead: list[int] = first.id[first.dead].tolist()
    return dead


def _names(compared: Comparison) -> dict[int, int]:
    pairs = zip(
        compared.match_track.tolist(), compared.match_true.tolist(), strict=True
    )
    return dict(pairs)


def _describe(run: RunReader, truth: TruthReader) -> str:
    """Name a run so that it can be made again."""
    times_s = run.frame_table()["time_s"]
    every_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    frames = len(times_s)
    return f"{truth.world_name}, seed {truth.seed}, {frames} frames, {every_s:.0f} s"
