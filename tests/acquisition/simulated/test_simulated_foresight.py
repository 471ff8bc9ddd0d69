"""The copy that lives ahead: where it says a cell will be, there it is."""

import copy

import numpy as np
import pytest

from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.truth.foresight import HORIZONS_S, Foresight
from acquisition.simulated.world import World


@pytest.mark.parametrize("at_s", [0.0, 987.6], ids=["on the lattice", "between"])
def test_cells_come_to_where_they_were_foreseen(at_s: float) -> None:
    """Every horizon tells the very place that a later look will show."""
    specimen = Specimen(World.load("demo"), 3, 300)
    foresight = Foresight(specimen)
    specimen.advance_to(at_s)
    now = specimen.columns()

    later = foresight.later_um(specimen, now.id)

    for number, horizon_s in enumerate(HORIZONS_S):
        future = copy.deepcopy(specimen)
        future.advance_to(at_s + horizon_s)
        then = future.columns()
        _, mine, theirs = np.intersect1d(now.id, then.id, return_indices=True)
        gap = later[mine, number] - then.centre_um[theirs]
        assert np.abs(gap).max() < 1e-9


def test_an_id_that_ends_is_nowhere() -> None:
    """Mothers that will have divided have no later place; the others all have."""
    specimen = Specimen(World.load("cho_10x"), 3, 500)
    now = specimen.columns()

    later = Foresight(specimen).later_um(specimen, now.id)

    specimen.advance_to(3600)
    stays = np.isin(now.id, specimen.columns().id)
    assert not stays.all()
    assert np.array_equal(np.isfinite(later[:, -1, 0]), stays)


def test_foresight_keeps_up_with_long_pauses() -> None:
    """Looks hours apart, and doses that nobody planned between them, do no harm."""
    specimen = Specimen(World.load("cho_10x"), 3, 300)
    foresight = Foresight(specimen)
    for hours in (0.1, 5.0, 5.01):
        specimen.advance_to(3600 * hours)
        specimen.irradiate(2.0)
        now = specimen.columns()
        later = foresight.later_um(specimen, now.id)
    specimen.advance(3600)
    then = specimen.columns()

    _, mine, theirs = np.intersect1d(now.id, then.id, return_indices=True)

    assert np.allclose(later[mine, -1], then.centre_um[theirs], atol=1e-9)


def test_an_empty_dish_has_no_future() -> None:
    """Without cells the answer is empty."""
    world = World.load("cho_10x")
    world = world.model_copy(update={"cells": world.cells.model_copy(update={"n": 0})})
    specimen = Specimen(world, 1, 300)

    later = Foresight(specimen).later_um(specimen, specimen.ids())

    assert later.shape == (0, len(HORIZONS_S), 2)
