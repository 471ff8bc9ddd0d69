"""The benchmark of the forecasts judges what it says it judges."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import BadConfig
from acquisition.simulated.world import World
from calibration.benchmarks.forecast import (
    HOMOGENEOUS,
    Regime,
    Tally,
    bench_forecast,
    run,
    scene_courses,
    table_rows,
)
from calibration.benchmarks.forecast_absolute import train_absolute
from calibration.benchmarks.forecast_baselines import Law, OneFilter, fit
from calibration.benchmarks.forecast_real import bench_tracks
from calibration.training.forecast_courses import (
    Population,
    specimen_course,
    walk_course,
    with_gaps,
)

AHEAD = np.array([1, 3])


def errors_of(population: Population) -> dict[str, np.ndarray]:
    """Give the mean errors (horizon,) of all models on cells of a kind."""
    rng = np.random.default_rng(6)
    law = Law(population.speed_um_per_min, population.persistence_min, 1.0, True)
    shown, other = (
        walk_course(population, np.arange(60), AHEAD, rng) for _ in range(2)
    )
    tally = Tally()
    noise_um = max(population.noise_um, 0.1)
    regime = Regime("made up", law, noise_um, lambda _: [], 30)
    run(regime, [shown], ("bank", ""), fit([other]), tally)
    return {name: np.concatenate(e).mean(axis=0) for name, e in tally.away_um.items()}


@pytest.mark.parametrize("keep", [0.8, 0.95])
def test_persistent_walks_are_forecast_better_than_by_the_naive(keep: float) -> None:
    """Ten per cent better than the best naive forecast, no worse than least squares."""
    persistence = -1 / np.log(keep)
    walk = Population(300, 4.0, persistence_min=persistence, noise_um=0.5 * 4 / 2**0.5)

    errors = errors_of(walk)

    naive = np.minimum(errors["stay"], errors["constant velocity"])
    assert (errors["bank"] <= 0.9 * naive).all()
    assert (errors["bank"] <= 1.02 * errors["linear"]).all()


def test_of_pure_diffusion_nothing_can_be_foreseen() -> None:
    """Where steps know nothing of each other, no forecast is better than staying."""
    errors = errors_of(Population(300, 4.0, persistence_min=0.05, noise_um=0.0))

    assert errors["bank"] == pytest.approx(errors["stay"], rel=0.02)


def test_the_oracle_is_the_floor_and_bayes_comes_next() -> None:
    """On equal cells: oracle < the true filter <= bank, within a per cent of it."""
    tally = Tally()
    law = Law(4, 5, 0.7, True)
    regime = Regime("equal", law, 0.7, lambda _: [], 15, 1)
    courses = scene_courses(replace(HOMOGENEOUS, cells=250), seed=1)

    run(regime, courses, ("bank", ""), fit(courses[:1]), tally)
    rows = table_rows(tally, courses[0].horizons_s)

    error = {r["model"]: r["error_um"] for r in rows if r["horizon_s"] == 300}
    assert error["oracle"] < error["one filter"] <= 1.01 * error["bank"]
    assert error["bank"] <= 1.015 * error["one filter"]
    assert error["bank"] < error["constant velocity"]
    (bank,) = [r for r in rows if r["model"] == "bank" and r["horizon_s"] == 60]
    assert bank["coverage_90"] == pytest.approx(0.9, abs=0.03)
    assert bank["forecasts"] == 5 * 250


def test_cells_that_are_not_measured_are_not_judged() -> None:
    """A filter bridges a gap by the time it takes, and a new cell starts afresh."""
    rng = np.random.default_rng(3)
    course = walk_course(Population(40, noise_um=0.1), np.arange(20), AHEAD, rng)
    course = with_gaps(course, 0.3, rng)
    one = OneFilter(Law(4, 5, 0.1, True), 40)
    for frame in range(20):
        one.observe(float(frame), course.seen_um[frame])

    mean, variance = one.predict(np.array([1.0, 3.0]))

    seen = np.isfinite(course.seen_um[-1, :, 0])
    assert np.isfinite(mean).all()
    assert variance[~seen].mean() > 1.5 * variance[seen].mean()


def test_the_specimen_is_shown_under_its_own_names() -> None:
    """A course of the specimen has its places, its dead, and the word of the oracle."""
    world = World.load("cho_10x")
    course = specimen_course(world, 4, np.arange(0, 9, 3), np.array([1, 3]), 0.3)

    shown = list(course.shown())

    times = [time_s for time_s, _, _ in shown]
    assert times == [0.0, 60.0, 120.0]
    here = np.isfinite(course.place_um[0, :, 0])
    assert shown[0][2].track_id.tolist() == (1 + np.flatnonzero(here)).tolist()
    live = here & ~course.dead[0]
    away = np.linalg.norm(course.later_um(0) - course.oracle_um[0], axis=2)[live]
    still = course.later_um(0) - course.place_um[0][:, None]
    assert np.nanmean(away) < np.nanmean(np.linalg.norm(still, axis=2)[live])


def test_real_tracks_are_judged_in_um(tmp_path: Path) -> None:
    """A cell that goes straight at 2 um a frame is foreseen; staying misses by that."""
    rng = np.random.default_rng(1)
    lines = ["frame,track_id,x_px,y_px"]
    for cell in range(20):
        at, step = rng.uniform(0, 900, 2), rng.normal(size=2)
        step *= 4 / np.linalg.norm(step)
        for frame in range(40):
            x, y = at + frame * step
            lines.append(f"{frame},{cell + 1},{x:.3f},{y:.3f}")
    path = tmp_path / "straight.csv"
    path.write_text("\n".join(lines), encoding="utf-8")

    result = bench_tracks([path], pixel_size_um=0.5, interval_s=60.0)

    error = {row["model"]: row for row in result["rows"] if row["horizon_s"] == 60}
    assert error["stay"]["error_um"] == pytest.approx(2.0, abs=0.01)
    assert error["bank"]["error_um"] < 1.0
    assert error["bank"]["error_over_oracle"] is None


def test_a_regime_that_does_not_exist_is_named() -> None:
    """The message says what there is."""
    with pytest.raises(BadConfig, match="homogeneous, mixed"):
        bench_forecast(only="sideways")


def test_the_transformer_of_the_paper_is_reproduced_and_is_worse_than_staying() -> None:
    """Of absolute places a short training learns less than where cells are now."""
    courses = scene_courses(replace(HOMOGENEOUS, cells=60), seed=1)
    tally = Tally()
    regime = Regime("equal", Law(4, 5, 0.7, True), 0.7, lambda _: [], 15, 1)
    fitted = replace(fit(courses[:1]), absolute=train_absolute(courses[:3], steps=60))

    run(regime, courses, ("bank", ""), fitted, tally)

    rows = table_rows(tally, courses[0].horizons_s)
    error = {r["model"]: r["error_um"] for r in rows if r["horizon_s"] == 60}
    assert error["absolute transformer"] > error["stay"] > error["bank"]
