"""How well a run foresaw, dated and judged what happened, against the truth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.archive.reader import RunReader
from acquisition.records import Event, Verdict
from acquisition.simulated.truth.file import TruthReader
from acquisition.simulated.truth.oracle import Oracle
from calibration.comparison import (
    Comparison,
    Truth,
    name_reports,
    true_contacts,
    true_deaths,
)
from calibration.metrics.ranking import average_precision
from tracking.events.foresight import HORIZON_S
from tracking.metrics import EVENT_WINDOW_S, Happening, pair_events

Score = dict[str, float | None]
RISK_EVERY_S = 1800.0
"""Chances to die are scored on one frame in this experiment time."""
ORACLE_DRAWS = 40
"""Futures that the oracle lives for one probability."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Counts of predictions of one kind."""

    made: int
    right: int
    true: int
    told: int  # true events that a right prediction announced
    leads_s: tuple[float, ...]


def dating_figures(
    positions: Mapping[str, list[Comparison]],
    deaths: Sequence[tuple[int, float]],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
) -> Score:
    """Give what became of the reported deaths, and how well they were dated.

    A report of a cell that truly died, or was dead by the time of the report, at
    another time than `EVENT_WINDOW_S` allows is misdated. One of a cell that lived on
    is a false alarm. ``*_corrected`` is with the onset of the verdict, without what was
    refuted.
    """
    onset_s = {one.event_id: one.onset_s for one in verdicts}
    refuted = {one.event_id for one in verdicts if one.outcome == "refuted"}
    died_s = dict(deaths)
    hours = alarms = misdated = hits = true = kept = 0.0
    for name, frames in positions.items():
        told = [one for one in events if (one.kind, one.position) == ("death", name)]
        truth = true_deaths(frames, deaths)
        for report in _wrong(truth, name_reports(frames, told)):
            when_s = died_s.get(report.cells[0], np.inf) if report.cells else np.inf
            dead = when_s <= (report.decided_s or 0.0) + EVENT_WINDOW_S
            misdated += dead
            alarms += not dead
        later = [
            replace(one, time_s=onset_s.get(one.event_id, one.time_s))
            for one in told
            if one.event_id not in refuted
        ]
        reports = name_reports(frames, later)
        hits += len(pair_events(truth.counted, reports))
        kept += len(reports)
        true += len(truth.counted)
        hours += _live_hours(frames)
    return {
        "deaths_misdated": misdated,
        "false_alarms_per_1000_cell_hours": 1000 * alarms / hours if hours else None,
        "false_alarms_per_run": alarms,
        "death_events_recall_corrected": hits / true if true else None,
        "death_events_precision_corrected": hits / kept if kept else None,
        "events_confirmed": float(len(verdicts) - len(refuted)),
        "events_refuted": float(len(refuted)),
    }


def prediction_figures(
    positions: Mapping[str, list[Comparison]],
    deaths: Sequence[tuple[int, float]],
    events: Sequence[Event],
) -> Score:
    """Give precision, recall and lead of predicted deaths and contacts.

    A prediction is right when the event begins after it was made and at most
    `EVENT_WINDOW_S` after its deadline; those whose deadline the run did not reach are
    left out.
    """
    score: Score = {}
    kinds: dict[str, Callable[[list[Comparison]], Truth]] = {
        "death": lambda frames: true_deaths(frames, deaths),
        "contact": true_contacts,
    }
    for kind, truth_of in kinds.items():
        parts = [
            _foreseen(
                frames,
                truth_of(frames),
                [
                    event
                    for event in events
                    if event.position == name and event.kind == f"predicted {kind}"
                ],
            )
            for name, frames in positions.items()
        ]
        made, right, true, told = (
            sum(getattr(part, name) for part in parts)
            for name in ("made", "right", "true", "told")
        )
        leads_s = [lead for part in parts for lead in part.leads_s]
        score |= {
            f"predicted_{kind}s": float(made),
            f"predicted_{kind}_precision": right / made if made else None,
            f"predicted_{kind}_recall": told / true if true else None,
            f"predicted_{kind}_lead_min": (
                float(np.median(leads_s)) / 60 if leads_s else None
            ),
        }
    return score


def risk_figures(
    run: RunReader,
    truth: TruthReader,
    positions: Mapping[str, list[Comparison]],
    *,
    oracle: bool,
) -> Score:
    """Give the area under precision and recall of P(dead within an hour).

    Of the living cells with a stated chance, on one frame in half an hour, as long as
    the hour lies within the run. The oracle knows the full state of the specimen and
    the laws it lives by; it is asked about the same cells.
    """
    died_s = dict(truth.deaths())
    seer = Oracle(truth) if oracle else None
    parts = [
        _risks(run, frame, _fates(truth, frame, died_s), seer)
        for frames in positions.values()
        for frame in _thinned(frames)
    ]
    joined = np.concatenate([np.empty((3, 0)), *parts], axis=1)
    risk, dies, best = joined[0], joined[1] > 0, joined[2]
    return {
        "risk_cells": float(dies.size),
        "risk_deaths": float(dies.sum()),
        "auprc_dead_1h": average_precision(risk, dies),
        "auprc_dead_1h_oracle": average_precision(best, dies) if oracle else None,
        "auprc_dead_1h_chance": float(dies.mean()) if dies.size else None,
    }


def _fates(
    truth: TruthReader, frame: Comparison, died_s: Mapping[int, float]
) -> dict[int, float]:
    """Give the time of death of the living cells of a frame, infinite for never."""
    real = truth.frame(frame.sequence)
    living = real.id[~real.dead].tolist()
    return {cell: died_s.get(cell, np.inf) for cell in living}


def _risks(
    run: RunReader, frame: Comparison, fates: Mapping[int, float], seer: Oracle | None
) -> NDArray[np.float64]:
    """Give (stated chance, does it die, chance of the oracle) of the living cells."""
    tracks = run.tracks(frame.sequence)
    if tracks.death_risk is None:
        return np.empty((3, 0))
    known = np.isfinite(tracks.death_risk)
    risk = dict(
        zip(
            tracks.track_id[known].tolist(),
            tracks.death_risk[known].tolist(),
            strict=True,
        )
    )
    best: dict[int, float] = {}
    if seer is not None:
        forecast = seer.deaths(frame.sequence, (HORIZON_S,), ORACLE_DRAWS)
        best = dict(
            zip(forecast.id.tolist(), forecast.probability[:, 0].tolist(), strict=True)
        )
    rows = []
    for cell, track in zip(
        frame.match_true.tolist(), frame.match_track.tolist(), strict=True
    ):
        if track in risk and cell in fates:
            dies = fates[cell] <= frame.time_s + HORIZON_S
            rows.append((risk[track], float(dies), best.get(cell, 0.0)))
    return np.array(rows, np.float64).reshape(-1, 3).T


def _thinned(frames: Sequence[Comparison]) -> list[Comparison]:
    chosen: list[Comparison] = []
    for frame in frames:
        if frame.time_s > frames[-1].time_s - HORIZON_S:
            break
        if not chosen or frame.time_s - chosen[-1].time_s >= RISK_EVERY_S:
            chosen.append(frame)
    return chosen


def _foreseen(
    frames: list[Comparison], truth: Truth, events: Sequence[Event]
) -> Foreseen:
    """Match predictions with what then happened to the same cells."""
    end_s = frames[-1].time_s if frames else 0.0
    judged = [event for event in events if event.time_s <= end_s]
    made_s = {frame.sequence: frame.time_s for frame in frames}
    # The cells are those of the tracks when the prediction was made.
    named = name_reports(
        frames, [replace(e, time_s=made_s.get(e.sequence, e.time_s)) for e in judged]
    )
    real = [*truth.counted, *truth.open]
    right, leads_s, told = 0, [], set()
    for event, report in zip(judged, named, strict=True):
        begins_s = [
            one.time_s
            for one in real
            if one.cells == report.cells
            and report.time_s < one.time_s <= event.time_s + EVENT_WINDOW_S
        ]
        if begins_s and report.cells:
            right += 1
            first_s = min(begins_s)
            leads_s.append(first_s - report.time_s)
            told.add((report.cells, first_s))
    counted = {(one.cells, one.time_s) for one in truth.counted}
    return Foreseen(
        made=len(judged),
        right=right,
        true=len(counted),
        told=len(told & counted),
        leads_s=tuple(leads_s),
    )


def _wrong(truth: Truth, reports: Sequence[Happening]) -> list[Happening]:
    """Give the reports that match neither a true death nor one at the rim."""
    used = set(pair_events(truth.counted, reports).values())
    used |= set(pair_events(truth.open, reports).values())
    return [report for at, report in enumerate(reports) if at not in used]


def _live_hours(frames: Sequence[Comparison]) -> float:
    times_s = np.array([frame.time_s for frame in frames])
    live = np.array([frame.true_live for frame in frames[:-1]])
    return float((live * np.diff(times_s)).sum()) / 3600 if len(frames) > 1 else 0.0
