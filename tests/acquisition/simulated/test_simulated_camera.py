"""The camera: noise, saturation and reproducibility."""

import itertools

import numpy as np
import pytest

from acquisition.simulated.light.camera import CameraModel
from acquisition.simulated.world import World

SIZE = 256


def world_with(**camera: float) -> World:
    """Give a world with another camera."""
    world = World.load("cho_10x")
    return world.model_copy(update={"camera": world.camera.model_copy(update=camera)})


def shots(
    world: World, electrons: float, count: int, exposure_ms: float = 8.0
) -> np.ndarray:
    """Take pictures of an even field."""
    camera = CameraModel(world, 1, SIZE)
    even = np.full((SIZE, SIZE), electrons, np.float32)
    out = np.empty((count, SIZE, SIZE), np.uint16)
    for number in range(count):
        camera.expose(even, exposure_ms, number, out[number])
    return out


def test_noise_is_shot_and_read_noise() -> None:
    """The variance over time is that of the electrons and the amplifier."""
    world = World.load("cho_10x")
    settings = world.camera

    noise = shots(world, 1800, 24).astype(float).var(axis=0, ddof=1).mean()

    expected = (1800 + settings.read_e**2) / settings.gain_e_per_dn**2
    assert noise == pytest.approx(expected, rel=0.03)


def test_counts_follow_light_and_offset() -> None:
    """The mean is electrons over gain plus the offset; without light the offset."""
    world = World.load("cho_10x")

    dark = shots(world, 1800, 4, exposure_ms=0).mean()
    double = shots(world, 1800, 4, exposure_ms=16).mean()

    assert dark == pytest.approx(100, abs=0.5)
    assert double == pytest.approx(100 + 3600 / 0.46, rel=0.005)


def test_the_well_saturates() -> None:
    """More light than the well holds gives no more counts, and no overflow."""
    full = shots(World.load("cho_10x"), 1e6, 1)

    assert full.mean() == pytest.approx(100 + 30000 / 0.46, rel=0.01)
    assert full.min() > 60_000


def test_noise_belongs_to_the_frame_number() -> None:
    """The same number gives the same picture, whatever was taken before."""
    camera = CameraModel(World.load("cho_10x"), 1, SIZE)
    even = np.full((SIZE, SIZE), 500, np.float32)
    first, other, again = np.empty((3, SIZE, SIZE), np.uint16)

    for number, out in ((7, first), (8, other), (7, again)):
        camera.expose(even, 8.0, number, out)

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_never_repeats() -> None:
    """No two pictures, of one or of two cameras, share noise at any displacement."""
    world = world_with(response_spread=0.0, offset_spread_dn=0.0)
    spectra = []
    for seed, number in ((1, 0), (1, 1), (1, 2), (2, 0)):
        out = np.empty((512, 512), np.uint16)
        even = np.full(out.shape, 1800, np.float32)
        CameraModel(world, seed, 512).expose(even, 8.0, number, out)
        spectra.append(np.fft.fft2((out - out.mean()) / out.std()) / 512)

    for one, other in itertools.combinations_with_replacement(range(4), 2):
        shared = np.fft.ifft2(spectra[one] * spectra[other].conj()).real
        shared[0, 0] *= one != other  # with itself at no displacement: 1

        assert np.abs(shared).max() < 0.02


def test_rows_share_their_noise() -> None:
    """Row noise is common to a row, and drawn anew for every picture."""
    world = world_with(row_noise_e=20.0, flicker=0.0)

    counts = shots(world, 100, 2).astype(float)

    rows = (counts[1] - counts[0]).mean(axis=1)
    assert rows.std() == pytest.approx(20 * 2**0.5 / 0.46, rel=0.15)


def test_hot_pixels_stay_where_they_are() -> None:
    """Pixels that glow in the dark are the same in every picture, as many as stated."""
    counts = shots(world_with(hot_pixels_per_mpx=2000.0), 0, 2)

    hot = counts > 150

    assert 60 < hot[0].sum() < 160
    assert (hot[0] == hot[1]).mean() > 0.9995


def test_the_lamp_flickers() -> None:
    """The mean of a picture varies from exposure to exposure by the stated share."""
    means = shots(world_with(flicker=0.02), 1800, 40).mean(axis=(1, 2)) - 100

    assert means.std(ddof=1) / means.mean() == pytest.approx(0.02, rel=0.35)


def test_x_rays_leave_specks() -> None:
    """With the beam open single pixels light up, and none with the beam shut."""
    camera = CameraModel(world_with(beam_specks=200), 1, SIZE)
    dark = np.zeros((SIZE, SIZE), np.float32)
    shut, opened = np.empty((2, SIZE, SIZE), np.uint16)

    camera.expose(dark, 8.0, 1, shut)
    camera.expose(dark, 8.0, 1, opened, beam_open=True)

    assert 140 < np.count_nonzero(opened > shut) < 260
