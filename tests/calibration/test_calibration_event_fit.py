"""A calibration of the deaths comes out of recorded runs, or says why it cannot."""

import numpy as np
import pytest
from plain_evidence import linear
from scored_runs import record_run

from acquisition.errors import BadRun
from calibration.event_fit import fit_runs
from calibration.evidence_fit import level_with_truth
from calibration.evidence_samples import Course, count_deaths
from tracking.events.evidence import AHEADS, load_evidence
from tracking.events.histories import feature_names


def test_a_calibration_is_fitted_to_a_recorded_run(tmp_path):
    """The file that is written can be used, tells the dead, and says what it is of."""
    run = record_run(tmp_path / "run", frames=24, death_s=4950.0)
    output = tmp_path / "mine.toml"

    told = fit_runs([run], output, seed=1, steps=5)
    evidence = load_evidence(str(output))

    assert (told["deaths"], evidence.provenance.deaths) == (1, 1)
    assert evidence.provenance.runs == ("cho_10x, seed 1, 24 frames, 300 s",)
    assert evidence.provenance.model == "scripted"


@pytest.mark.parametrize(
    ("frames", "says"), [(7, "no cell dies"), (17, "an hour before its death")]
)
def test_runs_that_teach_nothing_are_refused(tmp_path, frames, says):
    """Without a death, or the hour before it, the message says what is missing."""
    run = record_run(tmp_path / "run", frames)

    with pytest.raises(BadRun, match=says):
        fit_runs([run], tmp_path / "mine.toml", seed=1, steps=5)


def test_a_course_tells_the_dead_from_the_dying():
    """Only who was seen alive before has died; the hours are those of the living."""
    since_s = np.array([-600.0, -300.0, 0.0, 300.0])
    blank = np.zeros((4, 5, 2), np.float32), np.zeros((4, 3)), np.ones(4, np.bool_)
    dying, living, dead = (Course(*blank, since_s + more) for more in (0, -1e9, 1e9))

    deaths, hours = count_deaths((dying, living, dead))

    assert [one.onset for one in (dying, living, dead)] == [2, 4, 0]
    assert (deaths, hours) == (1, 6 * 300 / 3600)


def test_frames_too_far_apart_are_refused(tmp_path, monkeypatch):
    """Where the filter would skip bins the message names run, position and interval."""
    run = record_run(tmp_path / "run", frames=4)
    monkeypatch.setattr("calibration.event_fit.BIN_S", 200.0)

    with pytest.raises(BadRun, match=r"run: 300 s between the frames of"):
        fit_runs([run], tmp_path / "mine.toml", seed=1, steps=5)


def test_first_looks_call_as_many_dead_as_are():
    """The mean chance at first sight is the share that is dead, whatever it was."""
    rng = np.random.default_rng(1)
    names = feature_names()
    logit = rng.normal(size=200)
    courses = []
    for look, chance in zip(logit, rng.random(200), strict=True):
        features = np.zeros((2, len(AHEADS), len(names)), np.float32)
        features[:, :, names.index("logit before")] = look
        since_s = np.array([0.0, 300.0]) if chance < 0.3 else np.full(2, -np.inf)
        courses.append(
            Course(features, np.zeros((2, 3)), np.ones(2, np.bool_), since_s)
        )
    share = np.mean([one.since_s[0] >= 0 for one in courses])

    first = level_with_truth(linear({"logit before": 1.0}, bias=-3.0), courses)

    odds = first(np.stack([one.features[0, 0] for one in courses]).astype(float))
    assert np.mean(1 / (1 + np.exp(-odds))) == pytest.approx(share, abs=1e-3)
