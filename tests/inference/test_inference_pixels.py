"""Grey level and pixel size of what a network sees."""

from dataclasses import dataclass

import numpy as np
import pytest

from acquisition.errors import BadModel
from inference.maps import Maps
from inference.pixels import (
    grey_level,
    network_shape,
    percentiles,
    place_back,
    resample,
)


@dataclass(frozen=True)
class Size:
    """A pixel size, that of the model, and what becomes of 100 by 200 pixels."""

    name: str
    pixel_size_um: float
    card_um_per_px: float | None
    expected: tuple[int, int]


SIZES = [
    Size("same", 0.65, 0.65, (100, 200)),
    Size("nearly the same", 0.66, 0.65, (100, 200)),
    Size("any", 3.0, None, (100, 200)),
    Size("finer", 0.325, 0.65, (50, 100)),
    Size("coarser", 1.3, 0.65, (200, 400)),
    Size("finest", 0.26, 0.65, (40, 80)),
    Size("coarsest", 1.625, 0.65, (250, 500)),
]


def noise(shape: tuple[int, int], high: int = 65536) -> np.ndarray:
    """Give an image of random counts."""
    return np.random.default_rng(3).integers(0, high, shape, dtype=np.uint16)


def test_slim_frames_have_a_fixed_grey_level() -> None:
    """Coded phase is seen as phase over 0.7 rad, whatever the picture shows."""
    offset, scale = grey_level(noise((32, 32)), "slim")

    assert (16384 - offset) * scale == 0
    assert (16384 + 3500 - offset) * scale == pytest.approx(1.0)


def test_grey_frames_are_stretched_between_percentiles() -> None:
    """The median becomes 0; the 1st and 99.8th percentile lie 3 apart."""
    image = np.arange(10_000, dtype=np.uint16).reshape(100, 100) + 500

    offset, scale = grey_level(image, "phase_contrast")

    assert offset == 500 + 4999
    assert (9979 - 99) * scale == pytest.approx(3.0)


def test_an_empty_grey_frame_is_not_stretched() -> None:
    """Without any contrast the scale stays finite and small."""
    offset, scale = grey_level(np.full((8, 8), 300, np.uint16), "brightfield")

    assert offset == 300
    assert scale < 1


def test_percentiles_are_exact() -> None:
    """Percentiles from the histogram are those of the sorted pixels."""
    image = noise((57, 83))
    wanted = (0.0, 1.0, 50.0, 99.8, 100.0)

    found = percentiles(image, wanted)

    assert found == list(np.percentile(image, wanted, method="inverted_cdf"))


@pytest.mark.parametrize("case", SIZES, ids=lambda case: case.name)
def test_network_shape(case: Size) -> None:
    """The field stays the same when the pixel size becomes that of the model."""
    shape = network_shape((100, 200), case.pixel_size_um, case.card_um_per_px)

    assert shape == case.expected


@pytest.mark.parametrize("pixel_size_um", [0.25, 1.63, 6.5])
def test_unsuitable_pixel_size_is_refused(pixel_size_um: float) -> None:
    """Outside 0.4 to 2.5 the model is refused, with both sizes in the message."""
    with pytest.raises(BadModel, match=rf"{pixel_size_um:g} um per pixel.*0\.65 um"):
        network_shape((100, 200), pixel_size_um, 0.65)


@pytest.mark.parametrize("shape", [(40, 60), (200, 300)])
def test_resampling_keeps_the_mean(shape: tuple[int, int]) -> None:
    """A resampled image has the wanted shape and, within 1 %, the same mean."""
    image = noise((80, 120))

    resampled = resample(image, shape)

    assert resampled.shape == shape
    assert resampled.dtype == np.uint16
    assert resampled.mean() == pytest.approx(image.mean(), rel=0.01)


def test_equal_shapes_are_passed_on() -> None:
    """Nothing is copied when there is nothing to resample."""
    image = noise((16, 16))
    maps = Maps(*(np.zeros((16, 16), np.uint8) for _ in range(3)))

    assert resample(image, (16, 16)) is image
    assert place_back(maps, (16, 16)) is maps


@pytest.mark.parametrize("shape", [(24, 36), (130, 71)])
def test_maps_are_placed_back(shape: tuple[int, int]) -> None:
    """Class codes stay codes, and halves stay halves, on the grid of the frame."""
    classes = np.zeros((48, 72), np.uint8)
    classes[:, 36:] = 2
    smooth = np.repeat(np.arange(72, dtype=np.uint8)[None], 48, axis=0)

    placed = place_back(Maps(classes, smooth, smooth), shape)

    assert placed.classes.shape == placed.dead.shape == placed.separation.shape == shape
    assert set(np.unique(placed.classes)) == {0, 2}
    assert (placed.classes == 2).mean() == pytest.approx(0.5, abs=0.02)
    assert placed.dead.mean() == pytest.approx(smooth.mean(), abs=0.5)
