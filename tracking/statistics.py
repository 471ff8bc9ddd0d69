"""How cells move, in numbers: correlations of velocity, moments of the way, exponents.

Pure functions of a table of places. The definitions are those of the paper on
irradiated cells (SAUT), but for one: the exponent of a moment is the slope of its
logarithm against that of time, which does not depend on units; the paper divides the
two logarithms (`literal_exponents` does so). Field drift is taken off every velocity,
localisation noise off every square.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOMENTS = (1.0, 1.5, 2.0, 2.5, 3.0)
LEAST_PAIRS = 20
"""A value of a curve is stated when it rests on at least so many pairs."""
LEAST_CORRELATION = 0.05
"""A persistence is fitted to the correlation down to this."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exponent:
    """Slope of a moment in time, with its interval by bootstrap over cells."""

    order: float
    slope: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TwoLines:
    """Two straight lines that meet, and how much better they fit than one."""

    at: float
    before: float  # slope
    after: float
    gain: float  # share of the squared error of one line that they take away


def velocities(place: Array, step: float) -> Array:
    """Give velocities (cell, time, yx) of places at regular times, drift taken off.

    The drift of a step is the mean velocity of all cells in it. NaN where a cell was
    not seen at both ends.
    """
    velocity = np.diff(place, axis=1) / step
    count = np.isfinite(velocity[..., 0]).sum(axis=0)
    total = np.nansum(velocity, axis=0)
    drift = np.where(count[:, None] > 1, total / np.maximum(count, 1)[:, None], 0.0)
    return velocity - drift


def correlation_in_time(
    velocity: Array, step: float, noise: float = 0.0, most: int | None = None
) -> Array:
    """Give the correlation of velocity at lags of 0, 1, 2 ... steps, 1 at lag 0.

    ``noise`` is the standard deviation of a measured centre on an axis: it adds 4
    noise^2 / step^2 at lag 0 and takes 2 noise^2 / step^2 away at lag 1.

    Returns
    -------
    (lag,); NaN where fewer than `LEAST_PAIRS` pairs are known.
    """
    frames = velocity.shape[1]
    lags = frames if most is None else min(most + 1, frames)
    curve = np.full(lags, np.nan)
    for lag in range(lags):
        product = (velocity[:, : frames - lag] * velocity[:, lag:]).sum(axis=2)
        if np.isfinite(product).sum() >= LEAST_PAIRS:
            curve[lag] = np.nanmean(product)
    extra = (noise / step) ** 2
    curve[0] -= 4 * extra
    curve[1:2] += 2 * extra
    return curve / curve[0] if curve[0] > 0 else np.full(lags, np.nan)


def persistence(curve: Array, step: float) -> float | None:
    """Give the time in which the correlation falls to 1/e; ``None``: it never holds.

    A line through the logarithm from lag 1 on, where it is positive without a gap, so
    that velocities averaged over a step do not matter.
    """
    good = curve[1:] > LEAST_CORRELATION
    count = int(np.argmin(good)) if not good.all() else good.size
    if count < 2:
        return None
    lag = step * np.arange(1, count + 1)
    slope = np.polyfit(lag, np.log(curve[1 : count + 1]), 1)[0]
    return None if slope >= 0 else float(-1 / slope)


def correlation_in_space(place: Array, velocity: Array, edges: Array) -> Array:
    """Give the mean of v_i . v_j over pairs by their distance, over the mean square.

    Parameters
    ----------
    place, velocity
        (cell, time, yx); velocities begin where the places are.
    edges
        Of the bins of distance.

    Returns
    -------
    (bin,); NaN where fewer than `LEAST_PAIRS` pairs are known.
    """
    total, count = np.zeros(edges.size - 1), np.zeros(edges.size - 1)
    for time in range(velocity.shape[1]):
        here = np.isfinite(velocity[:, time, 0])
        at, v = place[here, time], velocity[here, time]
        first, second = np.triu_indices(len(at), 1)
        far = np.linalg.norm(at[first] - at[second], axis=1)
        product = (v[first] * v[second]).sum(axis=1)
        column = np.digitize(far, edges) - 1
        inside = (column >= 0) & (column < count.size)
        total += np.bincount(column[inside], product[inside], count.size)
        count += np.bincount(column[inside], minlength=count.size)
    square = np.nanmean((velocity**2).sum(axis=2))
    known = (count >= LEAST_PAIRS) & (square > 0)
    norm = np.maximum(count, 1) * (square if square > 0 else 1.0)
    return np.where(known, total / norm, np.nan)


def moments(
    place: Array, orders: tuple[float, ...] = MOMENTS, noise: float = 0.0
) -> Array:
    """Give the mean of the distance from the first place to a power, (order, time).

    Of the squared distance 4 noise^2 are taken off, of other powers as much as a
    Gaussian of that width would have of them.
    """
    far = np.linalg.norm(place - place[:, :1], axis=2)
    square = _quietly(np.nanmean, far**2, 0)
    share = np.clip(1 - 4 * noise**2 / np.maximum(square, 1e-300), 0, 1)
    return np.array(
        [_quietly(np.nanmean, far**order, 0) * share ** (order / 2) for order in orders]
    )


def span(place: Array) -> float:
    """Give the mean over cells of the largest distance between two of its places."""
    largest = [
        np.linalg.norm(seen[:, None] - seen[None], axis=2).max()
        for one in place
        if len(seen := one[np.isfinite(one[:, 0])]) > 1
    ]
    return float(np.mean(largest)) if largest else 0.0


def exponents(
    place: Array,
    step: float,
    orders: tuple[float, ...] = MOMENTS,
    noise: float = 0.0,
    draws: int = 200,
) -> tuple[Exponent, ...]:
    """Give the slopes of the moments in time on logarithmic axes, with intervals.

    Cells are drawn again and again (seed 0) for the 95 % intervals.
    """
    rng = np.random.default_rng(0)
    best = _slopes(moments(place, orders, noise), step)
    drawn = np.array(
        [
            _slopes(
                moments(place[rng.integers(0, len(place), len(place))], orders, noise),
                step,
            )
            for _ in range(draws)
        ]
    )
    known = np.isfinite(drawn).any(axis=0)
    filled = np.where(known, drawn, 0.0)
    low, high = np.where(known, np.nanpercentile(filled, [2.5, 97.5], axis=0), np.nan)
    return tuple(
        Exponent(order, float(best[k]), float(low[k]), float(high[k]))
        for k, order in enumerate(orders)
    )


def literal_exponents(curves: Array, step: float) -> Array:
    """Give log M / log t as the paper has it: it depends on the units of both."""
    time = step * np.arange(2, curves.shape[1])
    time = np.where(time == 1, np.nan, time)
    with np.errstate(divide="ignore"):
        return np.nanmean(np.log(curves[:, 2:]) / np.log(time), axis=1)


def _slopes(curves: Array, step: float) -> Array:
    time = np.log(step * np.arange(1, curves.shape[1]))
    slopes = np.full(len(curves), np.nan)
    for row, curve in enumerate(curves[:, 1:]):
        good = np.isfinite(curve) & (curve > 0)
        if good.sum() > 1:
            slopes[row] = np.polyfit(time[good], np.log(curve[good]), 1)[0]
    return slopes


def two_lines(x: Array, y: Array) -> TwoLines | None:
    """Fit two lines that meet, with the break where they fit best; ``None``: too short.

    For exponents against their order, and for moments against time on logarithmic axes.
    """
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if x.size < 5:
        return None
    one = np.polyval(np.polyfit(x, y, 1), x) - y
    best: TwoLines | None = None
    least = np.inf
    for at in x[1:-1]:
        bent = np.stack((np.ones_like(x), x, np.maximum(x - at, 0)), axis=1)
        (_, slope, bend), *_ = np.linalg.lstsq(bent, y)
        rest = float(((bent @ np.linalg.lstsq(bent, y)[0] - y) ** 2).sum())
        if rest < least:
            least = rest
            gain = 1 - rest / max(float((one**2).sum()), 1e-300)
            best = TwoLines(float(at), float(slope), float(slope + bend), gain)
    return best


def relative_distance(curve: Array, truth: Array) -> float:
    """Give how far a curve is from the true one: norm of the difference, relative."""
    good = np.isfinite(curve) & np.isfinite(truth)
    norm = np.linalg.norm(truth[good])
    return float(np.linalg.norm(curve[good] - truth[good]) / max(float(norm), 1e-300))


def mean_and_error(values: Array, axis: int = 0) -> tuple[Array, Array]:
    """Give mean and standard error over cells, NaN left out."""
    count = np.isfinite(values).sum(axis=axis)
    mean = _quietly(np.nanmean, values, axis)
    spread = np.where(count > 1, _quietly(np.nanstd, values, axis), np.nan)
    return mean, spread / np.sqrt(np.maximum(count - 1, 1))


def _quietly(of: Callable[..., Array], values: Array, axis: int) -> Array:
    known = np.isfinite(values).any(axis=axis)
    filled = np.where(np.expand_dims(known, axis), values, 0.0)
    return np.where(known, of(filled, axis=axis), np.nan)


def speeds(place: Array, step: float, noise: float = 0.0) -> Array:
    """Give the root mean square speed of every cell (cell,), noise taken off."""
    square = (np.diff(place, axis=1) ** 2).sum(axis=2) / step**2
    mean, _ = mean_and_error(square, axis=1)
    return np.sqrt(np.maximum(mean - 4 * (noise / step) ** 2, 0))


def persistences(place: Array, step: float, noise: float = 0.0) -> Array:
    """Give the persistence of every cell by itself (cell,), NaN where it has none."""
    velocity = velocities(place, step)
    found = np.full(len(place), np.nan)
    for row, one in enumerate(velocity):
        curve = correlation_in_time(one[None], step, noise, most=one.shape[0] // 4)
        value = persistence(curve, step) if np.isfinite(curve[:1]).all() else None
        found[row] = np.nan if value is None else value
    return found


def relative_to_start(values: Array) -> Array:
    """Give (cell, time) over the first known value of each cell: 1 at its start."""
    known = np.isfinite(values)
    first = values[np.arange(len(values)), known.argmax(axis=1)]
    return values / np.where(first > 0, first, np.nan)[:, None]
