"""The figures of identity under revised names, beside those that were recorded."""

from collections.abc import Sequence
from dataclasses import replace

from acquisition.records import Revision
from calibration.comparison import Comparison
from calibration.figures import Score, track_figures
from tracking.revisions.revised import RevisedNames


def revised_figures(
    positions: dict[str, list[Comparison]], revisions: Sequence[Revision]
) -> Score:
    """Give MOTA, IDF1 and switches after the revisions; without any they are None."""
    exchanged = sum(revision.kind == "name" for revision in revisions)
    names = ("mota", "idf1", "switches_per_1000")
    score: Score = {"names_revised": exchanged}
    score |= dict.fromkeys([f"{name}_revised" for name in names])
    if exchanged:
        renamed = {
            position: _rename(
                frames, [one for one in revisions if one.position == position]
            )
            for position, frames in positions.items()
        }
        figures = track_figures(renamed)
        score |= {f"{name}_revised": figures[name] for name in names}
    return score


def _rename(
    frames: Sequence[Comparison], revisions: Sequence[Revision]
) -> list[Comparison]:
    names = RevisedNames(revisions)
    return [
        replace(
            frame,
            track_id=names(frame.track_id, frame.sequence),
            match_track=names(frame.match_track, frame.sequence),
        )
        for frame in frames
    ]
