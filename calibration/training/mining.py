"""Which patches an epoch draws: the hard ones and the rare ones more often.

Hard mining after MODEL-1 and MODEL-2 of the brightfield paper: the loss of each patch
is remembered, and in the next epoch the fifth with the largest losses is drawn three
times as often (share and weight ours).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HARD_SHARE = 0.2
HARD_WEIGHT = 3.0
MOST_WEIGHT = 10.0
"""No patch is drawn more than so many times as often as another."""
_UNSEEN = np.nan


class LossMemory:
    """The last loss of every patch, and the weights of the present epoch.

    Weights change only between epochs, so that an epoch's draws follow from its seed
    and from what the epochs before it saw. Patches that no loss is known of weigh 1.
    """

    def __init__(
        self,
        patches: int,
        hard_share: float = HARD_SHARE,
        hard_weight: float = HARD_WEIGHT,
    ) -> None:
        self.hard_share = hard_share
        self.hard_weight = hard_weight
        self._loss = np.full(patches, _UNSEEN)
        self._weight = np.ones(patches)

    @property
    def losses(self) -> NDArray[np.float64]:
        """The last loss of every patch, NaN before the first: for a checkpoint."""
        return self._loss.copy()

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weight of every patch in this epoch."""
        return self._weight.copy()

    def note(self, patches: Sequence[int], losses: Sequence[float]) -> None:
        """Remember the losses of some patches; one that is not finite is the worst."""
        given = np.asarray(losses, np.float64)
        self._loss[np.asarray(patches, np.int64)] = np.where(
            np.isfinite(given), given, np.inf
        )

    def begin_epoch(self) -> None:
        """Weigh the patches by what is remembered now."""
        known = np.flatnonzero(~np.isnan(self._loss))
        hard = round(self.hard_share * known.size)
        order = known[np.argsort(-self._loss[known], kind="stable")]
        self._weight = np.ones(self._loss.size)
        self._weight[order[:hard]] = self.hard_weight

    def restore(self, losses: NDArray[np.float64]) -> None:
        """Take up the losses of a checkpoint, at the beginning of an epoch."""
        self._loss = np.asarray(losses, np.float64).copy()
        self.begin_epoch()


def draw(
    weights: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw patches with return, each as often as its weight says."""
    return rng.choice(weights.size, size=count, p=weights / weights.sum())


def rare_class_weights(
    live: NDArray[np.integer], dead: NDArray[np.integer], dead_share: float
) -> NDArray[np.float64]:
    """Give weights of patches under which a share of the drawn cells is dead.

    Patches with dead cells all weigh the same, those without 1. Where even the patches
    with dead cells hold too few, the weight is that of ten of the others.

    Parameters
    ----------
    live, dead
        (patch,) numbers of cells.
    dead_share
        Wanted share of dead cells among those drawn.
    """
    rich = dead > 0
    many_dead, their_live = int(dead[rich].sum()), int(live[rich].sum())
    other_live = int(live[~rich].sum())
    weights = np.ones(dead.size)
    # w D / (w (D + L) + O) = share, for the weight w of the patches with dead cells.
    gain = many_dead - dead_share * (many_dead + their_live)
    wanted = dead_share * other_live / gain if gain > 0 else MOST_WEIGHT
    weights[rich] = min(max(wanted, 1.0), MOST_WEIGHT)
    return weights
