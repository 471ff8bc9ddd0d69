"""A run can be looked at again; what was recorded stays, what is revised is named."""

import h5py
import numpy as np
import pytest
from scored_runs import record_run

from acquisition.archive.journal import Journal
from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from acquisition.records import Revision
from calibration.score import score_run
from calibration.second_look import COURSES, REVISIONS, refine_run, revisions_of


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory):
    """Give a run that was looked at again, and what was said."""
    run = record_run(tmp_path_factory.mktemp("looks") / "run", frames=12)
    return run, refine_run(run)


def test_every_track_has_a_course_in_every_frame(looked_at):
    """The courses hold the tracks of all frames, smoothed, in order of names."""
    run, result = looked_at

    with h5py.File(run / COURSES) as file:
        rows = file["courses"][:]
    with RunReader(run) as reader:
        tracks = [reader.tracks(one) for one in reader.analysed_sequences.tolist()]
    assert len(rows) == result["rows"] == sum(one.track_id.size for one in tracks)
    assert result["smoothness_assumed"] == 0
    assert (np.diff(rows["name"]) >= 0).all()
    last = rows[rows["sequence"] == 12]
    away = np.linalg.norm(last["centre_um"] - tracks[-1].centre_um, axis=1)
    assert away.max() < 2


def test_a_run_is_looked_at_once(looked_at):
    """A second look on top of a second look is refused."""
    with pytest.raises(BadRun, match="looked at before"):
        refine_run(looked_at[0])


def test_the_live_look_is_in_the_record(looked_at):
    """What became final in the run is recorded with its frame."""
    with RunReader(looked_at[0]) as reader:
        final = [reader.refined(one) for one in range(1, 13)]

    lag = next(number for number, one in enumerate(final) if one is not None)
    assert final[lag].sequence == 1
    assert final[-1].sequence == 12 - lag
    assert final[-1].track_id.size > 100


def test_revised_names_are_scored_beside_the_recorded_ones(looked_at):
    """An exchange that is wrong makes the revised figures worse, and only those."""
    run, _ = looked_at
    before = score_run(run)
    journal = Journal(run / REVISIONS, durable=True)
    for track, name in ((3, 4), (4, 3)):
        said = ("name", 12, 0.0, "dish", track, name, (6,), (), (), 20.0, "osqp")
        journal.append(Revision(track, *said))
    journal.close()

    after = score_run(run)

    with RunReader(run) as reader:
        assert len(revisions_of(reader)) >= 2
    assert after["switches_per_1000"] == before["switches_per_1000"]
    assert after["names_revised"] == before["names_revised"] + 2
    assert after["switches_per_1000_revised"] > before["switches_per_1000"]
