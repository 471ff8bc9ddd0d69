"""What the processes of a run say about themselves, and what of it is an alarm."""

from collections import Counter
from dataclasses import replace

from acquisition.records import Health

SILENCE_S = 10.0
"""A process that says nothing for so long has stopped; it speaks every half second,
but a first start may compile for a few seconds."""
SCREENS = ("display", "terminal")
"""Subscribers whose replaced frames are no loss: they only show."""
LIVELY = ("running", "holding")
"""States in which a process must give a sign of life."""
SLOW_DISK, FAST_DISK = 0.75, 0.5
"""Fill of the recorder's queue at which the alarm is raised, and may come again."""

COUNTED = {
    "skipped_slots": "planned frames skipped",
    "refused_triggers": "triggers refused",
    "requests_refused": "requests refused",
    "requests_expired": "requests not met in time",
    "garbage": "messages refused",
    "recorded_only": "recorded only",
    "late_frames": "late",
}
"""Facts of the reports that a person should know of, and their names on the screen."""


class Reports:
    """The newest report of every process; alarms stay until a person has seen them."""

    def __init__(self) -> None:
        self._health: dict[str, Health] = {}
        self._alarms: dict[str, str] = {}
        self._silent: set[str] = set()
        self._disk_is_slow = False
        self.message = ""  # the last remark of a process

    @property
    def alarms(self) -> tuple[str, ...]:
        """The alarms that nobody has seen yet, the oldest first."""
        return tuple(self._alarms.values())

    @property
    def state(self) -> str | None:
        """State of the run, which is that of the acquisition; None: nothing known."""
        acquisition = self._health.get("acquisition")
        return acquisition.state if acquisition else None

    @property
    def time_s(self) -> float:
        """Experiment time that the acquisition told last."""
        acquisition = self._health.get("acquisition")
        return acquisition.time_s if acquisition else 0.0

    @property
    def queued(self) -> int:
        """Records that wait for the disk: each sender knows its own queue."""
        return sum(health.queued for health in self._health.values())

    def fact(self, name: str) -> float | None:
        """Give a figure that one of the processes knows."""
        for health in self._health.values():
            for key, value in health.facts:
                if key == name:
                    return value
        return None

    def forecast(self) -> str:
        """Say which model forecasts, its skill over staying and the cover of its band.

        Empty until forecasts of living cells have come due.
        """
        serving = self.fact("forecast_transformer")
        if serving is None:
            return ""
        name = "transformer" if serving else "bank"
        skill = self.fact(f"forecast_{name}_skill")
        cover = self.fact(f"forecast_{name}_coverage")
        if skill is None or cover is None:
            return name
        return f"{name}  skill {100 * skill:.0f}%  band {100 * cover:.0f}%"

    def losses(self) -> Counter[str]:
        """Count what was left out or turned away, by name, without zeros."""
        losses: Counter[str] = Counter()
        for health in self._health.values():
            for stream in health.streams:
                if stream.subscriber not in SCREENS:
                    losses[f"{stream.subscriber} replaced"] += stream.replaced
            for key, value in health.facts:
                if key in COUNTED:
                    losses[COUNTED[key]] += int(value)
        return +losses

    def take(self, health: Health) -> None:
        """Learn from one report."""
        before = self._health.get(health.process)
        if health.state == "faulted" and before is not None:
            # A report about a dead process comes from its parent: keep its figures.
            health = replace(before, state="faulted", message=health.message)
        self._health[health.process] = health
        self._silent.discard(health.process)
        if health.message:
            self.message = named(health.process, health.message)
        was = before.state if before is not None else ""
        if health.state == "faulted" and was != "faulted":
            self._alarms[health.process] = named(health.process, health.message)
        if health.state == "holding" and was != "holding":
            self._alarms["holding"] = (
                f"{health.process} is holding: no frame is taken until it goes on"
            )
        self._watch_disk(dict(health.facts).get("recorder_fill"))

    def watch(self, now_ns: int) -> None:
        """Raise an alarm for every process that has fallen silent."""
        for name, health in self._health.items():
            quiet_s = (now_ns - health.sent_ns) * 1e-9
            watched = health.state in LIVELY and name not in self._silent
            if watched and quiet_s > SILENCE_S:
                self._silent.add(name)
                self._alarms[name] = f"{name}: no sign of life for {quiet_s:.0f} s"

    def acknowledge(self) -> None:
        """Clear the alarms: a person has seen them."""
        self._alarms.clear()

    def _watch_disk(self, fill: float | None) -> None:
        if fill is None:
            return
        if fill >= SLOW_DISK and not self._disk_is_slow:
            self._disk_is_slow = True
            self._alarms["disk"] = (
                f"the disk is slow: {100 * fill:.0f} % of the recorder's queue is full"
            )
        elif fill < FAST_DISK:
            self._disk_is_slow = False


def named(process: str, message: str) -> str:
    """Say who speaks, unless the sentence begins with it."""
    if message.startswith(process):
        return message
    return f"{process}: {message}" if message else f"{process} has faulted"
