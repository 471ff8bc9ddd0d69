"""Where two recorded analyses of the same frames differ."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from acquisition.archive.reader import RunReader

PER_FRAME = ("labels", "cells", "tracks", "forecast", "refined")
IN_THE_JOURNAL = ("events", "verdicts", "revisions")
"""Requests are no part of it: how many may be asked a minute depends on the wall."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One kind of result that is not the same in both runs."""

    what: str
    count: int  # of frames, or of entries that stand in one journal only
    first: int | None  # sequence of the first; None where entries have none


def differences(one: RunReader, other: RunReader) -> list[Difference]:
    """Compare the analyses of two runs bit by bit; none: they say the same.

    Masks that one of the runs did not keep are passed over.
    """
    analysed = one.analysed_sequences, other.analysed_sequences
    found = [_difference("analysed", np.setxor1d(*analysed).tolist())]
    both = np.intersect1d(*analysed).tolist()
    for what in PER_FRAME:
        pairs = ((s, getattr(one, what)(s), getattr(other, what)(s)) for s in both)
        off = [s for s, a, b in pairs if not _same(what, a, b)]
        found.append(_difference(what, off))
    for what in IN_THE_JOURNAL:
        entries = set(getattr(one, what)()) ^ set(getattr(other, what)())
        found.append(
            _difference(what, [getattr(entry, "sequence", None) for entry in entries])
        )
    return [difference for difference in found if difference.count]


def engines_of(run: RunReader) -> set[str]:
    """Give the models and engines that served a run."""
    table = run.analysis_table()
    pairs = zip(table["model"].tolist(), table["engine"].tolist(), strict=True)
    return {f"{model.decode()} on {engine.decode()}" for model, engine in set(pairs)}


def _difference(what: str, sequences: Iterable[int | None]) -> Difference:
    listed = list(sequences)
    known = [sequence for sequence in listed if sequence is not None]
    return Difference(what, len(listed), min(known, default=None))


def _same(what: str, one: Any, other: Any) -> bool:
    if what == "labels" and (one is None or other is None):
        return True
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        numbers = one.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, numbers)
    if is_dataclass(one) and type(one) is type(other):
        names = (field.name for field in fields(one))
        return all(_same("", getattr(one, n), getattr(other, n)) for n in names)
    return bool(one == other)
