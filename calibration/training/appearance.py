"""Thirteen changes of how an image looks; where its cells are stays as it is.

Stage 1 of the set of `calibration.training.augmentation`. Images are float32 (y, x) or
(y, x, 3), 0 to 1. Changes of colour leave a grey image as it is.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Rng = np.random.Generator
Change = Callable[[Image, Rng], Image]

_FULL_16 = 65535.0


def keep(image: Image, rng: Rng) -> Image:  # noqa: ARG001  (one signature for all)
    """Change nothing."""
    return image


def motion_blur(image: Image, rng: Rng) -> Image:
    """Smear along a line of 3 to 7 px in any direction."""
    size = int(rng.choice([3, 5, 7]))
    turn = cv2.getRotationMatrix2D(
        ((size - 1) / 2, (size - 1) / 2), float(rng.uniform(0, 180)), 1.0
    )
    line = np.zeros((size, size), np.float32)
    line[size // 2] = 1
    kernel = cv2.warpAffine(line, turn, (size, size))
    return _filtered(image, kernel / kernel.sum())


def defocus(image: Image, rng: Rng) -> Image:
    """Spread every point over a disc of radius 1 to 3 px."""
    radius = int(rng.integers(1, 4))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (y * y + x * x <= radius * radius).astype(np.float32)
    return _filtered(image, disc / disc.sum())


def zoom_blur(image: Image, rng: Rng) -> Image:
    """Average the image with slightly larger ones about the same middle."""
    height, width = image.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    sizes = np.linspace(1.0, float(rng.uniform(1.03, 1.1)), 5)
    total = np.zeros_like(image)
    for size in sizes:
        zoom = cv2.getRotationMatrix2D(middle, 0.0, float(size))
        total += cv2.warpAffine(
            image, zoom, (width, height), borderMode=cv2.BORDER_REFLECT_101
        )
    return np.asarray(total / np.float32(sizes.size))


def gaussian_noise(image: Image, rng: Rng) -> Image:
    """Add white noise."""
    return image + _noise(image.shape, rng) * np.float32(rng.uniform(0.01, 0.05))


def iso_noise(image: Image, rng: Rng) -> Image:
    """Add noise that grows with the root of the light, and a cast to each colour."""
    strength = np.float32(rng.uniform(0.02, 0.08))
    shot = _noise(image.shape, rng) * np.sqrt(np.clip(image, 0, 1)) * strength
    if image.ndim == 3:
        shot = shot + _noise((image.shape[2],), rng) * strength / 2
    return np.asarray(image + shot, np.float32)


def hue_saturation(image: Image, rng: Rng) -> Image:
    """Turn the hue by up to 20 degrees, change saturation and value by up to 20 %."""
    if image.ndim == 2:
        return image
    hsv = cv2.cvtColor(np.clip(image, 0, 1), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-20, 20)) % 360
    hsv[..., 1:] = np.clip(hsv[..., 1:] * rng.uniform(0.8, 1.2, 2), 0, 1)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def channel_shuffle(image: Image, rng: Rng) -> Image:
    """Give the channels another order."""
    if image.ndim == 2:
        return image
    return np.ascontiguousarray(image[..., rng.permutation(image.shape[2])])


def brightness_contrast(image: Image, rng: Rng) -> Image:
    """Change the contrast about the middle grey and the level, each by up to 20 %."""
    gain, level = rng.uniform(0.8, 1.2), rng.uniform(-0.2, 0.2)
    return np.asarray((image - 0.5) * gain + 0.5 + level, np.float32)


def gamma(image: Image, rng: Rng) -> Image:
    """Bend the grey scale with an exponent from 0.7 to 1.5."""
    power = np.exp(rng.uniform(np.log(0.7), np.log(1.5)))
    return np.asarray(np.clip(image, 0, 1) ** power, np.float32)


def equalise_locally(image: Image, rng: Rng) -> Image:
    """Stretch the contrast of tiles (CLAHE); in colour, that of the lightness."""
    clahe = cv2.createCLAHE(float(rng.uniform(1, 4)), (8, 8))
    if image.ndim == 2:
        return _equalised(image, clahe)
    lab = cv2.cvtColor(np.clip(image, 0, 1), cv2.COLOR_RGB2LAB)
    lab[..., 0] = 100 * _equalised(lab[..., 0] / 100, clahe)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def greyscale(image: Image, rng: Rng) -> Image:  # noqa: ARG001  (one signature)
    """Give every channel the lightness of the image."""
    if image.ndim == 2:
        return image
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def inversion(image: Image, rng: Rng) -> Image:  # noqa: ARG001  (one signature)
    """Make dark what is light."""
    return 1 - image


APPEARANCES: tuple[Change, ...] = (
    keep,
    motion_blur,
    defocus,
    zoom_blur,
    gaussian_noise,
    iso_noise,
    hue_saturation,
    channel_shuffle,
    brightness_contrast,
    gamma,
    equalise_locally,
    greyscale,
    inversion,
)
"""All kinds, in the order of the brightfield paper."""


def _filtered(image: Image, kernel: NDArray[np.floating]) -> Image:
    return np.asarray(
        cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    )


def _noise(shape: tuple[int, ...], rng: Rng) -> Image:
    return rng.standard_normal(shape, dtype=np.float32)


def _equalised(plane: Image, clahe: cv2.CLAHE) -> Image:
    coded = np.rint(np.clip(plane, 0, 1) * _FULL_16).astype(np.uint16)
    return clahe.apply(coded).astype(np.float32) / np.float32(_FULL_16)
