"""Names in a recorded run beside label maps whose numbers are names through time.

Truth of the Cell Tracking Challenge, or a stack of ids. A true cell lies in the found
one that covers more than half of it, in all figures here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from calibration.datasets.label_sequences import LabelSequence, load_label_sequence
from calibration.datasets.manifest import describe
from calibration.export_ctc import Naming, present
from calibration.metrics.sequences import SequenceScore, score_sequence
from calibration.second_look import revisions_of
from inference.cells import MOST_LABELS
from tracking.revisions.revised import RevisedNames


def score_names(run_dir: Path, truth: Path) -> dict[str, Any]:
    """Score the names of a run; page or file k (from 0) is frame k + 1 of the run.

    Returns
    -------
    ``mota``, ``idf1``, ``switches_per_1000``, ``det``, ``lnk``, ``tra``, the same under
    revised names where the run has some, counts, and in ``truth`` what the set says of
    its truth (silver: made by a machine).

    Raises
    ------
    BadRun
        If the run cannot be read, or has no frame with labels that has a truth.
    BadImages
        If the truth cannot be read, or has another size.
    """
    sequence = load_label_sequence(truth)
    with RunReader(run_dir) as run:
        recorded = _score(run, sequence, RevisedNames(()))
        revisions = revisions_of(run)
        exchanged = sum(revision.kind == "name" for revision in revisions)
        revised = None
        if exchanged:
            revised = _score(run, sequence, RevisedNames(revisions))
    return {
        "truth": describe(truth).get("ground_truth", "not stated"),
        "true_objects": recorded.tracks.true,
        **_figures(recorded, ""),
        "names_revised": exchanged,
        **({} if revised is None else _figures(revised, "_revised")),
    }


def _score(run: RunReader, truth: LabelSequence, naming: Naming) -> SequenceScore:
    parent: dict[int, int] = {}
    score = score_sequence(_pairs(run, truth, naming, parent), (truth.parent, parent))
    if score.tracks.true + score.tracks.found == 0:
        raise BadRun(
            f"{run.directory}: no frame has both recorded labels and one of the "
            f"{len(truth.pages)} label maps of {truth.name}; record with "
            "log.labels = true"
        )
    return score


def _pairs(
    run: RunReader, truth: LabelSequence, naming: Naming, parent: dict[int, int]
) -> Iterator[tuple[int, NDArray[np.uint16], NDArray[np.uint16]]]:
    """Give the frames with both maps; fills in who divided from whom on the way."""
    number: dict[int, int] = {0: 0}  # name -> 16-bit number
    for sequence in run.analysed_sequences.tolist():
        labels = run.labels(sequence)
        if labels is None or sequence - 1 not in truth.pages:
            continue
        here = present(run.tracks(sequence), sequence, naming)
        new = np.zeros(MOST_LABELS + 1, np.uint16)
        rows = zip(
            here.label.tolist(), here.name.tolist(), here.parent.tolist(), strict=True
        )
        for label, name, mother in rows:
            new[label] = number.setdefault(name, len(number))
            parent.setdefault(int(new[label]), number.setdefault(mother, len(number)))
        yield sequence - 1, truth.read(sequence - 1), new[labels]


def _figures(score: SequenceScore, suffix: str) -> dict[str, float | None]:
    figures = {
        "mota": score.tracks.mota,
        "idf1": score.tracks.idf1,
        "switches_per_1000": score.tracks.switches_per_1000,
        "det": score.lineage.det,
        "lnk": score.lineage.lnk,
        "tra": score.lineage.tra,
    }
    return {f"{name}{suffix}": value for name, value in figures.items()}
