"""A run is reported with what its cells are known to have done."""

import csv

import numpy as np
import pytest
from scored_runs import STEP_S, record_run

from acquisition.errors import BadConfig
from calibration.mask_forecast import iou, move_masks
from calibration.motion_report import chip_of, motion_of, report_run
from calibration.read_outs import READ_OUTS, TrackTable


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Give the report of a scripted run, and the folder of its tables."""
    folder = tmp_path_factory.mktemp("report")
    run = record_run(folder / "run", frames=14)
    return report_run(run, folder / "tables"), folder / "tables"


def test_every_track_has_a_row_of_read_outs(report):
    """The table holds all cells; the one that dies has its fate and its time."""
    result, folder = report
    with (folder / "cells.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    died = [row for row in rows if row["fate"] == "died"]

    assert tuple(rows[0]) == READ_OUTS
    assert len(rows) == result["cells"] >= 100
    assert len(died) <= 2
    assert {row["fate"] for row in rows} >= {"lives on"}
    assert {row["fate"] for row in result["fates"]} >= {"lives on"}
    assert sum(row["count"] for row in result["groups"]) == len(rows)


def test_cells_that_stay_have_no_speed_and_the_mover_its_own(report):
    """All stand still but for one, which goes 1.5 um a frame."""
    _, folder = report
    with (folder / "cells.csv").open(encoding="utf-8") as file:
        speed = [
            float(row["speed_um_per_min"] or "nan") for row in csv.DictReader(file)
        ]

    assert np.nanmedian(speed) < 0.05
    assert np.nanmax(speed) == pytest.approx(1.5 * 60 / STEP_S, rel=0.25)


def test_maps_are_judged_beside_their_copy(report):
    """Of cells that stay, the copied map is right, and the moved one nearly so."""
    maps = {row["ahead"]: row for row in report[0]["maps"]}

    two = maps["2 frames"]
    assert two["iou_live_copied"] > 0.95
    assert two["iou_live"] > 0.95


def test_masks_move_whole_and_the_surest_lies_on_top():
    """A mask moves by whole pixels, off the field where it must, over the less sure."""
    labels = np.zeros((6, 8), np.uint16)
    labels[1:3, 1:3], labels[1:3, 5:7] = 1, 2
    shift = np.array([[0, 0], [0.0, 3.6], [1.2, 0.0]])

    moved = move_masks(labels, shift, np.array([2, 1]))

    assert (moved[1:3, 5:7] == 1).all()
    assert (moved[3, 5:7] == 2).all()
    assert (moved > 0).sum() == 6
    assert (move_masks(labels, shift + 20, np.array([1, 2])) == 0).all()
    assert iou(labels > 0, labels > 0) == 1.0
    assert iou(labels > 9, labels > 9) is None


def test_the_chip_is_known_whatever_else_the_settings_say(tmp_path):
    """A run of an earlier version, with a key that is gone, has its wells."""
    config = tmp_path / "config.toml"
    chip = "[tracking.chip]\nfirst_yx_um = [0.0, 0.0]\nrows = 2\ncolumns = 3\n"
    config.write_text(f"gone = 1\n{chip}", encoding="utf-8")
    found = chip_of(config)
    config.write_text("[tracking]\ngone = 1\n", encoding="utf-8")

    assert (found.rows, found.columns) == (2, 3)
    assert chip_of(config) is None
    config.write_text(chip.replace("2", "0"), encoding="utf-8")
    with pytest.raises(BadConfig, match=r"tracking\.chip\.rows"):
        chip_of(config)


def test_too_few_cells_state_nothing():
    """Of four cells no motion is stated."""
    place = np.random.default_rng(1).normal(size=(4, 30, 2))
    no = np.zeros((4, 30), bool)
    table = TrackTable(
        60.0, 0.0, np.arange(1, 5), place, no, place[..., 0], place[..., 0], no, 0.1
    )

    row, slopes = motion_of(table, "live")

    assert row["cells"] == 4
    assert row["speed_um_per_min"] is None
    assert slopes == []
