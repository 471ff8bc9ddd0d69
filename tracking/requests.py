"""From events to wishes for extra frames, limited in rate."""

import logging
from dataclasses import dataclass, field

from acquisition.records import Event, FrameInfo, Request
from configs.schema import Trigger

logger = logging.getLogger(__name__)

NS_PER_MINUTE = 60e9


class RequestRules:
    """Turns events into requests by the triggers of the experiment file.

    One event leads to at most one request per trigger. Each trigger may ask
    ``max_per_min`` times a minute of the monotonic clock (a bucket that refills
    evenly and never holds more than a minute's share); what it may not ask is counted
    in ``refused``.
    """

    def __init__(self, triggers: tuple[Trigger, ...], first_id: int = 1) -> None:
        self._buckets = tuple(_Bucket(trigger) for trigger in triggers)
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
            for bucket in self._buckets:
                if bucket.trigger.event != event.kind or event.event_id in bucket.asked:
                    continue
                bucket.asked.add(event.event_id)
                if bucket.draw(now_ns):
                    requests.append(self._ask(info, event, bucket.trigger))
                else:
                    self._refuse(event, bucket.trigger)
        return tuple(requests)

    def _ask(self, info: FrameInfo, event: Event, trigger: Trigger) -> Request:
        request_id = self._next_id
        self._next_id += 1
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
            valid_until_s=info.time_s + trigger.valid_for_s,
        )

    def _refuse(self, event: Event, trigger: Trigger) -> None:
        self.refused += 1
        logger.info(
            "no extra frames for the %s: more than %g requests a minute",
            describe_event(event),
            trigger.max_per_min,
        )


def describe_event(event: Event) -> str:
    """Say in words what happened, for the log and the screen."""
    if event.kind == "death":
        return f"death of track {event.tracks[0]} (p {event.probability:.2f})"
    names = " and ".join(str(track) for track in event.tracks)
    return f"contact of tracks {names}"


@dataclass(slots=True)
class _Bucket:
    """What one trigger may still ask for."""

    trigger: Trigger
    asked: set[int] = field(default_factory=set)
    tokens: float = -1.0  # below zero: never used, so full
    filled_ns: int = 0

    def draw(self, now_ns: int) -> bool:
        """Take one request out, if there is one."""
        full = max(1.0, self.trigger.max_per_min)
        refill = (now_ns - self.filled_ns) / NS_PER_MINUTE * self.trigger.max_per_min
        self.tokens = full if self.tokens < 0 else min(full, self.tokens + refill)
        self.filled_ns = now_ns
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
