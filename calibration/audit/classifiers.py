"""How well the dead can be told from the living, always on fields not trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acquisition.records import CellState
from calibration.metrics.objects import (
    DEAD_SHARE,
    object_f1,
    pics_f1,
    tabulate_calls,
)
from calibration.metrics.ranking import auroc as unfolded_auroc

FOLDS = 4
THRESHOLDS = np.linspace(0.02, 0.98, 97)

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class F1:
    """F1 of both classes at one threshold, re-weighted to a share of dead cells."""

    live: float
    dead: float


def auroc(dead: Bools, score: NDArray[np.floating]) -> float:
    """Give the area under the ROC curve, folded: 0.5 tells nothing, 1 all."""
    area = unfolded_auroc(score, dead)
    return 0.5 if area is None else max(area, 1 - area)


def best_column(
    dead: Bools, columns: NDArray[np.floating], names: tuple[str, ...]
) -> tuple[str, float]:
    """Give the column that tells most by itself, and its AUROC."""
    areas = [auroc(dead, column) for column in columns.T]
    best = int(np.argmax(areas))
    return names[best], areas[best]


def linear() -> BaseEstimator:
    """Give a logistic model on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def forest(trees: int = 300) -> BaseEstimator:
    """Give a random forest."""
    return RandomForestClassifier(trees, min_samples_leaf=2, random_state=0, n_jobs=1)


def oracle() -> BaseEstimator:
    """Give boosted trees and a logistic model that vote: the strongest on many columns.

    The trees find what counts in which state of a cell, the line adds up weak signs.
    """
    trees = HistGradientBoostingClassifier(
        max_iter=500,
        learning_rate=0.08,
        max_leaf_nodes=6,
        min_samples_leaf=15,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        random_state=0,
    )
    return VotingClassifier([("trees", trees), ("line", linear())], voting="soft")


def held_out(
    model: BaseEstimator,
    columns: NDArray[np.floating],
    dead: Bools,
    field: NDArray[np.int64],
) -> Floats:
    """Give P(dead) of every cell by a model that saw none of its field."""
    folds = list(GroupKFold(FOLDS).split(columns, dead, field))
    scores = cross_val_predict(model, columns, dead, cv=folds, method="predict_proba")
    return np.asarray(scores[:, 1], np.float64)


def held_out_calls(score: Floats, dead: Bools, field: NDArray[np.int64]) -> Bools:
    """Call every cell live or dead at the threshold that is best on other fields."""
    called = np.zeros(len(dead), np.bool_)
    for others, own in GroupKFold(FOLDS).split(score, dead, field):
        called[own] = score[own] > best_threshold(score[others], dead[others])
    return called


def best_threshold(score: NDArray[np.floating], dead: Bools) -> float:
    """Give the threshold with the largest mean F1 of the two classes."""
    means = []
    for threshold in THRESHOLDS:
        f1 = weighted_f1(score > threshold, dead)
        means.append(f1.live + f1.dead)
    return float(THRESHOLDS[int(np.argmax(means))])


def even_pics_f1(score: NDArray[np.floating], dead: Bools) -> float:
    """Give the mean PICS F1 of both classes, called for as many dead as living.

    ``score`` is P(dead) in a population with the share of dead cells that is there: at
    even odds it is called dead above that share. Trees and a line that vote are not
    calibrated: at a quarter dead that costs up to 0.005, at a twentieth 0.02.
    """
    table = tabulate_calls(score > dead.mean(), dead)
    both = [pics_f1(table, state) for state in (CellState.LIVE, CellState.DEAD)]
    return float(np.mean([float("nan") if f1 is None else f1 for f1 in both]))


def weighted_f1(called: Bools, dead: Bools, chosen: Bools | None = None) -> F1:
    """Give the F1 of both classes, as if `DEAD_SHARE` of the cells were dead.

    ``chosen`` leaves out the other cells.
    """
    if chosen is not None:
        called, dead = called[chosen], dead[chosen]
    if dead.all() or not dead.any():
        return F1(float("nan"), float("nan"))
    table = tabulate_calls(called, dead)
    live, gone = (
        object_f1(table, state, DEAD_SHARE) or 0.0
        for state in (CellState.LIVE, CellState.DEAD)
    )
    return F1(live, gone)
