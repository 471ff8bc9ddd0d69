"""The forward model: step sign, halo, defocus, and modalities."""

import math

import numpy as np

from acquisition.simulated.optics import Optics, blur, phasor
from acquisition.simulated.world import World

SIZE = 256


def clean_world(**optics: float) -> World:
    """Give a world with an ideal light path."""
    world = World.load("cho_10x")
    ideal = {
        "vignetting": 0.0,
        "tilt_rad": 0.0,
        "speckle_mrad": 0.0,
        "dust": 0,
        "debris_per_mm2": 0.0,
        "floaters_per_mm2": 0.0,
        **optics,
    }
    return world.model_copy(update={"optics": world.optics.model_copy(update=ideal)})


def disc(height: float = 1.0, radius: float = 12.0) -> np.ndarray:
    """Give a phase map with a level disc in its middle."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return (height * (np.hypot(y, x) < radius)).astype(np.float32)


def frames_of(world: World, phase: np.ndarray, defocus_um: float = 0) -> np.ndarray:
    """Give the four noiseless frames."""
    frames = np.empty((4, SIZE, SIZE), np.float32)
    Optics(world, 1, SIZE, 300).frames(phase.copy(), defocus_um, frames)
    return frames


def retrieved(world: World, frames: np.ndarray) -> np.ndarray:
    """Retrieve the phase with known constants."""
    t, empty = world.optics.ring_amplitude, world.camera.background_e
    quadrature = (frames[1] - frames[3]) / 4
    return np.arctan2(t * quadrature, empty + t * (frames[0] - frames[2]) / 4)


def test_an_empty_field_is_the_background() -> None:
    """Without cells every step shows the electrons that the world promises."""
    world = clean_world()

    frames = frames_of(world, np.zeros((SIZE, SIZE), np.float32))

    assert np.allclose(frames, world.camera.background_e, rtol=1e-4)


def test_the_steps_have_the_agreed_sign() -> None:
    """I1 - I3 is positive in a cell."""
    frames = frames_of(clean_world(), disc(0.6))

    assert frames[1, 128, 128] > frames[3, 128, 128]


def test_phase_comes_back_without_halo() -> None:
    """With a long low-pass the retrieved phase is the true one."""
    world = clean_world(halo_um=600.0)

    found = retrieved(world, frames_of(world, disc(1.0, 5)))

    assert abs(found[128, 128] - 1.0) < 0.02


def test_a_shorter_low_pass_halos_more() -> None:
    """Halo takes phase from the cell and leaves a dark rim."""
    centre, rim = [], []
    for halo_um in (25.0, 100.0):
        world = clean_world(halo_um=halo_um)
        found = retrieved(world, frames_of(world, disc(1.0)))
        centre.append(found[128, 128])
        rim.append(found[128, 128 + 17])

    assert centre[0] < centre[1] < 1
    assert rim[0] < rim[1] < 0


def test_defocus_blurs() -> None:
    """Out of focus the edge of a disc is less steep."""
    world = clean_world()

    sharp = retrieved(world, frames_of(world, disc()))
    fuzzy = retrieved(world, frames_of(world, disc(), 4.0))

    assert np.abs(np.diff(fuzzy[128])).max() < 0.6 * np.abs(np.diff(sharp[128])).max()


def test_step_errors_reach_the_frames() -> None:
    """A modulator that is off by 0.1 rad changes that step and no other."""
    right = frames_of(clean_world(), disc())
    wrong = frames_of(clean_world(step_error_rad=(0, 0.1, 0, 0)), disc())

    assert not np.allclose(right[1], wrong[1], rtol=1e-3)
    assert np.array_equal(right[[0, 2, 3]], wrong[[0, 2, 3]])


def test_brightfield_shows_edges_only_out_of_focus() -> None:
    """A pure phase object all but vanishes in focus in brightfield."""
    optics = Optics(clean_world(), 1, SIZE, 300)
    contrast = []
    for defocus_um in (-4.0, 0.0):
        out = np.empty((SIZE, SIZE), np.float32)
        optics.brightfield(disc(0.5), defocus_um, out)
        contrast.append(out.std() / out.mean())

    assert contrast[0] < 0.3 * contrast[1]


def test_particles_stay_in_the_dish() -> None:
    """Settled debris moves with the stage and is the same each time."""
    optics = Optics(clean_world(debris_per_mm2=2000.0), 1, SIZE, 300)
    here, there = np.zeros((2, SIZE, SIZE), np.float32)

    optics.add_particles(here, (0.0, 0.0), 0.0)
    optics.add_particles(there, (6.5, 0.0), 99.0)

    assert here.max() > 0.1
    assert np.allclose(here[10:], there[:-10], atol=0.01)


def test_the_fast_phasor_is_exact_enough() -> None:
    """Cosine and sine are right to two parts in a million, far beyond one turn."""
    phase = np.linspace(-20, 20, 64 * 64, dtype=np.float32).reshape(64, 64)
    cosine, sine = np.empty((2, 64, 64), np.float32)

    phasor(phase, np.zeros_like(phase), cosine, sine)

    assert np.abs(cosine - np.cos(phase.astype(float))).max() < 4e-6
    assert np.abs(sine - np.sin(phase.astype(float))).max() < 4e-6


def test_blur_keeps_the_sum_of_a_bump() -> None:
    """The point spread moves light and loses none."""
    image = np.zeros((64, 64), np.float32)
    image[30, 31] = 1
    taps = np.exp(-(np.arange(6) ** 2) / 4).astype(np.float32)
    taps /= taps[0] + 2 * taps[1:].sum()

    blur(image, np.empty_like(image), taps)

    assert math.isclose(image.sum(), 1, rel_tol=1e-5)
    assert image[30, 31] == image.max() < 0.2
