"""`vigil bench forecast`: how far off forecasts are, beside what any must beat.

Every model forecasts the same cells in the same frames: living ones that were measured
in this frame and the five before. Errors are distances to the true place, in um;
``coverage_90`` says how many of the centres that were measured later lay in the 90 %
disc; ``nll`` is that of a round Gaussian about the true place. Null: nothing to say.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadConfig
from acquisition.records import BAND_SIGMAS
from acquisition.simulated.world import World
from calibration.benchmarks.forecast_baselines import (
    WINDOW,
    Fitted,
    Law,
    OneFilter,
    fit,
    told_by,
    window,
)
from calibration.training.forecast_courses import (
    Course,
    Population,
    specimen_course,
    walk_course,
)
from configs.schema import Forecasting
from tracking.forecasts.forecaster import MODELS, Forecaster, build_corrector
from tracking.forecasts.rolling import Scores

HOMOGENEOUS = Population()
MIXED = Population(
    speed_um_per_min=3.0,
    speed_spread=0.6,
    persistence_min=4.0,
    persistence_spread=0.6,
    resting=0.15,
    stopping=0.01,
    tremble_um=0.1,
)
HISTORY = 16
"""Frames that are seen of a cohort of the made-up scenes."""
COHORTS = 6
"""Dishes of a run, one after the other; the first is not judged: it is learnt from."""
SPECIMEN = "cho_10x"
SPECIMEN_HOURS = 4.0
SPECIMEN_NOISE_UM = 0.3
HORIZONS_S = (20.0, 60.0, 300.0, 1200.0, 3600.0)
OTHER_SEED = 1000
"""Of the run that the constants of the baselines come from."""
ABSOLUTE = "absolute transformer"
PLAIN = ("stay", "constant velocity", "linear")
SPEED_TRACKS, SPEED_FRAMES = 500, 60

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Regime:
    """A kind of motion that forecasts are judged on."""

    name: str
    law: Law  # of the single filter: that of the cells, or of the middle one
    localisation_um: float
    courses: Callable[[int], list[Course]]  # of a seed, in the order they are shown
    skipped_frames: int = 0  # of every course, which are only learnt from
    judged_from: int = 0  # course
    measured_is_true: bool = False  # of real cells: nobody knows better


@dataclass(slots=True)
class Tally:
    """Errors of the models at every horizon, as they come."""

    away_um: dict[str, list[Array]] = field(default_factory=dict)  # (cell, horizon)
    nll: dict[str, list[Array]] = field(default_factory=dict)
    inside: dict[str, list[NDArray[np.bool_]]] = field(default_factory=dict)

    def add(self, model: str, said: "Said", true_um: Array, seen_um: Array) -> None:
        """Judge what a model said of the same cells."""
        away = np.linalg.norm(said.mean_um - true_um, axis=2)
        self.away_um.setdefault(model, []).append(away)
        if said.variance_um2 is not None:
            variance = np.maximum(said.variance_um2, 1e-6)
            nll = np.log(2 * np.pi * variance) + away**2 / (2 * variance)
            self.nll.setdefault(model, []).append(nll)
        if said.reach_um is not None:
            off = np.linalg.norm(said.mean_um - seen_um, axis=2)
            self.inside.setdefault(model, []).append(
                np.where(np.isfinite(off), off <= said.reach_um, np.nan)
            )


@dataclass(frozen=True, slots=True)
class Said:
    """What one model says of some cells."""

    mean_um: Array  # (cell, horizon, yx)
    variance_um2: Array | None  # (cell, horizon) of the place, an axis
    reach_um: Array | None  # (cell, horizon) radius of the disc that holds 90 %


def regimes() -> tuple[Regime, ...]:
    """Give the kinds of motion of the benchmark."""
    world = World.load(SPECIMEN)
    law = Law(
        world.cells.speed_um_per_h / 60,
        world.cells.persistence_min,
        SPECIMEN_NOISE_UM,
    )

    def lived(every: int, ahead: tuple[int, ...]) -> Callable[[int], list[Course]]:
        last = int(SPECIMEN_HOURS * 180)
        frames, later = np.arange(0, last, every), np.array(ahead)
        return lambda seed: [
            specimen_course(world, seed, frames, later, SPECIMEN_NOISE_UM)
        ]

    def scene(population: Population) -> Callable[[int], list[Course]]:
        return lambda seed: scene_courses(population, seed)

    return (
        Regime("homogeneous", Law(4, 5, 0.7, True), 0.7, scene(HOMOGENEOUS), 15, 1),
        Regime("mixed", Law(4, 5, 0.7, True), 0.7, scene(MIXED), 15, 1),
        Regime("specimen, 20 s", law, 1.0, lived(1, (1, 3, 15, 60, 180)), 60),
        Regime("specimen, 5 min", law, 1.0, lived(15, (15, 60, 180)), 8),
    )


def scene_courses(population: Population, seed: int) -> list[Course]:
    """Give the cohorts of a made-up scene: 16 frames each, and five to come."""
    rng = np.random.default_rng([seed, 5])
    frames, ahead = np.arange(HISTORY), np.arange(1, 6)
    return [walk_course(population, frames, ahead, rng) for _ in range(COHORTS)]


def bench_forecast(
    seeds: int = 3,
    models: tuple[str, ...] = ("bank",),
    only: str | None = None,
    weights: str = "forecast",
    absolute: bool = False,
) -> dict[str, Any]:
    """Measure the forecasts in every regime.

    Parameters
    ----------
    seeds
        Runs of every regime; constants of the baselines come from another one.
    models
        Of the product: bank, transformer.
    only
        A regime; absent: all.
    weights
        Of the transformer: a shipped name, or a folder.
    absolute
        Also train the paper's own transformer on every regime, half a minute each.

    Returns
    -------
    dict
        ``rows`` by regime, horizon and model; ``summary`` by regime and model, with
        ADE and FDE (mean and last horizon) and skill over staying and over the bank;
        ``cpu_ms_500_tracks``.

    Raises
    ------
    BadConfig
        If there is no such regime, or the number of seeds makes no sense.
    """
    chosen = [one for one in regimes() if only in (None, one.name)]
    if not chosen or seeds < 1:
        names = ", ".join(one.name for one in regimes())
        raise BadConfig(
            "bench forecast",
            [f"--seeds at least 1, --regime one of: {names} (given: {seeds}, {only})"],
        )
    rows: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    for regime in chosen:
        fitted = _fitted(regime.courses(OTHER_SEED), absolute)
        tally = Tally()
        for seed in range(1, seeds + 1):
            for model in models:
                said = (model, weights)
                run(regime, regime.courses(seed), said, fitted, tally)
        horizons_s = regime.courses(1)[0].horizons_s
        rows += [
            {"regime": regime.name, **row} for row in table_rows(tally, horizons_s)
        ]
        summary += [{"regime": regime.name, **row} for row in table_summary(tally)]
    return {
        "rows": rows,
        "summary": summary,
        "cpu_ms_500_tracks": {model: cpu_ms((model, weights)) for model in models},
    }


def _fitted(courses: list[Course], absolute: bool) -> Fitted:
    fitted = fit(courses)
    if not absolute:
        return fitted
    # Only here torch is wanted; it takes seconds and hundreds of megabytes.
    from calibration.benchmarks.forecast_absolute import train_absolute

    return replace(fitted, absolute=train_absolute(courses))


def run(
    regime: Regime,
    courses: list[Course],
    said_by: tuple[str, str],
    fitted: Fitted,
    tally: Tally,
) -> None:
    """Show a run to a model of the product (and weights), and to the baselines."""
    horizons_s = courses[0].horizons_s
    model, forecaster = said_by[0], _forecaster(said_by, regime, horizons_s)
    start_s, first_id = 0.0, 1
    for number, course in enumerate(courses):
        filter_ = OneFilter(regime.law, course.place_um.shape[1])
        judged = number >= regime.judged_from
        later = measured_later(course, number)
        for frame, shown in enumerate(course.shown(first_id)):
            time_s, cells, tracks = shown
            forecaster.observe(start_s + time_s, cells, tracks)
            filter_.observe(time_s / 60, course.seen_um[frame])
            made = forecaster.forecast(tracks)
            row, true_um, seen_um = _judged(course, frame, later)
            if not judged or frame < regime.skipped_frames or not row.size:
                continue
            at = np.searchsorted(tracks.track_id, first_id + row)
            reach = BAND_SIGMAS * made.sigma_um[at]
            variance = made.sigma_um[at] ** 2
            if not regime.measured_is_true:
                _, cov = forecaster.predict(tracks, horizons_s)
                variance = (cov[at, :, 0, 0] + cov[at, :, 1, 1]) / 2
            said = Said(made.centre_um[at], variance, reach)
            tally.add(model, said, true_um, seen_um)
            if model == "bank":
                others = _others(course, frame, row, (filter_, fitted, regime))
                for name, told in others:
                    tally.add(name, told, true_um, seen_um)
        start_s += time_s + course.tick_s
        first_id += course.place_um.shape[1]


def _forecaster(
    said_by: tuple[str, str], regime: Regime, horizons_s: tuple[float, ...]
) -> Forecaster:
    settings = Forecasting.model_validate(
        {"model": said_by[0], "weights": said_by[1], "horizons_s": horizons_s}
    )
    scores = Scores(MODELS, len(horizons_s))
    correct, _ = build_corrector(settings)
    return Forecaster(settings, regime.localisation_um, scores, correct)


def measured_later(course: Course, seed: int) -> Array:
    """Give where the cells would be measured at every tick, (tick, cell, yx)."""
    away = course.seen_um - course.place_um[course.frames]
    noise_um = float(np.nanstd(away))
    rng = np.random.default_rng([seed, 9])
    return course.place_um + rng.normal(0, noise_um, course.place_um.shape)


def _judged(
    course: Course, frame: int, measured_um: Array
) -> tuple[NDArray[np.int64], Array, Array]:
    """Give the cells that are judged, where they will be and will be measured."""
    steps = window(course.seen_um, frame)
    whole = np.isfinite(steps).all(axis=(1, 2)) & ~course.dead[course.frames[frame]]
    true_um = course.later_um(frame)
    whole &= np.isfinite(true_um).any(axis=(1, 2))
    seen_um = replace(course, place_um=measured_um).later_um(frame)
    return np.flatnonzero(whole), true_um[whole], seen_um[whole]


def _others(
    course: Course,
    frame: int,
    row: NDArray[np.int64],
    constants: tuple[OneFilter, Fitted, Regime],
) -> Iterator[tuple[str, Said]]:
    """Give what the baselines and the oracle say of the same cells."""
    filter_, fitted, regime = constants
    here_um, steps = course.seen_um[frame, row], window(course.seen_um, frame)[row]
    share = course.ahead / np.diff(course.frames)[0]
    for name in PLAIN:
        mean = here_um[:, None] + told_by(name, steps, share, fitted)
        variance = fitted.variance_um2.get(name)
        if variance is None:
            yield name, Said(mean, None, None)
        else:
            reach = np.tile(BAND_SIGMAS * np.sqrt(variance), (row.size, 1))
            yield name, Said(mean, np.tile(variance, (row.size, 1)), reach)
    if fitted.absolute is not None:
        places_um = course.seen_um[frame - WINDOW + 1 : frame + 1, row]
        yield ABSOLUTE, Said(fitted.absolute(places_um.swapaxes(0, 1)), None, None)
    mean, variance = filter_.predict(course.ahead * course.tick_s / 60)
    reach = BAND_SIGMAS * np.sqrt(variance[row] + regime.law.noise_um**2)
    yield "one filter", Said(mean[row], variance[row], reach)
    if np.isfinite(course.oracle_um[frame]).any():
        # Its variance knows no stops and pushes: only its error is a bound.
        yield "oracle", Said(course.oracle_um[frame, row], None, None)


def table_rows(tally: Tally, horizons_s: tuple[float, ...]) -> list[dict[str, Any]]:
    """Give a row for every horizon and model."""
    away = {name: np.concatenate(parts) for name, parts in tally.away_um.items()}
    rows = []
    for column, horizon_s in enumerate(horizons_s):
        still = np.nanmean(away["stay"][:, column] ** 2)
        oracle = away.get("oracle")
        best = None if oracle is None else np.nanmean(oracle[:, column])
        for name, one in away.items():
            error = np.nanmean(one[:, column])
            nll, inside = tally.nll.get(name), tally.inside.get(name)
            rows.append(
                {
                    "horizon_s": horizon_s,
                    "model": name,
                    "error_um": round(float(error), 4),
                    "skill_over_stay": round(
                        float(1 - np.nanmean(one[:, column] ** 2) / still), 4
                    ),
                    "error_over_oracle": None
                    if best is None
                    else round(float(error / best), 4),
                    "nll": _mean(nll, column),
                    "coverage_90": _mean(inside, column),
                    "forecasts": int(np.isfinite(one[:, column]).sum()),
                }
            )
    return rows


def _mean(parts: list[Any] | None, column: int | None = None) -> float | None:
    if not parts:
        return None
    values = np.concatenate(parts)
    chosen = values if column is None else values[:, column]
    return round(float(np.nanmean(chosen)), 4)


def table_summary(tally: Tally) -> list[dict[str, Any]]:
    """Give a row for every model, over the horizons."""
    away = {name: np.concatenate(parts) for name, parts in tally.away_um.items()}
    square = {name: np.nanmean(one**2, axis=0) for name, one in away.items()}
    return [
        {
            "model": name,
            "ade_um": round(float(np.nanmean(np.nanmean(one, axis=0))), 4),
            "fde_um": round(float(np.nanmean(one[:, -1])), 4),
            "nll": _mean(tally.nll.get(name)),
            "coverage_90": _mean(tally.inside.get(name)),
            "skill_over_stay": round(
                float((1 - square[name] / square["stay"]).mean()), 4
            ),
            "skill_over_bank": round(
                float((1 - square[name] / square["bank"]).mean()), 4
            ),
        }
        for name, one in away.items()
    ]


def cpu_ms(said_by: tuple[str, str]) -> float:
    """Measure the processor time of a frame of 500 tracks, ms; the median."""
    rng = np.random.default_rng(2)
    frames = np.arange(SPEED_FRAMES)
    course = walk_course(MIXED, frames, np.array([1]), rng)
    forecaster = _forecaster(said_by, regimes()[1], HORIZONS_S)
    times = []
    for time_s, cells, tracks in course.shown():
        before = time.thread_time()
        forecaster.observe(time_s, cells, tracks)
        forecaster.forecast(tracks)
        times.append(time.thread_time() - before)
    return round(1e3 * float(np.median(times[SPEED_FRAMES // 3 :])), 3)
