"""What the microscope does next: an iterator of events that are due.

The runner of pymmcore-plus asks it for one event after the other. It hands out an
event when it is due and never earlier, so no wait ever happens inside the runner;
requests overtake the time-lapse, and a cancelled run ends at once.
"""

import heapq
import itertools
import threading
from dataclasses import dataclass, field

from pymmcore_plus import CMMCorePlus
from useq import CustomAction, MDAEvent, MDASequence

from acquisition.clock import Clock
from acquisition.records import Reply, Request
from acquisition.timelapse import Timelapse, describe_event
from acquisition.wishes import PROTOCOL_PRIORITY, Limits, Wish, aim

POLL_S = 0.05
"""Longest wait before the runner is looked at again: bounds the time to cancel."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An event in a queue, and whom it belongs to."""

    event: MDAEvent
    request_id: int | None = None
    timelapse: Timelapse | None = None


@dataclass(slots=True)
class _Queues:
    """Events that wait for their time, and events that are due."""

    future: list[tuple[float, int, int, _Entry]] = field(default_factory=list)
    ready: list[tuple[int, float, int, _Entry]] = field(default_factory=list)
    order: "itertools.count[int]" = field(default_factory=itertools.count)

    def put(self, entry: _Entry, due_s: float, priority: int) -> None:
        heapq.heappush(self.future, (due_s, priority, next(self.order), entry))

    def release(self, now_s: float) -> None:
        while self.future and self.future[0][0] <= now_s:
            due_s, priority, order, entry = heapq.heappop(self.future)
            heapq.heappush(self.ready, (priority, due_s, order, entry))


class EventSource:
    """Iterator of due events for ``core.mda.run``: by priority, due time, order.

    Hand the object itself to the runner. After a fault of the microscope the same
    object can be handed over again and goes on with the next event. It ends by itself
    when every time-lapse is over and nothing waits, or when the images are exhausted.
    All methods may be called from any thread.

    Parameters
    ----------
    clock
        The clock of the run. A stepped clock is moved here, and only here.
    core
        The microscope whose runner asks for the events.
    limits
        What requests may ask for.
    """

    def __init__(
        self, clock: Clock, core: CMMCorePlus, limits: Limits | None = None
    ) -> None:
        self._clock = clock
        self._runner = core.mda
        self._limits = limits or Limits()
        self._changed = threading.Condition()
        self._queues = _Queues()
        self._timelapses: list[Timelapse] = []
        self._unfinished: dict[int, int] = {}  # id of a time-lapse -> frames queued
        self._requests: dict[int, Wish] = {}
        self._replies: list[Reply] = []
        self._given: _Entry | None = None  # handed out, perhaps still being executed
        self._back_to_um: float | None = None  # focus before a stack
        self._closed = False
        self._held = False

    @property
    def held(self) -> bool:
        """No event is handed out until `resume`."""
        return self._held

    @property
    def closed(self) -> bool:
        """Nothing more will be handed out."""
        return self._closed

    @property
    def skipped_slots(self) -> int:
        """Planned frames left out because the microscope was too late for them."""
        return sum(timelapse.skipped_slots for timelapse in self._timelapses)

    def put(
        self, event: MDAEvent, due_s: float, priority: int = PROTOCOL_PRIORITY
    ) -> None:
        """Add one event that is due at an experiment time."""
        if "vigil" not in event.metadata:
            purpose = describe_event("protocol", event.pos_name or "p0")
            metadata = {**event.metadata, **purpose}
            event = event.model_copy(update={"metadata": metadata})
        with self._changed:
            self._queues.put(_Entry(event), due_s, priority)
            self._changed.notify_all()

    def add_timelapse(
        self, sequence: MDASequence, start_s: float | None = None
    ) -> None:
        """Add a time-lapse that begins now, or at an experiment time.

        Raises
        ------
        BadConfig
            If time is not the outermost axis of the plan.
        """
        begin_s = self._clock.now_s() if start_s is None else start_s
        limits = self._limits
        timelapse = Timelapse(sequence, begin_s, limits.home_yx_um, limits.is_analysed)
        with self._changed:
            self._timelapses.append(timelapse)
            self._changed.notify_all()

    def add_request(self, request: Request, now_s: float) -> Reply:
        """Queue the extra frames of a request, before all that is planned.

        A request that has not begun by its ``valid_until_s`` expires; one that has is
        carried to its end. What became of it is told by `replies`.
        """
        with self._changed:
            template, reason = self._judge(request)
            if template is None:
                return Reply(request.request_id, now_s, "refused", reason)
            if now_s > request.valid_until_s:
                late = f"came {now_s - request.valid_until_s:.1f} s too late"
                return Reply(request.request_id, now_s, "expired", late)
            self._requests[request.request_id] = Wish(request, template)
            self._queue_frame(request.request_id, max(now_s, request.begin_s))
            self._changed.notify_all()
        return Reply(request.request_id, now_s, "accepted", "")

    def replies(self) -> list[Reply]:
        """Give what became of accepted requests since the last call."""
        with self._changed:
            found, self._replies = self._replies, []
        return found

    def hold(self) -> None:
        """Hand out nothing more until `resume`; the present frame is finished."""
        with self._changed:
            self._held = True

    def resume(self) -> None:
        """Go on; slots missed meanwhile are counted as skipped."""
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def close(self) -> None:
        """End after the present frame; requests that wait are reported as expired."""
        with self._changed:
            self._closed = True
            if not self._runner.is_running():
                self._settle(frame_taken=True)
            self._abandon()
            self._changed.notify_all()

    def __iter__(self) -> "EventSource":
        with self._changed:
            # NOTE: an event still out when a run begins ended the run before: a fault.
            self._settle(frame_taken=False)
        return self

    def __next__(self) -> MDAEvent:
        with self._changed:
            self._settle(frame_taken=True)
            while True:
                if self._is_cancelled():
                    # NOTE: the runner leaves at the next event it sees. StopIteration
                    # would make it report a completed run instead of a cancelled one.
                    return MDAEvent(action=CustomAction(name="nothing"))
                event = None if self._held else self._take()
                if event is not None:
                    return event
                if self._is_over():
                    self._closed = True
                    self._abandon()
                    raise StopIteration
                self._wait()

    def _is_cancelled(self) -> bool:
        status = self._runner.status
        if status.phase == "waiting" and status.finish_reason == "canceled":
            # NOTE: a cancel between two steps of the runner is overwritten by it.
            self._runner.cancel()
            return True
        return bool(status.phase == "finishing")

    def _is_over(self) -> bool:
        if self._closed or self._limits.exhausted():
            return True
        queued = self._queues.future or self._queues.ready or self._held
        planned = any(timelapse.due_s is not None for timelapse in self._timelapses)
        return bool(self._timelapses) and not queued and not planned

    def _take(self) -> MDAEvent | None:
        """Give the most urgent event that is due, if there is one."""
        if self._closed or self._limits.exhausted():
            return None
        now_s = self._clock.now_s()
        self._expire(now_s)
        self._release(now_s)
        while self._queues.ready:
            *_, entry = heapq.heappop(self._queues.ready)
            if entry.request_id is None:
                self._given = entry
                return self._refocused(entry.event)
            found = self._requests.get(entry.request_id)
            if found is not None:  # else it has expired
                self._given = entry
                event = found.begin(entry.event, now_s, self._limits)
                if found.request.planes_um:
                    self._back_to_um = found.focus_um
                    return event
                return self._refocused(event)
        return None

    def _refocused(self, event: MDAEvent) -> MDAEvent:
        """Bring the focus back after a stack, for an event that leaves it as it is."""
        back_um, self._back_to_um = self._back_to_um, None
        if back_um is None or event.z_pos is not None:
            return event
        return event.model_copy(update={"z_pos": back_um})

    def _release(self, now_s: float) -> None:
        """Queue the time points that are due; one that is under way is finished."""
        for timelapse in self._timelapses:
            due_s = timelapse.due_s
            if due_s is None or due_s > now_s or self._unfinished.get(id(timelapse)):
                continue
            events = timelapse.take(now_s)
            self._unfinished[id(timelapse)] = len(events)
            for event in events:
                entry = _Entry(event, timelapse=timelapse)
                self._queues.put(entry, due_s, PROTOCOL_PRIORITY)
        self._queues.release(now_s)

    def _wait(self) -> None:
        """Wait until something is due, changes, or the runner must be looked at."""
        due_s = self._next_due_s()
        if self._held or due_s is None:
            self._changed.wait(POLL_S)
        elif self._clock.mode == "stepped":
            self._clock.step_to(due_s)
        else:
            wait_s = self._clock.wall_seconds_until(due_s)
            self._changed.wait(min(max(wait_s, 0.0), POLL_S))

    def _next_due_s(self) -> float | None:
        dues = [timelapse.due_s for timelapse in self._timelapses]
        if self._queues.future:
            dues.append(self._queues.future[0][0])
        return min((due for due in dues if due is not None), default=None)

    def _settle(self, *, frame_taken: bool) -> None:
        """Book the event that was handed out before: it is over."""
        entry, self._given = self._given, None
        if entry is None:
            return
        if entry.timelapse is not None:
            self._unfinished[id(entry.timelapse)] -= 1
        found = self._requests.get(entry.request_id or 0)
        if entry.request_id is None or found is None:
            return
        found.taken += frame_taken
        if found.given < found.request.frames:
            due_s = found.given_s[-1] + found.request.interval_s
            self._queue_frame(entry.request_id, due_s)
            return
        del self._requests[entry.request_id]
        self._reply(found, "done" if found.taken else "expired")

    def _queue_frame(self, request_id: int, due_s: float) -> None:
        wish = self._requests[request_id]
        entry = _Entry(wish.next_event(), request_id=request_id)
        self._queues.put(entry, due_s, wish.priority)

    def _expire(self, now_s: float) -> None:
        for request_id, found in list(self._requests.items()):
            if found.given == 0 and now_s > found.request.valid_until_s:
                del self._requests[request_id]
                self._reply(found, "expired")

    def _abandon(self) -> None:
        """Report the requests that will not be carried out; one under way stays."""
        under_way = self._given.request_id if self._given is not None else None
        for request_id, found in list(self._requests.items()):
            if request_id != under_way:
                del self._requests[request_id]
                self._reply(found, "expired")

    def _reply(self, found: Wish, outcome: str) -> None:
        now_s = self._clock.now_s()
        self._replies.append(found.reply(outcome, now_s, run_ended=self._closed))

    def _judge(self, request: Request) -> tuple[MDAEvent | None, str]:
        """Give the event that a request stands for, or why it is refused."""
        if self._closed:
            return None, "the run is ending"
        if self._limits.refusal:
            return None, self._limits.refusal
        if request.request_id in self._requests:
            return None, f"request {request.request_id} is under way already"
        known = {
            name: event
            for timelapse in self._timelapses
            for name, event in timelapse.positions.items()
        }
        event = known.get(request.position)
        if event is None:
            names = ", ".join(sorted(known)) or "none"
            return None, f'unknown position "{request.position}" (known: {names})'
        return aim(request, event, self._limits)
