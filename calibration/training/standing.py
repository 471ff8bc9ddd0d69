"""Where a training run stands, and what became of it, for whoever watches it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HISTORY = "metrics.jsonl"
"""In the folder of a run: a row of figures for every evaluation."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands, for whoever watches it."""

    what: Literal["fields", "training"]
    done: int  # fields, or steps
    of: int
    loss: float | None = None
    best: float | None = None  # score of the best evaluation
    row: dict[str, Any] | None = None  # figures of an evaluation, when it was made


Watch = Callable[[Standing], bool]
"""Is told where a run stands, often; False ends it, with a checkpoint."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run."""

    state: Literal["ended", "interrupted"]
    steps: int
    best: float | None
    model: Path | None  # the finished model; None where it was interrupted

    def told(self, run: Path) -> dict[str, Any]:
        """Give what became of the run in a folder, as ``vigil train --json`` does."""
        return {
            "state": self.state,
            "run": str(run),
            "steps": self.steps,
            "best": self.best,
            "metrics": str(run / HISTORY),
            "model": str(self.model) if self.model else None,
        }
