"""How much a second network is believed beside the maps that it corrects.

While it learns it is told nothing: from the logit of the maps on it learns next to
nothing more, for that explains all that is easy (README of this folder). Both logits
are brought together afterwards, on cells that neither was trained on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from acquisition.errors import BadRun

LEAST_RATIO = 10.8
"""Twice the gain of log likelihood over the maps alone that chance exceeds once in a
thousand (chi-square of one number)."""

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Fusion:
    """P(dead) = sigmoid((own + trust told) / temperature + offset)."""

    trust: float
    temperature: float
    offset: float


def fit_fusion(
    told: Floats,
    own: Floats,
    dead: NDArray[np.bool_],
    least_ratio: float = LEAST_RATIO,
) -> Fusion:
    """Fit both weights and the offset of least log loss to held-out cells (cell,).

    ``least_ratio`` is the least that the network must add.

    Raises
    ------
    BadRun
        If the network adds nothing to the maps, or all cells are of one kind.
    """
    if dead.all() or not dead.any():
        raise BadRun("all held-out cells in doubt are of one kind: take more fields")
    both = np.stack([told, own], axis=1).astype(np.float64)
    fitted = LogisticRegression(C=np.inf).fit(both, dead)
    alone = LogisticRegression(C=np.inf).fit(both[:, :1], dead)
    gain = _likelihood(fitted, both, dead) - _likelihood(alone, both[:, :1], dead)
    by_maps, by_own = fitted.coef_[0].tolist()
    if by_own <= 0 or 2 * gain < least_ratio:
        raise BadRun(
            "the second network tells nothing that the maps do not: train it longer, "
            "or on more fields"
        )
    return Fusion(by_maps / by_own, 1 / by_own, float(fitted.intercept_[0]))


def _likelihood(
    fitted: LogisticRegression, logits: Floats, dead: NDArray[np.bool_]
) -> float:
    """Give the log likelihood of the truth (cell,) by a fit."""
    logit = fitted.decision_function(logits)
    return float(-np.logaddexp(0.0, np.where(dead, -logit, logit)).sum())
