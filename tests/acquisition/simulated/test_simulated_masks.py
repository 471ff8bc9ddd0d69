"""Whole masks, haloed masses and contacts: what lies behind and between the labels."""

import numpy as np
import pytest

from acquisition.clock import Clock
from acquisition.simulated.drawing.masks import (
    Placed,
    covered_masks,
    overlaps_px,
    unpack,
)
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.truth.haloed import arc_tangents
from acquisition.simulated.truth.witness import ContactLog
from acquisition.simulated.view import meetings
from acquisition.simulated.world import World


def two_squares() -> tuple[Placed, np.ndarray]:
    """Give two squares of 5 px that share a corner of 2 x 3 px; 7 lies on top."""
    ranks = np.zeros((2, 7, 7), np.uint8)
    ranks[:, 1:6, 1:6] = 3
    corner = np.array([[10, 10], [13, 12]])
    halves = np.array([3, 3], np.int32)
    placed = Placed(np.array([4, 7]), corner, np.array([0, 1]), halves, ranks)
    labels = np.zeros((32, 32), np.uint16)
    labels[8:13, 8:13] = 4
    labels[11:16, 10:15] = 7
    return placed, labels


def test_a_covered_cell_keeps_its_whole_mask() -> None:
    """The mask goes on under the neighbour; the one on top needs none."""
    placed, labels = two_squares()

    masks = covered_masks(placed, labels)

    assert masks.rows["id"].tolist() == [4]
    assert masks.rows[["top", "left"]].tolist() == [(8, 8)]
    assert unpack(masks.rows[0], masks.bits).all()
    assert unpack(masks.rows[0], masks.bits).shape == (5, 5)


def test_overlap_is_counted_on_whole_masks() -> None:
    """Two squares that share a corner overlap by its pixels."""
    placed, _ = two_squares()

    shared = overlaps_px(placed, np.array([[4, 7]], np.uint32))

    assert shared.tolist() == [6]


def test_a_mask_ends_at_the_edge_of_the_view() -> None:
    """Only pixels of the view count, on all sides."""
    placed, _ = two_squares()
    outside = placed._replace(corner=np.array([[0, 0], [31, 31]]))
    labels = np.full((32, 32), 9, np.uint16)

    masks = covered_masks(outside, labels)

    assert masks.rows[["height", "width"]].tolist() == [(3, 3), (3, 3)]
    assert masks.rows["byte_stop"].tolist() == [2, 4]


def test_a_drawing_beside_the_view_has_no_mask() -> None:
    """A cell that lies wholly outside, on any side, is neither read nor written."""
    placed, _ = two_squares()
    labels = np.full((32, 32), 9, np.uint16)

    for corner in ([[10, 36], [10, -6]], [[36, 10], [-6, 10]]):
        beside = placed._replace(corner=np.array(corner))
        assert covered_masks(beside, labels).rows.size == 0


def test_gaps_are_those_of_the_nearest_pixels() -> None:
    """Adjoining masks are 1 px apart, diagonal ones the root of two."""
    labels = np.zeros((16, 16), np.uint16)
    labels[2:5, 2:5], labels[2:5, 5:8], labels[5:8, 8:11] = 1, 2, 3

    pairs, gap_px = meetings(labels)

    assert pairs.tolist() == [[1, 2], [2, 3]]
    assert gap_px == pytest.approx([1, np.sqrt(2)])


def test_the_onset_of_a_contact_is_the_look_that_showed_it() -> None:
    """Pairs seen apart have an onset; those that touched from the first have none."""
    clock = Clock("stepped")
    stand = SimulatedStand(World.load("demo"), 1, 256, clock)
    stand.start()
    log = ContactLog()
    first = log.onsets_s(stand.begin_cycle().cells, 0.0)

    for number in range(1, 8):
        clock.step_to(600.0 * number)
        cells = stand.begin_cycle().cells
        onsets = log.onsets_s(cells, 600.0 * number)

    known = onsets[np.isfinite(onsets)]
    assert np.isnan(first).all()
    assert len(known) > 0
    assert np.array_equal(known % 600, np.zeros(len(known)))
    assert known.max() <= 4200


def test_the_arc_tangent_is_good_to_a_hundred_thousandth() -> None:
    """It is right in all quadrants, and 0 at nothing."""
    angles = np.append(np.linspace(-3.14, 3.14, 999), 0.0)
    y, x = np.sin(angles).astype("f4"), np.cos(angles).astype("f4")
    y[-1] = x[-1] = 0

    found = np.empty(1000, np.float32)
    arc_tangents(y, x, found)

    assert np.abs(found - angles).max() < 2e-5


def test_the_halo_takes_a_part_of_the_mass() -> None:
    """A phase image gives less than the true mass, more of it with a longer halo."""
    shares = []
    for halo_um in (20.0, 60.0, 200.0):
        world = World.load("cho_10x")
        optics = world.optics.model_copy(update={"halo_um": halo_um})
        world = world.model_copy(update={"optics": optics})
        stand = SimulatedStand(world, 1, 512, Clock("stepped"))
        stand.keep_truth()
        cycle = stand.begin_cycle()
        assert cycle.insight is not None
        share = cycle.insight.haloed_mass_pg / cycle.cells.mass_pg
        shares.append(np.median(share[cycle.cells.area_px > 300]))

    assert 0.3 < shares[0] < shares[1] < shares[2] < 1.05
