"""From frame-by-frame comparisons to the figures of a score."""

import itertools
from collections.abc import Sequence

import numpy as np

from acquisition.records import CellState, Event
from calibration.comparison import (
    Comparison,
    Truth,
    collect_tracks,
    name_reports,
    true_contacts,
    true_deaths,
)
from calibration.metrics.objects import (
    DEAD_SHARE,
    FEWEST_OBJECTS,
    ObjectTable,
    balanced_accuracy,
    false_share,
    instance_f1,
    join_objects,
    missed_share,
    object_f1,
    pics_f1,
)
from calibration.metrics.ranking import auroc
from calibration.metrics.strata import figures_by_stratum
from tracking.metrics import (
    EventScore,
    Happening,
    TrackScore,
    match_events,
    pair_events,
    score_tracks,
)

Score = dict[str, float | None]
"""Figures by name; ``None`` where one cannot be stated."""


def object_figures(frames: Sequence[Comparison]) -> Score:
    """Give the figures of objects; the headline ones are at 25 % dead.

    ``*_frame``, AUROC and balanced accuracy are those of the network on single frames;
    all others rest on the states that were shown, filtered along the tracks.
    """
    table = join_objects([frame.objects for frame in frames])
    alone = join_objects([frame.frame_objects for frame in frames])
    live = int((table.true_state == CellState.LIVE).sum())
    dead = int((table.true_state == CellState.DEAD).sum())
    found = sum(frame.found for frame in frames)
    matched = sum(frame.matched for frame in frames)
    closely = sum(frame.matched_closely for frame in frames)
    f1 = [
        _stated(object_f1(table, CellState.LIVE, DEAD_SHARE), live),
        _stated(object_f1(table, CellState.DEAD, DEAD_SHARE), dead),
    ]
    return {
        "frames_scored": len(frames),
        "objects_live": live,
        "objects_dead": dead,
        "objects_found": found,
        "objects_left_out": sum(frame.left_out for frame in frames),
        "dead_share": dead / (live + dead) if live + dead else None,
        "unsure_share": float(table.unsure.sum()) / found if found else None,
        "object_f1_live": f1[0],
        "object_f1_dead": f1[1],
        "mean_object_f1": _mean(f1),
        "object_f1_live_natural": _stated(object_f1(table, CellState.LIVE), live),
        "object_f1_dead_natural": _stated(object_f1(table, CellState.DEAD), dead),
        "object_f1_live_frame": _stated(
            object_f1(alone, CellState.LIVE, DEAD_SHARE), live
        ),
        "object_f1_dead_frame": _stated(
            object_f1(alone, CellState.DEAD, DEAD_SHARE), dead
        ),
        "pics_f1_live": _stated(pics_f1(table, CellState.LIVE), live),
        "pics_f1_dead": _stated(pics_f1(table, CellState.DEAD), dead),
        "instance_f1_50": instance_f1(matched, live + dead, found),
        "instance_f1_75": instance_f1(closely, live + dead, found),
        "missed_share": missed_share(table),
        "false_share": false_share(table),
        **_matched_figures(alone),
        **_strata_figures(table, frames),
    }


def _strata_figures(table: ObjectTable, frames: Sequence[Comparison]) -> Score:
    """Give what became of true cells at the edge and in contact, and of the others."""
    marks = {
        ("edge", "inside"): [frame.on_edge for frame in frames],
        ("touching", "apart"): [frame.in_contact for frame in frames],
    }
    score: Score = {}
    for names, parts in marks.items():
        rows = np.concatenate([np.zeros(0, np.bool_), *parts])
        both = figures_by_stratum(table, {"": rows})[""]
        for name, figures in zip(names, both, strict=True):
            score[f"objects_{name}"] = figures.objects
            score[f"missed_share_{name}"] = figures.missed
            score[f"right_share_live_{name}"] = _known(figures.right_live)
            score[f"right_share_dead_{name}"] = _known(figures.right_dead)
    return score


def _known(figure: float) -> float | None:
    return None if np.isnan(figure) else figure


def _matched_figures(table: ObjectTable) -> Score:
    """Figures of single frames over the cells that were found."""
    found = np.isfinite(table.dead_probability) & (table.true_state > 0)
    dead = table.true_state[found] == CellState.DEAD
    called_dead = table.found_state[found] == CellState.DEAD
    few = min(int(dead.sum()), int((~dead).sum())) < FEWEST_OBJECTS
    if few:
        return {"auroc_dead": None, "balanced_accuracy": None}
    return {
        "auroc_dead": auroc(table.dead_probability[found], dead),
        "balanced_accuracy": balanced_accuracy(called_dead, dead),
    }


def track_figures(positions: dict[str, list[Comparison]]) -> Score:
    """Give the figures of identity over all frames, positions added up."""
    scores = [score_tracks(collect_tracks(frames)) for frames in positions.values()]
    total = TrackScore(
        true=sum(score.true for score in scores),
        found=sum(score.found for score in scores),
        matched=sum(score.matched for score in scores),
        switches=sum(score.switches for score in scores),
        identity_matched=sum(score.identity_matched for score in scores),
    )
    return {
        "frames_compared": sum(len(frames) for frames in positions.values()),
        "mota": total.mota,
        "idf1": total.idf1,
        "switches_per_1000": total.switches_per_1000,
    }


def event_figures(
    positions: dict[str, list[Comparison]],
    deaths: Sequence[tuple[int, float]],
    events: Sequence[Event],
) -> Score:
    """Give the figures of reported against true deaths and contacts.

    Parameters
    ----------
    positions
        The frames of every position, by time.
    deaths
        True id and experiment time in s of every membrane rupture.
    events
        What the run reported.
    """
    died, met = [], []
    for name, frames in positions.items():
        here = [event for event in events if event.position == name]
        reported = {
            kind: name_reports(frames, [event for event in here if event.kind == kind])
            for kind in ("death", "contact")
        }
        died.append(score_events(true_deaths(frames, deaths), reported["death"]))
        met.append(score_events(true_contacts(frames), reported["contact"]))
    death, contact = _total(died), _total(met)
    hours = sum(_live_cell_hours(frames) for frames in positions.values())
    false = death.found - death.found_right
    return {
        "death_events_recall": death.recall,
        "death_events_precision": death.precision,
        "contact_events_recall": contact.recall,
        "contact_events_precision": contact.precision,
        "onset_delay_min": _median_min(death.delays_s),
        "alert_delay_min": _median_min(death.alerts_s),
        "false_deaths_per_1000_cell_hours": 1000 * false / hours if hours else None,
        "false_deaths_per_run": false,
        "deaths_true": death.true,
        "deaths_reported": death.found,
        "contacts_true": contact.true,
        "contacts_reported": contact.found,
        "contact_duplicates": contact.found_repeated,
        "live_cell_hours": hours,
    }


def score_events(truth: Truth, reported: Sequence[Happening]) -> EventScore:
    """Match reports one to one; such of events at the rim of observation are left out.

    An event at the rim excuses a single report as well, of those that no event that
    counts has a use for.
    """
    used = set(pair_events(truth.counted, reported).values())
    rest = [number for number in range(len(reported)) if number not in used]
    excused = pair_events(truth.open, [reported[number] for number in rest]).values()
    left_out = {rest[at] for at in excused}
    judged = [one for at, one in enumerate(reported) if at not in left_out]
    return match_events(truth.counted, judged)


def _total(scores: Sequence[EventScore]) -> EventScore:
    return EventScore(
        true=sum(score.true for score in scores),
        found=sum(score.found for score in scores),
        true_hit=sum(score.true_hit for score in scores),
        found_right=sum(score.found_right for score in scores),
        delays_s=tuple(delay for score in scores for delay in score.delays_s),
        alerts_s=tuple(delay for score in scores for delay in score.alerts_s),
        found_repeated=sum(score.found_repeated for score in scores),
    )


def _live_cell_hours(frames: Sequence[Comparison]) -> float:
    """Add up the time for which truly live cells were watched."""
    pairs = itertools.pairwise(frames)
    return sum(one.true_live * (two.time_s - one.time_s) for one, two in pairs) / 3600


def _median_min(times_s: Sequence[float]) -> float | None:
    return float(np.median(times_s)) / 60 if times_s else None


def _stated(figure: float | None, objects: int) -> float | None:
    return figure if objects >= FEWEST_OBJECTS else None


def _mean(figures: Sequence[float | None]) -> float | None:
    stated = [figure for figure in figures if figure is not None]
    return float(np.mean(stated)) if len(stated) == len(figures) else None
