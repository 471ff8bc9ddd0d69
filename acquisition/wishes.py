"""What a request stands for on this microscope: where, through what, in which planes.

A request becomes an event like those of the plan, with another place, channel or
plane. There is nothing in it, and nothing here, that could open a beam.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from useq import Channel, MDAEvent

from acquisition.records import ASIDE, Reply, Request
from acquisition.timelapse import describe_event

PROTOCOL_PRIORITY = 10
REQUEST_PRIORITY = 0
"""Of the events that are due, the smallest number goes first."""
Z_REACH_UM = 50.0
"""Farthest a stack may go from the focus that it finds."""


def _never() -> bool:
    return False


def _always(_event: MDAEvent) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests may ask of this microscope, and when its images are at an end."""

    home_yx_um: tuple[float, float] | None = None
    """Where the stage stood at the start; None: there is no motorised stage."""
    reach_um: float = math.inf
    """Farthest a request may move from the position where its event was seen."""
    stage_um: tuple[float, float, float, float] | None = None
    """(y0, x0, y1, x1) that the centre of the field may not leave."""
    refusal: str = ""
    """Why this microscope takes no requests at all."""
    exhausted: Callable[[], bool] = _never
    """True when there will be no further image."""
    is_analysed: Callable[[MDAEvent], bool] = _always
    """Whether cells are sought in an event's frame; extra frames repeat such a one."""
    focus_um: Callable[[], float] | None = None
    """Reads the focus; None: there is no motorised focus."""
    channels: tuple[str, ...] = ()
    """Presets of the light path that requests may name."""


@dataclass(slots=True)
class Wish:
    """A request that is neither done nor expired."""

    request: Request
    event: MDAEvent
    given: int = 0
    taken: int = 0
    given_s: list[float] = field(default_factory=list)  # when each frame was begun
    focus_um: float = 0.0  # in which a stack found the microscope

    @property
    def priority(self) -> int:
        """Faster imaging fills gaps of the plan; everything else goes before it."""
        faster = self.request.kind == "faster"
        return PROTOCOL_PRIORITY if faster else REQUEST_PRIORITY

    def next_event(self) -> MDAEvent:
        """Give the event of the next frame."""
        metadata = {"vigil": dict(self.event.metadata["vigil"])}
        return self.event.model_copy(update={"metadata": metadata})

    def begin(self, event: MDAEvent, now_s: float, limits: Limits) -> MDAEvent:
        """Book that a frame begins; a stack finds its planes now."""
        if self.request.planes_um and limits.focus_um is not None:
            if self.given == 0:
                here = event.z_pos
                self.focus_um = limits.focus_um() if here is None else float(here)
            plane_um = self.request.planes_um[self.given]
            changes: dict[str, object] = {"z_pos": self.focus_um + plane_um}
            if plane_um:  # out of focus: none of the frames that are tracked
                changes["metadata"] = describe_event(
                    event.metadata["vigil"]["cause"],
                    _beside(self.request),
                    self.request.request_id,
                )
            event = event.model_copy(update=changes)
        self.given += 1
        self.given_s.append(now_s)
        return event

    def reply(self, outcome: str, now_s: float, *, run_ended: bool) -> Reply:
        """Tell what became of it, with the times of its frames."""
        request, times_s = self.request, tuple(self.given_s)
        reason = f"{self.taken} of {request.frames} frames"
        if outcome == "done":
            return Reply(request.request_id, now_s, "done", reason, times_s)
        if run_ended:
            reason = f"the run ended after {reason}"
        return Reply(request.request_id, now_s, "expired", reason, times_s)


def aim(
    request: Request, event: MDAEvent, limits: Limits
) -> tuple[MDAEvent | None, str]:
    """Give the event of a request at a position's event, or why it is refused."""
    cause, name = f"request:{request.request_id}", request.position
    changes: dict[str, object] = {"index": {}}
    if request.centre_yx_um is not None:
        reason = _out_of_reach(request.centre_yx_um, event, limits)
        if reason:
            return None, reason
        name = _beside(request)
        y_um, x_um = request.centre_yx_um
        changes |= {"y_pos": y_um, "x_pos": x_um, "pos_name": name}
    if request.channel:
        if request.channel not in limits.channels:
            known = ", ".join(limits.channels) or "none"
            return None, f'unknown channel "{request.channel}" (known: {known})'
        group = {} if event.channel is None else {"group": event.channel.group}
        changes["channel"] = Channel(config=request.channel, **group)
    if request.planes_um:
        if limits.focus_um is None:
            return None, "there is no motorised focus for a stack"
        if len(request.planes_um) != request.frames:
            return None, f"{len(request.planes_um)} planes, {request.frames} frames"
        if not max(map(abs, request.planes_um)) <= Z_REACH_UM:
            return None, f"a stack goes farther than {Z_REACH_UM:g} um from the focus"
    changes["metadata"] = describe_event(cause, name, request.request_id)
    return event.model_copy(update=changes), ""


def _beside(request: Request) -> str:
    """Name the place of frames that show another field, or another plane of it."""
    return f"{ASIDE[0]}{request.request_id}"


def _out_of_reach(
    centre_yx_um: tuple[float, float], event: MDAEvent, limits: Limits
) -> str:
    y_um, x_um = centre_yx_um
    if event.y_pos is None or event.x_pos is None:
        return "there is no motorised stage to move to the event"
    away_um = math.hypot(y_um - event.y_pos, x_um - event.x_pos)
    if not away_um <= limits.reach_um:  # a NaN is refused too
        return (
            f"{away_um:.1f} um from its position, farther than {limits.reach_um:g} um"
        )
    if limits.stage_um is not None:
        y0, x0, y1, x1 = limits.stage_um
        if not (y0 <= y_um <= y1 and x0 <= x_um <= x1):
            return f"(y {y_um:.1f}, x {x_um:.1f}) um is beyond the stage limits"
    return ""
