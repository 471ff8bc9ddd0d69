"""The forecasts that any other has to beat: stay, go on, least squares, one filter."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.training.forecast_courses import Course

WINDOW = 5
"""Steps that the least-squares forecast sees, as the network does."""

Array = NDArray[np.float64]


def window(seen_um: Array, frame: int) -> Array:
    """Give the last steps before a frame (cell, step, yx), NaN where one is missing."""
    steps = np.diff(seen_um[max(0, frame - WINDOW) : frame + 1], axis=0)
    missing = np.full((WINDOW - len(steps), *seen_um.shape[1:]), np.nan)
    return np.concatenate((missing, steps)).swapaxes(0, 1)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights of the least-squares forecast, and how far off each baseline was.

    Deviations are per axis at each horizon, and 0 where they were fitted on cells of
    another scale: then nothing is stated.
    """

    weights: Array  # (horizon, step)
    variance_um2: dict[str, Array]  # (horizon,) an axis
    absolute: Callable[[Array], Array] | None = None
    """The paper's transformer, see `calibration.benchmarks.forecast_absolute`."""


def told_by(name: str, steps: Array, share: Array, fitted: Fitted) -> Array:
    """Give the displacement (cell, horizon, yx) that a baseline expects.

    ``share`` (horizon,) is every horizon in steps.
    """
    if name == "stay":
        return np.zeros((len(steps), share.size, 2))
    if name == "constant velocity":
        return steps[:, None, -1] * share[:, None]
    return np.einsum("hs,csx->chx", fitted.weights, steps)


def fit(courses: Iterable[Course]) -> Fitted:
    """Fit the baselines on courses with frames at regular times.

    Returns
    -------
    Least-squares weights that hold for both axes, and the mean squared errors.
    """
    parts: list[tuple[Array, Array]] = []
    share = np.zeros(0)
    for course in courses:
        share = course.ahead / np.diff(course.frames)[0]
        for frame in range(WINDOW, course.frames.size):
            steps = window(course.seen_um, frame)
            moved = course.later_um(frame) - course.seen_um[frame][:, None]
            whole = np.isfinite(steps).all(axis=(1, 2))
            whole &= np.isfinite(moved).all(axis=(1, 2))
            whole &= ~course.dead[course.frames[frame]]
            parts.append((steps[whole], moved[whole]))
    steps, moved = (np.concatenate(part) for part in zip(*parts, strict=True))
    both = steps.swapaxes(1, 2).reshape(-1, WINDOW)
    weights = np.linalg.lstsq(both, moved.swapaxes(1, 2).reshape(len(both), -1))[0].T
    fitted = Fitted(weights, {})
    for name in ("stay", "constant velocity", "linear"):
        away = told_by(name, steps, share, fitted) - moved
        fitted.variance_um2[name] = (away**2).mean(axis=(0, 2))
    return fitted


@dataclass(frozen=True, slots=True)
class Law:
    """One persistent walk of known constants."""

    speed_um_per_min: float  # root mean square, both axes
    persistence_min: float
    noise_um: float
    discrete: bool = False  # the velocity after a step is the step, as in the scenes

    def step(self, minutes: float) -> tuple[Array, Array]:
        """Give what a time step does to place and velocity, and what it adds."""
        left = np.exp(-minutes / self.persistence_min)
        power = self.speed_um_per_min**2 / 2
        if self.discrete:
            move = np.array([[1, left * minutes], [0, left]])
            kick = np.array([minutes, 1.0])
            return move, power * (1 - left**2) * np.outer(kick, kick)
        tau = self.persistence_min
        ratio = minutes / tau
        place = tau**2 * (2 * ratio - 3 + 4 * left - left**2)
        mixed = tau * (1 - left) ** 2
        added = power * np.array([[place, mixed], [mixed, 1 - left**2]])
        return np.array([[1, tau * (1 - left)], [0, left]]), added


class OneFilter:
    """A Kalman filter of one walk for all cells; Bayes where all walk alike."""

    def __init__(self, law: Law, cells: int) -> None:
        self._law = law
        self._state = np.full((cells, 2, 2), np.nan)  # (cell, place velocity, yx)
        self._spread = np.zeros((cells, 2, 2))
        self._minutes = 0.0

    def observe(self, minutes: float, seen_um: Array) -> None:
        """Take in one frame; NaN where a cell was not measured."""
        move, added = self._law.step(minutes - self._minutes)
        self._minutes = minutes
        noise, power = self._law.noise_um**2, self._law.speed_um_per_min**2 / 2
        self._state = move @ self._state
        self._spread = move @ self._spread @ move.T + added
        seen = np.isfinite(seen_um[:, 0])
        new = seen & np.isnan(self._state[:, 0, 0])
        old = seen & ~new
        gain = self._spread[old, :, 0] / (self._spread[old, 0, 0] + noise)[:, None]
        away = seen_um[old] - self._state[old, 0]
        self._state[old] += gain[:, :, None] * away[:, None]
        self._spread[old] -= gain[:, :, None] * self._spread[old, :1]
        self._state[new] = np.stack((seen_um[new], np.zeros_like(seen_um[new])), axis=1)
        self._spread[new] = np.diag([noise, power])

    def predict(self, minutes: Array) -> tuple[Array, Array]:
        """Give mean place (cell, horizon, yx) and variance of an axis."""
        mean = np.empty((len(self._state), minutes.size, 2))
        variance = np.empty(mean.shape[:2])
        for column, ahead in enumerate(minutes.tolist()):
            if self._law.discrete:
                move, added = self._many(round(ahead))
            else:
                move, added = self._law.step(ahead)
            mean[:, column] = (move @ self._state)[:, 0]
            variance[:, column] = (move @ self._spread @ move.T + added)[:, 0, 0]
        return mean, variance

    def _many(self, steps: int) -> tuple[Array, Array]:
        one, kick = self._law.step(1.0)
        move, added = np.eye(2), np.zeros((2, 2))
        for _ in range(steps):
            move, added = one @ move, one @ added @ one.T + kick
        return move, added
