"""A first look at the pixels of a frame, before anyone computes with them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_SATURATED = 0.2
"""Share of saturated pixels of a step above which a frame is quarantined."""

EVERY = 4
"""Each 4th pixel along y and x is looked at: 0.15 ms for four steps of 1024 x 1024."""


def inspect_pixels(
    pixels: NDArray[Any], shape: tuple[int, ...], saturation_dn: int
) -> str | None:
    """Say why a frame must be quarantined, or None when it is sound.

    Parameters
    ----------
    pixels
        The frame, (step, y, x).
    shape
        The shape it must have.
    saturation_dn
        Counts at and above this are saturated.
    """
    if pixels.shape != shape:
        return f"shape {pixels.shape} instead of {shape}"
    if pixels.dtype != np.uint16:
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            return f"NaN or infinite values in a frame of type {pixels.dtype}"
        return f"type {pixels.dtype} instead of uint16"
    for step, image in enumerate(pixels[..., ::EVERY, ::EVERY], 1):
        sample = np.ascontiguousarray(image)
        lowest, highest = int(sample.min()), int(sample.max())
        if lowest == highest:
            return f"step {step} is constant ({lowest} counts everywhere)"
        if highest >= saturation_dn:
            share = np.count_nonzero(sample >= saturation_dn) / sample.size
            if share > MOST_SATURATED:
                return f"step {step}: {share:.0%} of the pixels are saturated"
    return None
