"""From events to wishes for extra frames, limited in rate, in light and in dose.

There is no wish that opens a beam: a request can name frames only.
"""

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from acquisition.records import Event, FrameInfo, Request
from configs.events import Trigger

logger = logging.getLogger(__name__)

NS_PER_MINUTE = 60e9
HOUR_S = 3600.0


class RequestRules:
    """Turns events into requests by the triggers of the experiment file.

    One event leads to at most one request per trigger (it is remembered for an hour),
    and so do the same cells within ``repeat_s``. Each trigger may ask ``max_per_min``
    times a minute of the monotonic clock (a bucket that refills evenly and never holds
    more than a minute's share), for ``max_frames_per_h`` frames an experiment hour and
    position, up to ``max_dose_gy``. What it may not ask is counted in ``refused``.
    """

    def __init__(self, triggers: tuple[Trigger, ...], first_id: int = 1) -> None:
        self._rules = tuple(_Rule(trigger) for trigger in triggers)
        self._next_id = first_id
        self.refused = 0

    def update(
        self, info: FrameInfo, events: tuple[Event, ...], now_ns: int
    ) -> tuple[Request, ...]:
        """Give the requests that these events lead to.

        Parameters
        ----------
        info
            The frame in which the events were seen.
        events
            Its events; one that was answered before is passed over.
        now_ns
            Monotonic time, for the rate.
        """
        requests = []
        for event in events:
            for rule in self._rules:
                if not rule.answers(event, info.time_s):
                    continue
                reason = rule.objection(info, now_ns)
                if reason:
                    self._refuse(event, reason)
                else:
                    requests.append(self._ask(info, event, rule.trigger))
        return tuple(requests)

    def _ask(self, info: FrameInfo, event: Event, trigger: Trigger) -> Request:
        request_id = self._next_id
        self._next_id += 1
        valid_until_s = info.time_s + trigger.after_s + trigger.valid_for_s
        if event.lead_s > 0 and trigger.kind != "return":
            valid_until_s = min(valid_until_s, event.time_s)
        return Request(
            request_id=request_id,
            event_id=event.event_id,
            kind=trigger.kind,
            cause=describe_event(event),
            position=event.position,
            centre_yx_um=event.centre_yx_um if trigger.recentre else None,
            frames=trigger.frames,
            interval_s=trigger.interval_s,
            created_s=info.time_s,
            valid_until_s=valid_until_s,
            channel=trigger.channel or "",
            planes_um=_planes(trigger),
            begin_s=info.time_s + trigger.after_s,
            dry_run=trigger.dry_run,
        )

    def _refuse(self, event: Event, reason: str) -> None:
        self.refused += 1
        logger.info("no extra frames for the %s: %s", describe_event(event), reason)


def describe_event(event: Event) -> str:
    """Say in words what happened, for the log and the screen."""
    names = " and ".join(str(track) for track in event.tracks)
    words = {
        "death": f"death of track {names} (p {event.probability:.2f})",
        "contact": f"contact of tracks {names}",
        "division": f"division of track {event.tracks[0] if event.tracks else ''}",
        "change": f"changed look of track {names}",
        "count": f"number of cells, {event.cause}",
        "focus": f"lost focus, {event.cause}",
    }
    if event.lead_s > 0:
        minutes = event.lead_s / 60
        return f"{event.kind} of {names} (p {event.probability:.2f}, {minutes:.0f} min)"
    return words[event.kind]


def _planes(trigger: Trigger) -> tuple[float, ...]:
    """Give the planes of a stack, around the present focus, from below."""
    if trigger.kind != "stack":
        return ()
    middle = (trigger.frames - 1) / 2
    return tuple(trigger.step_um * (plane - middle) for plane in range(trigger.frames))


@dataclass(slots=True)
class _Rule:
    """One trigger, and what it may still ask for."""

    trigger: Trigger
    asked: dict[int, float] = field(default_factory=dict)  # event -> s, in that order
    asked_s: dict[tuple[int, ...], float] = field(default_factory=dict)  # by cells too
    light: dict[str, deque[float]] = field(default_factory=dict)  # by position
    tokens: float = -1.0  # below zero: never used, so full
    filled_ns: int = 0

    def answers(self, event: Event, now_s: float) -> bool:
        """Say whether this event is to be answered, which is then remembered."""
        trigger = self.trigger
        _forget(self.asked, now_s - HOUR_S)
        _forget(self.asked_s, now_s - trigger.repeat_s)
        if trigger.event != event.kind or event.event_id in self.asked:
            return False
        if event.probability < trigger.min_probability:
            return False
        self.asked[event.event_id] = now_s
        last_s = self.asked_s.get(event.tracks)
        if last_s is not None and now_s - last_s < trigger.repeat_s:
            return False
        self.asked_s.pop(event.tracks, None)  # so that the newest is the last
        self.asked_s[event.tracks] = now_s
        return True

    def objection(self, info: FrameInfo, now_ns: int) -> str:
        """Say why it may not ask now; empty: it may, and has."""
        trigger = self.trigger
        if trigger.max_dose_gy is not None and info.dose_gy > trigger.max_dose_gy:
            return f"{info.dose_gy:g} Gy are more than {trigger.max_dose_gy:g}"
        taken = self.light.setdefault(info.position, deque())
        while taken and taken[0] <= info.time_s - HOUR_S:
            taken.popleft()
        allowed = trigger.max_frames_per_h
        if allowed is not None and len(taken) + trigger.frames > allowed:
            return f"more than {allowed:g} frames an hour at {info.position}"
        if not self._draw(now_ns):
            return f"more than {trigger.max_per_min:g} requests a minute"
        taken.extend([info.time_s] * trigger.frames)
        return ""

    def _draw(self, now_ns: int) -> bool:
        """Take one request out, if there is one."""
        full = max(1.0, self.trigger.max_per_min)
        refill = (now_ns - self.filled_ns) / NS_PER_MINUTE * self.trigger.max_per_min
        self.tokens = full if self.tokens < 0 else min(full, self.tokens + refill)
        self.filled_ns = now_ns
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def _forget(when_s: dict[Any, float], until_s: float) -> None:
    """Drop what is so old; the oldest come first."""
    while when_s and (first := next(iter(when_s.items())))[1] <= until_s:
        del when_s[first[0]]
