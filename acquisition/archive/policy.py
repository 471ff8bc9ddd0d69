"""Which camera frames are kept on disk.

``all`` keeps each one, ``every`` each n-th of a channel, ``none`` nothing.
``events`` holds the recent past in memory and keeps it when an event or an extra frame
comes, with everything at that position until the window after it has passed. Extra
frames that an event asked for are kept by every policy but ``none``.
"""

from collections import Counter, deque
from typing import Literal

from acquisition.records import Frame
from configs.schema import Log

Policy = Literal["all", "every", "events", "none"]


class FramePolicy:
    """Decides for each frame; ``kind`` may be changed while the run goes on."""

    def __init__(self, log: Log) -> None:
        self.kind: Policy = log.frames
        self._every = log.every
        self._window_s = log.window_s
        self._window_bytes = int(log.window_mb * 1e6)
        self._recent: deque[Frame] = deque()
        self._recent_bytes = 0
        self._until_s: dict[str, float] = {}
        self._seen: Counter[str] = Counter()

    def take(self, frame: Frame) -> list[Frame]:
        """Give the frames that are to be stored now that this one has come."""
        extra = frame.info.cause.startswith("request:")
        if self.kind == "all":
            return [frame]
        if self.kind == "none":
            return []
        if self.kind == "every":
            # By channel, for every third of three that alternate is always the same.
            due = self._seen[frame.info.channel] % self._every == 0
            self._seen[frame.info.channel] += 1
            return [frame] if due or extra else []
        if extra:
            return [*self.event(frame.info.position, frame.info.time_s), frame]
        if frame.info.time_s <= self._until_s.get(frame.info.position, -1.0):
            return [frame]
        self._remember(frame)
        return []

    def event(self, position: str, time_s: float) -> list[Frame]:
        """Give the remembered frames around an event, once."""
        if self.kind != "events":
            return []
        self._until_s[position] = time_s + self._window_s
        here = [one for one in self._recent if one.info.position == position]
        others = [one for one in self._recent if one.info.position != position]
        self._recent = deque(others)
        self._recent_bytes = sum(one.pixels.nbytes for one in others)
        return [one for one in here if one.info.time_s >= time_s - self._window_s]

    def _remember(self, frame: Frame) -> None:
        self._recent.append(frame)
        self._recent_bytes += frame.pixels.nbytes
        oldest_s = frame.info.time_s - self._window_s
        while self._recent and (
            self._recent[0].info.time_s < oldest_s
            or self._recent_bytes > self._window_bytes
        ):
            self._recent_bytes -= self._recent.popleft().pixels.nbytes
