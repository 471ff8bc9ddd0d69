"""Whether a new model may take the place of the old one.

It may if it is worse in no stratum by more than one point (LFT loop: train, compare on
a frozen set, promote). A stratum is one figure on one world.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MOST_LOST = 0.01
"""One point."""
STRATA = (
    "object_f1_live",
    "object_f1_dead",
    "instance_f1_50",
    "touching_f1_50",
)


def compare_rows(
    present: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Put the figures of two models on the same worlds side by side, and judge.

    A stratum that only the present model states counts as lost: the new one refuses
    the world.

    Returns
    -------
    ``strata`` (rows), ``promote``, and ``reasons`` why not.
    """
    strata = []
    for old, young in zip(present, new, strict=True):
        for figure in STRATA:
            before, after = old.get(figure), young.get(figure)
            change = None
            if before is not None and after is not None:
                change = after - before
            strata.append(
                {
                    "world": old["name"],
                    "figure": figure,
                    "present": before,
                    "new": after,
                    "difference": change,
                    "refused": before is not None
                    and (change is None or change < -MOST_LOST),
                }
            )
    judged = [one for one in strata if one["present"] is not None]
    reasons = [
        f"{one['world']}, {one['figure']}: {_say(one['new'])} instead of "
        f"{_say(one['present'])}"
        for one in strata
        if one["refused"]
    ]
    if not judged:
        reasons.append("no stratum has enough cells to be judged; take more fields")
    return {"strata": strata, "promote": not reasons, "reasons": reasons}


def _say(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.3f}"
