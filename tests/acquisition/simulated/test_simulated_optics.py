"""The forward model: step sign, halo, defocus, modalities and what lies in the way."""

import math

import numpy as np
from scipy import ndimage

from acquisition.simulated.light.background import illumination
from acquisition.simulated.light.optics import Optics, Pattern
from acquisition.simulated.light.optics_kernels import make_field, soften
from acquisition.simulated.world import World

SIZE = 256


def clean_world(**optics: object) -> World:
    """Give a world with an ideal light path."""
    world = World.load("cho_10x")
    ideal = {
        "vignetting": 0.0,
        "tilt_rad": 0.0,
        "speckle_mrad": 0.0,
        "dust": 0,
        "debris_per_mm2": 0.0,
        "floaters_per_mm2": 0.0,
        "step_error_rad": (0.0, 0.0, 0.0, 0.0),
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


def test_defocus_fringes() -> None:
    """Out of focus an edge is brighter on one side; the focus says which."""
    world = clean_world()

    above, below = (frames_of(world, disc(), z).sum(axis=0)[128] for z in (6, -6))

    assert above[128 + 9] > 1.02 * below[128 + 9]
    assert above[128 + 13] < 0.995 * below[128 + 13]


def brightfield(world: World, phase: np.ndarray, defocus_um: float = 0) -> np.ndarray:
    """Give a noiseless brightfield frame."""
    out = np.empty((SIZE, SIZE), np.float32)
    Optics(world, 1, SIZE, 300).brightfield(phase, defocus_um, out)
    return out


def test_brightfield_shows_edges_only_out_of_focus() -> None:
    """A pure phase object vanishes in focus in brightfield."""
    world = clean_world(absorption_per_rad=0.0)

    focused, aside = (brightfield(world, disc(0.5), z) for z in (-4.0, 0.0))

    assert np.allclose(focused, world.camera.background_e, rtol=1e-4)
    assert aside.std() / aside.mean() > 0.005


def test_cells_absorb_a_little() -> None:
    """In focus brightfield is darker where cells are, by the stated share a radian."""
    frame = brightfield(clean_world(absorption_per_rad=0.05), disc(0.8), -4.0)

    assert math.isclose(frame[128, 128] / frame[0, 0], 1 - 0.8 * 0.05, rel_tol=1e-3)


def light_of(**optics: object) -> np.ndarray:
    """Give the light of the empty view relative to the lamp."""
    return illumination(clean_world(**optics).optics, np.random.default_rng(5), SIZE)


def test_bubbles_have_dark_rims() -> None:
    """A bubble takes half the light at its rim, little in its middle, none far off."""
    clear, light = light_of(), light_of(bubbles=1)

    assert light.min() < 0.5 * clear.min()
    assert np.median(light[light < 0.95 * clear]) > 0.5
    assert (light > 0.99).mean() > 0.3


def test_condensation_mottles_the_light() -> None:
    """Droplets under the lid take light unevenly, and the more the more there are."""
    losses = [1 - light_of(condensation=part) for part in (0.0, 0.2, 0.6)]

    means = [loss.mean() for loss in losses]
    spreads = [loss.std() for loss in losses]
    assert abs(means[0]) < 1e-6
    assert means[2] > 2 * means[1] > 0.04
    assert spreads[2] > 2 * spreads[1] > 0.02


def test_particles_stay_in_the_dish() -> None:
    """Settled debris moves with the stage and is the same each time."""
    optics = Optics(clean_world(debris_per_mm2=2000.0), 1, SIZE, 300)
    here, there = np.zeros((2, SIZE, SIZE), np.float32)

    optics.add_scenery(here, (0.0, 0.0), 0.0)
    optics.add_scenery(there, (6.5, 0.0), 99.0)

    assert here.max() > 0.1
    assert np.allclose(here[10:], there[:-10], atol=0.01)


def test_some_debris_is_as_large_as_a_cell() -> None:
    """Among small specks lie clumps of over 40 square micrometres."""
    phase = np.zeros((SIZE, SIZE), np.float32)
    Optics(clean_world(debris_per_mm2=2000.0), 1, SIZE, 300).add_scenery(
        phase, (0.0, 0.0), 0.0
    )

    pieces, count = ndimage.label(phase > 0.1)

    areas = np.bincount(pieces.ravel())[1:] * 0.65**2
    assert count > 20
    assert np.median(areas) < 8
    assert 40 < areas.max() < 300


def test_floaters_drift() -> None:
    """What floats is elsewhere a minute later."""
    optics = Optics(clean_world(floaters_per_mm2=300.0), 1, SIZE, 300)
    now, later = np.zeros((2, SIZE, SIZE), np.float32)

    optics.add_scenery(now, (0.0, 0.0), 0.0)
    optics.add_scenery(later, (0.0, 0.0), 1.0)

    assert np.abs(now - later).max() > 0.05


def test_a_pattern_belongs_to_the_dish() -> None:
    """What is fixed in the dish is told where the view lies, and adds its phase."""
    seen = []

    def step(phase: np.ndarray, centre_um: tuple[float, float]) -> None:
        seen.append(centre_um)
        phase[:, 7] += 0.5

    pattern: Pattern = step
    phase = np.zeros((SIZE, SIZE), np.float32)
    Optics(clean_world(), 1, SIZE, 300, pattern).add_scenery(phase, (3.0, 4.0), 0.0)

    assert seen == [(3.0, 4.0)]
    assert phase[:, 7].min() == 0.5
    assert phase.sum() == 0.5 * SIZE


def test_the_fast_field_is_exact_enough() -> None:
    """Cosine and sine are right to four parts in a million, far beyond one turn."""
    phase = np.linspace(-20, 20, 64 * 64, dtype=np.float32).reshape(64, 64)
    cosine, sine = np.empty((2, 64, 64), np.float32)

    make_field(phase, np.zeros_like(phase), 0.0, cosine, sine)

    assert np.abs(cosine - np.cos(phase.astype(float))).max() < 4e-6
    assert np.abs(sine - np.sin(phase.astype(float))).max() < 4e-6


def test_softening_keeps_the_sum_of_a_bump() -> None:
    """The point spread moves light and loses none."""
    image, soft = np.zeros((2, 64, 64), np.float32)
    image[30, 31] = 1
    taps = np.exp(-(np.arange(6) ** 2) / 4).astype(np.float32)
    taps /= taps[0] + 2 * taps[1:].sum()

    soften(image, taps, soft)

    assert math.isclose(soft.sum(), 1, rel_tol=1e-5)
    assert soft[30, 31] == soft.max() < 0.2
