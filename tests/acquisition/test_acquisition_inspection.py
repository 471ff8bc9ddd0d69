"""The first look at a frame finds what must not be computed with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.inspection import inspect_pixels

SHAPE = (4, 64, 64)


def make_pixels() -> NDArray[np.uint16]:
    """Give a sound four-step frame."""
    return np.random.default_rng(1).integers(500, 4000, SHAPE).astype(np.uint16)


def changed(step: int, value: int, rows: int = 64) -> NDArray[np.uint16]:
    """Give a frame with one value in the first rows of a step."""
    pixels = make_pixels()
    pixels[step, :rows] = value
    return pixels


@dataclass(frozen=True)
class Case:
    """A frame and a word of the reason expected, or None."""

    name: str
    pixels: NDArray[Any]
    reason: str | None


CASES = [
    Case("sound", make_pixels(), None),
    Case("half size", make_pixels()[:, :32], "shape"),
    Case("three steps", make_pixels()[:3], "shape"),
    Case("floats", make_pixels().astype(np.float32), "float32"),
    Case("NaN", np.full(SHAPE, np.nan, np.float32), "NaN"),
    Case("constant last step", changed(3, 100), "step 4 is constant"),
    Case("a third saturated", changed(1, 4095, 22), "saturated"),
    Case("a tenth saturated", changed(1, 4095, 6), None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_frame_gets_its_reason(case: Case) -> None:
    """Size, type, NaN, constant and saturated steps are named; sound frames pass."""
    reason = inspect_pixels(case.pixels, SHAPE, 4095)

    if case.reason is None:
        assert reason is None
    else:
        assert reason is not None
        assert case.reason in reason
