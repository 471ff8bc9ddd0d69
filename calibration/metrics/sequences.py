"""Sequences of label maps beside their truth, by the Cell Tracking Challenge.

A true object lies in the found one that covers more than half of it; several may lie in
one. Truth and result are read frame by frame, in step.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadImages
from calibration.metrics.overlaps import Overlaps, find_overlaps
from tracking.lineage import Lineage, LineageScore, SameObjects, score_lineage
from tracking.metrics import TrackScore, TrackTable, score_tracks

LabelMap = NDArray[np.uint16]
Pairs = Iterable[tuple[int, LabelMap, LabelMap]]
"""(frame, true label map, found label map)."""


@dataclass(frozen=True, slots=True)
class SequenceScore:
    """How well a result follows its truth."""

    lineage: LineageScore
    tracks: TrackScore


@dataclass(frozen=True, slots=True)
class MaskScore:
    """Masks of single frames; the true objects of all of them weigh the same."""

    iou: tuple[float, ...]  # of every true object that lies in a found one
    objects: int

    @property
    def seg(self) -> float | None:
        """The measure SEG: mean IoU of the true objects."""
        return float(np.sum(self.iou)) / self.objects if self.objects else None


def score_sequence(
    pairs: Pairs, parents: tuple[Mapping[int, int], Mapping[int, int]]
) -> SequenceScore:
    """Score the names in found label maps against those in true ones.

    Parameters
    ----------
    pairs
        The frames in order.
    parents
        Of truth and result: track to the track it divided from; empty where divisions
        are not known.

    Raises
    ------
    BadImages
        If the maps of a frame differ in size.
    """
    rows = [_columns(*pair) for pair in pairs]
    if not rows:
        rows = [(np.empty(0, np.int64),) * 7]
    table = TrackTable(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))
    lineage = score_lineage(
        Lineage(table.true_frame, table.true_id, parents[0]),
        Lineage(table.found_frame, table.found_id, parents[1]),
        SameObjects(table.match_frame, table.match_true, table.match_found),
    )
    return SequenceScore(lineage, score_tracks(_same_cells(table, *parents)))


def _same_cells(
    table: TrackTable, true_parent: Mapping[int, int], found_parent: Mapping[int, int]
) -> TrackTable:
    """Give an only child the name of its mother: so a gap in a track is written."""
    columns = (
        ("true_id", true_parent),
        ("found_id", found_parent),
        ("match_true", true_parent),
        ("match_found", found_parent),
    )
    return replace(
        table,
        **{name: _rename(getattr(table, name), parent) for name, parent in columns},
    )


def _rename(names: NDArray[np.int64], parent: Mapping[int, int]) -> NDArray[np.int64]:
    children = Counter(mother for mother in parent.values() if mother)
    first = {}
    for name in np.unique(names).tolist():
        oldest = name
        while children[parent.get(oldest, 0)] == 1:
            oldest = parent[oldest]
        first[name] = oldest
    return np.array([first[name] for name in names.tolist()], np.int64)


def _columns(
    frame: int, true: LabelMap, found: LabelMap
) -> tuple[NDArray[np.int64], ...]:
    """Give the columns of a `TrackTable` that one frame adds."""
    overlaps = _overlaps(frame, true, found)
    rows = covering(overlaps)
    sizes = (overlaps.true_label.size, overlaps.found_label.size, rows.size)
    at = [np.full(size, frame, np.int64) for size in sizes]
    return (
        at[0],
        overlaps.true_label,
        at[1],
        overlaps.found_label,
        at[2],
        overlaps.true[rows],
        overlaps.found[rows],
    )


def score_masks_of(pairs: Pairs) -> MaskScore:
    """Sum up the IoU of true masks with the found ones that cover them.

    Raises
    ------
    BadImages
        If the maps of a frame differ in size.
    """
    iou: list[float] = []
    objects = 0
    for frame, true, found in pairs:
        overlaps = _overlaps(frame, true, found)
        iou += overlaps.iou[covering(overlaps)].tolist()
        objects += overlaps.true_label.size
    return MaskScore(tuple(iou), objects)


def covering(overlaps: Overlaps) -> NDArray[np.int64]:
    """Give the rows in which the found object covers more than half of the true one."""
    area = overlaps.true_pixels[np.searchsorted(overlaps.true_label, overlaps.true)]
    return np.flatnonzero(2 * overlaps.pixels > area)


def _overlaps(frame: int, true: LabelMap, found: LabelMap) -> Overlaps:
    if true.shape != found.shape:
        raise BadImages(
            f"frame {frame}: the true label map is {true.shape}, the found one "
            f"{found.shape}; give maps of the same images"
        )
    return find_overlaps(true, found)
