"""The living specimen: motion, the cell cycle, dose and death."""

import copy
import math

import numpy as np
import pytest

from acquisition.errors import BadWorld
from acquisition.simulated.sections import Dose, Mix, Protocol
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.doses import protraction
from acquisition.simulated.specimen.population import IS_DEAD, LifeState
from acquisition.simulated.world import World

CALM = Mix(mitosis=0, spreading=0)


def quiet_world(**cells: float) -> World:
    """Give a world without death, trembling and division."""
    world = World.load("cho_10x")
    traits = {"jitter_um": 0.0, "floating_fraction": 0.0, **cells}
    return world.model_copy(
        update={
            "mix": CALM,
            "protocol": Protocol(),
            "cells": world.cells.model_copy(update=traits),
            "death": world.death.model_copy(update={"spontaneous_per_h": 0.0}),
        }
    )


def test_time_advances_exactly() -> None:
    """Any duration passes exactly, in small steps or large ones."""
    specimen = Specimen(quiet_world(n=20), 1, 300)

    specimen.advance(0.07)
    specimen.advance(150)

    assert specimen.time_s == pytest.approx(150.07, abs=1e-9)


def test_one_seed_is_one_specimen() -> None:
    """The same seed and steps give the same cells, another seed does not."""
    world = World.load("demo")
    one, two, other = (Specimen(world, seed, 300) for seed in (4, 4, 5))

    for specimen in (one, two, other):
        specimen.advance(600)

    assert one.cells.tobytes() == two.cells.tobytes()
    assert one.cells.tobytes() != other.cells.tobytes()


@pytest.mark.parametrize("piece_s", [7.3, 61.0, 0.0], ids=["7.3", "61", "random"])
def test_a_specimen_is_the_same_whoever_looks(piece_s: float) -> None:
    """However time is cut and however often one looks, the cells end up the same."""
    once, often = (Specimen(World.load("demo"), 4, 400) for _ in range(2))
    rng = np.random.default_rng(1)
    once.advance_to(6000)

    while often.time_s < 5900:
        often.advance(piece_s or float(rng.uniform(0, 90)))
        often.columns()
    often.advance_to(6000)

    assert often.cells.tobytes() == once.cells.tobytes()


def test_a_look_between_two_steps_is_interpolated() -> None:
    """Halfway between two lattice times every cell is halfway, its age exact."""
    specimen = Specimen(quiet_world(n=60), 4, 400)
    places, ages = [], []

    for _ in range(3):
        places.append(specimen.columns().centre_um)
        ages.append(specimen.minutes)
        specimen.advance(10)

    assert np.allclose(places[1], (places[0] + places[2]) / 2)
    assert ages == pytest.approx([0, 1 / 6, 1 / 3])


def test_a_copy_lives_on_alike() -> None:
    """A deep copy taken between two lattice times has the same future."""
    one = Specimen(World.load("demo"), 4, 300)
    one.advance(1234.5)

    two = copy.deepcopy(one)
    one.advance_to(4000)
    two.advance_to(4000)

    assert one.columns().centre_um.tobytes() == two.columns().centre_um.tobytes()


def test_an_unplanned_dose_leaves_the_paths_alone() -> None:
    """A dose between two lattice times changes fates, but nothing before them."""
    one, two = (Specimen(quiet_world(n=200), 4, 400) for _ in range(2))
    for specimen in (one, two):
        specimen.advance(905)
        specimen.columns()

    two.irradiate(4)

    assert two.cells["lesions"].sum() > one.cells["lesions"].sum()
    assert np.array_equal(two.columns().centre_um, one.columns().centre_um)
    assert two.given == [(905.0, 4)]


def test_walls_keep_the_cells() -> None:
    """No cell ever leaves the field, and none is lost."""
    specimen = Specimen(quiet_world(speed_um_per_h=120.0), 2, 250)
    specimen.cells["cycle"] = 0.0

    for _ in range(20):
        specimen.advance(300)

    assert np.abs(specimen.cells["centre_um"]).max() <= 125
    assert len(specimen.cells) == round(320 * (250 / 665.6) ** 2)


def test_cells_do_not_stack() -> None:
    """After an hour, few cells lie closer than half the sum of their radii."""
    specimen = Specimen(quiet_world(n=500), 5, 500)

    specimen.advance(3600)

    centre = specimen.cells["centre_um"]
    radius = specimen.cells["radius_um"]
    gap = np.hypot(*(centre[:, None] - centre[None]).transpose(2, 0, 1))
    close = np.triu(gap < 0.5 * (radius[:, None] + radius[None]), 1)
    assert close.sum() <= 0.02 * len(centre)


def test_daughters_name_their_mother() -> None:
    """A division ends one id and gives two new ones; ids are never used twice."""
    specimen = Specimen(quiet_world(), 6, 400)
    before = set(specimen.cells["id"].tolist())

    specimen.advance(6 * 3600)

    now = specimen.columns()
    born = now.parent > 0
    mothers, litters = np.unique(now.parent[born], return_counts=True)
    assert born.any()
    assert not set(mothers.tolist()) & set(now.id.tolist())
    assert set(litters.tolist()) <= {1, 2}
    assert now.id[born].min() > max(before)


def test_the_dead_stay_dead() -> None:
    """A membrane opens at the time announced, and never closes."""
    specimen = Specimen(World.load("demo"), 7, 500)
    dead: set[int] = set()

    for _ in range(24):
        specimen.advance(300)
        now = specimen.columns()
        open_now = set(now.id[now.dead].tolist())

        assert dead <= open_now
        assert np.array_equal(now.dead, now.minutes_since_rupture >= 0)
        dead = open_now


def test_the_demo_shows_deaths_at_a_useful_rate() -> None:
    """In the view of the demo 8 to 15 cells an hour die, a fifth are dead at first."""
    world = World.load("demo")
    specimen = Specimen(world, 1, 2 * 665.6)
    first = specimen.columns()

    specimen.advance(3 * 3600)

    since = specimen.columns().minutes_since_rupture
    per_hour_and_view = ((since > 0) & (since < 180)).sum() / 3 / 4
    assert 8 <= per_hour_and_view <= 15
    assert first.dead.mean() == pytest.approx(0.2, abs=0.04)


def test_a_mix_starts_with_its_fractions_at_stationary_ages() -> None:
    """States have their fractions; late apoptosis is as often old as young."""
    mix = Mix.of(dead=0.25, alike=0.5)

    specimen = Specimen(World.load("cho_10x"), 8, 2600, mix)

    state = specimen.cells["state"]
    late = specimen.cells[state == LifeState.LATE_APOPTOSIS]
    lasts = late["until_min"] - late["since_min"]
    assert IS_DEAD[state].mean() == pytest.approx(0.25, abs=0.02)
    assert (-late["since_min"] / lasts).mean() == pytest.approx(0.5, abs=0.03)


def test_protraction_follows_lea_and_catcheside() -> None:
    """Five minutes keep 98 % of the quadratic term; long exposures lose it."""
    assert protraction(0, 60) == 1
    assert protraction(5, 60) == pytest.approx(0.981, abs=0.001)
    assert protraction(6000, 60) == pytest.approx(2 / (100 * math.log(2)), rel=0.02)


def test_lesions_follow_the_dose() -> None:
    """After 3.5 Gy a third of the cells has no lethal lesion, and all know the dose."""
    specimen = Specimen(quiet_world(n=2000), 9, 665.6)

    specimen.irradiate(3.5)

    assert (specimen.cells["lesions"] == 0).mean() == pytest.approx(0.34, abs=0.04)
    assert specimen.columns().dose_gy[0] == specimen.dose_gy == 3.5


def test_a_planned_dose_is_given_in_time() -> None:
    """A dose before the run counts at once, a later one when its time has come."""
    protocol = Protocol(irradiate=(Dose(t_h=0.5, gy=2), Dose(t_h=-3, gy=1)))
    world = quiet_world(n=50).model_copy(update={"protocol": protocol})
    specimen = Specimen(world, 1, 400)

    before = specimen.dose_gy
    specimen.advance(1799)
    waiting = specimen.dose_gy
    specimen.advance(61)

    assert (before, waiting, specimen.dose_gy) == (1, 1, 3)


def test_irradiated_cells_die_more_often() -> None:
    """Twelve hours after 6 Gy more cells are dead than without a dose."""
    dead = []
    for gy in (0.0, 6.0):
        specimen = Specimen(quiet_world(n=250), 3, 500)
        specimen.irradiate(gy)
        specimen.advance(20 * 3600)
        dead.append(specimen.columns().dead.mean())

    assert dead[0] == 0
    assert dead[1] > 0.02


def test_an_empty_dish_is_a_specimen() -> None:
    """Without cells everything still works."""
    specimen = Specimen(quiet_world(n=0), 1, 300)

    specimen.advance(120)

    assert len(specimen.columns().id) == 0


def test_a_crowd_beyond_all_labels_is_refused() -> None:
    """More cells than leave room for daughters are refused, with both settings."""
    world = quiet_world(n=20_000)

    with pytest.raises(BadWorld, match=r"cells\.n .* stage\.margin_um"):
        Specimen(world, 1, 20_665.6)
    with pytest.raises(BadWorld, match="16000"):
        Specimen(world, 1, 665.6)
