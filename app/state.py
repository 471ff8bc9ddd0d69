"""What the screen knows of a run: takes records, gives views. No toolkit in here."""

from collections import Counter, deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import stamp_ns
from acquisition.records import (
    Analysed,
    CellState,
    Event,
    Health,
    Reply,
    Request,
    Skip,
    Verdict,
)
from app.geometry import (
    Place,
    centres_by_label,
    contact_lines,
    find_target,
    forecast_arrows,
    marks_by_label,
    radii_by_label,
)
from app.history import History, Tails, wilson_interval
from app.render import (
    automatic_levels,
    fixed_levels,
)
from app.reports import Reports
from app.thumbnail import cut_thumbnail
from app.view import (
    EVERYTHING,
    FRAMELESS,
    EventRow,
    Figures,
    Mark,
    Picture,
    Selection,
    Strips,
    View,
)
from configs.schema import Display

Record = Analysed | Health | Skip | Reply | Event | Request
"""What the screen can take."""

RECENT_FRAMES = 200
"""Frames behind the latency percentiles and the latency strip."""
EVENTS_KEPT = 200
"""Of each kind, so that many contacts do not push the deaths out of the list."""


@dataclass
class _Dish:
    """What is known of one stage position."""

    tails: Tails
    history: History = field(default_factory=lambda: History(4))
    latest: Analysed | None = None
    levels: tuple[float, float] | None = None


class ViewState:
    """Everything the window and the terminal show.

    Parameters
    ----------
    settings
        The display section of the experiment.
    budget_ms
        Allowed time from the end of the exposure to the decision.
    speed
        Experiment seconds per wall second, shown beside the time.
    """

    def __init__(self, settings: Display, budget_ms: float, speed: float) -> None:
        self._settings = settings
        self._budget_ms = budget_ms
        self._speed = speed
        self._dishes: dict[str, _Dish] = {}
        self._shown = ""  # the position of the newest protocol frame
        self._reports = Reports()
        self._newest: Analysed | None = None
        self._ends: deque[tuple[int, int]] = deque(maxlen=20)  # sequence, stamp
        self._latency: deque[tuple[int, float]] = deque(maxlen=RECENT_FRAMES)
        self._skips: Counter[str] = Counter()
        self._lost: deque[int] = deque(maxlen=RECENT_FRAMES)
        self._events: dict[int, EventRow] = {}
        self._event_of_request: dict[int, int] = {}
        self._found: Counter[str] = Counter()
        self._requests = 0
        self._version = 0
        self._drawn: tuple[tuple[int, Selection], Picture | None, Strips] | None = None

    def take(self, record: Record) -> None:
        """Learn from one record."""
        match record:
            case Analysed():
                self._take_analysed(record)
            case Health():
                self._reports.take(record)
            case Skip():
                self._skips[record.stage] += 1
                self._lost.append(record.sequence)
                self._version += 1
            case Event():
                self._take_event(record, None)
            case Request():
                self._take_request(record)
            case Reply():
                self._take_reply(record)

    def acknowledge(self) -> None:
        """Clear the alarms: a person has seen them."""
        self._reports.acknowledge()

    def snapshot(
        self, selection: Selection = EVERYTHING, now_ns: int | None = None
    ) -> View:
        """Give all there is to draw for what the user looks at.

        Picture and strips are made only when something new has come, so a call
        between two frames costs next to nothing.
        """
        now_ns = stamp_ns() if now_ns is None else now_ns
        self._reports.watch(now_ns)
        key = (self._version, selection)
        if self._drawn is None or self._drawn[0] != key:
            dish = self._dishes.get(selection.position or self._shown)
            self._drawn = (key, self._picture(dish, selection), self._strips(dish))
        _, picture, strips = self._drawn
        return View(
            self._figures(picture, strips, now_ns),
            picture,
            strips,
            tuple(reversed(self._events.values())),
            self._reports.alarms,
            self._reports.message,
        )

    def _take_analysed(self, analysed: Analysed) -> None:
        info = analysed.segmented.info
        self._version += 1
        self._newest = analysed
        self._ends.append((info.sequence, info.exposure_end_ns))
        delay_ms = (analysed.decision_ns - info.exposure_end_ns) * 1e-6
        self._latency.append((info.sequence, delay_ms))
        # A frame beside the plan shows another place or plane, and has no tracks.
        if not info.is_aside:
            self._shown = info.position
            self._update_dish(analysed)
        for event in analysed.events:
            self._take_event(event, analysed)
        for verdict in analysed.verdicts:
            self._take_verdict(verdict)
        for request in analysed.requests:
            self._take_request(request)

    def _update_dish(self, analysed: Analysed) -> None:
        segmented, tracks = analysed.segmented, analysed.tracks
        name = segmented.info.position
        dish = self._dishes.get(name)
        if dish is None:
            dish = self._dishes[name] = _Dish(Tails(self._settings.tail_frames))
        dish.latest = analysed
        dish.tails.extend(tracks)
        mark, _, _ = marks_by_label(segmented.cells, tracks)
        dish.history.append(segmented.info.time_s, *_counts(mark))
        fixed = fixed_levels(self._settings.levels, segmented.info.modality)
        wanted = automatic_levels(segmented.phase) if fixed is None else fixed
        if dish.levels is None or fixed is not None:
            dish.levels = wanted
        else:  # follow slowly, so that the picture does not flicker
            low, high = dish.levels
            dish.levels = low + 0.1 * (wanted[0] - low), high + 0.1 * (wanted[1] - high)

    def _take_event(self, event: Event, analysed: Analysed | None) -> None:
        known = self._events.get(event.event_id)
        if known is not None and (known.thumbnail is not None or analysed is None):
            return
        if known is None:
            self._found[event.kind] += 1
        self._events[event.event_id] = EventRow(
            event.event_id,
            event.kind,
            event.time_s,
            event.position,
            event.tracks,
            event.centre_yx_um,
            event.probability,
            event.cause,
            event.lead_s,
            known.verdict if known else "",
            known.action if known else "",
            self._thumbnail(event, analysed),
        )
        same = [row.event_id for row in self._events.values() if row.kind == event.kind]
        if len(same) > EVENTS_KEPT:
            del self._events[same[0]]

    def _take_verdict(self, verdict: Verdict) -> None:
        row = self._events.get(verdict.event_id)
        if row is not None:
            self._events[row.event_id] = replace(row, verdict=verdict.outcome)

    def _thumbnail(
        self, event: Event, analysed: Analysed | None
    ) -> NDArray[np.uint8] | None:
        dish = self._dishes.get(event.position)
        if analysed is None or dish is None or dish.levels is None:
            return None
        if not event.tracks:  # the whole field
            return None
        here = analysed.segmented.info.position == event.position
        return cut_thumbnail(analysed, event, dish.levels) if here else None

    def _take_request(self, request: Request) -> None:
        if request.request_id in self._event_of_request:
            return
        self._requests += 1
        self._event_of_request[request.request_id] = request.event_id
        asked = "not sent, dry run" if request.dry_run else "asked"
        self._act(request.event_id, f"{request.kind} of {request.frames} {asked}")
        while len(self._event_of_request) > EVENTS_KEPT:
            del self._event_of_request[next(iter(self._event_of_request))]

    def _take_reply(self, reply: Reply) -> None:
        event_id = self._event_of_request.get(reply.request_id)
        if event_id is not None:
            why = f": {reply.reason}" if reply.reason else ""
            self._act(event_id, f"{reply.outcome}{why}")

    def _act(self, event_id: int, action: str) -> None:
        if event_id in self._events:
            self._events[event_id] = replace(self._events[event_id], action=action)

    def _picture(self, dish: _Dish | None, selection: Selection) -> Picture | None:
        if dish is None or dish.latest is None or dish.levels is None:
            return None
        segmented, tracks = dish.latest.segmented, dish.latest.tracks
        place = Place(segmented.info, segmented.labels.shape)
        mark, track, probability = marks_by_label(segmented.cells, tracks)
        centre_px = centres_by_label(segmented.cells, place)
        dead = tracks.state == CellState.DEAD
        return Picture(
            info=segmented.info,
            pixels=segmented.phase,
            labels=segmented.labels,
            levels=dish.levels,
            cells=segmented.cells,
            mark=mark,
            track=track,
            probability=probability,
            centre_px=centre_px,
            radius_px=radii_by_label(segmented.cells, place),
            tails_live_px=place.to_px(dish.tails.curve(~dead)).astype(np.float32),
            tails_dead_px=place.to_px(dish.tails.curve(dead)).astype(np.float32),
            arrows_px=forecast_arrows(dish.latest, place),
            contacts_px=contact_lines(segmented.cells, centre_px),
            target=find_target(dish.latest, selection.track_id, place),
        )

    def _strips(self, dish: _Dish | None) -> Strips:
        table = dish.history.table() if dish else np.empty((0, 4))
        live, dead = table[:, 1], table[:, 2]
        sure = live + dead
        low, high = wilson_interval(live, sure)
        recent = np.array(self._latency, np.float64).reshape(-1, 2)
        lost = np.array(self._lost, np.int64)
        if len(recent):
            lost = lost[lost >= recent[0, 0]]
        return Strips(
            time_s=table[:, 0],
            live=live,
            dead=dead,
            unsure=table[:, 3],
            fraction=live / np.where(sure > 0, sure, np.nan),
            fraction_low=low,
            fraction_high=high,
            frame=recent[:, 0].astype(np.int64),
            latency_ms=recent[:, 1],
            lost=lost,
        )

    def _figures(self, picture: Picture | None, strips: Strips, now_ns: int) -> Figures:
        live, dead, unsure = _counts(picture.mark) if picture else (0, 0, 0)
        p50, p95 = _percentiles(strips.latency_ms)
        interval_s, age_ms, seen_every_s = self._pace(now_ns)
        info = self._newest.segmented.info if self._newest else None
        losses = self._losses()
        shown = self._found["death"] + self._found["contact"]
        predicted = self._found["predicted death"] + self._found["predicted contact"]
        return Figures(
            state=self._run_state(),
            time_s=self._time_s(),
            speed=self._speed,
            frames_per_s=1 / interval_s if interval_s else None,
            age_ms=age_ms,
            stalled=_is_stalled(age_ms, seen_every_s)
            and self._run_state() == "running",
            latency_p50_ms=p50,
            latency_p95_ms=p95,
            budget_ms=self._budget_ms,
            dropped=sum(n for name, n in losses if name not in FRAMELESS),
            losses=losses,
            queued=self._reports.queued,
            disk_free_gb=self._reports.fact("disk_free_gb"),
            dose_gy=info.dose_gy if info else 0.0,
            beam_open=info.beam_open if info else False,
            cells=live + dead + unsure,
            live=live,
            dead=dead,
            unsure=unsure,
            live_fraction=live / (live + dead) if live + dead else None,
            deaths=self._found["death"],
            contacts=self._found["contact"],
            predicted=predicted,
            other_events=self._found.total() - shown - predicted,
            requests=max(self._requests, int(self._reports.fact("requests") or 0)),
            forecast=self._reports.forecast(),
        )

    def _pace(self, now_ns: int) -> tuple[float | None, float | None, float | None]:
        """Give the interval of frames (s), age of the newest (ms), time between looks.

        Frames that are recorded only have numbers too, but do not come here.
        """
        if not self._ends:
            return None, None, None
        # By their numbers, for a screen need not see every frame that is made.
        (first, began_ns), (last, ended_ns) = self._ends[0], self._ends[-1]
        age_ms = (now_ns - ended_ns) * 1e-6
        span_s = (ended_ns - began_ns) * 1e-9
        steps, seen = last - first, len(self._ends) - 1
        if not steps or span_s <= 0:
            return None, age_ms, None
        return span_s / steps, age_ms, span_s / seen

    def _losses(self) -> tuple[tuple[str, int], ...]:
        losses = Counter({f"{stage} skipped": n for stage, n in self._skips.items()})
        return tuple(sorted((losses + self._reports.losses()).items()))

    def _run_state(self) -> str:
        return self._reports.state or ("running" if self._newest else "idle")

    def _time_s(self) -> float:
        """Give experiment time; between rare frames the acquisition tells it."""
        newest_s = self._newest.segmented.info.time_s if self._newest else 0.0
        return max(self._reports.time_s, newest_s)


def _counts(mark: NDArray[np.uint8]) -> tuple[int, int, int]:
    count = np.bincount(mark, minlength=4)
    return int(count[Mark.LIVE]), int(count[Mark.DEAD]), int(count[Mark.UNSURE])


def _percentiles(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    if not values.size:
        return None, None
    p50, p95 = np.percentile(values, (50, 95))
    return float(p50), float(p95)


def _is_stalled(age_ms: float | None, interval_s: float | None) -> bool:
    if age_ms is None or interval_s is None:
        return False
    return age_ms > max(3000.0 * interval_s, 1000.0)
