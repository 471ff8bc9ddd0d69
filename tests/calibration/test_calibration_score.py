"""The score of scripted runs is what was scripted."""

import numpy as np
import pytest
import tifffile
from scored_runs import DYING, PEOPLE, Flaws, record_run, show

from acquisition.errors import BadImages, BadRun
from calibration.comparison import Truth
from calibration.figures import score_events
from calibration.score import KEYS, score_masks, score_run
from tracking.metrics import Happening


@pytest.fixture(scope="module")
def perfect_run(tmp_path_factory):
    """Give a run in which everything was found."""
    return record_run(tmp_path_factory.mktemp("perfect") / "run")


def test_perfect_run_scores_one(perfect_run):
    """Where everything is right, every share is one and nothing is false."""
    score = score_run(perfect_run)

    ones = ("object_f1_live", "object_f1_dead", "mean_object_f1", "pics_f1_live")
    ones += ("pics_f1_dead", "instance_f1_50", "mota", "idf1", "auroc_dead")
    ones += ("contact_events_recall", "contact_events_precision")
    ones += ("death_events_recall", "death_events_precision", "balanced_accuracy")
    assert {name: score[name] for name in ones} == dict.fromkeys(ones, 1.0)
    zeros = ("unsure_share", "switches_per_1000", "false_deaths_per_1000_cell_hours")
    assert {name: score[name] for name in zeros} == dict.fromkeys(zeros, 0.0)


def test_score_has_all_keys_and_counts(perfect_run):
    """The agreed keys are there, and what the figures rest on."""
    score = score_run(perfect_run)

    assert set(KEYS) <= set(score)
    assert (score["deaths_true"], score["contacts_true"]) == (1, 1)
    assert score["contact_duplicates"] == 0
    assert score["frames_compared"] == 32
    assert score["frames_scored"] == 4  # after 5, 15 and 25 minutes, and the last
    assert score["objects_live"] + score["objects_dead"] == 4 * PEOPLE
    assert score["onset_delay_min"] == pytest.approx(0.5)
    assert 1 < score["alert_delay_min"] < 10


def test_flaws_cost_what_they_should(tmp_path):
    """Missed, misread and unsure cells lower exactly the figures they belong to."""
    flaws = Flaws(blind_to=(3, 4), misread=(13, 14, 15), unsure=(24,))

    score = score_run(record_run(tmp_path / "run", flaws=flaws))

    assert score["instance_f1_50"] == pytest.approx(2 * 119 / (119 + 121))
    assert score["mota"] == pytest.approx(119 / 121)
    assert score["object_f1_live_frame"] < score["object_f1_live"] < 0.97
    assert score["pics_f1_live"] < 1
    assert score["death_events_recall"] == 1.0


def test_strata_say_where_cells_are_missed(tmp_path):
    """Cells in contact, of which one is never found, stand beside those apart."""
    score = score_run(record_run(tmp_path / "run", flaws=Flaws(blind_to=(1,))))

    assert score["objects_edge"] == 0
    assert score["missed_share_edge"] is None
    assert score["objects_touching"] + score["objects_apart"] == 4 * PEOPLE
    assert score["missed_share"] == pytest.approx(1 / PEOPLE)
    assert score["missed_share_touching"] == pytest.approx(0.5)
    assert score["right_share_dead_apart"] == 1.0
    assert score["false_share"] == 0.0


def test_missed_death_is_missed(tmp_path):
    """A death of a cell that is never found is not recalled."""
    score = score_run(record_run(tmp_path / "run", flaws=Flaws(blind_to=(DYING,))))

    assert score["death_events_recall"] == 0.0
    assert score["death_events_precision"] is None
    assert score["onset_delay_min"] is None


def test_short_run_states_no_events(tmp_path):
    """A run that ends soon after a death does not judge it."""
    score = score_run(record_run(tmp_path / "run", frames=17))

    assert score["deaths_true"] == score["deaths_reported"] == 0
    assert score["death_events_recall"] is None
    assert score["false_deaths_per_1000_cell_hours"] == 0.0


def test_a_repeated_contact_is_false():
    """A pair whose meeting is reported twice counts once, the repeat is counted."""
    truth = Truth((Happening(600.0, (1, 2)),), (Happening(1700.0, (1, 2)),))
    reports = [Happening(time_s, (1, 2)) for time_s in (590.0, 900.0, 1750.0)]

    score = score_events(truth, reports)

    assert (score.true_hit, score.found_right, score.found) == (1, 1, 2)
    assert score.found_repeated == 1


def test_run_without_truth_is_refused(tmp_path):
    """A run of a real stand is refused with the way out."""
    run = record_run(tmp_path / "run", frames=1)
    (run / "truth.h5").unlink()

    with pytest.raises(BadRun, match="--truth"):
        score_run(run)


def test_masks_are_scored_page_by_page(perfect_run, tmp_path):
    """Label masks, numbered in any way, are compared with the frame of their page."""
    pages = [show(60.0 * number).labels * np.uint16(7) for number in range(1, 33)]
    tifffile.imwrite(tmp_path / "masks.tif", np.stack(pages), photometric="minisblack")

    score = score_masks(perfect_run, tmp_path / "masks.tif")

    assert score["instance_f1_50"] == score["instance_f1_75"] == 1.0
    assert (score["frames_scored"], score["objects"]) == (32, 32 * PEOPLE)
    assert score["mota"] is None
    assert score["baseline_instance_f1_50"] is None  # no pixels were kept


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.zeros((32, 8, 8), np.uint16), "shape"),
        (np.zeros((31, 8, 8), np.uint16), "31 masks.* 32 frames"),
        (np.zeros((33, 8, 8), np.uint16), "33 masks.* 32 frames"),
        (np.zeros((1, 8, 8), np.float32), "whole numbers"),
        (np.arange(70_000, dtype=np.int32).reshape(1, 280, 250), "69999 objects"),
        (None, "no readable TIFF"),
    ],
)
def test_wrong_masks_are_refused(perfect_run, tmp_path, content, says):
    """Masks of another shape or type, and other files, are refused by name."""
    path = tmp_path / "masks.tif"
    path.write_bytes(b"nonsense")
    if content is not None:
        tifffile.imwrite(path, content)

    with pytest.raises(BadImages, match=says):
        score_masks(perfect_run, path)
