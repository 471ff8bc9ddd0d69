"""Where two recorded analyses of the same frames differ."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun

PER_FRAME = ("labels", "cells", "tracks", "forecast", "refined")
IN_THE_JOURNAL = ("events", "verdicts", "revisions")
"""Requests are no part of it: how many may be asked a minute depends on the wall."""
ROUNDING = 1e-5
"""Numbers count as the same within this, or this share of themselves: last digits may
differ in another process (seen once: 1e-8 um, in two of eight tracks)."""
_DECIMALS = 4
"""Of the numbers in a journal, whose entries are matched as sets."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One kind of result that is not the same in both runs."""

    what: str
    count: int  # of frames, or of entries that stand in one journal only
    first: int | None  # sequence of the first; None where entries have none


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs were found to say, and what of it could not be compared."""

    differences: list[Difference]  # none: what was compared is the same
    masks_not_kept: int  # frames of which one of the runs keeps no mask
    unreadable: list[str]  # one message a result of a frame that is damaged


def compare_runs(one: RunReader, other: RunReader) -> Comparison:
    """Compare the analyses of two runs: counts, names and states exactly.

    Other numbers may differ by `ROUNDING`.
    A result that is damaged costs only itself: the others are still compared.
    """
    analysed = one.analysed_sequences, other.analysed_sequences
    found = [_difference("analysed", np.setxor1d(*analysed).tolist())]
    both = np.intersect1d(*analysed).tolist()
    masks_not_kept, unreadable = 0, []
    for what in PER_FRAME:
        off = []
        for sequence in both:
            try:
                pair = getattr(one, what)(sequence), getattr(other, what)(sequence)
            except (BadRun, OSError) as error:  # OSError: of a table of HDF5
                unreadable.append(f"{what} of frame {sequence}: {error}")
                continue
            if what == "labels" and (pair[0] is None or pair[1] is None):
                masks_not_kept += 1
            elif not _same(*pair):
                off.append(sequence)
        found.append(_difference(what, off))
    for what in IN_THE_JOURNAL:
        mine, its = ({_rounded(e): e for e in getattr(r, what)()} for r in (one, other))
        apart = [(mine | its)[key] for key in mine.keys() ^ its.keys()]
        found.append(_difference(what, [getattr(e, "sequence", None) for e in apart]))
    differ = [difference for difference in found if difference.count]
    return Comparison(differ, masks_not_kept, unreadable)


def engines_of(run: RunReader) -> set[str]:
    """Give the models and engines that served a run."""
    table = run.analysis_table()
    pairs = zip(table["model"].tolist(), table["engine"].tolist(), strict=True)
    return {f"{model.decode()} on {engine.decode()}" for model, engine in set(pairs)}


def _difference(what: str, sequences: Iterable[int | None]) -> Difference:
    listed = list(sequences)
    known = [sequence for sequence in listed if sequence is not None]
    return Difference(what, len(listed), min(known, default=None))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        if one.dtype.kind != "f":
            return np.array_equal(one, other)
        return np.allclose(one, other, ROUNDING, ROUNDING, equal_nan=True)
    if is_dataclass(one) and type(one) is type(other):
        names = (field.name for field in fields(one))
        return all(_same(getattr(one, n), getattr(other, n)) for n in names)
    return bool(one == other)


def _rounded(entry: Any) -> Any:
    """Give what is compared of an entry: itself, its numbers rounded."""
    if isinstance(entry, float):
        return round(entry, _DECIMALS) if np.isfinite(entry) else str(entry)
    if isinstance(entry, tuple):
        return tuple(map(_rounded, entry))
    if is_dataclass(entry):
        return tuple(_rounded(getattr(entry, field.name)) for field in fields(entry))
    return entry
