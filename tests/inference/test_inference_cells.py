"""Instances and measurements against drawn cells and against scikit-image."""

import cv2
import numpy as np
import pytest
from label_maps import ellipses, make_info, perfect_maps
from skimage.measure import regionprops
from skimage.morphology import h_maxima
from skimage.segmentation import relabel_sequential, watershed

from acquisition.records import CellState
from configs.schema import Inference, Stand
from inference.cards import MODELS, Parting, load_card, parting_of
from inference.cells import find_cells, part
from inference.flood import flood
from inference.maps import Maps
from inference.phase import dry_mass_factor

SETTINGS = Inference()
PARTING = Parting()
STAND = Stand()
INFO = make_info()
FLAT = np.full((256, 256), 16384 + 2500, np.uint16)  # 0.5 rad


def rectangles(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Give an instance map with the boxes (y0, x0, y1, x1) in it, from 1."""
    instances = np.zeros((256, 256), np.int32)
    for name, (y0, x0, y1, x1) in enumerate(boxes, start=1):
        instances[y0:y1, x0:x1] = name
    return instances


def agreement(labels: np.ndarray, reference: np.ndarray) -> float:
    """Give the share of reference foreground whose instance is the same on both sides.

    Instances are paired by their largest overlap.
    """
    inside = reference > 0
    shape = (int(reference.max()) + 1, int(labels.max()) + 1)
    overlap = np.zeros(shape, np.int64)
    np.add.at(overlap, (reference[inside], labels[inside]), 1)
    return float(overlap.max(axis=1).sum() / inside.sum())


def test_drawn_cells_are_found() -> None:
    """Touching cells with a separation map come out one by one."""
    instances = ellipses(256, 30)
    sizes = np.bincount(instances.ravel())[1:]

    labels, cells = find_cells(
        perfect_maps(instances), INFO, FLAT, SETTINGS, STAND, PARTING
    )

    assert len(cells.label) == np.count_nonzero(sizes > 60)
    assert agreement(labels, instances) > 0.97


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_instances_agree_with_scikit_image(seed: int) -> None:
    """h-maxima and watershed of scikit-image give the same instance on 99.5 %."""
    maps = perfect_maps(ellipses(320, 50, seed), noise=0.15)
    foreground = maps.classes > 0
    height = cv2.GaussianBlur(maps.separation, (0, 0), 1.85)
    masked = np.where(foreground, height, 0).astype(np.uint8)
    markers = cv2.connectedComponents(h_maxima(masked, 38).astype(np.uint8))[1]

    labels, count = flood(height, foreground, 38.0, 1.0)

    reference = watershed(-height.astype(int), markers, mask=foreground)
    assert count == markers.max()
    assert agreement(labels, reference) > 0.995


def test_measurements_agree_with_scikit_image() -> None:
    """Area, centre, axes, angle and box are those of regionprops."""
    labels, cells = find_cells(
        perfect_maps(ellipses(256, 25)), INFO, FLAT, SETTINGS, STAND, PARTING
    )

    regions = regionprops(labels)

    size = INFO.pixel_size_um
    centre = [(np.array(r.centroid) - 127.5) * size + (100, -50) for r in regions]
    axes = [(r.axis_major_length * size, r.axis_minor_length * size) for r in regions]
    np.testing.assert_allclose(cells.centre_um, centre, atol=1e-6)
    np.testing.assert_allclose(
        cells.area_um2, [r.area * size**2 for r in regions], 1e-6
    )
    np.testing.assert_allclose(cells.axes_um, axes, rtol=1e-3)
    np.testing.assert_array_equal(cells.box_px, [r.bbox for r in regions])


@pytest.mark.parametrize("angle", [-60, -20, 0, 35, 80])
def test_angle_runs_from_x_towards_y(angle: int) -> None:
    """A long cell drawn at an angle is measured at that angle."""
    drawn = np.zeros((256, 256), np.uint8)
    cv2.ellipse(drawn, (128, 128), (40, 12), angle, 0, 360, 1, -1)

    _, cells = find_cells(
        perfect_maps(drawn.astype(int)), INFO, FLAT, SETTINGS, STAND, PARTING
    )

    assert np.rad2deg(cells.angle_rad[0]) == pytest.approx(angle, abs=1.5)
    np.testing.assert_allclose(cells.axes_um[0], (80 * 0.65, 24 * 0.65), rtol=0.05)


def test_phase_and_dry_mass() -> None:
    """A cell of even phase has that mean phase, and mass in proportion to its area."""
    maps = perfect_maps(rectangles((20, 30, 50, 60)))

    _, cells = find_cells(maps, INFO, FLAT, SETTINGS, STAND, PARTING)

    expected_pg = 0.5 * 900 * dry_mass_factor(STAND, 0.65)
    assert cells.mean_phase_rad[0] == pytest.approx(0.5)
    assert cells.dry_mass_pg[0] == pytest.approx(expected_pg, rel=1e-6)


def test_one_shot_frames_have_no_phase() -> None:
    """Without phase there is no dry mass, only NaN, and all else is measured."""
    maps = perfect_maps(rectangles((20, 30, 50, 60)))

    _, cells = find_cells(
        maps, make_info("brightfield"), FLAT, SETTINGS, STAND, PARTING
    )

    assert np.isnan(cells.mean_phase_rad).all()
    assert np.isnan(cells.dry_mass_pg).all()
    assert cells.area_um2[0] == pytest.approx(900 * 0.65**2)


@pytest.mark.parametrize(
    ("code", "state", "unsure"),
    [(20, CellState.LIVE, False), (120, CellState.LIVE, True), (240, 2, False)],
)
def test_a_cell_has_the_mean_logit_of_its_pixels(
    code: int, state: int, unsure: bool
) -> None:
    """The probability of a cell is the mean of its pixels on the logit scale."""
    maps = perfect_maps(rectangles((20, 30, 50, 60)))
    dead = np.full((256, 256), code, np.uint8)

    _, cells = find_cells(
        Maps(maps.classes, dead, maps.separation), INFO, FLAT, SETTINGS, STAND, PARTING
    )

    assert cells.dead_probability[0] == pytest.approx((code + 0.5) / 256, rel=1e-5)
    assert cells.state[0] == state
    assert cells.unsure[0] == unsure


def test_one_strong_half_outweighs_a_weak_one() -> None:
    """Logits are averaged, not probabilities: certainty counts."""
    maps = perfect_maps(rectangles((20, 30, 50, 60)))
    dead = np.full((256, 256), 100, np.uint8)
    dead[:, 45:] = 254

    _, cells = find_cells(
        Maps(maps.classes, dead, maps.separation), INFO, FLAT, SETTINGS, STAND, PARTING
    )

    weak, strong = np.log(100.5 / 155.5), np.log(254.5 / 1.5)
    expected = 1 / (1 + np.exp(-(weak + strong) / 2))
    assert cells.dead_probability[0] == pytest.approx(expected, rel=1e-5)


def test_debris_is_left_out_and_holes_are_filled() -> None:
    """Small objects vanish, small holes close, large holes stay."""
    maps = perfect_maps(rectangles((20, 20, 60, 60), (100, 100, 105, 105)))
    maps.classes[30:32, 30:33] = 0
    maps.classes[45:52, 45:52] = 0

    labels, count = part(maps, INFO.pixel_size_um, SETTINGS.min_area_um2, PARTING)

    assert count == 1
    assert (labels[30:32, 30:33] == 1).all()
    assert (labels[45:52, 45:52] == 0).all()
    assert not labels[100:105, 100:105].any()


def test_a_shallow_second_maximum_does_not_part_a_cell() -> None:
    """Two maxima part a cell only when the saddle lies deep enough between them."""
    classes = np.zeros((256, 256), np.uint8)
    classes[40:60, 40:120] = 1
    ramp = np.abs(np.linspace(-1, 1, 80))  # highest at both ends

    counts = []
    for depth in (20, 120):
        separation = np.zeros((256, 256), np.uint8)
        separation[40:60, 40:120] = 200 - depth * (1 - ramp)
        maps = Maps(classes, classes, separation)
        counts.append(part(maps, INFO.pixel_size_um, SETTINGS.min_area_um2, PARTING)[1])

    assert counts == [1, 2]


def test_edge_cells_are_marked() -> None:
    """A cell that reaches any border of the frame is cut, one that does not is not."""
    maps = perfect_maps(
        rectangles(
            (0, 20, 20, 40), (20, 60, 40, 80), (236, 90, 256, 120), (60, 236, 90, 256)
        )
    )

    _, cells = find_cells(maps, INFO, FLAT, SETTINGS, STAND, PARTING)

    assert cells.touches_edge.tolist() == [True, False, True, True]


def test_near_cells_touch() -> None:
    """Masks one free pixel apart touch, two free pixels apart do not."""
    maps = perfect_maps(
        rectangles(
            (20, 20, 40, 40), (20, 41, 40, 60), (20, 62, 40, 80), (41, 20, 60, 40)
        )
    )

    _, cells = find_cells(maps, INFO, FLAT, SETTINGS, STAND, PARTING)

    assert cells.touching.tolist() == [[1, 2], [1, 4]]


def test_an_empty_frame_has_empty_columns() -> None:
    """No cell at all gives columns of the right types and shapes, of length 0."""
    empty = Maps(*(np.zeros((256, 256), np.uint8) for _ in range(3)))

    labels, cells = find_cells(empty, INFO, FLAT, SETTINGS, STAND, PARTING)
    _, one = find_cells(
        perfect_maps(rectangles((20, 30, 50, 60))), INFO, FLAT, SETTINGS, STAND, PARTING
    )

    assert labels.dtype == np.uint16
    for name in cells.__slots__:
        column, example = getattr(cells, name), getattr(one, name)
        assert column.dtype == example.dtype, name
        assert column.shape == (0, *example.shape[1:]), name


def test_labels_are_consecutive_in_reading_order() -> None:
    """Labels run from 1 without gaps; the first pixel of each comes later."""
    labels, cells = find_cells(
        perfect_maps(ellipses(256, 40)), INFO, FLAT, SETTINGS, STAND, PARTING
    )

    sequential, _, _ = relabel_sequential(labels)
    first = [np.flatnonzero(labels == name)[0] for name in cells.label]
    np.testing.assert_array_equal(sequential, labels)
    assert first == sorted(first)


def test_the_same_maps_give_the_same_cells() -> None:
    """Equal input gives equal output, bit by bit."""
    maps = perfect_maps(ellipses(256, 40), noise=0.1)

    one, first = find_cells(maps, INFO, FLAT, SETTINGS, STAND, PARTING)
    two, second = find_cells(maps, INFO, FLAT, SETTINGS, STAND, PARTING)

    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(first.dead_probability, second.dead_probability)


def test_the_card_parts_cells_unless_the_settings_do() -> None:
    """What an experiment does not say of parting is taken from the card."""
    card = load_card(MODELS.find("slim"))
    suited = card.model_copy(update={"parting": Parting(separation_um=2.0)})

    asked = parting_of(Inference(separation_height=0.4), suited)

    assert (asked.separation_um, asked.separation_height) == (2.0, 0.4)
    assert parting_of(Inference(), None) == Parting()
