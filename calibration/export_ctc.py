"""The tracks of a run as the Cell Tracking Challenge wants them.

``01_RES/mask000.tif`` and on, a label map a frame, and ``01_RES/res_track.txt`` with
label, first frame, last frame and parent of every track; ``02_RES`` is the next stage
position. A track there has no gaps: where a cell was not seen on its own (coasting, or
in one mask with another) it ends, and the next part names it as its parent. A mother
ends where her daughters begin.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from acquisition.records import Tracks
from calibration.datasets.ctc import LineageRow
from inference.cells import MOST_LABELS

Naming = Callable[[NDArray[np.int64], int], NDArray[np.int64]]
"""Names of some tracks in a frame (by sequence), as they are held to be now."""


@dataclass(frozen=True, slots=True)
class Presence:
    """The tracks that had an outline of their own in one frame."""

    label: NDArray[np.int64]  # (track,) in the label map
    name: NDArray[np.int64]  # (track,)
    parent: NDArray[np.int64]  # (track,) name, 0: none


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a track without gaps."""

    name: int
    row: LineageRow


def present(tracks: Tracks, sequence: int, naming: Naming) -> Presence:
    """Give the tracks with an outline; of a shared blob it is the carrier's."""
    own = np.flatnonzero((tracks.label > 0) & (tracks.merged_with == 0))
    names = naming(tracks.track_id[own], sequence)
    parent = naming(tracks.parent[own], sequence)
    return Presence(tracks.label[own].astype(np.int64), names, parent)


def cut_parts(frames: Iterable[Presence]) -> list[Part]:
    """Cut all tracks into parts without gaps, numbered by their beginning."""
    seen: dict[int, list[int]] = {}
    mother: dict[int, int] = {}
    for number, frame in enumerate(frames):
        rows = zip(frame.name.tolist(), frame.parent.tolist(), strict=True)
        for name, parent in rows:
            seen.setdefault(name, []).append(number)
            mother.setdefault(name, parent)
    births: dict[int, set[int]] = {}
    for name, parent in mother.items():
        births.setdefault(parent, set()).add(seen[name][0])
    spans = [
        (first, name, last)
        for name, at in seen.items()
        for first, last in _spans(at, births.get(name, set()))
    ]
    parts: list[Part] = []
    ends: dict[int, list[tuple[int, int]]] = {}  # name -> (last frame, label) of parts
    for label, (first, name, last) in enumerate(sorted(spans), start=1):
        before = ends.get(name) or ends.get(mother[name], [])
        ended = [number for end, number in before if end < first]
        row = LineageRow(label, first, last, ended[-1] if ended else 0)
        parts.append(Part(name, row))
        ends.setdefault(name, []).append((last, label))
    return parts


def _spans(frames: list[int], cuts: set[int]) -> list[tuple[int, int]]:
    """Give first and last of every stretch of consecutive frames without a cut."""
    spans: list[tuple[int, int]] = []
    for frame in frames:
        if spans and spans[-1][1] == frame - 1 and frame not in cuts:
            spans[-1] = (spans[-1][0], frame)
        else:
            spans.append((frame, frame))
    return spans


def write_ctc(run: RunReader, output: Path, naming: Naming) -> dict[str, int]:
    """Write all positions of a run; give what was written.

    Raises
    ------
    BadRun
        If the label maps were not kept, or there are more parts of tracks than labels.
    """
    positions: dict[str, list[int]] = {}
    for number in run.analysed_sequences.tolist():
        info = run.info(number)
        if not info.is_aside:
            positions.setdefault(info.position, []).append(number)
    if not positions:
        raise BadRun(f"{run.directory}: no frame was analysed; there are no tracks")
    tracks = frames = 0
    for place, sequences in enumerate(positions.values(), start=1):
        folder = output / f"{place:02}_RES"
        folder.mkdir()
        tracks += _write_position(run, sequences, folder, naming)
        frames += len(sequences)
    return {"positions": len(positions), "frames": frames, "tracks": tracks}


def _write_position(
    run: RunReader, sequences: list[int], folder: Path, naming: Naming
) -> int:
    frames = [present(run.tracks(one), one, naming) for one in sequences]
    parts = cut_parts(frames)
    if len(parts) > MOST_LABELS:
        raise BadRun(
            f"{run.directory}: {len(parts)} parts of tracks; the format numbers up to "
            f"{MOST_LABELS}: export a shorter run"
        )
    names = np.array([part.name for part in parts], np.int64)
    first = np.array([part.row.first_frame for part in parts], np.int64)
    last = np.array([part.row.last_frame for part in parts], np.int64)
    digits = max(3, len(str(len(sequences) - 1)))
    for number, (sequence, frame) in enumerate(zip(sequences, frames, strict=True)):
        labels = run.labels(sequence)
        if labels is None:
            raise BadRun(
                f"{run.directory}: the label map of frame {sequence} was not kept; "
                "record with log.labels = true"
            )
        there = np.flatnonzero((first <= number) & (number <= last))
        order = there[np.argsort(names[there])]
        at = order[np.searchsorted(names[order], frame.name)]
        new = np.zeros(MOST_LABELS + 1, np.uint16)
        new[frame.label] = at + 1  # parts are numbered in order
        path = folder / f"mask{number:0{digits}}.tif"
        tifffile.imwrite(path, new[labels], compression="zlib")
    lines = [
        f"{part.row.track} {part.row.first_frame} {part.row.last_frame} "
        f"{part.row.parent}\n"
        for part in parts
    ]
    (folder / "res_track.txt").write_text("".join(lines), encoding="utf-8")
    return len(parts)
