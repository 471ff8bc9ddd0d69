"""The gate lets in what is near, and the cost says what fits."""

import numpy as np
import pytest

from tracking.costs import Bodies, find_candidates


def bodies(centre_um, area_um2=300.0):
    """Give whole bodies of one size."""
    count = len(centre_um)
    centre_um = np.asarray(centre_um, np.float64).reshape(-1, 2)
    log_area = np.log(np.full(count, area_um2, np.float64))
    return Bodies(centre_um, log_area, np.ones(count, np.bool_))


@pytest.mark.parametrize("seed", range(5))
def test_gate_equals_all_pairs(seed):
    """The grid finds exactly the pairs within each gate."""
    rng = np.random.default_rng(seed)
    tracks, cells = rng.uniform(-90, 90, (40, 2)), rng.uniform(-60, 60, (50, 2))
    gate_um = rng.uniform(1, 25, 40)

    found = find_candidates(bodies(tracks), np.ones(40), gate_um, bodies(cells), 1.0)

    away_um = np.linalg.norm(tracks[:, None] - cells[None], axis=2)
    wanted = set(zip(*np.nonzero(away_um <= gate_um[:, None]), strict=True))
    row = np.repeat(np.arange(40), np.diff(found.first))
    assert set(zip(row, found.detection, strict=True)) == wanted


def test_no_tracks_or_no_cells():
    """Nothing on either side gives no candidates."""
    some, none = bodies([[0.0, 0.0]]), bodies([])

    first = find_candidates(none, np.empty(0), np.empty(0), some, 1.0)
    second = find_candidates(some, np.ones(1), np.ones(1), none, 1.0)

    assert first.first.tolist() == [0]
    assert second.first.tolist() == [0, 0]


def test_other_size_costs_more():
    """Of two cells at the same distance the one of the same area is cheaper."""
    track, gate_um = bodies([[0.0, 0.0]]), np.array([10.0])
    cells = bodies([[0.0, 3.0], [0.0, -3.0]], [300.0, 600.0])

    found = find_candidates(track, np.ones(1), gate_um, cells, 1.0)

    same, other = found.cost[np.argsort(found.detection)]
    assert other > same + 1


def test_cut_cell_is_not_judged_by_its_area():
    """The area of a cell cut by the border does not enter the cost."""
    track, gate_um = bodies([[0.0, 0.0]]), np.array([10.0])
    cut = Bodies(np.zeros((1, 2)), np.log([50.0]), np.zeros(1, np.bool_))

    found = find_candidates(track, np.ones(1), gate_um, cut, 1.0)

    assert found.cost.tolist() == [0.0]
