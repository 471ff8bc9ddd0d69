"""What the product's own phase retrieval finds in simulated frames: noise and mass."""

import numpy as np
import pytest

from acquisition.simulated.drawing.render import Renderer
from acquisition.simulated.light.camera import CameraModel
from acquisition.simulated.light.optics import Optics
from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.world import World
from configs.schema import Stand
from inference.phase import PhaseRetrieval, phase_in_rad

SIZE = 512
CLEAN = {"tilt_rad": 0.0, "speckle_mrad": 0.0, "dust": 0, "debris_per_mm2": 0.0}
EMPTY = {**CLEAN, "floaters_per_mm2": 0.0, "vignetting": 0.0}


def world_with(**optics: float) -> World:
    """Give the default world with another light path."""
    world = World.load("sham")
    return world.model_copy(update={"optics": world.optics.model_copy(update=optics)})


def retrieved(world: World, phase: np.ndarray, count: int) -> np.ndarray:
    """Take several frames of a phase map and retrieve each; rad."""
    size = len(phase)
    optics = Optics(world, 1, size, size * world.optics.pixel_um)
    camera = CameraModel(world, 1, size)
    electrons = np.empty((4, size, size), np.float32)
    optics.frames(phase, 0.0, electrons)
    counts = np.empty((4, size, size), np.uint16)
    retrieve = PhaseRetrieval(Stand(), (size, size))
    found = []
    for number in range(count):
        for step in range(4):
            camera.expose(electrons[step], 8.0, 4 * number + step, counts[step])
        found.append(phase_in_rad(retrieve(counts)))
    return np.stack(found)


def test_phase_noise_is_five_milliradian() -> None:
    """The phase of an empty dish fluctuates by 5 mrad at 1800 electrons and t = 0.6."""
    world = world_with(**EMPTY)
    assert (world.camera.background_e, world.optics.ring_amplitude) == (1800, 0.6)

    found = retrieved(world, np.zeros((SIZE, SIZE), np.float32), 16)

    temporal = float(np.sqrt(found.var(axis=0, ddof=1).mean()))
    assert temporal == pytest.approx(5e-3, rel=0.2)


def test_fixed_patterns_of_the_camera_cancel() -> None:
    """What stays the same from frame to frame in an empty dish is below 2 mrad."""
    found = retrieved(world_with(**EMPTY), np.zeros((SIZE, SIZE), np.float32), 16)

    assert found.mean(axis=0).std() < 2e-3


def test_speckle_is_the_fixed_noise() -> None:
    """The background speckle of a world comes back with the height it states."""
    world = world_with(**{**EMPTY, "speckle_mrad": 12.0})

    found = retrieved(world, np.zeros((SIZE, SIZE), np.float32), 8).mean(axis=0)

    assert found.std() == pytest.approx(12e-3, rel=0.2)


def mass_ratio(halo_um: float) -> float:
    """Give retrieved over true mass of cells that are far from any other."""
    world = world_with(**CLEAN, halo_um=halo_um)
    world = world.model_copy(update={"cells": world.cells.model_copy(update={"n": 40})})
    specimen = Specimen(world, 3, 700.0, Mix(mitosis=0, spreading=0))
    phase = np.empty((1024, 1024), np.float32)
    labels, nuclei = np.empty((2, 1024, 1024), np.uint16)
    Renderer(world, 1024).render(specimen, (0.0, 0.0), phase, labels, nuclei)
    found = retrieved(world, phase, 1)[0]
    cells = specimen.columns()
    apart = np.linalg.norm(cells.centre_um[:, None] - cells.centre_um, axis=2)
    alone = (np.sort(apart, axis=1)[:, 1] > 60) & (
        np.abs(cells.centre_um).max(axis=1) < 290
    )
    sums = np.bincount(labels.ravel(), found.ravel(), int(cells.id.max()) + 1)
    mass = sums[cells.id] * world.optics.pixel_um**2 / world.phase_rad_um2_per_pg
    assert alone.sum() >= 10
    return float((mass / cells.mass_pg)[alone].mean())


def test_halo_takes_mass() -> None:
    """A short low-pass takes half of a cell's mass, a long one next to nothing."""
    ratios = [mass_ratio(halo_um) for halo_um in (18.0, 34.0, 60.0, 100.0)]

    assert ratios == sorted(ratios)
    assert 0.4 < ratios[0] < 0.6
    assert 0.88 < ratios[2] < 1.0
