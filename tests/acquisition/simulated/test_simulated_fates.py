"""Life and death: doses, drugs, division, catastrophe, detachment."""

import numpy as np
import pytest

from acquisition.simulated.sections import Drug, Mix, Protocol
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.doses import (
    CYCLE_AT,
    drug_hazard_per_h,
    mean_lesions,
    progress_left,
)
from acquisition.simulated.specimen.population import IS_DEAD, LifeState
from acquisition.simulated.world import World

CALM = Mix(mitosis=0, spreading=0)


def world_with(
    protocol: Protocol | None = None,
    death: dict[str, object] | None = None,
    radiation: dict[str, object] | None = None,
    **cells: object,
) -> World:
    """Give the default world with a mix of nothing but cells at rest."""
    world = World.load("cho_10x")
    quiet = {"spontaneous_per_h": 0.0, **(death or {})}
    return world.model_copy(
        update={
            "mix": CALM,
            "protocol": protocol or Protocol(),
            "death": world.death.model_copy(update=quiet),
            "radiation": world.radiation.model_copy(update=radiation or {}),
            "cells": world.cells.model_copy(update=cells),
        }
    )


def watch(specimen: Specimen, hours: int) -> tuple[set[int], dict[int, float]]:
    """Let hours pass; give all ids seen, and the ruptures (minutes) that happened."""
    ids: set[int] = set()
    ruptures: dict[int, float] = {}
    for _ in range(6 * hours + 1):
        cells = specimen.cells
        ids |= set(cells["id"].tolist())
        new = (cells["rupture_min"] > 0) & (cells["rupture_min"] <= specimen.minutes)
        ruptures |= dict(
            zip(
                cells["id"][new].tolist(),
                cells["rupture_min"][new].tolist(),
                strict=True,
            )
        )
        specimen.advance(600)
    return ids, ruptures


def test_survival_without_a_lesion_is_the_closed_form() -> None:
    """After 3.5 Gy the share without a lesion is that of the model within 3 points."""
    specimen = Specimen(world_with(n=6000), 1, 665.6)

    specimen.irradiate(3.5)

    cycle = np.linspace(0, 1, 4001)
    expected = np.exp(-mean_lesions(3.5, cycle, specimen.world)).mean()
    assert (specimen.cells["lesions"] == 0).mean() == pytest.approx(expected, abs=0.03)
    assert mean_lesions(3.5, np.array(CYCLE_AT[:1]), specimen.world) > 1


def test_a_drug_comes_on_after_its_delay() -> None:
    """Nothing before the delay, all after twice the delay, and the cycle stops."""
    drug = Drug(t_h=1, hazard_per_h=0.4, delay_h=2)
    world = world_with(Protocol(drugs=(drug,)))

    hazards = [drug_hazard_per_h(world, 60.0 * hour) for hour in (0, 3, 4, 5, 50)]

    assert hazards == pytest.approx([0, 0, 0.2, 0.4, 0.4])
    assert progress_left(world, 0) == 1
    assert progress_left(world, 600) == pytest.approx(0.1)


def test_a_drug_kills_by_apoptosis_at_its_hazard() -> None:
    """After hours the share that has not begun to die is exp(-hazard x time)."""
    drug = Drug(t_h=0, hazard_per_h=0.25, delay_h=0)
    specimen = Specimen(world_with(Protocol(drugs=(drug,)), n=1500), 1, 665.6)

    specimen.advance(3 * 3600)

    state = specimen.cells["state"]
    resting = state == LifeState.INTERPHASE
    assert resting.mean() == pytest.approx(np.exp(-0.75), abs=0.05)
    assert not np.isin(state, (LifeState.SWELLING, LifeState.GHOST)).any()


def test_the_dye_harms() -> None:
    """Spontaneous death happens at the hazard of the world times the stain factor."""
    death = {"spontaneous_per_h": 0.05, "stain_factor": 2.0}
    specimen = Specimen(world_with(death=death, n=1500), 1, 665.6)

    specimen.advance(2 * 3600)

    begun = np.isfinite(specimen.cells["commit_min"])
    assert begun.mean() == pytest.approx(1 - np.exp(-0.2), abs=0.03)


def test_every_death_has_its_commitment_before_its_rupture() -> None:
    """Dying begins on a whole minute, the membrane opens hours later as announced."""
    specimen = Specimen(world_with(death={"spontaneous_per_h": 0.05}, n=500), 2, 500)

    specimen.advance(10 * 3600)

    cells = specimen.cells[np.isfinite(specimen.cells["commit_min"])]
    waits = cells["rupture_min"] - cells["commit_min"]
    apoptotic = ~np.isin(cells["state"], (LifeState.SWELLING, LifeState.GHOST))
    assert np.array_equal(cells["commit_min"] % 1, np.zeros(len(cells)))
    assert (waits[apoptotic] >= 360).all()
    assert (waits[~apoptotic] <= 120).all()
    assert np.array_equal(cells["rupture_min"] <= 600, IS_DEAD[cells["state"]])


def test_mitotic_catastrophe_begins_as_a_sphere() -> None:
    """A hit cell that fails in mitosis keeps its roundness and its size at first."""
    world = world_with(radiation={"mitotic_fraction": 1.0, "interphase_fraction": 0.0})
    specimen = Specimen(world, 1, 500)
    specimen.cells["cycle"] = 1.0
    specimen.cells["hangs"] = False
    specimen.irradiate(30)
    specimen.advance(1800)
    rounded = specimen.cells.copy()

    specimen.advance(1800)

    cells = specimen.cells
    caught = cells["state"] == LifeState.EARLY_APOPTOSIS
    before = rounded["radius_um"][np.isin(rounded["id"], cells["id"][caught])]
    ratio = cells["radius_um"][caught] / before
    assert caught.mean() > 0.8
    assert (cells["round_at_start"][caught] == 1).all()
    assert 0.75 < ratio.min() < ratio.max() < 1.02


def test_sisters_die_in_their_own_way() -> None:
    """Daughters draw their own signs and bodies, and keep their mother's lesions."""
    specimen = Specimen(world_with(n=400), 3, 500)
    specimen.cells["cycle"] = 1.0
    specimen.cells["lesions"] = 0
    specimen.advance(90 * 60)

    born = specimen.cells[specimen.cells["parent"] > 0]

    born = born[np.lexsort((born["id"], born["parent"]))]
    first = np.flatnonzero(born["parent"][:-1] == born["parent"][1:])
    one, two = born[first], born[first + 1]
    assert len(one) > 50
    for column in ("body_size", "mass_loss", "swell", "shrink", "calm"):
        assert not np.any(np.all(np.atleast_2d(one[column] == two[column]), axis=0))


def test_some_of_the_dead_let_go() -> None:
    """About the fraction of the world floats within twenty minutes of the rupture."""
    death = {"detach_fraction": 0.5, "spontaneous_per_h": 2.0, "necrotic_fraction": 1.0}
    specimen = Specimen(world_with(death=death, floating_fraction=0.0, n=600), 1, 500)

    specimen.advance(4 * 3600)

    cells = specimen.cells
    old = IS_DEAD[cells["state"]] & (specimen.minutes - cells["since_min"] > 25)
    afloat = cells["lift_um"][old] > 9
    assert afloat.mean() == pytest.approx(0.5, abs=0.12)


def test_some_of_the_living_hang_too() -> None:
    """The floating fraction hangs 8 to 25 um above the rest from the start."""
    specimen = Specimen(world_with(floating_fraction=0.2, n=1500), 1, 665.6)

    lift = specimen.columns().lift_um

    assert (lift > 0).mean() == pytest.approx(0.2, abs=0.03)
    assert lift[lift > 0].min() >= 8
    assert lift.max() <= 25


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_irradiated_world_loses_the_right_share(seed: int) -> None:
    """Over 38 h, 8 to 20 % of all cells ever there open their membrane."""
    specimen = Specimen.under_stand(World.load("cho_10x"), seed, 800)

    ids, ruptures = watch(specimen, 38)

    assert 0.08 <= len(ruptures) / len(ids) <= 0.20


@pytest.mark.slow
def test_the_sham_dies_at_the_spontaneous_rate() -> None:
    """Without a beam the deaths are those of the hazard over the hours of all cells."""
    specimen = Specimen.under_stand(World.load("sham"), 1, 704)
    death = specimen.world.death
    hazard = death.spontaneous_per_h * death.stain_factor
    begun: set[int] = set()
    expected = 0.0

    for _ in range(38):
        cells = specimen.cells
        expected += hazard * (cells["state"] == LifeState.INTERPHASE).sum()
        specimen.advance(3600)
        commit = specimen.cells["commit_min"]
        new = np.isfinite(commit) & (commit > 0)
        begun |= set(specimen.cells["id"][new].tolist())

    assert len(begun) == pytest.approx(expected, abs=3 * np.sqrt(expected))
