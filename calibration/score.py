"""How good a recorded run was, against the truth.

Everything comes from what the run recorded; nothing is analysed again. Simulated runs
are scored against their exact truth, recorded images against label masks. A figure
that cannot be stated is ``None``; one of a class with fewer than 50 objects is not
stated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from acquisition.archive.reader import RunReader
from acquisition.errors import BadImages, BadRun
from acquisition.records import CellState, Event
from acquisition.simulated.truth import TruthReader
from calibration.comparison import (
    Comparison,
    Truth,
    collect_tracks,
    compare_frame,
    join_objects,
    name_reports,
    true_contacts,
    true_deaths,
)
from configs.loading import load_experiment
from configs.schema import Experiment
from inference.engines.classical import ClassicalEngine
from inference.stage import InferenceStage
from tracking.metrics import (
    EventScore,
    Happening,
    ObjectTable,
    TrackScore,
    auroc,
    find_overlaps,
    instance_f1,
    match_events,
    match_objects,
    object_f1,
    pics_f1,
    score_tracks,
)
from tracking.stage import RECENTRED

Score = dict[str, float | None]

FEWEST_OBJECTS = 50
DEAD_SHARE = 0.25
"""Share of dead cells to which the headline figures are re-weighted."""
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
)
"""What every score states, if only as ``None``."""


def score_run(run_dir: Path) -> Score:
    """Score a simulated run against its exact truth.

    Returns
    -------
    The figures of `KEYS`, and beside them how many objects and events they rest on.
    ``object_f1_live`` and ``_dead`` are re-weighted to 25 % dead (see
    `tracking.metrics.object_f1`), ``*_natural`` are at the share found in the run.

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
        events = run.events()
    scored = [
        frame for frames in positions.values() for frame in _thin(frames, settled)
    ]
    score: Score = dict.fromkeys(KEYS)
    score |= _object_figures(scored)
    score |= _track_figures(positions)
    score |= _event_figures(positions, deaths, events)
    return score


def score_masks(run_dir: Path, labels_tif: Path) -> Score:
    """Score a run on recorded images against label masks, page = frame.

    The engine without a network is run on the kept frames as a baseline.

    Returns
    -------
    The figures of `KEYS`; masks say nothing about viability or identity, so only
    ``instance_f1_50`` is stated, with ``baseline_instance_f1_50`` and counts beside it.

    Raises
    ------
    BadRun
        If the run cannot be read or no analysed frame has a mask.
    BadImages
        If the masks cannot be read or do not have the shape of the frames.
    """
    pages = _read_masks(labels_tif)
    with RunReader(run_dir) as run:
        sequences = [
            number
            for number in run.analysed_sequences.tolist()
            if number <= len(pages) and run.labels(number) is not None
        ]
        if not sequences:
            raise BadRun(
                f"{run_dir}: none of its frames has recorded labels and one of the "
                f"{len(pages)} masks of {labels_tif}; record with log.labels = true"
            )
        found = _Instances()
        baseline = _Instances()
        stage = _baseline(_settings(run))
        for number in sequences:
            mask = pages[number - 1]
            found.add(_same_shape(mask, run.labels(number), labels_tif), run, number)
            frame = run.frame(number)
            if frame is not None:
                baseline.count(mask, stage(frame).labels)
