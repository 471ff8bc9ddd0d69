"""The picture: golden arrays of the kernel that draws it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.render import (
    COLOURS,
    Crop,
    automatic_levels,
    compose,
    fixed_levels,
    paint_table,
)
from app.view import Mark

GREY = (0.0, 255.0)


def whole(shape: tuple[int, int], rows: int, columns: int) -> Crop:
    """Give the crop that shows all of a frame."""
    return Crop(0.0, 0.0, float(shape[0]), float(shape[1]), rows, columns)


def one_cell(mark: Mark, size: int = 40, radius: float = 14.0) -> tuple:  # type: ignore[type-arg]
    """Give a frame of zeros with one round cell, and its paint table."""
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    labels = (np.hypot(y, x) < radius).astype(np.uint16)
    centre = np.array([[np.nan, np.nan], [size / 2, size / 2]])
    paint = paint_table(np.array([0, mark], np.uint8), centre, np.array([0.0, radius]))
    return np.zeros((size, size), np.uint16), labels, paint


def coloured(picture: NDArray[np.uint8], mark: Mark) -> NDArray[np.bool_]:
    """Tell which pixels have exactly the colour of a mark."""
    same: NDArray[np.bool_] = (picture[..., :3] == COLOURS[mark]).all(axis=-1)
    return same


def test_the_frame_is_shown_as_it_is_at_its_own_size() -> None:
    """At one screen pixel a frame pixel, grey is count between the levels."""
    pixels = np.arange(16, dtype=np.uint16).reshape(4, 4) * 20
    labels = np.zeros((4, 4), np.uint16)
    paint = np.zeros((1, 7), np.float32)

    picture = compose(pixels, labels, paint, whole((4, 4), 4, 4), (100.0, 200.0))

    expected = np.clip(np.round((pixels - 100.0) * 2.55), 0, 255)
    for channel in range(3):
        np.testing.assert_allclose(picture[..., channel], expected, atol=1)
    assert (picture[..., 3] == 255).all()


@pytest.mark.parametrize("rows", [3, 4, 5, 7, 12, 24, 31])
def test_scaling_neither_adds_nor_loses_light(rows: int) -> None:
    """The box average keeps the mean at every scale, whole or broken."""
    pixels = np.random.default_rng(1).integers(0, 255, (12, 12), dtype=np.uint16)
    labels = np.zeros((12, 12), np.uint16)
    paint = np.zeros((1, 7), np.float32)

    picture = compose(pixels, labels, paint, whole((12, 12), rows, rows), GREY)

    assert picture[..., 0].mean() == pytest.approx(pixels.mean(), abs=0.6)


def test_half_size_is_the_mean_of_four() -> None:
    """A screen pixel over two by two frame pixels shows their mean."""
    pixels = np.array([[0, 100, 8, 8], [100, 200, 8, 8]], np.uint16)
    labels = np.zeros((2, 4), np.uint16)

    picture = compose(
        pixels, labels, np.zeros((1, 7), np.float32), whole((2, 4), 1, 2), GREY
    )

    assert picture[0, :, 0].tolist() == [100, 8]


def test_a_crop_shows_its_part_only() -> None:
    """A crop begins at its own corner and ends at its own size."""
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    labels = np.zeros((8, 8), np.uint16)
    crop = Crop(2.0, 4.0, 3.0, 2.0, 3, 2)

    picture = compose(pixels, labels, np.zeros((1, 7), np.float32), crop, GREY)

    assert picture[..., 0].tolist() == [[20, 21], [28, 29], [36, 37]]


@pytest.mark.parametrize("mark", [Mark.LIVE, Mark.UNSURE])
def test_a_cell_has_a_closed_outline_of_its_colour(mark: Mark) -> None:
    """Exactly the cell's own rim is coloured, one pixel wide."""
    pixels, labels, paint = one_cell(mark)
    inside = labels.astype(bool)
    core = inside.copy()
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        core &= np.roll(inside, shift, axis)

    picture = compose(pixels, labels, paint, whole((40, 40), 40, 40), GREY)

    np.testing.assert_array_equal(coloured(picture, mark), inside & ~core)


def test_a_dead_cell_is_dashed() -> None:
    """The outline of a dead cell has gaps, so colour is not its only sign."""
    pixels, labels, dead = one_cell(Mark.DEAD)
    _, _, live = one_cell(Mark.LIVE)
    crop = whole((40, 40), 40, 40)

    dashes = coloured(compose(pixels, labels, dead, crop, GREY), Mark.DEAD)

    rim = coloured(compose(pixels, labels, live, crop, GREY), Mark.LIVE)
    assert not (dashes & ~rim).any()
    assert 0.45 < dashes.sum() / rim.sum() < 0.75


def test_touching_cells_keep_their_own_outlines() -> None:
    """Where two cells meet, each has its rim on its own side."""
    labels = np.ones((6, 6), np.uint16)
    labels[:, 3:] = 2
    mark = np.array([0, Mark.LIVE, Mark.UNSURE], np.uint8)
    paint = paint_table(mark, np.zeros((3, 2)), np.ones(3))

    picture = compose(np.zeros_like(labels), labels, paint, whole((6, 6), 6, 6), GREY)

    assert coloured(picture, Mark.LIVE)[:, 2].all()
    assert coloured(picture, Mark.UNSURE)[:, 3].all()


def test_outlines_can_be_left_away_and_cells_filled() -> None:
    """Width 0 draws no rim; the fill is blended over the whole cell."""
    labels = np.ones((4, 4), np.uint16)
    mark = np.array([0, Mark.LIVE], np.uint8)
    crop = whole((4, 4), 4, 4)

    bare = paint_table(mark, np.zeros((2, 2)), np.ones(2))
    half = paint_table(mark, np.zeros((2, 2)), np.ones(2), fill=0.5)
    plain = compose(np.zeros_like(labels), labels, bare, crop, GREY, outline_px=0)
    filled = compose(np.zeros_like(labels), labels, half, crop, GREY, outline_px=0)

    assert (plain[..., :3] == 0).all()
    np.testing.assert_allclose(
        filled[0, 0, :3], np.array(COLOURS[Mark.LIVE]) / 2, atol=1
    )


def test_a_label_without_a_cell_is_not_drawn() -> None:
    """A label map that knows more labels than the table changes nothing else."""
    labels = np.full((4, 4), 9, np.uint16)
    paint = paint_table(np.zeros(3, np.uint8), np.zeros((3, 2)), np.ones(3))

    picture = compose(np.zeros_like(labels), labels, paint, whole((4, 4), 4, 4), GREY)

    assert (picture[..., :3] == 0).all()


def test_levels_of_the_settings_are_radian_for_phase() -> None:
    """Fixed levels are phase for slim and counts for everything else."""
    assert fixed_levels((0.0, 2.0), "slim") == (16384.0, 26384.0)
    assert fixed_levels((0.0, 2.0), "brightfield") == (0.0, 2.0)
    assert fixed_levels(None, "slim") is None


def test_automatic_levels_never_collapse() -> None:
    """An empty frame still has white above black."""
    low, high = automatic_levels(np.full((64, 64), 700, np.uint16))

    assert (low, high) == (700.0, 701.0)
