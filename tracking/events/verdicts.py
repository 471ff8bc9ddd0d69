"""Events on trial: each is confirmed or refuted by what comes after it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from acquisition.records import Event, Verdict

Outcome = Literal["confirmed", "refuted"]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What is to be said of an event now."""

    outcome: Outcome
    reason: str
    onset_s: float
    probability: float


Judge = Callable[[float], Opinion | None]
"""Gives an opinion at an experiment time, or None to wait for more."""


class Docket:
    """The events that nothing has been decided about."""

    def __init__(self) -> None:
        self._cases: dict[int, Judge] = {}

    def open(self, event: Event, judge: Judge) -> None:
        """Wait for a verdict; ``judge`` is asked at every frame."""
        self._cases[event.event_id] = judge

    def update(self, time_s: float) -> tuple[Verdict, ...]:
        """Give the verdicts that can be given now, each once."""
        found = []
        for number, judge in list(self._cases.items()):
            opinion = judge(time_s)
            if opinion is None:
                continue
            del self._cases[number]
            found.append(
                Verdict(
                    event_id=number,
                    time_s=time_s,
                    outcome=opinion.outcome,
                    onset_s=opinion.onset_s,
                    probability=opinion.probability,
                    reason=opinion.reason,
                )
            )
        return tuple(found)
