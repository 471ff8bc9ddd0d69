"""The table ``/analysis/refined``: earlier frames as they look later."""

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Refined

REFINED = np.dtype(
    [
        ("sequence", "<i8"),
        ("of_sequence", "<i8"),
        ("track_id", "<i8"),
        ("centre_um", "<f8", (2,)),
        ("filled", "u1"),
        ("doubtful", "u1"),
    ]
)
"""Frame ``of_sequence`` as it looked when frame ``sequence`` had been analysed."""


def refined_rows(refined: Refined | None, sequence: int) -> NDArray[np.void]:
    """Rows of what became final with a frame."""
    if refined is None:
        return np.zeros(0, REFINED)
    rows = np.zeros(len(refined.track_id), REFINED)
    rows["sequence"], rows["of_sequence"] = sequence, refined.sequence
    for name in ("track_id", "centre_um", "filled", "doubtful"):
        rows[name] = getattr(refined, name)
    return rows


def refined_from_rows(rows: NDArray[np.void]) -> Refined | None:
    """Give back what became final with a frame; None if no track did."""
    if len(rows) == 0:
        return None
    return Refined(
        sequence=int(rows["of_sequence"][0]),
        track_id=np.ascontiguousarray(rows["track_id"]),
        centre_um=np.ascontiguousarray(rows["centre_um"]),
        filled=rows["filled"].astype(np.bool_),
        doubtful=rows["doubtful"].astype(np.bool_),
    )
