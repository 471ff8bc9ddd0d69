"""The time points of a useq sequence, one after the other, however many there are."""

from collections.abc import Callable, Iterator
from typing import Any

from useq import MDAEvent, MDASequence

from acquisition.errors import BadConfig
from acquisition.records import ASIDE


def describe_event(
    cause: str, position: str, request_id: int | None = None
) -> dict[str, Any]:
    """Give the metadata with which every event of ours says what it is for."""
    purpose = {"cause": cause, "position": position, "request_id": request_id}
    return {"vigil": purpose}


class Timelapse:
    """A time-lapse that is unrolled one time point at a time.

    Ten million loops take no more memory than one. All frames of a time point are due
    together. When the microscope has fallen behind so far that the next time point is
    due as well, the older one is left out and its frames are counted as skipped.

    Parameters
    ----------
    sequence
        The plan; time must be its outermost axis.
    start_s
        Experiment time of the first time point.
    home_yx_um
        Where the stage stands: for positions without coordinates.
    is_analysed
        Whether cells are sought in the frame of an event.

    Raises
    ------
    BadConfig
        If time is not the outermost axis, or a position has a time plan of its own, a
        name that is kept for other frames, or that of another position.
    """

    def __init__(
        self,
        sequence: MDASequence,
        start_s: float,
        home_yx_um: tuple[float, float] | None = None,
        is_analysed: Callable[[MDAEvent], bool] = lambda _event: True,
    ) -> None:
        _check(sequence)
        events = list(sequence.replace(time_plan=None).iter_events()) or [MDAEvent()]
        self._events = [_name(event, home_yx_um) for event in events]
        self._every = {one.config: one.acquire_every for one in sequence.channels}
        self.positions = _templates(self._events, is_analysed)
        self._events = _set_planes_aside(self._events)
        self._start_s = start_s
        self._times: Iterator[float] = iter(sequence.time_plan or (0.0,))
        self._index = -1
        self.due_s: float | None = None  # of the next time point; None: it is over
        self.skipped_slots = 0
        self._later_s = self._next_time()
        self._advance()

    def take(self, now_s: float) -> list[MDAEvent]:
        """Give the events of the time point that is due, and go on to the next."""
        while self._is_late(now_s):
            self.skipped_slots += len(self._due(self._index))
            self._advance()
        index = self._index
        self._advance()
        return [
            event.model_copy(
                update={
                    "index": {"t": index, **event.index},
                    "metadata": describe_event("protocol", str(event.pos_name)),
                }
            )
            for event in self._due(index)
        ]

    def _due(self, index: int) -> list[MDAEvent]:
        """Give the events of a time point: some channels rest between their turns."""
        return [
            event
            for event in self._events
            if event.channel is None
            or index % self._every.get(event.channel.config, 1) == 0
        ]

    def _is_late(self, now_s: float) -> bool:
        due, later = self.due_s, self._later_s
        return due is not None and later is not None and due < later < now_s

    def _advance(self) -> None:
        self._index += 1
        self.due_s = self._later_s
        if self.due_s is not None:
            self._later_s = self._next_time()

    def _next_time(self) -> float | None:
        time_s = next(self._times, None)
        return None if time_s is None else self._start_s + time_s


def _templates(
    events: list[MDAEvent], is_analysed: Callable[[MDAEvent], bool]
) -> dict[str, MDAEvent]:
    """Give the event of each position, by name, that an extra frame repeats.

    It is analysed, where one is, and lies in the middle of a stack of planes.
    """
    groups: dict[str, list[MDAEvent]] = {}
    for event in sorted(events, key=lambda one: not is_analysed(one)):
        group = groups.setdefault(str(event.pos_name), [])
        if not group or event.channel == group[0].channel:
            group.append(event)
    return {name: group[len(group) // 2] for name, group in groups.items()}


def _set_planes_aside(events: list[MDAEvent]) -> list[MDAEvent]:
    """Rename the planes of a stack but the middle one, which alone is tracked."""
    stacks: dict[tuple[str, str], list[MDAEvent]] = {}
    for event in events:
        stacks.setdefault(_stack_of(event), []).append(event)
    named = []
    for event in events:
        stack = stacks[_stack_of(event)]
        plane = event.index.get("z")
        if plane is not None and event is not stack[len(stack) // 2]:
            name = f"{ASIDE[1]}{plane}-{event.pos_name}"
            event = event.model_copy(update={"pos_name": name})
        named.append(event)
    return named


def _stack_of(event: MDAEvent) -> tuple[str, str]:
    """Give position and channel, which the planes of a stack have in common."""
    return str(event.pos_name), event.channel.config if event.channel else ""


def _check(sequence: MDASequence) -> None:
    """Refuse plans whose time points cannot be unrolled one by one."""
    faults = []
    if sequence.time_plan is not None and sequence.axis_order[0] != "t":
        order = "".join(sequence.axis_order)
        faults.append(f'timelapse.axis_order: "{order}"; time must come first ("t...")')
    for number, position in enumerate(sequence.stage_positions):
        if str(position.name).startswith(ASIDE):
            kept = " and ".join(repr(one) for one in ASIDE)
            faults.append(
                f"timelapse.stage_positions.{number}.name: {position.name!r}: names "
                f"that begin with {kept} are those of frames that are not tracked; "
                "choose another"
            )
        if position.sequence is not None and position.sequence.time_plan is not None:
            faults.append(
                f"timelapse.stage_positions.{number}.sequence.time_plan: a position "
                "cannot have times of its own; put them into timelapse.time_plan"
            )
    faults += _shared_names(sequence)
    if faults:
        raise BadConfig("timelapse", faults)


def _shared_names(sequence: MDASequence) -> list[str]:
    """Tell of positions of one name; tracks, planes and requests go by the name.

    Those without a name count under that which they are given.
    """
    faults: list[str] = []
    first: dict[str, int] = {}
    for number, position in enumerate(sequence.stage_positions):
        name = position.name or _default_name(number)
        if first.setdefault(name, number) != number:
            faults.append(
                f"timelapse.stage_positions.{number}.name: {name!r} is the name of "
                f"position {first[name]} already, and their cells would be taken for "
                "those of one field; give each position a name of its own"
            )
    return faults


def _default_name(position: int) -> str:
    """Name a position that the plan gives no name."""
    return f"p{position}"


def _name(event: MDAEvent, home_yx_um: tuple[float, float] | None) -> MDAEvent:
    """Fill in what an event leaves open: name of its field, coordinates, no plan."""
    name = event.pos_name or _default_name(event.index.get("p", 0))
    if "g" in event.index:
        name = f"{name}-g{event.index['g']}"  # tracks belong to one field of view
    changes: dict[str, Any] = {
        "pos_name": name,
        "sequence": None,  # each event would carry the whole plan
        "min_start_time": None,
    }
    if home_yx_um is not None:
        y_um, x_um = home_yx_um
        changes["y_pos"] = y_um if event.y_pos is None else event.y_pos
        changes["x_pos"] = x_um if event.x_pos is None else event.x_pos
    return event.model_copy(update=changes)
