"""The clock of a run: experiment time, which may run faster than the wall clock."""

import time
from typing import Literal

stamp_ns = time.perf_counter_ns
"""Monotonic nanoseconds, the same for all processes of a machine.

NOTE: on Windows ``time.monotonic_ns`` moves in steps of 16 ms before Python 3.13.
"""

ClockMode = Literal["real", "scaled", "stepped"]


class Clock:
    """Experiment time in seconds since the run began.

    ``real`` runs with the wall clock, ``scaled`` runs ``speed`` times faster,
    ``stepped`` moves only when :meth:`wait_until` is called, and never sleeps.
    All durations come from the monotonic clock of the machine.
    """

    def __init__(self, mode: ClockMode = "real", speed: float = 1.0) -> None:
        self.mode: ClockMode = mode
        self.speed = 1.0 if mode == "real" else speed
        self._origin_ns = stamp_ns()
        self._stepped_s = 0.0

    @property
    def origin_ns(self) -> int:
        """Monotonic nanoseconds at experiment time zero."""
        return self._origin_ns

    def start(self, origin_ns: int | None = None) -> None:
        """Set experiment time to zero, now or at the given monotonic stamp."""
        self._origin_ns = stamp_ns() if origin_ns is None else origin_ns
        self._stepped_s = 0.0

    def now_s(self) -> float:
        """Experiment time."""
        if self.mode == "stepped":
            return self._stepped_s
        return (stamp_ns() - self._origin_ns) * 1e-9 * self.speed

    def at_s(self, stamp_ns: int) -> float:
        """Experiment time of a monotonic stamp (stepped: the present)."""
        if self.mode == "stepped":
            return self._stepped_s
        return (stamp_ns - self._origin_ns) * 1e-9 * self.speed

    def wall_seconds_until(self, time_s: float) -> float:
        """Wall seconds until an experiment time; zero or less when it is due."""
        if self.mode == "stepped":
            return 0.0
        return (time_s - self.now_s()) / self.speed

    def step_to(self, time_s: float) -> None:
        """Move a stepped clock forward; it never goes back."""
        if self.mode == "stepped":
            self._stepped_s = max(self._stepped_s, time_s)
