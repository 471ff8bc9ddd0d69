"""Stage and focus drive of the simulated microscope.

A move is over when it has settled: until then the device is busy, which a core waits
for. Where it ends differs a little from where it was sent; the position that is read
back does not know of it, as on a stand without a second encoder.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pymmcore_plus.experimental.unicore import StageDevice, XYStageDevice

STAGE_STREAM = 4


@dataclass(frozen=True, slots=True)
class Mechanics:
    """How a drive moves; the default is an ideal one."""

    settle_ms: float = 0.0
    """Time after a move in which the drive is busy."""
    repeatability_um: float = 0.0
    """Error of a move, one standard deviation an axis."""
    seed: int = 0
    """Fixes the errors together with the number of the move."""

    def error_um(self, move: int) -> tuple[float, float]:
        """Give how far off (y, x) a move ends; the same whatever came before."""
        rng = np.random.default_rng([self.seed, STAGE_STREAM, move])
        y_um, x_um = rng.normal(0, self.repeatability_um, 2)
        return float(y_um), float(x_um)


OnMove = Callable[[tuple[float, float], tuple[float, float]], None]
"""Takes the commanded centre of the field and the error of the move, (y, x) um."""


class SimulatedStage(XYStageDevice):
    """A stage that is about where it was sent, unless it is stuck.

    Parameters
    ----------
    on_move
        Told where the stage went.
    mechanics
        How it moves.
    """

    def __init__(
        self, on_move: OnMove | None = None, mechanics: Mechanics | None = None
    ) -> None:
        super().__init__()
        self._on_move = on_move
        self._mechanics = mechanics or Mechanics()
        self._yx_um = (0.0, 0.0)
        self._moves = 0
        self._settled_at = 0.0
        self.is_stuck = False
        self.misses_next_move = False

    def set_position_um(self, x: float, y: float) -> None:
        """Move; gives before the stage has settled."""
        if self.is_stuck or self.misses_next_move:
            self.misses_next_move = False
            return
        self._yx_um = (y, x)
        self._moves += 1
        self._settled_at = time.monotonic() + self._mechanics.settle_ms / 1e3
        if self._on_move is not None:
            self._on_move(self._yx_um, self._mechanics.error_um(self._moves))

    def get_position_um(self) -> tuple[float, float]:
        """Give (x, y), the order of the device interface."""
        y_um, x_um = self._yx_um
        return x_um, y_um

    def busy(self) -> bool:
        """Say whether the last move still settles."""
        return time.monotonic() < self._settled_at

    def home(self) -> None:
        """Go to the middle of the dish."""
        self.set_position_um(0.0, 0.0)

    def stop(self) -> None:
        """Do nothing: a move ends where it was sent."""

    def set_origin_x(self) -> None:
        """Refuse: the specimen is fixed to these coordinates."""
        raise RuntimeError("the simulated stage keeps its origin")

    def set_origin_y(self) -> None:
        """Refuse: the specimen is fixed to these coordinates."""
        raise RuntimeError("the simulated stage keeps its origin")


class SimulatedFocus(StageDevice):
    """The focus drive; it settles like the stage and ends exactly where it was sent.

    Parameters
    ----------
    on_move
        Told the new focus in micrometres.
    mechanics
        How it moves.
    """

    def __init__(
        self,
        on_move: Callable[[float], None] | None = None,
        mechanics: Mechanics | None = None,
    ) -> None:
        super().__init__()
        self._on_move = on_move
        self._mechanics = mechanics or Mechanics()
        self._focus_um = 0.0
        self._settled_at = 0.0

    def set_position_um(self, val: float) -> None:
        """Move."""
        self._focus_um = val
        self._settled_at = time.monotonic() + self._mechanics.settle_ms / 1e3
        if self._on_move is not None:
            self._on_move(val)

    def get_position_um(self) -> float:
        """Give the focus."""
        return self._focus_um

    def busy(self) -> bool:
        """Say whether the last move still settles."""
        return time.monotonic() < self._settled_at

    def home(self) -> None:
        """Go to zero."""
        self.set_position_um(0.0)

    def stop(self) -> None:
        """Do nothing: a move ends where it was sent."""

    def set_origin(self) -> None:
        """Refuse: the specimen is fixed to these coordinates."""
        raise RuntimeError("the simulated focus keeps its origin")
