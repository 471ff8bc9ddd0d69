"""How good a recorded run was, against the truth.

Everything comes from what the run recorded; nothing is analysed again. Simulated runs
are scored against their exact truth, recorded images against label masks. A figure
that cannot be stated is ``None``; one of a class with fewer than 50 objects is not
stated.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acquisition.archive.reader import RunReader
from acquisition.errors import BadImages, BadRun
from acquisition.simulated.truth.file import TruthReader
from calibration.comparison import Comparison, compare_frame
from calibration.figures import Score, event_figures, object_figures, track_figures
from calibration.masks import read_masks
from calibration.metrics.instances import InstanceCounts, count_instances
from calibration.revised_figures import revised_figures
from calibration.score_events import (
    dating_figures,
    prediction_figures,
    risk_figures,
)
from calibration.second_look import revisions_of
from configs.loading import load_experiment
from configs.schema import Experiment
from inference.engines.classical import ClassicalEngine
from inference.stage import InferenceStage

SCORED_EVERY_S = 600.0
"""Objects are scored on one frame in this experiment time."""
KEYS = (
    "objects_live",
    "objects_dead",
    "unsure_share",
    "object_f1_live",
    "object_f1_dead",
    "mean_object_f1",
    "pics_f1_live",
    "pics_f1_dead",
    "instance_f1_50",
    "mota",
    "idf1",
    "switches_per_1000",
    "death_events_recall",
    "death_events_precision",
    "contact_events_recall",
    "contact_events_precision",
    "onset_delay_min",
    "false_deaths_per_1000_cell_hours",
    "false_deaths_per_run",
    "false_alarms_per_1000_cell_hours",
    "false_alarms_per_run",
    "predicted_death_precision",
    "predicted_death_recall",
    "predicted_death_lead_min",
    "predicted_contact_precision",
    "predicted_contact_recall",
    "predicted_contact_lead_min",
    "auprc_dead_1h",
    "auprc_dead_1h_oracle",
)
"""What every score states, if only as ``None``."""


def score_run(run_dir: Path, *, oracle: bool = False) -> Score:
    """Score a simulated run against its exact truth.

    ``oracle``: also ask what the best forecast of the deaths would have reached, which
    lives the specimen on again and again and takes minutes.

    Returns
    -------
    The figures of `KEYS`, and beside them how many objects and events they rest on.
    ``object_f1_live`` and ``_dead`` are re-weighted to 25 % dead (see
    `calibration.metrics.object_f1`), ``*_natural`` are at the share found in the run.

    Raises
    ------
    BadRun
        If the run cannot be read or has no truth.
    """
    with RunReader(run_dir) as run:
        if run.truth_path is None:
            raise BadRun(
                f"{run_dir} has no truth beside it; only runs of the simulated "
                "microscope do: give label masks with --truth LABELS.tif"
            )
        positions = _compare(run, run.truth_path)
        settled = _settings(run).events.death.settle_frames
        with TruthReader(run.truth_path) as truth:
            deaths = list(truth.deaths())
            risks = risk_figures(run, truth, positions, oracle=oracle)
        events, verdicts = run.events(), run.verdicts()
        revisions = revisions_of(run)
    scored = [
        frame for frames in positions.values() for frame in _thin(frames, settled)
    ]
    if not scored:
        raise BadRun(
            f"{run_dir}: no frame has an analysis with its mask and a truth: nothing "
            "can be scored; vigil repair says whether segments are damaged"
        )
    score: Score = dict.fromkeys(KEYS)
    score |= object_figures(scored)
    score |= track_figures(positions)
    score |= revised_figures(positions, revisions)
    score |= event_figures(positions, deaths, events)
    score |= dating_figures(positions, deaths, events, verdicts)
    score |= prediction_figures(positions, deaths, events) | risks
    return score


def score_masks(run_dir: Path, labels: Path) -> Score:
    """Score a run on recorded images against label masks, page or file = frame.

    The engine without a network is run on the kept frames as a baseline.

    Returns
    -------
    The figures of `KEYS`; masks say nothing about viability or identity, so only
    ``instance_f1_50`` is stated, with the same of the baseline and counts beside it.

    Raises
    ------
    BadRun
        If the run cannot be read or no analysed frame has a mask.
    BadImages
        If the masks cannot be read, or have not the number or shape of the frames.
    """
    pages = read_masks(labels)
    ours: list[InstanceCounts] = []
    baseline: list[InstanceCounts] = []
    with RunReader(run_dir) as run:
        frames = int(run.sequences.max(initial=0))
        if len(pages) != frames:
            raise BadImages(
                f"{labels} holds {len(pages)} masks, {run_dir} has {frames} frames; "
                "give one mask for each frame of the run, in order"
            )
        settings = _settings(run)
        classical = InferenceStage(
            ClassicalEngine(), None, settings.inference, settings.stand
        )
        for number in run.analysed_sequences.tolist():
            found = run.labels(number)
            if found is None:
                continue
            mask = pages[number - 1]
            if mask.shape != found.shape:
                raise BadImages(
                    f"{labels}: page {number} has the shape {mask.shape}, frame "
                    f"{number} of the run {found.shape}; give the masks of its images"
                )
            ours.append(count_instances(mask, found))
            frame = run.frame(number)
            if frame is not None:
                baseline.append(count_instances(mask, classical(frame).labels))
    if not ours:
        raise BadRun(
            f"{run_dir}: no frame has both recorded labels and one of the {len(pages)} "
            f"masks of {labels}; record with log.labels = true"
        )
    total = sum(ours, InstanceCounts())
    score: Score = dict.fromkeys(KEYS)
    return score | {
        "instance_f1_50": total.f1_50,
        "instance_f1_75": total.f1_75,
        "baseline_instance_f1_50": sum(baseline, InstanceCounts()).f1_50,
        "frames_scored": len(ours),
        "baseline_frames_scored": len(baseline),
        "objects": total.true,
    }


def _settings(run: RunReader) -> Experiment:
    return load_experiment(str(run.directory / "config.toml"))


def _compare(run: RunReader, truth_path: Path) -> dict[str, list[Comparison]]:
    """Compare every analysed frame that has labels and truth, by position and time."""
    smallest_um2 = _settings(run).inference.min_area_um2
    positions: dict[str, list[Comparison]] = {}
    with TruthReader(truth_path) as truth:
        known = np.intersect1d(run.analysed_sequences, truth.sequences)
        for number in known.tolist():
            info, labels = run.info(number), run.labels(number)
            if labels is None or info.is_aside:
                continue
            compared = compare_frame(
                truth.frame(number),
                labels,
                run.cells(number),
                run.tracks(number),
                smallest_um2 / info.pixel_size_um**2,
            )
            positions.setdefault(info.position, []).append(compared)
    for frames in positions.values():
        frames.sort(key=lambda frame: frame.time_s)
    return positions


def _thin(frames: Sequence[Comparison], settled: int) -> list[Comparison]:
    """Choose the first settled frame, one every ten minutes after it, and the last."""
    chosen: list[Comparison] = []
    for frame in frames[min(settled, len(frames)) - 1 :]:
        if not chosen or frame.time_s - chosen[-1].time_s >= SCORED_EVERY_S:
            chosen.append(frame)
    if frames and chosen[-1] is not frames[-1]:
        chosen.append(frames[-1])
    return chosen
