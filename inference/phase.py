"""Phase retrieval: four steps of a slim frame to a coded, background-free phase.

With d the phase between scattered light U1 and direct light U0 and b = |U1| / |U0| the
phase is arctan2(b sin d, 1 + b cos d) (spatial light interference microscopy; Wang et
al., Opt. Express 19, 1016, 2011, equations 1 to 4). Multiplied by A = t^2 L |U0|^2 this
is arctan2(t Y, A + t X), see ``inference/phase_kernels.py`` for X, Y, t and L. Nothing
but A has to be known. It varies slowly, because the direct light is a strongly blurred
image of the specimen, and is found in the frame itself: first from the background, then
at every pixel as that root of the quadratic equation of A which lies nearer.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.records import PHASE_RAD_PER_COUNT, PHASE_ZERO_COUNT
from configs.schema import Stand
from inference.phase_kernels import BLOCK_PX, block_means, coded_phase, direct_light
from inference.pixels import plain

BACKGROUND_SHARE = 0.35
"""This share of the blocks, the flattest, are believed to be background at first."""
OUTLIER_SIGMAS = 3.0
"""Blocks further than this from the fitted surface do not count."""
LOWEST_SHARE = 0.3
"""After a first fit only this share of them, the lowest in phase, counts: in a crowd
most of the flat blocks lie inside cells. The next rounds take in what fits."""
FIT_ROUNDS = 6
ROOT_ROUNDS = 2
RESIDUAL_SMOOTHING_BLOCKS = 3.0
DIRECT_SMOOTHING_BLOCKS = 1.0

Floats = NDArray[np.float32]


class PhaseRetrieval:
    """Retrieves frames of one shape; keeps its buffers between them.

    ``shape`` is (y, x) in pixels. Not to be shared between threads.
    """

    def __init__(self, stand: Stand, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._sign = stand.step_sign
        self._ring = stand.ring_amplitude
        self._offset = stand.camera_offset_dn
        blocks = (-(-shape[0] // BLOCK_PX), -(-shape[1] // BLOCK_PX))
        self._surface = _quadratic_terms(blocks)
        self._means = np.empty((4, *blocks), np.float32)
        self._sums = np.empty((2, *blocks), np.float32)
        padded = ((blocks[0] + 2) * BLOCK_PX, (blocks[1] + 2) * BLOCK_PX)
        self._direct = np.empty(padded, np.float32)
        self._tilt = np.empty(padded, np.float32)

    def __call__(self, pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Give the coded phase (y, x) of the four steps (4, y, x), a fresh array."""
        pixels, means = plain(pixels), self._means
        block_means(pixels, self._offset, means)
        flat = _flattest(means)
        direct = self._direct_light(pixels, flat)
        phase = np.arctan2(
            self._sign * self._ring * means[2], direct + self._ring * means[1]
        )
        tilt = _background(phase, flat, self._surface, LOWEST_SHARE)
        gain = self._ring / 4
        size = self._direct.shape[::-1]
        return coded_phase(
            pixels,
            cv2.resize(_continued(direct), size, dst=self._direct),
            cv2.resize(_continued(tilt), size, dst=self._tilt),
            (self._sign * gain, gain),
        )

    def _direct_light(
        self, pixels: NDArray[np.uint16], flat: NDArray[np.bool_]
    ) -> Floats:
        """Give A (by, bx) in counts."""
        total, in_phase, quadrature = self._means[:3].astype(np.float64)
        product = in_phase**2 + quadrature**2
        larger = (total + np.sqrt(np.maximum(total**2 - 4 * product, 0))) / 2
        direct = np.maximum(_background(larger, flat, self._surface), np.float32(1))
        for _ in range(ROOT_ROUNDS):
            direct_light(pixels, self._offset, direct, self._sums)
            weighted, weights = (
                cv2.GaussianBlur(part, (0, 0), DIRECT_SMOOTHING_BLOCKS)
                for part in self._sums
            )
            direct = direct * (weighted + 1e-6) / (weights + 1e-6)
        return direct


def retrieve_phase(pixels: NDArray[np.uint16], stand: Stand) -> NDArray[np.uint16]:
    """Give the coded phase (y, x) of one frame of four steps (4, y, x)."""
    return PhaseRetrieval(stand, (pixels.shape[1], pixels.shape[2]))(pixels)


def phase_in_rad(coded: NDArray[np.uint16]) -> Floats:
    """Give the phase in rad of a coded phase, of any shape."""
    phase = coded.astype(np.float32)
    phase -= PHASE_ZERO_COUNT
    phase *= PHASE_RAD_PER_COUNT
    return phase


def dry_mass_factor(stand: Stand, pixel_size_um: float) -> float:
    """Give the pg per rad and pixel: wavelength / (2 pi increment) * pixel area."""
    density = stand.wavelength_um / (2 * np.pi * stand.refraction_increment_um3_per_pg)
    return float(density * pixel_size_um**2)


def _quadratic_terms(blocks: tuple[int, int]) -> NDArray[np.float64]:
    """Give 1, x, x^2, y, y x, y^2 at the blocks, (block, 6), over [-1, 1]."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in blocks), indexing="ij")
    terms = (np.ones_like(x), x, x * x, y, y * x, y * y)
    return np.stack([term.ravel() for term in terms], axis=1)


def _flattest(means: Floats) -> NDArray[np.bool_]:
    """Say which blocks (by, bx) vary least in I1 - I3, relative to their light."""
    spread = np.sqrt(np.maximum(means[3] - means[2] ** 2, 0))
    spread /= np.maximum(means[0], 1)
    return spread <= np.quantile(spread, BACKGROUND_SHARE)


def _background(
    values: NDArray[np.floating],
    flat: NDArray[np.bool_],
    surface: NDArray[np.float64],
    lowest: float = 1.0,
) -> Floats:
    """Give the surface (by, bx) that runs through the background of ``values``.

    A quadratic surface is fitted to the flat blocks, with Tukey's biweight against
    cells among them; what it leaves is smoothed over the blocks that counted. After
    the first round only the share ``lowest`` counts, where cells lie above.
    """
    chosen = np.flatnonzero(flat)
    terms, seen = surface[chosen], values.ravel()[chosen].astype(np.float64)
    weights = np.ones(len(chosen))
    for fit_round in range(FIT_ROUNDS):
        scaled = terms * weights[:, None]
        normal = scaled.T @ terms + 1e-9 * len(chosen) * np.eye(terms.shape[1])
        residual = seen - terms @ np.linalg.solve(normal, scaled.T @ seen)
        spread = 1.4826 * np.median(np.abs(residual[weights > 0])) + 1e-12
        distance = residual / (OUTLIER_SIGMAS * spread)
        weights = np.maximum(1 - distance**2, 0) ** 2
        if fit_round == 0 and lowest < 1:
            weights = (residual <= np.quantile(residual, lowest)).astype(np.float64)
    fitted = surface @ np.linalg.solve(normal, scaled.T @ seen)
    left = np.zeros((2, *values.shape), np.float32)
    left[0].ravel()[chosen] = residual * weights
    left[1].ravel()[chosen] = weights
    smooth, weight = (
        cv2.GaussianBlur(part, (0, 0), RESIDUAL_SMOOTHING_BLOCKS) for part in left
    )
    # NOTE: the added weight lets the correction fade out where no background is near.
    return fitted.reshape(values.shape).astype(np.float32) + smooth / (weight + 0.03)


def _continued(grid: Floats) -> Floats:
    """Give the grid with one block more on every side, continued in a straight line."""
    return np.pad(grid, 1, mode="reflect", reflect_type="odd")
