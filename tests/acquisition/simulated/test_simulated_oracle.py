"""The oracle: its forecasts are those of the laws the specimen lives by."""

from pathlib import Path

import numpy as np
import pytest

from acquisition.clock import Clock
from acquisition.simulated.sections import Mix, Protocol
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.population import IS_DEAD, LifeState
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.truth.file import TruthReader, TruthWriter
from acquisition.simulated.truth.oracle import (
    Oracle,
    forecast_deaths,
    forecast_displacement,
)
from acquisition.simulated.world import World

SIZE = 256


def thin_world() -> World:
    """Give a world whose cells hardly ever meet."""
    world = World.load("cho_10x")
    cells = {"n": 20, "floating_fraction": 0.0}
    return world.model_copy(
        update={
            "mix": Mix(mitosis=0, spreading=0),
            "protocol": Protocol(),
            "cells": world.cells.model_copy(update=cells),
        }
    )


@pytest.mark.parametrize("horizon_s", [20.0, 60.0, 300.0, 1200.0, 3600.0])
def test_displacement_has_the_mean_and_variance_of_the_oracle(horizon_s: float) -> None:
    """Free cells move as far as forecast, and scatter about it as forecast."""
    specimen = Specimen(thin_world(), 2, 6000)
    specimen.advance(1200)
    forecast = forecast_displacement(specimen, (horizon_s,))
    before = specimen.columns()
    resting = before.state == LifeState.INTERPHASE

    specimen.advance(horizon_s)

    then = specimen.columns()
    _, mine, theirs = np.intersect1d(
        before.id[resting], then.id, return_indices=True, assume_unique=True
    )
    mine = np.flatnonzero(resting)[mine]
    moved = then.centre_um[theirs] - before.centre_um[mine]
    mean, variance = forecast.mean_um[mine, 0], forecast.variance_um2[mine, 0]
    assert (mean * moved).sum() / (mean**2).sum() == pytest.approx(1, abs=0.10)
    scatter = ((moved - mean) ** 2).mean(axis=1) / variance
    assert np.clip(scatter, 0, 20).mean() == pytest.approx(1, abs=0.10)


@pytest.mark.slow
def test_deaths_come_as_often_as_the_oracle_says() -> None:
    """In thirty dishes of their own seeds as many cells die as were forecast."""
    world = World.load("demo")
    told = happened = uncertain = 0.0

    for seed in range(30):
        specimen = Specimen(world, 1000 + seed, 330)
        specimen.advance(600)
        forecast = forecast_deaths(specimen, (5400.0,), draws=3, seed=seed)
        specimen.advance(5400)
        living = specimen.cells["id"][IS_DEAD[specimen.cells["state"]]]
        dead = np.isin(forecast.id, living)
        told += forecast.probability.sum()
        happened += dead.sum()
        uncertain += (dead - forecast.probability[:, 0]).var() * len(dead)

    assert happened > 500
    assert told == pytest.approx(happened, abs=3 * np.sqrt(uncertain))


def test_the_dead_are_certain_and_horizons_are_in_order() -> None:
    """Who is dead stays dead; a longer horizon never makes death less likely."""
    specimen = Specimen(World.load("demo"), 3, 300)
    specimen.advance(907)
    dead = IS_DEAD[specimen.cells["state"]]
    before = specimen.cells.tobytes()

    forecast = forecast_deaths(specimen, (7200.0, 600.0, 3600.0), draws=5)

    assert (forecast.probability[dead] == 1).all()
    assert (forecast.probability[:, 1] <= forecast.probability[:, 2]).all()
    assert (forecast.probability[:, 2] <= forecast.probability[:, 0]).all()
    assert 0 < forecast.probability[~dead].mean() < 0.5
    assert specimen.cells.tobytes() == before


def test_the_oracle_finds_the_specimen_of_a_frame(tmp_path: Path) -> None:
    """World and seed of a truth file give every cell its place back, in any order."""
    path = tmp_path / "truth.h5"
    clock = Clock("stepped")
    world = World.load("demo")
    stand = SimulatedStand(world, 2, SIZE, clock)
    stand.keep_truth()
    stand.start()
    writer = TruthWriter(path, world, 2, SIZE, world.optics.pixel_um)
    for number in range(1, 4):
        clock.step_to(333.3 * number)
        writer.write(number, 333.3 * number, stand.begin_cycle())
    writer.close()

    with TruthReader(path) as truth:
        oracle = Oracle(truth)
        for number in (3, 1, 2):
            frame = truth.frame(number)
            cells = oracle.specimen(number).columns()
            drift = np.array(world.stage.drift_um_per_h) * frame.specimen_s / 3600
            rows = np.searchsorted(cells.id, frame.id)
            assert np.allclose(cells.centre_um[rows] - drift, frame.centre_um, 0, 1e-9)
            assert np.array_equal(oracle.displacement(number).id, frame.id)
            assert oracle.deaths(number, (600,), draws=2).probability.max() == 1
