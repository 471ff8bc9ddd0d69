"""The 21-fold set: aligned, binary, seeded, complete; hard patches come more often."""

import numpy as np
import pytest

from calibration.training.appearance import APPEARANCES, motion_blur
from calibration.training.augmentation import VARIANTS, binarise, vary
from calibration.training.batches import draw_crop
from calibration.training.export import NORMALISATION
from calibration.training.fields import TrainingField
from calibration.training.geometry import MOVES, draw_through
from calibration.training.mining import LossMemory, draw, rare_class_weights
from calibration.training.recipe import Augmentation


def phantom(shape: tuple[int, int] = (96, 128)) -> tuple[np.ndarray, np.ndarray]:
    """Give a smooth grid as an image and as the mask of its bright half."""
    y, x = np.indices(shape)
    light = 0.5 + 0.45 * np.sin(y / 7.0) * np.sin(x / 9.0)
    image = np.rint(255 * light).astype(np.uint8)
    return image, np.where(light > 0.5, 255, 0).astype(np.uint8)


def test_every_kind_comes_in_the_variants() -> None:
    """There are 21 variants, with all 13 appearances and all 10 moves among them."""
    variants = list(vary(*phantom(), seed=1))

    assert len(variants) == VARIANTS == 21
    assert len(APPEARANCES) == len({one.appearance for one in variants}) == 13
    assert len(MOVES) == len({one.move for one in variants}) == 10


@pytest.mark.parametrize("seed", range(3))
def test_masks_stay_aligned_and_binary(seed: int) -> None:
    """Where the untouched image is clearly bright, its mask is cell, after any move."""
    image, mask = phantom()
    for move in MOVES:
        places = move(image.shape, np.random.default_rng(seed))

        moved = draw_through(image, places, nearest=False).astype(int)
        cell = draw_through(mask, places, nearest=True)

        clear = np.abs(moved - 127.5) > 20  # a pixel changes by less than that
        assert set(np.unique(cell).tolist()) <= {0, 255}
        assert np.array_equal(cell[clear] > 0, moved[clear] > 127), move.__name__


def test_variants_are_binary_and_keep_type_and_size() -> None:
    """Every variant has a mask of 0 and 255 alone, and an image like the original."""
    _, mask = phantom()
    image = np.random.default_rng(0).integers(0, 65536, mask.shape).astype(np.uint16)
    grey = np.where(mask > 0, 200, 90).astype(np.uint8)  # no clean mask

    for one in vary(image, grey, seed=2):
        assert (one.image.dtype, one.mask.dtype) == (np.uint16, np.uint8)
        assert one.image.size == one.mask.size == mask.size
        assert set(np.unique(one.mask).tolist()) == {0, 255}


def test_mask_is_cell_above_127() -> None:
    """The border of a mask lies between 127 and 128."""
    given = np.array([[0, 127, 128, 255]], np.uint8)

    assert binarise(given).tolist() == [[0, 0, 255, 255]]


def test_same_seed_same_variants() -> None:
    """A seed fixes every variant; another seed gives others."""
    first, again, other = (list(vary(*phantom(), seed=seed)) for seed in (3, 3, 4))

    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.mask, two.mask)
    assert [one.move for one in first] != [one.move for one in other]


@pytest.mark.parametrize("change", APPEARANCES, ids=lambda change: change.__name__)
def test_appearances_take_grey_and_colour(change) -> None:
    """Every change gives a finite image of the same shape, grey or in colour."""
    rng = np.random.default_rng(5)
    colour = rng.random((40, 48, 3), dtype=np.float32)

    for image in (colour, colour[..., 0]):
        changed = change(image.copy(), rng)
        assert changed.shape == image.shape
        assert np.isfinite(changed).all()
        untouched = {"keep", "hue_saturation", "channel_shuffle", "greyscale"}
        same = np.array_equal(changed, image)
        assert not same or change.__name__ in untouched


def test_blur_keeps_the_light() -> None:
    """A blurred image of one grey is that grey."""
    flat = np.full((20, 20), 0.4, np.float32)

    assert motion_blur(flat, np.random.default_rng(6)) == pytest.approx(flat)


def test_exact_moves_lose_no_pixel() -> None:
    """Flips, turns and the transpose only rearrange, also of an oblong image."""
    image, _ = phantom()
    for move in MOVES[-4:]:
        moved = draw_through(
            image, move(image.shape, np.random.default_rng(7)), nearest=False
        )
        assert np.array_equal(np.sort(moved, axis=None), np.sort(image, axis=None))


def test_pairs_that_do_not_fit_are_refused() -> None:
    """A mask of another size and images of floats are named."""
    image, mask = phantom()

    with pytest.raises(ValueError, match=r"a mask \(50, 128\)"):
        next(vary(image, mask[:50], seed=0))
    with pytest.raises(ValueError, match="float64"):
        next(vary(image / 255, mask, seed=0))


def test_hard_mining_raises_the_drawn_loss() -> None:
    """The next epoch draws the worst fifth three times as often, and no sooner."""
    memory, rng = LossMemory(100), np.random.default_rng(8)
    losses = rng.permutation(100).astype(float)
    memory.note(range(100), losses)
    assert (memory.weights == 1).all()

    memory.begin_epoch()
    drawn = losses[draw(memory.weights, 20_000, rng)]

    assert np.flatnonzero(memory.weights == 3).tolist() == sorted(
        np.argsort(losses)[80:].tolist()
    )
    expected = (losses.sum() + 2 * losses[losses >= 80].sum()) / 140
    assert drawn.mean() == pytest.approx(expected, rel=0.02)
    assert expected > losses.mean()


def test_unseen_patches_weigh_one_and_broken_ones_count_as_hard() -> None:
    """A loss that is not finite is the worst; what was never drawn is not judged."""
    memory = LossMemory(10)
    memory.note([0, 1, 2, 3, 4], [1.0, np.nan, 3.0, 0.5, 0.2])

    memory.begin_epoch()

    assert np.flatnonzero(memory.weights > 1).tolist() == [1]


def test_memory_comes_back_from_a_checkpoint() -> None:
    """A resumed run draws as the unbroken one would."""
    memory, resumed = LossMemory(30), LossMemory(30)
    memory.note(range(30), np.random.default_rng(9).random(30).tolist())
    memory.begin_epoch()

    resumed.restore(memory.losses)

    assert np.array_equal(resumed.weights, memory.weights)


def test_rare_cells_are_drawn_as_often_as_wanted() -> None:
    """Patches with dead cells are weighed so that the wanted share is drawn."""
    live = np.array([10, 10, 10, 2, 2])
    dead = np.array([0, 0, 0, 3, 5])

    weights = rare_class_weights(live, dead, 0.4)

    assert (weights * dead).sum() / (weights * (live + dead)).sum() == pytest.approx(
        0.4
    )
    assert rare_class_weights(live, dead, 0.9).max() == 10
    assert (rare_class_weights(live, dead * 0, 0.4) == 1).all()


def test_a_free_turn_keeps_picture_labels_and_distance_together() -> None:
    """A bar that lies in the grid comes at other angles, as long, and in all planes."""
    labels = np.zeros((256, 256), np.uint16)
    labels[120:136, 64:192] = 7
    field = TrainingField(
        phase=np.where(labels > 0, 26_384, 16_384).astype(np.uint16),
        labels=labels,
        joined=labels,
        separation=np.where(labels > 0, 255, 0).astype(np.uint8),
        states=np.ones(8, np.uint8),
    )
    settings = Augmentation(
        turns="free", crop_px=256, scale=(1, 1), gain=0, offset_rad=0, noise_rad=0
    )
    rng = np.random.default_rng(5)

    crops = [draw_crop(field, settings, NORMALISATION, rng) for _ in range(12)]

    wide = set()
    for crop in crops:
        inside = crop.labels == 7
        assert set(np.unique(crop.labels)) == {0, 7}
        assert inside.sum() == pytest.approx(16 * 128, rel=0.03)
        seen, deep = crop.image > 10_000 / 3500 / 2, crop.separation > 0.5
        for plane in (seen, deep):
            assert (plane != inside).mean() < 0.002
        wide.add(int(np.ptp(np.flatnonzero(inside.any(axis=0)))))
    assert len(wide) > 6


def test_a_turned_crop_shows_no_place_twice() -> None:
    """It lies inside its field, where nothing is mirrored; its scale changes areas."""
    rows, columns = np.indices((320, 320)) // 16
    blocks = (1 + rows * 20 + columns).astype(np.uint16)
    field = TrainingField(
        phase=16_384 + 50 * blocks,
        labels=blocks,
        joined=blocks,
        separation=np.zeros((320, 320), np.uint8),
        states=np.ones(401, np.uint8),
    )
    settings = Augmentation(
        turns="free", crop_px=96, scale=(0.8, 0.8), gain=0, offset_rad=0, noise_rad=0
    )
    rng = np.random.default_rng(6)

    crops = [draw_crop(field, settings, NORMALISATION, rng) for _ in range(40)]

    whole = (16 * 0.8) ** 2
    largest = [np.bincount(crop.labels.ravel()).max() for crop in crops]
    assert np.median(largest) == pytest.approx(whole, rel=0.1)
    assert max(largest) < 1.25 * whole
    seen = {int(label) for crop in crops for label in np.unique(crop.labels)}
    assert len(seen) > 300  # also those at the border of the field
