"""Watches over the whole field: looks that jump, cells that come or go, lost focus."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Segmented
from configs.events import ChangeRule, CountRule, FocusRule
from tracking.events.histories import CHANNELS, Histories

CALM = 1.4826
"""A robust standard deviation is this many median absolute deviations."""
MEMORY = 0.05
"""Share of the newest bin in the usual size of a change."""
FEWEST_CELLS = 10
"""Fewer cells tell nothing of the usual size of a change."""
FOCUS_PX = 512
"""Edge of the middle of the image in which sharpness is measured."""


class Changes:
    """Cells whose look jumped, and stays where it jumped to."""

    def __init__(self, rule: ChangeRule) -> None:
        self._rule = rule
        self._usual: NDArray[np.float64] | None = None  # (channel,)
        self._above: dict[int, int] = {}
        self._before: dict[int, NDArray[np.float64]] = {}  # look before a jump
        self._now: dict[int, NDArray[np.float64]] = {}  # newest look of the same

    def lasts(self, track: int) -> bool:
        """Say whether a track that jumped is still where it jumped to."""
        if self._usual is None or track not in self._now:
            return False
        away = np.abs(self._now[track] - self._before[track]) / self._usual
        return bool(np.nan_to_num(away).max() > self._rule.sigmas / 2)

    def update(self, histories: Histories) -> list[tuple[int, str, float]]:
        """Take one bin; gives (track, what changed, in standard deviations)."""
        now, before = histories.newest()
        self._follow(histories, now)
        jump = now - before
        known = np.isfinite(jump).all(axis=1)
        if known.sum() < FEWEST_CELLS:
            return []
        spread = CALM * np.median(np.abs(jump[known]), axis=0) + 1e-9
        usual = spread if self._usual is None else self._usual
        self._usual = usual + MEMORY * (spread - usual)
        size = np.abs(jump) / self._usual
        most = np.where(known, np.nan_to_num(size).max(axis=1), 0.0)
        over = most > self._rule.sigmas
        rows = {int(histories.track_id[row]): row for row in np.flatnonzero(over)}
        self._above = {name: self._above.get(name, 0) + 1 for name in rows}
        found = []
        for name, row in rows.items():
            if self._above[name] == 1:
                self._before[name], self._now[name] = before[row], now[row]
            if self._above[name] == self._rule.frames:
                channel = CHANNELS[int(np.nan_to_num(size[row]).argmax())]
                found.append((name, channel, float(most[row])))
        return found

    def _follow(self, histories: Histories, now: NDArray[np.float64]) -> None:
        """Keep the looks of the tracks that jumped and are still there."""
        rows = dict(zip(histories.track_id.tolist(), now, strict=True))
        self._now = {name: rows[name] for name in self._now if name in rows}
        self._before = {name: self._before[name] for name in self._now}


class Count:
    """The number of cells in the field, against that of the frames before."""

    def __init__(self, rule: CountRule) -> None:
        self._rule = rule
        self._counts: deque[int] = deque(maxlen=rule.window_frames + rule.frames)

    def update(self, cells: int) -> tuple[float, float] | None:
        """Take one frame; gives (before, now) when the number has changed for good."""
        self._counts.append(cells)
        if len(self._counts) < self._rule.window_frames + self._rule.frames:
            return None
        counts = np.array(self._counts)
        before = float(np.median(counts[: -self._rule.frames]))
        now = counts[-self._rule.frames :]
        least = max(self._rule.share * before, 1.0)
        # A field that varies by itself must change by more than it varies.
        least = max(least, 3 * float(counts[: -self._rule.frames].std()))
        if not ((now - before >= least).all() or (before - now >= least).all()):
            return None
        self._counts = deque(now.tolist(), maxlen=self._counts.maxlen)
        return before, float(np.median(now))


class Focus:
    """The sharpness of the image, against that of the frames before."""

    def __init__(self, rule: FocusRule) -> None:
        self._rule = rule
        self._sharp: deque[float] = deque(maxlen=rule.window_frames)
        self._blurred = 0

    def update(self, segmented: Segmented) -> float | None:
        """Take one frame; gives the share of the usual sharpness when it is lost."""
        sharpness = sharpness_of(segmented)
        if sharpness is None:
            return None
        usual = float(np.median(self._sharp)) if self._sharp else sharpness
        share = sharpness / usual if usual > 0 else 1.0
        if share >= self._rule.share or len(self._sharp) < self._rule.frames:
            self._blurred = 0
            self._sharp.append(sharpness)
            return None
        self._blurred += 1
        return share if self._blurred == self._rule.frames else None

    @property
    def blurred(self) -> bool:
        """The frame before was blurred."""
        return self._blurred > 0


def sharpness_of(segmented: Segmented) -> float | None:
    """Give the mean step between neighbouring pixels of cells; None without cells.

    It is divided by the standard deviation of the same pixels, so that neither light
    nor the number of cells counts.
    """
    height, width = segmented.labels.shape
    top, left = max((height - FOCUS_PX) // 2, 0), max((width - FOCUS_PX) // 2, 0)
    part = np.s_[top : top + FOCUS_PX, left : left + FOCUS_PX]
    inside = segmented.labels[part] > 0
    image = segmented.phase[part].astype(np.float32)
    both = inside[:, 1:] & inside[:, :-1]
    if not both.any():
        return None
    spread = float(image[inside].std())
    step = float(np.abs(np.diff(image, axis=1))[both].mean())
    return step / spread if spread > 0 else None
