"""How cells move: alone, beside neighbours, in a crowd, afloat."""

import math
import time

import numpy as np
import pytest

from acquisition.simulated.drawing.render import Renderer
from acquisition.simulated.sections import Mix, Protocol
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.motion import CORE_UM_PER_MIN, STEP_MIN
from acquisition.simulated.specimen.population import LifeState
from acquisition.simulated.world import World

ALL_AT_REST = Mix(mitosis=0, spreading=0)


def calm_world(**cells: float) -> World:
    """Give a world without death and doses."""
    world = World.load("cho_10x")
    traits = {"floating_fraction": 0.0, **cells}
    return world.model_copy(
        update={
            "mix": ALL_AT_REST,
            "protocol": Protocol(),
            "cells": world.cells.model_copy(update=traits),
            "death": world.death.model_copy(update={"spontaneous_per_h": 0.0}),
        }
    )


def closed_form_um2(world: World, minutes: float) -> float:
    """Give the mean squared displacement an axis of a cell by itself."""
    traits = world.cells
    persistence = traits.persistence_min
    variance = (traits.speed_um_per_h / 60) ** 2 / 2
    rest = persistence * (1 - math.exp(-minutes / persistence))
    walk = 2 * variance * persistence * (minutes - rest)
    return walk + 2 * traits.jitter_um**2 * (1 - math.exp(-minutes))


def paths(specimen: Specimen, minutes: int) -> np.ndarray:
    """Let time pass and give the centres (minute, cell, yx) of cells that crawled."""
    crawled = np.unique(specimen.cells["id"])
    shown = []
    for minute in range(minutes + 1):
        specimen.advance_to(60.0 * minute + 600)
        now = specimen.columns()
        shown.append(now)
        resting = now.id[now.state == LifeState.INTERPHASE]
        crawled = np.intersect1d(crawled, resting)
    return np.stack([now.centre_um[np.isin(now.id, crawled)] for now in shown])


@pytest.mark.parametrize(
    ("n", "field_um"), [(25, 6000), (320, 2000)], ids=["alone", "default density"]
)
def test_tracks_have_the_motion_of_their_world(n: int, field_um: float) -> None:
    """Speed, persistence and MSD lie within 10 % of the world's, crowded or not."""
    world = calm_world(n=n)
    specimen = Specimen(world, 3, field_um)
    specimen.settle(20)

    track = paths(specimen, 120)

    for lag in (5, 20, 60):
        square = ((track[lag:] - track[:-lag]) ** 2).mean()
        assert square == pytest.approx(closed_form_um2(world, lag), rel=0.10)
    step = track[5:] - track[:-5]
    noise = 2 * world.cells.jitter_um**2
    square = (step**2).mean() - noise
    expected = math.sqrt(closed_form_um2(world, 5) - noise)
    assert math.sqrt(square) == pytest.approx(expected, rel=0.10)
    # Steps that share no minute are correlated as the velocity is.
    alike = [(step[lag:] * step[:-lag]).mean() for lag in (10, 30)]
    persistence = 20 / math.log(alike[0] / alike[1])
    assert persistence == pytest.approx(world.cells.persistence_min, rel=0.10)


def test_neighbours_crawl_alike() -> None:
    """Velocities are correlated over about the length of the world, and no further."""
    specimen = Specimen(calm_world(n=320, jitter_um=0.0), 5, 2000)
    specimen.settle(20)

    track = paths(specimen, 95)

    alike = {12: 0.0, 25: 0.0, 38: 0.0, 80: 0.0}  # from this gap in um to 13 um more
    for minute in (5, 35, 65, 95):
        step, place = track[minute] - track[minute - 5], track[minute]
        gap = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
        product = step @ step.T / (step**2).sum(axis=1).mean()
        for low in alike:
            alike[low] += product[(gap > low) & (gap < low + 13)].mean() / 4
    assert 0.40 < alike[12] < 0.65
    assert 0.12 < alike[25] < 0.30
    assert alike[38] < 0.15
    assert abs(alike[80]) < 0.03


def test_kicks_are_shared_at_unit_variance() -> None:
    """With and without coupling the velocity has the same variance."""
    spreads = []
    for neighbour_um in (0.0, 25.0, 60.0):
        specimen = Specimen(calm_world(n=320, neighbour_um=neighbour_um), 5, 1300)
        specimen.advance(3600)
        resting = specimen.cells["state"] == LifeState.INTERPHASE
        spreads.append(specimen.cells["velocity_um_per_min"][resting].std())

    assert spreads == pytest.approx([0.3 / math.sqrt(2)] * 3, rel=0.08)


def test_floating_cells_drift_together() -> None:
    """Cells above the dish go with the flow; those below do not."""
    world = calm_world(n=150, floating_fraction=0.5)
    specimen = Specimen(world, 2, 800)
    before = specimen.columns()

    specimen.advance(900)

    moved = specimen.columns().centre_um - before.centre_um
    hangs = specimen.cells["hangs"]
    drift = np.median(moved[hangs], axis=0)
    assert np.hypot(*drift) > 4 * np.hypot(*np.median(moved[~hangs], axis=0))


def test_a_settled_dish_has_room_for_every_cell() -> None:
    """Pushing ends overlaps of the cores without throwing any cell across the dish."""
    specimen = Specimen(calm_world(n=600), 4, 500)
    before = specimen.cells["centre_um"].copy()

    specimen.settle(60)

    assert specimen.cells["crowd"].max() < 1.2
    moved = np.hypot(*(specimen.cells["centre_um"] - before).T)
    assert moved.max() < CORE_UM_PER_MIN * STEP_MIN * 20


@pytest.mark.slow
def test_a_confluent_dish_is_not_stacked() -> None:
    """After 38 h undisturbed, fewer than 3 % of the cells show less than half."""
    specimen = Specimen.under_stand(World.load("sham"), 1, 768)
    specimen.advance(38 * 3600)
    renderer = Renderer(specimen.world, 768)
    phase = np.empty((768, 768), np.float32)
    labels, nuclei = (np.empty((768, 768), np.uint16) for _ in range(2))

    renderer.render(specimen, (0, 0), phase, labels, nuclei)

    now = specimen.columns()
    inside = now.id[np.all(np.abs(now.centre_um) < 230, axis=1)]
    visible = np.bincount(labels.ravel(), minlength=2**16)[inside]
    shown = visible / np.maximum(renderer.sprite_areas(inside), 1)
    assert len(inside) > 350
    assert (shown < 0.5).mean() < 0.03


@pytest.mark.slow
def test_physics_costs_no_more_than_its_cells() -> None:
    """Eighteen hours cost eighteen times the first, and more only by the daughters.

    How many seconds that are says `vigil bench simulate`.
    """
    specimen = Specimen(calm_world(), 1, 645)
    specimen.advance(60)

    def cost_s(hours: float) -> float:
        began = time.process_time()
        specimen.advance(3600 * hours)
        return time.process_time() - began

    first_s, count = cost_s(2), len(specimen.cells)
    later_s, daughters = cost_s(16), len(specimen.cells) / count

    assert later_s < 3 * daughters * 8 * first_s
