"""From tracks to events: what happened, what is about to, and what became of it.

An event carries the frame that decided it and, as its time, when it began: for a death
the middle of the posterior of the onset, for a contact the first frame of the touch. A
predicted event carries the time by which it is expected. Whatever is reported is
confirmed or refuted by what follows (`tracking.events.verdicts`).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.records import (
    CellState,
    Event,
    Forecast,
    Segmented,
    Tracks,
    Verdict,
)
from configs.events import Events
from tracking.events.contacts import Contacts
from tracking.events.deaths import Death, Deaths
from tracking.events.evidence import Evidence, load_evidence
from tracking.events.foresight import HORIZON_S, DoseFeatures, death_within
from tracking.events.predictions import Approach, PredictedContacts, PredictedDeaths
from tracking.events.trials import Bench
from tracking.events.watches import Changes, Count, Focus


@dataclass(frozen=True, slots=True)
class _Finding:
    """What distinguishes one event from another of the same frame."""

    time_s: float
    tracks: tuple[int, ...]
    probability: float
    threshold: float
    cause: str = ""
    alert_s: float | None = None
    lead_s: float = 0.0


class EventRules:
    """Watches the tracks of one stage position.

    Parameters
    ----------
    settings
        The section ``[events]``.
    ids
        Source of event ids; share one among positions to keep them unique in a run.
    evidence
        Calibration of the deaths; absent: the one that the settings name.
    """

    def __init__(
        self,
        settings: Events,
        ids: Iterator[int] | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        self._settings = settings
        self._ids = itertools.count(1) if ids is None else ids
        evidence = evidence or load_evidence(settings.death.calibration)
        self._deaths = Deaths(settings.death, evidence)
        self._contacts = Contacts(settings.contact)
        self._fated = PredictedDeaths(settings.predicted_death)
        self._meeting = PredictedContacts(settings.predicted_contact)
        self._changes = Changes(settings.change)
        self._count = Count(settings.count)
        self._focus = Focus(settings.focus)
        self._doses = DoseFeatures()
        self._bench = Bench(
            settings,
            self._deaths,
            self._contacts,
            self._changes,
            self._focus,
            self._fated,
            self._meeting,
        )
        self._known: set[int] = set()  # tracks that were there before
        # Tracks, and their chance to die.
        self._risk: tuple[NDArray[np.int64], NDArray[np.float32]]
        self._risk = np.empty(0, np.int64), np.empty(0, np.float32)
        self._time_s = -np.inf

    def update(
        self, segmented: Segmented, tracks: Tracks
    ) -> tuple[Tracks, tuple[Event, ...]]:
        """Give the tracks with their filtered state, and what happened to them.

        A frame that is not later than the last one, or of no time (NaN or infinite),
        brings no evidence and no event.
        """
        info = segmented.info
        step_s = info.time_s - self._time_s
        if not np.isfinite(info.time_s) or step_s <= 0:
            return self._with_risk(self._deaths.describe(tracks)), ()
        bin_before = self._deaths.newest_s
        self._time_s = info.time_s
        died = self._deaths.update(segmented, tracks, step_s)
        judged = self._deaths.describe(tracks)
        self._bench.look(judged, info.time_s)
        events = [self._death(segmented, judged, one) for one in died]
        for met in self._contacts.update(segmented, tracks):
            cause = "in one mask" if met.merged else "masks touch"
            found = _Finding(met.since_s, met.pair, 1.0, 1.0, cause)
            events.append(self._tell(segmented, judged, "contact", found))
        events += self._divisions(segmented, judged)
        events += self._field(segmented, judged)
        if self._deaths.newest_s != bin_before:
            events += self._step(segmented, judged)
        return self._with_risk(judged), tuple(events)

    def foresee(
        self, segmented: Segmented, tracks: Tracks, forecast: Forecast
    ) -> tuple[Event, ...]:
        """Give the contacts that the forecasts of the same frame announce."""
        timed = np.isfinite(segmented.info.time_s)
        if not timed or not self._settings.predicted_contact.on:
            return ()
        contacts = self._contacts
        likely = self._meeting.update(
            segmented, tracks, forecast, contacts.near_touch(), contacts.met
        )
        return tuple(self._approach(segmented, tracks, one) for one in likely)

    @property
    def pairs_left_out(self) -> int:
        """Pairs too many to be held against each other: cells lie too densely."""
        return self._meeting.left_out

    def judge(self, time_s: float) -> tuple[Verdict, ...]:
        """Say what has become of earlier events, by this experiment time.

        Nothing is judged at no time (NaN or infinite).
        """
        if not np.isfinite(time_s):
            return ()
        return self._bench.docket.update(time_s)

    def _death(self, segmented: Segmented, tracks: Tracks, death: Death) -> Event:
        name = int(tracks.track_id[death.row])
        probability = float(tracks.dead_probability[death.row])
        bar = self._settings.death.probability
        cause = f"{self._settings.death.rule}, suspected at {death.alert_s:.0f} s"
        found = _Finding(death.onset_s, (name,), probability, bar, cause, death.alert_s)
        return self._tell(segmented, tracks, "death", found)

    def _divisions(self, segmented: Segmented, tracks: Tracks) -> list[Event]:
        """Report the mothers of tracks that are new."""
        mothers: dict[int, list[int]] = {}
        for name, parent in zip(
            tracks.track_id.tolist(), tracks.parent.tolist(), strict=True
        ):
            if parent and name not in self._known:
                mothers.setdefault(parent, []).append(name)
        self._known = set(tracks.track_id.tolist())
        if not self._settings.division.on:
            return []
        time_s = segmented.info.time_s
        return [
            self._tell(
                segmented,
                tracks,
                "division",
                _Finding(time_s, (mother, *daughters), 1.0, 1.0, "mass is shared out"),
            )
            for mother, daughters in sorted(mothers.items())
        ]

    def _field(self, segmented: Segmented, tracks: Tracks) -> list[Event]:
        """Report what concerns the whole field."""
        events, time_s = [], segmented.info.time_s
        share = self._focus.update(segmented) if self._settings.focus.on else None
        if share is not None:
            bar = self._settings.focus.share
            cause = f"sharpness {100 * share:.0f} % of the usual"
            found = _Finding(time_s, (), 1 - share, 1 - bar, cause)
            events.append(self._tell(segmented, tracks, "focus", found))
        counted = None
        if self._settings.count.on:
            counted = self._count.update(int((tracks.label > 0).sum()))
        if counted is not None:
            cause = f"from {counted[0]:.0f} to {counted[1]:.0f} cells"
            found = _Finding(time_s, (), 1.0, 1.0, cause)
            events.append(self._tell(segmented, tracks, "count", found))
        return events

    def _step(self, segmented: Segmented, tracks: Tracks) -> list[Event]:
        """Report what is looked at once a bin of the histories."""
        return self._changed(segmented, tracks) + self._doomed(segmented, tracks)

    def _changed(self, segmented: Segmented, tracks: Tracks) -> list[Event]:
        rule = self._settings.change
        if not rule.on:
            return []
        return [
            self._tell(
                segmented,
                tracks,
                "change",
                _Finding(
                    segmented.info.time_s,
                    (name,),
                    1.0,
                    1.0,
                    f"{channel} jumped by {size:.1f} standard deviations",
                ),
            )
            for name, channel, size in self._changes.update(self._deaths.histories)
        ]

    def _doomed(self, segmented: Segmented, tracks: Tracks) -> list[Event]:
        info, rule = segmented.info, self._settings.predicted_death
        dose = self._doses.update(info.time_s, info.dose_gy)
        if not rule.on:
            return []
        living = self._deaths.living()
        features = self._deaths.histories.features(1)[0][living]
        nets = self._deaths.nets(segmented)
        chance = death_within(nets, features, dose)
        lead_s = HORIZON_S
        names = tracks.track_id[living]
        self._risk = names, chance.astype(np.float32)
        return [
            self._tell(
                segmented,
                tracks,
                "predicted death",
                _Finding(
                    info.time_s + lead_s,
                    (track,),
                    probability,
                    rule.probability,
                    f"hazard of the next {lead_s / 60:.0f} min",
                    lead_s=lead_s,
                ),
            )
            for track, probability in self._fated.update(names, chance)
        ]

    def _with_risk(self, tracks: Tracks) -> Tracks:
        """Give the tracks with their chance to die, as it was last worked out."""
        risk = np.full(tracks.track_id.size, np.nan, np.float32)
        names, known = self._risk
        _, old, new = np.intersect1d(names, tracks.track_id, return_indices=True)
        risk[new] = known[old]
        risk[tracks.state == CellState.DEAD] = np.nan
        return replace(tracks, death_risk=risk)

    def _approach(self, segmented: Segmented, tracks: Tracks, one: Approach) -> Event:
        found = _Finding(
            segmented.info.time_s + one.lead_s,
            one.pair,
            one.probability,
            self._settings.predicted_contact.probability,
            "forecasts meet",
            lead_s=one.lead_s,
        )
        return self._tell(segmented, tracks, "predicted contact", found)

    def _tell(
        self, segmented: Segmented, tracks: Tracks, kind: str, found: _Finding
    ) -> Event:
        info = segmented.info
        rows = _rows_of(tracks, found.tracks)
        centre = tracks.centre_um[rows].mean(axis=0) if rows.size else info.stage_yx_um
        event = Event(
            event_id=next(self._ids),
            kind=kind,  # type: ignore[arg-type]  # one of the literals above
            time_s=found.time_s,
            sequence=info.sequence,
            position=info.position,
            tracks=found.tracks,
            centre_yx_um=(float(centre[0]), float(centre[1])),
            probability=found.probability,
            threshold=found.threshold,
            model=segmented.model,
            alert_s=found.alert_s,
            lead_s=found.lead_s,
            cause=found.cause,
        )
        self._bench.open(event)
        return event


def _rows_of(tracks: Tracks, names: tuple[int, ...]) -> NDArray[np.int64]:
    """Give the rows of the tracks of these names that are there, in order."""
    rows = np.searchsorted(tracks.track_id, sorted(names))
    rows = rows[rows < tracks.track_id.size]
    return rows[np.isin(tracks.track_id[rows], names)]
