"""How each kind of event is judged afterwards, and when.

Every judge is asked at each frame. It says nothing while it waits, and something once
it knows or its time is up, or once a track that it needs has ended.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from acquisition.records import Event, Tracks
from configs.events import Events
from tracking.events.contacts import Contacts, Pair
from tracking.events.deaths import Deaths
from tracking.events.predictions import LATE_S, PredictedContacts, PredictedDeaths
from tracking.events.verdicts import Docket, Judge, Opinion, Outcome
from tracking.events.watches import Changes, Focus

LASTING_FRAMES = 3
"""A touch or a blur that goes on for so many frames more is confirmed."""
CHECK_S = 1800.0
"""Divisions, changes of look and of number are looked at again after this time."""


@dataclass
class Bench:
    """What the judges look at."""

    settings: Events
    deaths: Deaths
    contacts: Contacts
    changes: Changes
    focus: Focus
    fated: PredictedDeaths
    meeting: PredictedContacts
    docket: Docket = field(default_factory=Docket)
    alive: frozenset[int] = frozenset()  # tracks of the newest frame
    seen: int = 0  # cells of the newest frame
    time_s: float = 0.0
    died_s: dict[int, float] = field(default_factory=dict)  # of those still there
    met_s: dict[Pair, float] = field(default_factory=dict)  # told with the newest frame

    def look(self, tracks: Tracks, time_s: float) -> None:
        """Take the newest frame, and forget what no judge can ask for any more.

        All were asked in the frame of a meeting, whose time does not change.
        """
        self.alive = frozenset(tracks.track_id.tolist())
        self.died_s = {name: s for name, s in self.died_s.items() if name in self.alive}
        self.met_s.clear()
        self.seen = int((tracks.label > 0).sum())
        self.time_s = time_s

    def open(self, event: Event) -> None:
        """Put an event on trial."""
        if event.kind == "death":
            self.died_s[event.tracks[0]] = event.time_s
        if event.kind == "contact":
            self.met_s[(event.tracks[0], event.tracks[1])] = event.time_s
        self.docket.open(event, _JUDGES[event.kind](self, event))


def _death(bench: Bench, event: Event) -> Judge:
    due_s = bench.time_s + 60 * bench.settings.death.confirm_min
    last = bench.deaths.present(event.tracks[0])

    def judge(time_s: float) -> Opinion | None:
        nonlocal last
        now = bench.deaths.present(event.tracks[0])
        last = now or last
        if last is None or (now is not None and time_s < due_s):
            return None
        outcome: Outcome = "confirmed" if last.probability > 0.5 else "refuted"
        reason = "looks as it did" if now is not None else "its track ended"
        return Opinion(outcome, reason, last.onset_s, last.probability)

    return judge


def _contact(bench: Bench, event: Event) -> Judge:
    pair = (event.tracks[0], event.tracks[1])
    enough = bench.settings.contact.on_frames + LASTING_FRAMES

    def judge(_time_s: float) -> Opinion | None:
        frames = bench.contacts.touched(pair)
        if frames >= enough:
            return Opinion("confirmed", "the touch lasts", event.time_s, 1.0)
        if frames == 0:
            ended = not bench.alive.issuperset(pair)
            reason = "a track ended" if ended else "they parted at once"
            return Opinion("refuted", reason, event.time_s, 0.0)
        return None

    return judge


def _lasting(
    holds: Callable[[Bench, Event], bool], yes: str, no: str
) -> Callable[[Bench, Event], Judge]:
    """Give the judge of what must hold at one later time."""

    def on(bench: Bench, event: Event) -> Judge:
        due_s = bench.time_s + CHECK_S

        def judge(time_s: float) -> Opinion | None:
            if time_s < due_s:
                return None
            if holds(bench, event):
                return Opinion("confirmed", yes, event.time_s, 1.0)
            return Opinion("refuted", no, event.time_s, 0.0)

        return judge

    return on


def _count(bench: Bench, event: Event) -> Judge:
    before, now = (float(word) for word in event.cause.split() if word.isdigit())
    due_s = bench.time_s + CHECK_S

    def judge(time_s: float) -> Opinion | None:
        if time_s < due_s:
            return None
        stays = abs(bench.seen - now) < abs(bench.seen - before)
        outcome: Outcome = "confirmed" if stays else "refuted"
        return Opinion(outcome, f"{bench.seen} cells", event.time_s, float(stays))

    return judge


def _focus(bench: Bench, event: Event) -> Judge:
    frames = 0

    def judge(_time_s: float) -> Opinion | None:
        nonlocal frames
        if not bench.focus.blurred:
            return Opinion("refuted", "sharp again", event.time_s, 0.0)
        frames += 1
        if frames < LASTING_FRAMES:
            return None
        return Opinion("confirmed", "still blurred", event.time_s, 1.0)

    return judge


def _predicted_death(bench: Bench, event: Event) -> Judge:
    track = event.tracks[0]
    # A death is reported some time after it began.
    due_s = event.time_s + LATE_S + 60 * bench.settings.death.confirm_min

    def judge(time_s: float) -> Opinion | None:
        onset_s = bench.died_s.get(track)
        if onset_s is not None and onset_s <= event.time_s + LATE_S:
            bench.fated.forget(track)
            return Opinion("confirmed", "it died", onset_s, event.probability)
        ended = track not in bench.alive
        if time_s < due_s and not ended:
            return None
        bench.fated.forget(track)
        reason = "its track ended" if ended else "it lives"
        return Opinion("refuted", reason, event.time_s, event.probability)

    return judge


def _predicted_contact(bench: Bench, event: Event) -> Judge:
    pair = (event.tracks[0], event.tracks[1])
    made_s = bench.time_s

    def judge(time_s: float) -> Opinion | None:
        met_s = bench.met_s.get(pair, -1.0)
        if made_s <= met_s <= event.time_s + LATE_S:
            return Opinion("confirmed", "they met", met_s, event.probability)
        ended = not bench.alive.issuperset(pair)
        if time_s <= event.time_s + LATE_S and not ended:
            return None
        bench.meeting.forget(pair)
        reason = "a track ended" if ended else "they did not meet"
        return Opinion("refuted", reason, event.time_s, event.probability)

    return judge


_JUDGES: dict[str, Callable[[Bench, Event], Judge]] = {
    "death": _death,
    "contact": _contact,
    "division": _lasting(
        lambda bench, event: bench.alive.issuperset(event.tracks[1:]),
        "the daughters live on",
        "a daughter is gone",
    ),
    "change": _lasting(
        lambda bench, event: bench.changes.lasts(event.tracks[0]),
        "it still looks changed",
        "it looks as before",
    ),
    "count": _count,
    "focus": _focus,
    "predicted death": _predicted_death,
    "predicted contact": _predicted_contact,
}
