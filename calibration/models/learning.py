"""How a network learned, from the evaluations of its training."""

import statistics
from collections.abc import Sequence
from typing import Any

from acquisition.errors import BadRun

LEARNING = (
    "evaluations",
    "pixel_loss_train",
    "pixel_loss_validation",
    "loss_gap",
    "pixel_f1_train",
    "pixel_f1_validation",
    "f1_gap",
    "gain_per_evaluation",
    "sigma",
    "steadiness",
)
"""The figures, in the order in which they are printed."""
_LAST = 10
"""Evaluations whose spread tells how steady the end of a training is."""


def learning_figures(history: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Give the figures of a course that the encoder study of the papers reports.

    Losses and F1 are of pixels, cell against background where the recipe says so, at
    the last evaluation: in training the mean over the crops since the one before, in
    validation that of whole fields by the averaged network. A gap is what the training
    is better by. The gain is (1 - validation loss) / evaluations. Sigma is the standard
    deviation of the validation loss over the last ten evaluations, steadiness is
    1 / sigma; neither is known of a single one.

    Raises
    ------
    BadRun
        If the evaluations do not tell losses of pixels, as those of old runs.
    """
    last = history[-1]
    if any("pixel_loss_validation" not in row for row in history):
        raise BadRun(
            "an evaluation of this comparison tells no loss of pixels: it was begun by "
            "an older version; compare in another folder (--output)"
        )
    losses = [row["pixel_loss_validation"] for row in history[-_LAST:]]
    sigma = statistics.stdev(losses) if len(losses) > 1 else None
    return {
        "evaluations": len(history),
        "pixel_loss_train": last["pixel_loss_train"],
        "pixel_loss_validation": last["pixel_loss_validation"],
        "loss_gap": last["pixel_loss_validation"] - last["pixel_loss_train"],
        "pixel_f1_train": last["pixel_f1_train"],
        "pixel_f1_validation": last["pixel_f1_validation"],
        "f1_gap": last["pixel_f1_train"] - last["pixel_f1_validation"],
        "gain_per_evaluation": (1 - last["pixel_loss_validation"]) / len(history),
        "sigma": sigma,
        "steadiness": 1 / sigma if sigma else None,
    }
