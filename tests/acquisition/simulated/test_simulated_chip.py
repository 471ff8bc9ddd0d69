"""The chip of wells: its lattice in the dish, the numbers of wells, and their walls."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from acquisition.clock import Clock
from acquisition.errors import BadWorld
from acquisition.simulated.sections import Nanowell
from acquisition.simulated.specimen.chip import Chip, Walls, number, row_and_column
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.world import World

TURNED = Nanowell(turn_deg=2.0)
PIXEL_UM = 0.325


def drawn(
    centre_um: tuple[float, float], settings: Nanowell = TURNED
) -> NDArray[np.float32]:
    """Give the walls of a small view."""
    phase = np.zeros((256, 256), np.float32)
    Walls(settings, 3, PIXEL_UM)(phase, centre_um)
    return phase


def seen(chip: Nanowell | None, channel: str) -> NDArray[np.float32]:
    """Give the last frame of a dish without cells and dirt."""
    world = World.load("nanowell_20x")
    clean = {"debris_per_mm2": 0.0, "floaters_per_mm2": 0.0}
    update = {
        "nanowell": chip,
        "optics": world.optics.model_copy(update=clean),
        "cells": world.cells.model_copy(update={"n": 0}),
    }
    world = world.model_copy(update=update)
    stand = SimulatedStand(world, 3, 256, Clock("stepped"), channels=(channel,))
    return stand.begin_cycle().frames[-1]


def test_wells_lie_on_the_two_level_lattice() -> None:
    """Every middle is o + Rot(turn) (p index + g floor(index / 6)) on both axes."""
    chip = Chip.lay(TURNED, 5)
    rows, columns = np.meshgrid(np.arange(-13, 14), np.arange(-13, 14))
    rows, columns = rows.ravel(), columns.ravel()

    away = chip.centres_um(number(rows, columns)) - chip.origin_um

    x, y = 70 * columns + 40 * (columns // 6), 70 * rows + 40 * (rows // 6)
    c, s = math.cos(math.radians(2)), math.sin(math.radians(2))
    assert np.allclose(away, np.stack([c * y + s * x, c * x - s * y], 1))


@given(
    row=st.integers(-3000, 3000),
    column=st.integers(-3000, 3000),
    off=st.tuples(st.floats(-24.9, 24.9), st.floats(-24.9, 24.9)),
    turn=st.floats(-45, 45),
)
def test_a_place_in_a_well_tells_its_number(
    row: int, column: int, off: tuple[float, float], turn: float
) -> None:
    """Whatever place within a well is asked for, its number leads back to the well."""
    chip = Chip.lay(Nanowell(turn_deg=turn), 1)
    well = number(np.array([row]), np.array([column]))
    c, s = chip.turn
    shift = np.array([c * off[0] + s * off[1], c * off[1] - s * off[0]])

    found = chip.inside(chip.centres_um(well) + shift)

    assert found[0] == well[0]
    assert [int(i[0]) for i in row_and_column(found)] == [row, column]


def test_walls_have_no_number() -> None:
    """Halfway between two wells, and between two blocks, there is no well."""
    chip = Chip.lay(Nanowell(), 1)
    wells = chip.centres_um(number(np.array([0, 0, 0]), np.array([0, 1, -1])))

    between = np.stack([wells[0] + wells[1], wells[0] + wells[2]]) / 2

    assert chip.inside(between).tolist() == [0, 0]


def test_all_wells_that_reach_into_a_square_are_found() -> None:
    """The list of wells of a view is that of a search over its every place."""
    chip = Chip.lay(TURNED, 7)
    steps = np.arange(-160, 160.5, 0.5)
    places = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)

    found = chip.touching((30.0, -50.0), 320)

    there = np.setdiff1d(chip.inside(places + np.array([30.0, -50.0])), [0])
    assert np.setdiff1d(there, found).size == 0
    assert len(found) - len(there) <= 2  # corners between two places of the search


def test_the_walls_move_with_the_stage() -> None:
    """A move by whole pixels shifts the picture of a turned chip, and nothing else."""
    here = drawn((0.0, 0.0))
    there = drawn((40 * PIXEL_UM, -24 * PIXEL_UM))

    assert np.allclose(there[:-40, 24:], here[40:, :-24], atol=0.01)


def test_a_standing_view_is_the_same_each_time() -> None:
    """Walls from memory are the walls that were drawn, whatever came in between."""
    walls = Walls(TURNED, 3, PIXEL_UM)
    maps = [np.zeros((256, 256), np.float32) for _ in range(4)]

    for phase, place in zip(maps, [(0, 0), (0, 0), (9, 9), (0, 0)], strict=True):
        walls(phase, place)

    assert np.array_equal(maps[0], maps[1])
    assert np.array_equal(maps[0], maps[3])
    assert not np.array_equal(maps[0], maps[2])


def test_the_bottom_of_a_well_is_clear_and_rims_differ() -> None:
    """Inside the walls nothing is added; the rims of two wells are not alike."""
    chip = Chip.lay(Nanowell(), 3)
    wells = chip.touching((0.0, 0.0), 20)
    middle = chip.centres_um(chip.touching((0.0, 0.0), 100))[:2]
    views = [drawn(tuple(place), Nanowell()) for place in middle.tolist()]

    inner = np.ptp(views[0][70:186, 70:186])

    assert len(wells) > 0
    assert inner == 0
    assert abs(views[0].max() - views[1].max()) > 0.005


@pytest.mark.parametrize("channel", ["SLIM", "PhaseContrast", "Brightfield"])
def test_rims_show_in_every_light(channel: str) -> None:
    """Along the rims of an empty chip the light varies far more than in its wells."""
    empty = Nanowell(effectors=(0, 0), targets=(0, 0), wall_rad=0.25)
    phase = drawn((0.0, 0.0), empty)

    light = seen(empty, channel)
    light /= seen(None, channel)

    steep = np.hypot(*np.gradient(phase)) > 0.02
    assert light[steep].std() > 2 * light[phase == 0].std()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [("pitch_um", 50.0, "wall between"), ("target_radius_um", 26.0, "not fit")],
)
def test_an_impossible_chip_is_refused(key: str, value: float, says: str) -> None:
    """Wells without a wall, and cells that no well can hold, are named."""
    with pytest.raises(BadWorld, match=says):
        World.check({"nanowell": {key: value}}, "test")
