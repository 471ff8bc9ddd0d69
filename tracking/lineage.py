"""How well one lineage agrees with another, as edits that would make them equal.

A lineage is a graph: every object is a node; the same track in the next frame, and a
daughter after the last frame of its mother, are edges. Counted are the edits that turn
the found graph into the true one, weighed by the labour they cost a person (Matula et
al. 2015, the measures DET, LNK and TRA of the Cell Tracking Challenge).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPLIT, MISSING, SUPERFLUOUS = 5.0, 10.0, 1.0
"""Labour of a node: part a joint object, add one, delete one."""
CUT, LINK, RENAME = 1.0, 1.5, 1.0
"""Labour of an edge: delete it, add it, change its meaning."""
GOES_ON, DIVIDES = 0, 1
"""What an edge means."""

Edges = dict[tuple[int, int], int]
"""Node and later node -> meaning."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Who was in which frame, and who came from whom."""

    frame: NDArray[np.int64]  # (object,)
    track: NDArray[np.int64]  # (object,) from 1, once a frame
    parent: Mapping[int, int]  # track -> the track it divided from


@dataclass(frozen=True, slots=True)
class SameObjects:
    """Which true object lies in which found one; several may lie in one."""

    frame: NDArray[np.int64]  # (pair,)
    true: NDArray[np.int64]  # (pair,) once a frame
    found: NDArray[np.int64]  # (pair,)


@dataclass(frozen=True, slots=True)
class LineageScore:
    """The edits; what a ratio of nothing is, is not known."""

    nodes: int  # true ones
    edges: int
    split: int
    missing: int
    superfluous: int
    cut: int
    linked: int
    renamed: int

    @property
    def node_labour(self) -> float:
        """Labour on nodes."""
        added = MISSING * self.missing + SUPERFLUOUS * self.superfluous
        return SPLIT * self.split + added

    @property
    def edge_labour(self) -> float:
        """Labour on edges."""
        return CUT * self.cut + LINK * self.linked + RENAME * self.renamed

    @property
    def det(self) -> float | None:
        """Detection, 0 to 1: node labour beside that of drawing all nodes."""
        return _saved(self.node_labour, MISSING * self.nodes)

    @property
    def lnk(self) -> float | None:
        """Linking, 0 to 1: edge labour beside that of drawing all edges."""
        return _saved(self.edge_labour, LINK * self.edges)

    @property
    def tra(self) -> float | None:
        """Tracking, 0 to 1: all labour beside that of drawing everything."""
        all_of_it = MISSING * self.nodes + LINK * self.edges
        return _saved(self.node_labour + self.edge_labour, all_of_it)


def score_lineage(true: Lineage, found: Lineage, same: SameObjects) -> LineageScore:
    """Count the edits between two lineages.

    Edges at superfluous nodes vanish with them; those at joint objects, which are
    several true ones, count as not found.
    """
    nodes, found_nodes = _nodes(true), _nodes(found)
    partner = {
        nodes[(frame, one)]: found_nodes[(frame, two)]
        for frame, one, two in zip(
            same.frame.tolist(), same.true.tolist(), same.found.tolist(), strict=True
        )
    }
    used, times = np.unique(list(partner.values()), return_counts=True)
    alone = set(used[times == 1].tolist())
    true_of = {two: one for one, two in partner.items() if two in alone}
    wanted = _edges(true, nodes)
    given = {
        (true_of[one], true_of[two]): meaning
        for (one, two), meaning in _edges(found, found_nodes).items()
        if one in true_of and two in true_of
    }
    both = wanted.keys() & given.keys()
    return LineageScore(
        nodes=len(nodes),
        edges=len(wanted),
        split=int((times - 1).sum()),
        missing=len(nodes) - len(partner),
        superfluous=len(found_nodes) - used.size,
        cut=len(given) - len(both),
        linked=len(wanted) - len(both),
        renamed=sum(wanted[edge] != given[edge] for edge in both),
    )


def _nodes(lineage: Lineage) -> dict[tuple[int, int], int]:
    pairs = zip(lineage.frame.tolist(), lineage.track.tolist(), strict=True)
    return {pair: number for number, pair in enumerate(pairs)}


def _edges(lineage: Lineage, nodes: dict[tuple[int, int], int]) -> Edges:
    edges = {
        (number, nodes[(frame + 1, track)]): GOES_ON
        for (frame, track), number in nodes.items()
        if (frame + 1, track) in nodes
    }
    seen: dict[int, list[int]] = {}
    for frame, track in nodes:
        seen.setdefault(track, []).append(frame)
    for child, mother in lineage.parent.items():
        if mother and child in seen and mother in seen:
            last, first = max(seen[mother]), min(seen[child])
            edges[(nodes[(last, mother)], nodes[(first, child)])] = DIVIDES
    return edges


def _saved(labour: float, all_of_it: float) -> float | None:
    return 1 - min(labour, all_of_it) / all_of_it if all_of_it else None
