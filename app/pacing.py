"""How often the window draws: less often while drawing is slow."""

SLOW_MS = 50.0
QUICK_MS = 15.0
SLOWEST_HZ = 2.0


class Pace:
    """Halves the rate when painting is slow, and doubles it again when it is not.

    Parameters
    ----------
    rate_hz
        The wanted rate, which is never exceeded.
    patience
        Turns in a row that must be slow (or, ten times as many, quick) for a change.
    """

    def __init__(self, rate_hz: float, patience: int = 5) -> None:
        self.wanted_hz = rate_hz
        self.rate_hz = rate_hz
        self._patience = patience
        self._slow = 0
        self._quick = 0

    @property
    def interval_ms(self) -> float:
        """Milliseconds between two turns."""
        return 1000.0 / self.rate_hz

    @property
    def remark(self) -> str:
        """What to tell the user, empty at full rate."""
        if self.rate_hz >= self.wanted_hz:
            return ""
        return f"slow painting: view at {self.rate_hz:g} of {self.wanted_hz:g} Hz"

    def note(self, paint_ms: float) -> bool:
        """Learn how long a turn took; true when the rate has changed."""
        self._slow = self._slow + 1 if paint_ms > SLOW_MS else 0
        self._quick = self._quick + 1 if paint_ms < QUICK_MS else 0
        before = self.rate_hz
        if self._slow >= self._patience:
            self.rate_hz = max(self.rate_hz / 2, min(SLOWEST_HZ, self.wanted_hz))
            self._slow = 0
        elif self._quick >= 10 * self._patience:
            self.rate_hz = min(self.rate_hz * 2, self.wanted_hz)
            self._quick = 0
        return self.rate_hz != before
