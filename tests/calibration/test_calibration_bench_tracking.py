"""The comparison of trackers: its scenes, its figures, and what it refuses."""

import numpy as np
import pytest

from acquisition.errors import BadConfig, RunFailed
from calibration.benchmarks import tracking, tracking_peers
from calibration.benchmarks.tracking import (
    Wishes,
    bench_tracking,
    compare,
    count_mixed_up,
    make_trial,
)
from calibration.benchmarks.tracking_figures import score, track
from calibration.benchmarks.tracking_peers import PEERS, hungarian
from calibration.benchmarks.tracking_real import bench_real_tracks
from calibration.benchmarks.tracking_scenes import (
    DISHES,
    make_crossings,
    make_dish,
    make_well,
)
from calibration.benchmarks.tracking_stage import time_stage
from configs.schema import Tracking


def test_the_scene_is_the_known_one():
    """Plain Hungarian linking scores on scene A what it is known to score."""
    made = make_dish(DISHES["A"], 50, 100, seed=3)

    found = score(made.truth, hungarian(made.found, 20.0), 8.0)

    assert found.mota == pytest.approx(0.877, abs=0.01)


def test_vigil_keeps_names_where_plain_linking_does_not():
    """On scene A vigil has fewer switches than plain linking by far, motion untold."""
    made = make_dish(DISHES["A"], 50, 60, seed=4)
    options = Tracking(max_speed_um_per_min=20.0, memory_frames=4)

    ours = score(made.truth, track(made.found, options, 60.0).shown, 8.0)
    plain = score(made.truth, hungarian(made.found, 20.0), 8.0)

    assert ours.mota > 0.96
    assert ours.switches < plain.switches / 3


def test_the_same_seed_gives_the_same_names():
    """Two runs over one scene show the same names at the same places."""
    made = make_dish(DISHES["B"], 50, 20, seed=5)
    options = Tracking(max_speed_um_per_min=20.0)

    one, other = (track(made.found, options, 60.0).shown for _ in range(2))

    assert all(
        np.array_equal(a, c) and np.array_equal(b, d)
        for (a, b), (c, d) in zip(one, other, strict=True)
    )


def test_the_contact_term_keeps_names_that_courses_cannot():
    """Of unlike cells that turn about one another fewer are mixed up with the term."""
    made = make_crossings(3)

    without, with_term = (count_mixed_up(made, weight) for weight in (0.0, 1.0))

    assert without > 10
    assert with_term < without / 4


def test_cells_of_a_well_stay_inside():
    """Cells of a simulated well never leave it."""
    made = make_well(4, seed=1)

    assert made.truth.shape == (72, 4, 2)
    assert (made.truth >= 5).all()
    assert (made.truth <= 45).all()


def test_too_few_peers_are_no_comparison(monkeypatch):
    """With fewer than three peers the bench fails and says what to install."""
    alone = tuple(peer for peer in PEERS if peer.package == "scipy")
    monkeypatch.setattr(tracking, "PEERS", alone)

    with pytest.raises(RunFailed, match="peers"):
        bench_tracking(Wishes(seeds=1))


def test_a_peer_over_its_budget_begins_no_further_seed():
    """The row says how many seeds there were, and what vigil reached on the same."""
    trials = [make_trial("A", 50, seed) for seed in (3, 4)]
    plain = tracking_peers.Peer("plain", "scipy", hungarian, 8)

    alone, row = compare(trials, (plain,), budget_s=1e-9)
    _, whole = compare(trials, (plain,), budget_s=60.0)

    assert (alone["seeds"], row["seeds"], whole["seeds"]) == (2, 1, 2)
    assert row["vigil_there"]["mota"] > row["mota"]
    assert whole["vigil_there"] is None


def test_a_slow_peer_gets_fewer_frames_of_many_cells(monkeypatch):
    """Of a large scene it is scored on those that it got, beside vigil on the same."""
    monkeypatch.setattr(tracking, "MANY", 50)
    slow = tracking_peers.Peer("slow", "scipy", hungarian, 3)

    ours, row = compare([make_trial("A", 50, 3)], (slow,), budget_s=60.0)

    assert (ours["frames"], row["frames"]) == (100, 3)
    assert row["mota"] > 0.8
    assert row["vigil_there"]["mota"] > 0.9


def test_the_whole_stage_is_timed():
    """Tracks, forecasts and events of a scene have a median and a longest frame."""
    made = make_dish(DISHES["A"], 50, 4, seed=3)

    row = time_stage(made, Tracking(max_speed_um_per_min=20.0), 60.0)

    assert 0 < row["cpu_ms"] <= row["cpu_ms_max"]
    assert row["wall_ms"] > 0


@pytest.mark.parametrize(
    "wishes",
    [Wishes(scenes=("C",)), Wishes(cells=(7,)), Wishes(seeds=0), Wishes(budget_s=0)],
)
def test_unknown_wishes_are_refused(wishes):
    """A scene, a number of cells or of seeds that there is none of is named."""
    with pytest.raises(BadConfig, match="bench tracking"):
        wishes.check()


def test_real_tracks_give_idf1_and_right_links(tmp_path, monkeypatch):
    """Cells that hardly move on a wide grid are named without a fault by all."""
    lines = ["frame,track_id,x_px,y_px"]
    for frame in range(6):
        lines += [f"{frame},{n + 1},{50 * n + frame},{40 * (n % 2)}" for n in range(6)]
    table = tmp_path / "grid.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    plain = tracking_peers.Peer("plain", "scipy", hungarian, 10)
    monkeypatch.setattr(tracking, "PEERS", (plain,) * 3)

    result = bench_real_tracks([table], (1, 2), (1.0, 60.0))

    assert len(result["rows"]) == 8
    assert all(row["idf1"] == row["right_links"] == 1 for row in result["rows"])
