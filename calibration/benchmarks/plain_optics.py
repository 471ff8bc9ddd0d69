"""The simulated optics and camera as one writes them down in NumPy and SciPy.

The yardstick of `vigil bench simulate`: same formulas, same frames (within two parts in
a thousand of the light of an empty view, root mean square); the direct light by Fourier
transform at full resolution, fresh random numbers for every exposure.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from acquisition.simulated.light.optics import DEFOCUS_BLUR
from acquisition.simulated.sections import Camera
from acquisition.simulated.sections import Optics as OpticsSection

Floats = NDArray[np.float32]


def blurred(phase: Floats, settings: OpticsSection, defocus_um: float) -> Floats:
    """Give the phase behind the point spread of the objective."""
    sharp = 0.21 * settings.wavelength_um / settings.na
    sigma = math.hypot(sharp, DEFOCUS_BLUR * defocus_um) / settings.pixel_um
    return np.asarray(gaussian_filter(phase, sigma, mode="nearest", truncate=3))


def four_frames(
    soft: Floats,
    background: Floats,
    light: Floats,
    settings: OpticsSection,
    defocus_um: float,
) -> Floats:
    """Give the noiseless frames (step, y, x) of a blurred phase map."""
    bend = defocus_um * settings.wavelength_um / (4 * math.pi) / settings.pixel_um**2
    edged = np.pad(soft, 1, mode="edge")
    laplacian = edged[:-2, 1:-1] + edged[2:, 1:-1] + edged[1:-1, :-2] + edged[1:-1, 2:]
    amplitude = np.maximum(1 - bend * (laplacian - 4 * soft), 0)
    whole = amplitude * np.exp(1j * (soft + background))
    direct = low_passed(whole, settings.halo_um / 2 / settings.pixel_um)
    frames = []
    for n, error in enumerate(settings.step_error_rad):
        turn = np.exp(1j * (n * math.pi / 2 + error))
        arriving = settings.ring_amplitude * turn * direct + (whole - direct)
        frames.append(light * np.abs(arriving) ** 2)
    return np.stack(frames).astype(np.float32)


def low_passed(
    field: NDArray[np.complexfloating], sigma: float
) -> NDArray[np.complexfloating]:
    """Filter with a Gaussian whose borders are mirrored."""
    margin = min(math.ceil(3 * sigma), min(field.shape))
    padded = np.pad(field.astype(np.complex64), margin, mode="symmetric")
    y = np.fft.fftfreq(padded.shape[0])[:, None]
    x = np.fft.fftfreq(padded.shape[1])[None]
    response = np.exp(-2 * (math.pi * sigma) ** 2 * (y * y + x * x))
    spectrum = np.fft.fft2(padded) * response.astype(np.float32)
    low = np.fft.ifft2(spectrum)
    return np.asarray(low[margin:-margin, margin:-margin])


def exposed(
    electrons: Floats,
    maps: tuple[Floats, Floats],
    settings: Camera,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Take one picture; ``maps`` are response and offset in counts."""
    response, offset = maps
    lamp = 1 + settings.flicker * rng.standard_normal()
    e = np.clip(electrons * np.float32(lamp) * response, 0, settings.full_well_e)
    noise = rng.standard_normal(e.shape, np.float32)
    rows = settings.row_noise_e * rng.standard_normal((len(e), 1), np.float32)
    e = e + np.sqrt(e + np.float32(settings.read_e**2)) * noise + rows
    counts = np.rint(e / np.float32(settings.gain_e_per_dn) + offset)
    return np.clip(counts, 0, 65535).astype(np.uint16)


def areas_and_pairs(
    labels: NDArray[np.uint16],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the pixels of every label and the pairs at most 2 px apart."""
    height, width = labels.shape
    found = []
    for dy, dx in ((0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)):
        here = labels[: height - dy, max(0, -dx) : width - max(0, dx)]
        there = labels[dy:, max(0, dx) : width + min(0, dx)]
        meet = (here != there) & (here > 0) & (there > 0)
        found.append(np.sort(np.stack([here[meet], there[meet]], 1), axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return np.bincount(labels.ravel()), pairs.astype(np.int64)
