"""Phase retrieval against phantoms whose phase is known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.schema import Stand
from inference.phase import (
    PhaseRetrieval,
    dry_mass_factor,
    phase_in_rad,
    retrieve_phase,
)

STAND = Stand()
SHAPE = (320, 352)


def discs(seed: int = 1, count: int = 12) -> NDArray[np.float64]:
    """Give the phase in rad of smooth round objects on an empty field."""
    random = np.random.default_rng(seed)
    phase = np.zeros(SHAPE)
    y, x = np.indices(SHAPE)
    for _ in range(count):
        centre_y, centre_x = random.uniform(0, SHAPE[0]), random.uniform(0, SHAPE[1])
        distance = ((y - centre_y) ** 2 + (x - centre_x) ** 2) / random.uniform(80, 250)
        phase += random.uniform(0.5, 2.0) * np.maximum(1 - distance, 0)
    return np.minimum(phase, 2.5)


def light(strength: float = 0.15) -> NDArray[np.float64]:
    """Give an uneven illumination around 6000 counts."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij")
    return 6000 * (1 - strength * (x**2 + 0.5 * y * x) + 0.3 * strength * y)


def steps(
    phase: NDArray[np.float64], direct: NDArray[np.complex128], stand: Stand = STAND
) -> NDArray[np.float64]:
    """Give the four intensities of a phase object with the given direct field."""
    scattered = np.exp(1j * phase) - direct
    delayed = [stand.ring_amplitude * direct * 1j**n for n in range(4)]
    if stand.step_sign < 0:
        delayed[1], delayed[3] = delayed[3], delayed[1]
    return np.stack([light() * np.abs(field + scattered) ** 2 for field in delayed])


def recorded(intensity: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Give intensities as counts of a camera with an offset of 100."""
    return np.clip(np.rint(intensity + 100), 0, 65535).astype(np.uint16)


def blurred(phase: NDArray[np.float64], sigma_px: float) -> NDArray[np.complex128]:
    """Give the direct field of a ring of finite width: a blurred image."""
    parts = (
        cv2.GaussianBlur(part(phase), (0, 0), sigma_px) for part in (np.cos, np.sin)
    )
    real, imaginary = parts
    return np.asarray(real + 1j * imaginary)


def published_phase(intensity: NDArray[np.float64], background: float) -> NDArray:
    """Give the phase as published: delta, beta = c g L, one arctangent."""
    i0, i1, i2, i3 = intensity
    delta = np.arctan2(i1 - i3, i0 - i2)  # this stand steps the other way round
    product = np.sqrt((i0 - i2) ** 2 + (i1 - i3) ** 2) / 4
    beta = STAND.ring_amplitude / background * product
    return np.arctan2(beta * np.sin(delta), 1 + beta * np.cos(delta))


def test_phase_without_noise_is_exact() -> None:
    """A plane direct field and uneven light give the true phase, 0.2 mrad RMS."""
    truth = discs()

    coded = retrieve_phase(recorded(steps(truth, np.ones(SHAPE, complex))), STAND)

    error = phase_in_rad(coded) - truth
    assert np.sqrt(np.mean(error**2)) < 2e-4
    assert np.abs(error).max() < 2e-3


def test_phase_with_one_percent_noise() -> None:
    """1 % intensity noise leaves less than 0.01 rad RMS."""
    truth = discs()
    clean = steps(truth, np.ones(SHAPE, complex))
    noise = np.random.default_rng(2).normal(0, 0.01, clean.shape)

    coded = retrieve_phase(recorded(clean * (1 + noise)), STAND)

    assert np.sqrt(np.mean((phase_in_rad(coded) - truth) ** 2)) < 0.01


def test_phase_agrees_with_the_published_form() -> None:
    """On even light the kernel gives what the published formula gives."""
    truth = discs()
    even = steps(truth, np.ones(SHAPE, complex)) / light() * 6000
    background = 6000 * STAND.ring_amplitude**2

    coded = retrieve_phase(recorded(even), STAND)

    expected = published_phase(even, background)
    assert np.abs(phase_in_rad(coded) - expected).max() < 1e-3


def test_direct_light_of_a_finite_ring_is_found() -> None:
    """Where the direct field varies, the phase against it is found within 2 %."""
    truth = discs(count=20)
    direct = blurred(truth, sigma_px=60)
    against_direct = np.angle(np.exp(1j * truth) * direct.conj())

    phase = phase_in_rad(retrieve_phase(recorded(steps(truth, direct)), STAND))

    inside = truth > 0.3
    difference = phase[inside] - against_direct[inside]
    slope = np.polyfit(against_direct[inside], phase[inside], 1)[0]
    assert slope == pytest.approx(1, abs=0.02)
    assert difference.std() < 0.03


def test_background_is_zero() -> None:
    """A tilted reference phase is taken off: empty background reads 0 rad."""
    truth = discs(count=6)
    y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij")
    tilted = np.exp(-1j * (0.3 + 0.1 * x - 0.05 * y))

    phase = phase_in_rad(retrieve_phase(recorded(steps(truth, tilted)), STAND))

    empty = truth == 0
    assert abs(phase[empty].mean()) < 2e-3
    assert phase[empty].std() < 5e-3


def test_a_crowded_field_keeps_its_background() -> None:
    """With cells on three quarters of the field, the gaps still read about 0 rad."""
    truth = np.full(SHAPE, 0.8)
    truth[:, 100:140] = truth[:, 240:280] = truth[150:170] = 0

    phase = phase_in_rad(
        retrieve_phase(recorded(steps(truth, np.ones(SHAPE, complex))), STAND)
    )

    assert (truth == 0).mean() < 0.3
    assert abs(np.median(phase[truth == 0])) < 0.02


def test_thick_cells_do_not_wrap() -> None:
    """A round cell of 4.5 rad, more than half a turn, is retrieved as it is."""
    truth = discs(count=6)
    truth[100:140, 100:140] = 4.5

    phase = phase_in_rad(
        retrieve_phase(recorded(steps(truth, np.ones(SHAPE, complex))), STAND)
    )

    assert np.abs(phase - truth)[102:138, 102:138].max() < 5e-3


def test_the_other_step_direction() -> None:
    """With ``step_sign = -1`` a stand that steps backwards gives the same phase."""
    other = Stand(step_sign=-1)
    truth = discs()
    plane = np.ones(SHAPE, complex)

    forward = retrieve_phase(recorded(steps(truth, plane)), STAND)
    backward = retrieve_phase(recorded(steps(truth, plane, other)), other)

    np.testing.assert_array_equal(forward, backward)


@pytest.mark.parametrize("shape", [(64, 64), (200, 250), (33, 47)])
def test_any_shape(shape: tuple[int, int]) -> None:
    """Frames that are no multiple of the blocks are retrieved all the same."""
    even = np.full((4, *shape), 1000, np.uint16)

    coded = PhaseRetrieval(STAND, shape)(even)

    assert coded.shape == shape
    assert (coded == 16384).all()


def test_answers_do_not_share_memory() -> None:
    """A later frame leaves an earlier answer alone."""
    retrieval = PhaseRetrieval(STAND, SHAPE)
    plane = np.ones(SHAPE, complex)
    first = retrieval(recorded(steps(discs(1), plane)))
    kept = first.copy()

    retrieval(recorded(steps(discs(2), plane)))

    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("level", [0, 65535])
def test_dark_and_saturated_frames_give_a_number(level: int) -> None:
    """No light, or too much of it, gives a flat phase and no error."""
    coded = retrieve_phase(np.full((4, 64, 64), level, np.uint16), STAND)

    assert (coded == coded[0, 0]).all()


def test_dry_mass_of_a_known_phase() -> None:
    """1 rad over 1 um^2 is wavelength / (2 pi increment): 0.4695 pg."""
    factor = dry_mass_factor(STAND, pixel_size_um=0.5)

    assert 4 * factor == pytest.approx(0.59 / (2 * np.pi * 0.2))
