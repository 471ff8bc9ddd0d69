"""The camera: noise, saturation and reproducibility."""

import numpy as np
import pytest

from acquisition.simulated.camera import CameraModel
from acquisition.simulated.optics import Optics
from acquisition.simulated.world import World

SIZE = 256


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


def test_phase_noise_is_five_milliradian() -> None:
    """The retrieved phase of an empty dish fluctuates by 4 to 6 mrad."""
    world = World.load("cho_10x")
    frames = np.empty((4, SIZE, SIZE), np.float32)
    Optics(world, 1, SIZE, 300).frames(np.zeros((SIZE, SIZE), np.float32), 0, frames)
    camera = CameraModel(world, 1, SIZE)
    counts = np.empty((12, 4, SIZE, SIZE), np.uint16)
    for number in range(48):
        camera.expose(frames[number % 4], 8.0, number, counts[number // 4, number % 4])

    i0, i1, i2, i3 = np.moveaxis(counts.astype(float), 1, 0)
    t, empty = world.optics.ring_amplitude, world.camera.background_e / 0.46
    phase = np.arctan2(t * (i1 - i3) / 4, empty + t * (i0 - i2) / 4)

    assert 4e-3 < phase.std(axis=0, ddof=1).mean() < 6e-3
