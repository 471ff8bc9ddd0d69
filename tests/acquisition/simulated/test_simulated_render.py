"""Sprites and composition: mass, place and labels."""

import numpy as np
import pytest

from acquisition.simulated.drawing.composition import UNDER, clear, compose
from acquisition.simulated.drawing.render import REFRESH_MIN, Renderer
from acquisition.simulated.drawing.sprites import NUCLEUS
from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.population import LifeState
from acquisition.simulated.world import World

SIZE = 256


def draw(
    specimen: Specimen, renderer: Renderer, centre_um: tuple[float, float] = (0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Give phase and labels of a view."""
    phase = np.empty((SIZE, SIZE), np.float32)
    labels = np.empty((SIZE, SIZE), np.uint16)
    renderer.render(specimen, centre_um, phase, labels, np.empty_like(labels))
    return phase, labels


def lone_cell(state: LifeState = LifeState.INTERPHASE, seed: int = 1) -> Specimen:
    """Give a specimen of one cell in the middle."""
    world = World.load("cho_10x")
    cells = world.cells.model_copy(update={"n": 16})
    wanted = {state.name.lower(): 1.0} if state else {}
    mix = Mix.model_validate({"mitosis": 0, "spreading": 0, **wanted})
    world = world.model_copy(update={"cells": cells})
    specimen = Specimen(world, seed, SIZE * 0.65, mix)
    specimen.cells = specimen.cells[:1]
    specimen.cells["centre_um"] = specimen.cells["jitter_um"] = 0
    return specimen


@pytest.mark.parametrize("state", list(LifeState), ids=lambda state: state.name)
def test_phase_is_the_dry_mass(state: LifeState) -> None:
    """The phase of a lone cell adds up to its true dry mass, in every state."""
    specimen = lone_cell(state)
    world = specimen.world

    phase, _ = draw(specimen, Renderer(world, SIZE))

    mass = phase.sum() * world.optics.pixel_um**2 / world.phase_rad_um2_per_pg
    assert mass == pytest.approx(specimen.columns().mass_pg[0], rel=1e-3)


def test_a_cell_is_where_truth_says() -> None:
    """The middle of a mask lies at the cell's centre, within half a micrometre."""
    for seed in range(5):
        specimen = lone_cell(seed=seed)
        specimen.cells["centre_um"] = (7.3, -11.9)

        _, labels = draw(specimen, Renderer(specimen.world, SIZE))

        found = (np.argwhere(labels > 0).mean(0) - (SIZE - 1) / 2) * 0.65
        assert np.abs(found - (7.3, -11.9)).max() < 0.6


def test_the_view_moves_against_the_specimen() -> None:
    """A view from 13 um further down and right shows the cell 20 px up and left."""
    specimen = lone_cell()
    renderer = Renderer(specimen.world, SIZE)
    _, here = draw(specimen, renderer)

    _, there = draw(specimen, renderer, (13.0, 13.0))

    assert np.array_equal(here[20:, 20:], there[:-20, :-20])


def test_a_small_cell_has_no_hole() -> None:
    """Masks of living and necrotic cells are one piece without pin holes."""
    from scipy.ndimage import binary_fill_holes
    from scipy.ndimage import label as pieces

    for state in (LifeState.INTERPHASE, LifeState.GHOST, LifeState.MITOSIS):
        specimen = lone_cell(state)

        mask = draw(specimen, Renderer(specimen.world, SIZE))[1] > 0

        assert pieces(mask)[1] == 1
        assert np.array_equal(binary_fill_holes(mask), mask)


def test_sprites_keep_up_with_the_specimen() -> None:
    """A renderer that was used for long shows what a fresh one shows, nearly."""
    world = World.load("demo")
    specimen = Specimen(world, 3, SIZE * 0.65 + 80)
    used = Renderer(world, SIZE)
    for _ in range(60):
        draw(specimen, used)
        specimen.advance(24)

    _, old = draw(specimen, used)
    _, new = draw(specimen, Renderer(world, SIZE))

    assert (old == new).mean() > 0.97


def test_cells_that_left_free_their_sprites() -> None:
    """Scanning a large dish does not use more sprites than the fullest view."""
    world = World.load("cho_10x")
    specimen = Specimen(world, 3, 1200)
    renderer = Renderer(world, SIZE)

    for y in range(-450, 451, 150):
        for x in range(-450, 451, 150):
            draw(specimen, renderer, (y, x))

    assert len(renderer._sprites) <= 130


def drawn_after(renderer: Renderer, specimen: Specimen, seconds: float) -> int:
    """Give how many sprites are drawn anew when the specimen has aged by so much."""
    specimen.advance(seconds)
    before = renderer._drawn_min.copy()
    draw(specimen, renderer)
    return int(np.count_nonzero(renderer._drawn_min > before))


def calm_cells() -> Specimen:
    """Give a field of cells in interphase."""
    return Specimen(
        World.load("sham"), 3, SIZE * 0.65 + 80, Mix(mitosis=0, spreading=0)
    )


def test_sprites_are_drawn_as_time_passes() -> None:
    """Ten cycles a second draw next to nothing, distant frames draw every cell anew."""
    specimen = calm_cells()
    renderer = Renderer(specimen.world, SIZE)
    draw(specimen, renderer)
    visible = len(renderer._slots)

    assert sum(drawn_after(renderer, specimen, 0.1) for _ in range(50)) <= 1
    assert drawn_after(renderer, specimen, 24) == pytest.approx(0.05 * visible, abs=1)
    assert drawn_after(renderer, specimen, 600) == len(renderer._slots)


def test_no_sprite_is_older_than_stated() -> None:
    """Whatever the interval, a drawing is renewed within the stated time."""
    specimen = calm_cells()
    renderer = Renderer(specimen.world, SIZE)
    draw(specimen, renderer)

    for _ in range(60):
        drawn_after(renderer, specimen, 24)
        slots = list(renderer._slots.values())
        age_min = specimen.minutes - renderer._drawn_min[slots]

        assert age_min.max() <= REFRESH_MIN + 1


def test_a_cell_moves_by_parts_of_a_pixel() -> None:
    """A sprite that was drawn elsewhere shows its cell at the exact place, as sharp."""
    moved = lone_cell()
    renderer = Renderer(moved.world, SIZE)
    draw(moved, renderer)
    moved.cells["centre_um"] = (0.3 * 0.65, -0.4 * 0.65)

    shifted, _ = draw(moved, renderer)
    fresh, _ = draw(moved, Renderer(moved.world, SIZE))

    assert renderer._drawn_min.max() == moved.minutes  # drawn once, at first
    assert place_of(shifted) == pytest.approx(place_of(fresh), abs=0.02)
    assert shifted.std() == pytest.approx(fresh.std(), rel=0.01)


def place_of(phase: np.ndarray) -> list[float]:
    """Give the centre of mass (y, x) in pixels."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return [float((phase * axis).sum() / phase.sum()) for axis in (y, x)]


def test_an_old_drawing_has_the_mass_of_the_moment() -> None:
    """A cell that loses mass loses phase at once, drawn anew or not."""
    specimen = lone_cell(LifeState.GHOST)
    world = specimen.world
    renderer = Renderer(world, SIZE)
    draw(specimen, renderer)
    specimen.cells["birth_mass_pg"] *= 0.8

    phase, _ = draw(specimen, renderer)

    mass = phase.sum() * world.optics.pixel_um**2 / world.phase_rad_um2_per_pg
    assert mass == pytest.approx(specimen.columns().mass_pg[0], rel=1e-3)


def test_abutting_cells_share_no_pixel() -> None:
    """Each pixel belongs to one cell; a covered one shows through a little."""
    one, two = np.ones((2, 5, 5), np.float32)
    ranks = np.full((2, 5, 5), 50, np.uint8)
    ranks[1] = 20 + NUCLEUS
    maps = tuple(np.empty((9, 9), kind) for kind in ("f4", "u2", "u2", "u1"))
    places = np.array([[0, 0, 1]] * 2, np.float32)
    spans = np.tile(np.array([0, 5], np.int32), (2, 5, 1))
    store = (np.array([2, 2], np.int32), np.stack([one, two]), ranks, spans)

    clear(maps)
    at = np.array([[3, 3], [5, 5]])
    compose(at, np.array([7, 9], np.uint16), np.arange(2), places, store, maps)

    phase, labels, nuclei, _ = maps
    assert [phase[2, 2], phase[4, 4]] == pytest.approx([1, 1 + UNDER])
    assert (labels == 7).sum() == 16
    assert (labels == 9).sum() == (nuclei == 9).sum() == 25
