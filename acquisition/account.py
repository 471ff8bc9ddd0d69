"""What a publisher owes one subscriber, and what has become of the rest."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from acquisition.records import StreamCount
from acquisition.wire import Buffer, size_of

Policy = Literal["newest", "all", "notes"]
"""Which heavy records a subscriber gets, see `acquisition.stream`."""

Message = list[Buffer]


@dataclass
class Account:
    """The publisher's side of one subscriber."""

    name: str
    policy: Policy
    identity: bytes
    credit: int = 0
    made: int = 0
    delivered: int = 0
    replaced: int = 0
    waiting: deque[Message] = field(default_factory=deque)
    waiting_bytes: int = 0
    under_way: deque[Message] = field(default_factory=deque)
    light: deque[Message] = field(default_factory=deque)
    # Light records that the heavy one under way will acknowledge, and later ones.
    told_before: list[Message] = field(default_factory=list)
    told_since: list[Message] = field(default_factory=list)

    def offer(self, parts: Message) -> None:
        """Put a heavy record in the queue."""
        self.made += 1
        if self.policy == "newest" and self.waiting:
            self.waiting_bytes -= size_of(self.waiting.popleft())
            self.replaced += 1
        self.waiting.append(parts)
        self.waiting_bytes += size_of(parts)

    def due(self) -> list[Message]:
        """Take what is to be sent now: all light records, and a heavy one on credit."""
        due = list(self.light)
        self.light.clear()
        if self.policy == "all":
            self.told_since += due
        if self.credit and self.waiting:
            parts = self.waiting.popleft()
            self.waiting_bytes -= size_of(parts)
            self.under_way.append(parts)
            self.credit = 0
            due.append(parts)
            self.told_before += self.told_since
            self.told_since = []
        return due

    def acknowledge(self) -> None:
        """One credit: the record under way, if any, has been dealt with."""
        if self.under_way:
            self.under_way.popleft()
            self.delivered += 1
            self.told_before = []
        self.credit = 1

    def rejoin(self, identity: bytes) -> None:
        """Serve a restarted subscriber: the recorder gets again what may be lost."""
        self.identity, self.credit = identity, 0
        self.light.extendleft(reversed(self.told_before + self.told_since))
        self.told_before, self.told_since = [], []
        while self.under_way:
            parts = self.under_way.pop()
            if self.policy == "all":
                self.waiting.appendleft(parts)
                self.waiting_bytes += size_of(parts)
            else:
                self.replaced += 1

    def write_off(self) -> int:
        """Book what will never be fetched; gives how much of it is a loss."""
        left = len(self.waiting) + len(self.under_way)
        self.waiting.clear()
        self.under_way.clear()
        self.replaced += left
        return left if self.policy == "all" else 0

    def count(self) -> StreamCount:
        """Give the account: made = delivered + replaced + in flight."""
        in_flight = len(self.waiting) + len(self.under_way)
        return StreamCount(
            self.name, self.made, self.delivered, self.replaced, in_flight
        )
