"""Figures of pixels and outlines: closed forms, empty answers, independent codes."""

import numpy as np
import pytest
from skimage.metrics import hausdorff_distance, structural_similarity
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from acquisition.records import CellState
from calibration.metrics import (
    Emptiness,
    accuracy,
    class_figures,
    count_pixels,
    foreground_figures,
    hausdorff,
    mask_figures,
    mean_over_classes,
    ssim,
    summarise,
)
from calibration.metrics.boundary import boundary

EMPTY = np.zeros((9, 9), np.bool_)
SQUARE = np.pad(np.ones((3, 3), np.bool_), 3)


def test_pixel_figures_equal_those_of_another_code():
    """Precision, recall, F1 and IoU by class are those of scikit-learn."""
    true, found = np.random.default_rng(1).integers(0, 3, (2, 40, 50))

    counts = count_pixels(true, found)

    for state in (CellState.LIVE, CellState.DEAD):
        flat = (true.ravel() == state, found.ravel() == state)
        figures = class_figures(counts, state)
        assert figures.precision == pytest.approx(precision_score(*flat))
        assert figures.recall == pytest.approx(recall_score(*flat))
        assert figures.f1 == figures.dice == pytest.approx(f1_score(*flat))
        assert figures.iou == pytest.approx(jaccard_score(*flat))


def test_foreground_is_cell_of_any_class():
    """A cell called by the wrong class is still found, and counts can be added."""
    true, found = np.array([[1, 2, 0, 1]]), np.array([[2, 2, 1, 0]])
    counts = count_pixels(true, found)

    figures = foreground_figures(counts + counts)

    assert figures.iou == pytest.approx(4 / 8)
    assert (figures.true_px, figures.found_px) == (6, 6)


def test_accuracy_stands_beside_the_background():
    """An answer without cells is as right as the image is empty, and no better."""
    true = np.zeros((10, 10), np.int64)
    true[0, :3] = 1

    given = accuracy(count_pixels(true, np.zeros_like(true)))

    assert given.accuracy == given.background_share == pytest.approx(0.97)


@pytest.mark.parametrize(
    ("true", "found", "kind", "overlap"),
    [
        (EMPTY, EMPTY, Emptiness.AGREE_EMPTY, np.nan),
        (SQUARE, EMPTY, Emptiness.ONE_EMPTY, 0.0),
        (EMPTY, SQUARE, Emptiness.ONE_EMPTY, 0.0),
        (SQUARE, SQUARE, Emptiness.NEITHER, 1.0),
    ],
    ids=["agree", "missed", "made up", "right"],
)
def test_empty_answers(true, found, kind, overlap):
    """Both empty is not known, one empty overlaps by 0; neither has a distance."""
    figures = mask_figures(true, found)

    assert figures.emptiness is kind
    for value in (figures.dice, figures.iou):
        assert value == pytest.approx(overlap, nan_ok=True)
    assert np.isnan(hausdorff(true, found)) == (kind is not Emptiness.NEITHER)


def test_summary_leaves_out_what_is_not_known():
    """A mean is over the known figures, and says how many images were empty."""
    kinds = [Emptiness.AGREE_EMPTY, Emptiness.ONE_EMPTY, Emptiness.NEITHER]

    summary = summarise([np.nan, 0.0, 0.8], kinds)

    assert (summary.mean, summary.known) == (0.4, 2)
    assert (summary.agree_empty, summary.one_empty) == (1, 1)
    assert np.isnan(summarise([], []).mean)


def test_a_class_that_is_absent_is_not_in_the_mean():
    """The mean over classes takes the classes that there are."""
    counts = count_pixels(np.array([[1, 1, 0]]), np.array([[1, 0, 0]]))
    live, dead = (class_figures(counts, state) for state in (1, 2))

    assert mean_over_classes(live, dead, "iou") == 0.5
    assert np.isnan(mean_over_classes(dead, dead, "iou"))


def test_maps_that_are_no_class_maps_are_refused():
    """Another shape and unknown codes are named."""
    with pytest.raises(ValueError, match="differ in shape"):
        count_pixels(np.zeros((2, 3), np.int64), np.zeros((3, 2), np.int64))
    with pytest.raises(ValueError, match="codes 0 to 7"):
        count_pixels(np.array([[0, 7]]), np.array([[0, 1]]))


def test_hausdorff_of_two_discs():
    """A disc moved by 5 px is 5 px away; a stray pixel moves only the maximum."""
    y, x = np.mgrid[:80, :80]
    disc = (y - 40) ** 2 + (x - 30) ** 2 <= 15**2
    moved = np.roll(disc, 5, axis=1)
    stray = disc.copy()
    stray[40, 75] = True

    assert hausdorff(disc, moved) == 5.0
    assert hausdorff(disc, stray) == 30.0
    assert hausdorff(disc, stray, 95) == 0.0
    edges = (boundary(disc), boundary(moved))
    assert hausdorff(disc, moved) == pytest.approx(hausdorff_distance(*edges))


def test_ssim_equals_that_of_another_code():
    """SSIM is that of scikit-image with the windows of the paper."""
    true, found = np.random.default_rng(2).random((2, 48, 64))
    others = {"gaussian_weights": True, "use_sample_covariance": False, "sigma": 1.5}

    ours = ssim(true, found, 1.0)

    assert ours == pytest.approx(
        structural_similarity(true, found, data_range=1.0, **others), abs=1e-9
    )
    with pytest.raises(ValueError, match="SSIM wants"):
        ssim(true[:8, :8], found[:8, :8], 1.0)
