"""The score of scripted runs is what was scripted."""

import numpy as np
import pytest
import tifffile
from scored_runs import DYING, PEOPLE, Flaws, record_run, show

from acquisition.errors import BadImages, BadRun
from acquisition.records import Event
from calibration.comparison import Comparison, Truth
from calibration.figures import score_events
from calibration.score import KEYS, score_masks, score_run
from calibration.score_events import prediction_figures
from tracking.metrics import Happening


def blank_comparison(time_s, sequence):
    """Give a frame in which tracks 1 and 2 are the cells 1 and 2."""
    names = np.array([1, 2])
    nothing = np.zeros(0, np.bool_)
    return Comparison(
        sequence=sequence,
        time_s=time_s,
        true_id=names,
        true_live=2,
        touching=(),
        track_id=names,
        match_true=names,
        match_track=names,
        objects=None,
        frame_objects=None,
        on_edge=nothing,
        in_contact=nothing,
        matched=2,
        matched_closely=2,
        found=2,
        left_out=0,
    )


def predicted_death(event_id, frame, track):
    """Give the prediction, made in a frame, that a track dies within half an hour."""
    return Event(
        event_id=event_id,
        kind="predicted death",
        time_s=frame.time_s + 1800,
        sequence=frame.sequence,
        position="dish",
        tracks=(track,),
        centre_yx_um=(0.0, 0.0),
        probability=0.6,
        threshold=0.5,
        model="",
        lead_s=1800,
    )


@pytest.fixture(scope="module")
def perfect_run(tmp_path_factory):
    """Give a run in which everything was found."""
    return record_run(tmp_path_factory.mktemp("perfect") / "run")


def test_perfect_run_scores_one(perfect_run):
    """Where everything is right, every share is one and nothing is false.

    But for the one dying cell in a frame or two, until its death is believed.
    """
    score = score_run(perfect_run)

    ones = ("object_f1_live", "object_f1_dead", "mean_object_f1", "pics_f1_live")
    ones += ("pics_f1_dead", "instance_f1_50", "mota", "idf1", "auroc_dead")
    ones += ("contact_events_recall", "contact_events_precision")
    ones += ("death_events_recall", "death_events_precision", "balanced_accuracy")
    assert {name: score[name] for name in ones} == pytest.approx(
        dict.fromkeys(ones, 1.0), abs=0.002
    )
    zeros = ("unsure_share", "switches_per_1000", "false_deaths_per_1000_cell_hours")
    assert {name: score[name] for name in zeros} == pytest.approx(
        dict.fromkeys(zeros, 0.0), abs=0.002
    )


def test_score_has_all_keys_and_counts(perfect_run):
    """The agreed keys are there, and what the figures rest on."""
    score = score_run(perfect_run)

    assert set(KEYS) <= set(score)
    assert (score["deaths_true"], score["contacts_true"]) == (1, 1)
    assert score["contact_duplicates"] == 0
    assert score["frames_compared"] == 32
    assert score["frames_scored"] == 15  # every second from the fifth, and the last
    assert score["objects_live"] + score["objects_dead"] == 15 * PEOPLE
    assert score["onset_delay_min"] == pytest.approx(0, abs=5)
    assert 1 < score["alert_delay_min"] < 70


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
    assert score["objects_touching"] + score["objects_apart"] == 15 * PEOPLE
    assert score["missed_share"] == pytest.approx(1 / PEOPLE)
    assert score["missed_share_touching"] == pytest.approx(0.5)
    assert score["right_share_dead_apart"] == pytest.approx(1.0, abs=0.002)
    assert score["false_share"] == 0.0


def test_missed_death_is_missed(tmp_path):
    """A death of a cell that is never found is not recalled."""
    score = score_run(record_run(tmp_path / "run", flaws=Flaws(blind_to=(DYING,))))

    assert score["death_events_recall"] == 0.0
    assert score["death_events_precision"] is None
    assert score["onset_delay_min"] is None


def test_short_run_states_no_events(tmp_path):
    """A run that ends soon after a death does not judge it."""
    score = score_run(record_run(tmp_path / "run", frames=11))

    assert score["deaths_true"] == score["deaths_reported"] == 0
    assert score["death_events_recall"] is None
    assert score["false_deaths_per_1000_cell_hours"] == 0.0


def test_the_dead_are_dated_and_judged(perfect_run):
    """A right report is confirmed, its onset holds, and nobody else was reported."""
    score = score_run(perfect_run)

    assert score["death_events_recall_corrected"] == 1.0
    assert score["false_alarms_per_run"] == score["deaths_misdated"] == 0
    assert score["events_confirmed"] >= 1
    assert score["risk_deaths"] >= 1  # cells that had an hour or less to live
    assert score["auprc_dead_1h"] > 0


def test_predictions_count_when_they_come_true():
    """Of two announced deaths one comes in time: precision a half, lead ten minutes."""
    frames = [blank_comparison(600.0 * n, n + 1) for n in range(12)]
    told = [predicted_death(1, frames[6], 1), predicted_death(2, frames[6], 2)]

    score = prediction_figures({"dish": frames}, [(1, 4200.0)], told)

    assert score["predicted_death_precision"] == 0.5
    assert score["predicted_death_recall"] == 1.0
    assert score["predicted_death_lead_min"] == pytest.approx(10.0)


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
    pages = [show(300.0 * number).labels * np.uint16(7) for number in range(1, 33)]
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
