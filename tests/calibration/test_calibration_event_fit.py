"""A calibration of the deaths comes out of recorded runs, or says why it cannot."""

import pytest
from scored_runs import record_run

from acquisition.errors import BadRun
from calibration.event_fit import fit_runs
from tracking.events.evidence import load_evidence


def test_a_calibration_is_fitted_to_a_recorded_run(tmp_path):
    """The file that is written can be used, tells the dead, and says what it is of."""
    run = record_run(tmp_path / "run", frames=32, death_s=6150.0)
    output = tmp_path / "mine.toml"

    told = fit_runs([run], output, seed=1)
    evidence = load_evidence(str(output))

    assert (told["deaths"], evidence.provenance.deaths) == (1, 1)
    assert evidence.provenance.runs == ("cho_10x, seed 1, 32 frames, 300 s",)
    assert evidence.provenance.model == "scripted"


def test_a_run_in_which_nobody_dies_is_refused(tmp_path):
    """Without a death there is nothing to learn, and the message says so."""
    run = record_run(tmp_path / "run", frames=7)

    with pytest.raises(BadRun, match="no cell dies"):
        fit_runs([run], tmp_path / "mine.toml", seed=1)
