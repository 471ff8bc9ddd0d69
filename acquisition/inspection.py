"""A first look at the pixels of a frame, before anyone computes with them."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_SATURATED = 0.2
"""Share of saturated pixels of a step above which a frame is quarantined."""

EVERY = 4
"""Each 4th pixel along y and x is looked at: 0.15 ms for four steps of 1024 x 1024."""

EVERY_ROW = 16
"""Rows are compared with those of the image before at this distance."""

STEPS = 4
SAMPLES = 128
"""Pixels along an edge in which the phase steps are compared: 0.3 ms."""
LAG = 2
"""Looked-at pixels between two that tell the structure of a picture."""
STRUCTURE = 2.0
"""Two steps are alike when neighbours in one differ, as variances, this many times
more than the same pixels in both: noise is the same, but the cells are not."""


class Inspector:
    """Looks at one frame after the other; remembers the last image for torn ones.

    Parameters
    ----------
    saturation_dn
        Counts at and above this are saturated.
    """

    def __init__(self, saturation_dn: int) -> None:
        self._saturation_dn = saturation_dn
        self._last: NDArray[np.uint16] | None = None

    def judge(self, pixels: NDArray[Any], shape: tuple[int, ...]) -> str | None:
        """Say why a frame must be quarantined, or None when it is sound.

        Parameters
        ----------
        pixels
            The frame, (step, y, x).
        shape
            The shape it must have.
        """
        reason = inspect_pixels(pixels, shape, self._saturation_dn)
        if pixels.ndim != 3 or pixels.dtype != np.uint16:
            return reason
        torn = self._find_tear(pixels)
        return reason or torn or find_alike_steps(pixels)

    def _find_tear(self, pixels: NDArray[np.uint16]) -> str | None:
        """Look for rows that the camera left over from the image before.

        Noise never repeats itself, so equal rows are the same readout. An image that
        is equal as a whole is none of this: a recorded one may be shown again.
        """
        found = None
        for step, image in enumerate(pixels, 1):
            rows = np.ascontiguousarray(image[EVERY_ROW - 1 :: EVERY_ROW])
            last, self._last = self._last, rows
            if last is None or last.shape != rows.shape:
                continue
            busy = rows.min(axis=1) != rows.max(axis=1)
            same = (rows == last).all(axis=1) & busy
            if same.any() and not same[busy].all():
                row = EVERY_ROW * (int(np.argmax(same)) + 1)
                found = (
                    f"step {step} is torn: rows around {row} are those of the image "
                    "before"
                )
        return found


def inspect_pixels(
    pixels: NDArray[Any], shape: tuple[int, ...], saturation_dn: int
) -> str | None:
    """Say what is wrong with the form or the range of a frame (step, y, x)."""
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


def find_alike_steps(pixels: NDArray[np.uint16]) -> str | None:
    """Say which phase steps of a frame (step, y, x) show the same light.

    A modulator that stands still gives the same picture with other noise, and no
    phase: zero everywhere, an empty dish to all that follows. A dish that is really
    empty has no structure to compare and is let through. The second and the third step
    of a sound frame may look much alike, so these two are not compared alone.
    """
    if len(pixels) != STEPS:
        return None
    every = max(1, pixels.shape[1] // SAMPLES)
    sample = pixels[:, ::every, ::every].astype(np.float32)
    sample /= sample.mean(axis=(1, 2), keepdims=True)  # the lamp may flicker
    structure = [float(np.var(step[:, LAG:] - step[:, :-LAG])) for step in sample]
    pairs = itertools.pairwise(zip(sample, structure, strict=True))
    first, middle, last = (
        min(s, t) > STRUCTURE * float(np.var(a - b)) for (a, s), (b, t) in pairs
    )
    if first and middle and last:
        return "the four phase steps are alike: the modulator does not step"
    if first or last:
        two = "1 and 2" if first else "3 and 4"
        return f"phase steps {two} are alike: the modulator did not step"
    return None
