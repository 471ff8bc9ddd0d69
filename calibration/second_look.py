"""A second look at a recorded run: ``vigil refine``.

The recorded frames go through the same refinement as in a live run, with all the time
in the world: every contact that ended is answered, and the last ones too. Then every
course is smoothed as a whole under the revised names. Both are written beside the
record, which stays as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from acquisition.archive.journal import Journal, read_journal
from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from acquisition.records import FrameInfo, Revision
from configs.loading import load_experiment
from configs.schema import Tracking
from tracking.revisions.refine import Refiner, observe, rules_of
from tracking.revisions.revised import RevisedNames
from tracking.revisions.smoothing import smooth_course
from tracking.revisions.solver import EpisodeSolver

REVISIONS = "revisions.jsonl"
COURSES = "courses.h5"
COURSE = np.dtype(
    [
        ("sequence", "<i8"),
        ("time_s", "<f8"),
        ("position", "S64"),
        ("track_id", "<i8"),  # as recorded
        ("name", "<i8"),  # as revised
        ("centre_um", "<f8", (2,)),  # smoothed over the whole run
        ("filled", "u1"),  # it had no outline of its own
    ]
)
"""Data set ``courses`` of `COURSES`: every track in every frame."""

Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What was found, and what was left out."""

    revisions: tuple[Revision, ...]
    courses: Rows  # COURSE
    left_out: int  # contacts too large or too long
    is_smoothness_assumed: bool  # it was to be learnt, and could not


def refine_run(run_dir: Path, overrides: tuple[str, ...] = ()) -> dict[str, int]:
    """Look at a run again and write `REVISIONS` and `COURSES` into its folder.

    Parameters
    ----------
    run_dir
        A run that has ended.
    overrides
        Settings in place of those of the run, such as ``tracking.refine.smoothness=3``.

    Returns
    -------
    dict
        Revisions of ``names`` and ``courses``, how many were ``banded``, contacts
        ``left_out``, and the ``rows`` of the courses; ``smoothness_assumed``:
        positions whose smoothness was to be learnt and had too few frames, or too
        uneven ones, for it.

    Raises
    ------
    BadRun
        If the run cannot be read, is still written, or was looked at before.
    """
    if (run_dir / REVISIONS).exists():
        raise BadRun(
            f"{run_dir / REVISIONS} exists: this run was looked at before; remove it "
            f"and {COURSES} to do so again"
        )
    with RunReader(run_dir) as run:
        if run.state == "recording":
            raise BadRun(f"{run_dir} is still written; wait for its end")
        config = str(run_dir / "config.toml")
        tracking = load_experiment(config, list(overrides)).tracking
        looks = [
            look_again(run, frames, tracking) for frames in _positions(run).values()
        ]
    said = sorted(
        (revision for look in looks for revision in look.revisions),
        key=lambda revision: (revision.sequence, revision.revision_id),
    )
    courses = np.concatenate([np.zeros(0, COURSE), *(look.courses for look in looks)])
    with h5py.File(run_dir / COURSES, "w") as file:
        file.create_dataset("courses", data=courses, compression="gzip", shuffle=True)
    journal = Journal(run_dir / REVISIONS, durable=True)
    for revision in said:
        journal.append(revision)
    journal.close()
    return {
        "names": sum(revision.kind == "name" for revision in said),
        "courses": sum(revision.kind == "course" for revision in said),
        "banded": sum(revision.method != "osqp" for revision in said),
        "left_out": sum(look.left_out for look in looks),
        "smoothness_assumed": sum(look.is_smoothness_assumed for look in looks),
        "rows": len(courses),
    }


def revisions_of(run: RunReader) -> list[Revision]:
    """Give the revisions of the second look; without one those of the run itself."""
    path = run.directory / REVISIONS
    if not path.exists():
        return run.revisions()
    return [entry for entry in read_journal(path) if isinstance(entry, Revision)]


def look_again(
    run: RunReader, frames: list[FrameInfo], tracking: Tracking
) -> SecondLook:
    """Look at one position again; ``frames`` in order of time."""
    solver = EpisodeSolver(rules_of(tracking), patient=True)
    refiner = Refiner(tracking, solver)
    said: list[Revision] = []
    for info in frames:
        cells, tracks = run.cells(info.sequence), run.tracks(info.sequence)
        _, revisions = refiner.update(info, run.facts.shape[1:], cells, tracks)
        said += revisions
    if frames:
        said += refiner.finish(frames[-1])
    rows = _rows(run, frames, RevisedNames(said))
    _smooth(rows, refiner.smoothness)
    return SecondLook(
        tuple(said),
        rows,
        refiner.left_out,
        refiner.is_smoothness_assumed,
    )


def _positions(run: RunReader) -> dict[str, list[FrameInfo]]:
    positions: dict[str, list[FrameInfo]] = {}
    for number in run.analysed_sequences.tolist():
        info = run.info(number)
        if not info.is_aside:
            positions.setdefault(info.position, []).append(info)
    for frames in positions.values():
        frames.sort(key=lambda info: info.time_s)
    return positions


def _rows(run: RunReader, frames: list[FrameInfo], names: RevisedNames) -> Rows:
    """Give every track in every frame, by revised name and time, as measured."""
    parts = [np.zeros(0, COURSE)]
    for info in frames:
        tracks = run.tracks(info.sequence)
        sighting = observe(info, run.cells(info.sequence), tracks).sighting
        rows = np.zeros(tracks.track_id.size, COURSE)
        rows["sequence"], rows["time_s"] = info.sequence, info.time_s
        rows["position"] = info.position.encode()
        rows["track_id"] = tracks.track_id
        rows["name"] = names(tracks.track_id, info.sequence)
        rows["centre_um"] = sighting.centre_um
        rows["filled"] = ~sighting.seen
        parts.append(rows)
    table = np.concatenate(parts)
    order: Rows = table[np.lexsort((table["time_s"], table["name"]))]
    return order


def _smooth(rows: Rows, smoothness: float) -> None:
    """Smooth the centres of every name, in place."""
    for part in _by_name(rows):
        time_s = part["time_s"].copy()
        if time_s.size > 2 and (np.diff(time_s) > 0).all():
            seen = part["filled"][None] == 0
            centre_um = part["centre_um"][None]
            part["centre_um"] = smooth_course(time_s, centre_um, seen, smoothness)[0]


def _by_name(rows: Rows) -> Iterator[Rows]:
    ends = np.flatnonzero(np.diff(rows["name"], append=-1)) + 1
    start = 0
    for end in ends.tolist():
        yield rows[start:end]
        start = end
