"""The gate lets in what is near, and the cost says what fits."""

import numpy as np
import pytest

from tracking.linking.costs import (
    NEAREST,
    Rules,
    find_candidates,
    gate_um,
    lay_grid,
    make_room,
)
from tracking.linking.motion import begin, lay_out
from tracking.linking.table import (
    DESCRIPTORS,
    NOBODY,
    UNSEEN_S,
    WHOLE,
    Found,
    make_table,
)

RULES = Rules(
    noise_um2=1.0,
    step_s=60.0,
    speed_um_per_s=0.2,
    size_weight=1.0,
    contact_weight=1.0,
    area_sigma=0.2,
    memory=5,
    confirm=2,
    lag=5,
)
WALKS = lay_out(0.2, 60.0)


def tracks(centre_um, unseen_s=60.0):
    """Give tracks of cells of one size at these places."""
    centre_um = np.asarray(centre_um, np.float64).reshape(-1, 2)
    count = len(centre_um)
    table = make_table(count)
    table.expected[:, :2] = centre_um
    table.anchor[:] = centre_um
    table.state[:] = begin(count, 1.0, WALKS, WALKS.even())
    table.value[:, UNSEEN_S] = unseen_s
    table.number[WHOLE] = 1
    return table


def cells(centre_um, log_area=0.0, whole=True):
    """Give the cells of a frame."""
    centre_um = np.asarray(centre_um, np.float64).reshape(-1, 2)
    count = len(centre_um)
    look = np.zeros((count, DESCRIPTORS))
    look[:, 0] = log_area
    return Found(
        label=np.arange(1, count + 1, dtype=np.int32),
        centre_um=centre_um,
        look=look,
        whole=np.full(count, whole),
        touching=np.empty((0, 2), np.int64),
        well=np.full(count, NOBODY),
    )


def candidates(table, rows, found, blocks=1):
    """Give the candidates of all tracks, taken so many blocks at a time."""
    grid = lay_grid(found.centre_um, gate_um(RULES, RULES.step_s))
    room = make_room(rows)
    for part in np.array_split(np.arange(rows), blocks):
        if part.size:
            block = (int(part[0]), int(part[-1]) + 1)
            find_candidates(table, block, found, grid, RULES, room)
    first, cell, cost = room
    return first, cell[: first[-1]], cost[: first[-1]]


@pytest.mark.parametrize("seed", range(5))
def test_gate_equals_all_pairs(seed):
    """The grid finds exactly the pairs within each gate, the nearest first."""
    rng = np.random.default_rng(seed)
    here, there = rng.uniform(-90, 90, (40, 2)), rng.uniform(-60, 60, (50, 2))
    unseen_s = rng.uniform(0, 100, 40)

    first, cell, _ = candidates(tracks(here, unseen_s), 40, cells(there), blocks=3)

    away_um = np.linalg.norm(here[:, None] - there[None], axis=2)
    reach_um = np.array([gate_um(RULES, each) for each in unseen_s])
    wanted = set(zip(*np.nonzero(away_um <= reach_um[:, None]), strict=True))
    row = np.repeat(np.arange(40), np.diff(first))
    assert set(zip(row, cell, strict=True)) == wanted
    assert all(np.diff(away_um[row, cell])[np.diff(row) == 0] >= 0)


def test_crowd_is_cut_to_the_nearest():
    """Of more cells than a track considers, it takes the nearest ones."""
    there = np.stack((np.linspace(0, 5, 200), np.zeros(200)), axis=1)

    first, cell, _ = candidates(tracks([[0.0, 0.0]]), 1, cells(there))

    assert first.tolist() == [0, NEAREST]
    assert cell.tolist() == list(range(NEAREST))


def test_no_tracks_or_no_cells():
    """Nothing on either side gives no candidates."""
    first, _, _ = candidates(tracks([]), 0, cells([[0.0, 0.0]]))
    second, _, _ = candidates(tracks([[0.0, 0.0]]), 1, cells([]))

    assert first.tolist() == [0]
    assert second.tolist() == [0, 0]


def test_other_size_costs_more():
    """Of two cells at the same distance the one of the same area is cheaper."""
    found = cells([[0.0, 3.0], [0.0, -3.0]], np.log([1.0, 2.0]))

    _, cell, cost = candidates(tracks([[0.0, 0.0]]), 1, found)

    same, other = cost[np.argsort(cell)]
    assert other > same + 1


def test_cut_cell_is_not_judged_by_its_area():
    """The area of a cell cut by the border does not enter the cost."""
    place = [[0.0, 0.0]]

    _, _, whole = candidates(tracks(place), 1, cells(place))
    _, _, cut = candidates(tracks(place), 1, cells(place, -1.0, False))

    assert cut.tolist() == whole.tolist()
