"""The demo as a whole is good enough: a fresh specimen, run and scored."""

from pathlib import Path

import pytest

from tests.app.live_runs import result_of, vigil

BARS = {
    "object_f1_live": 0.80,
    "object_f1_dead": 0.70,
    "mota": 0.85,
    "death_events_precision": 0.5,
    "contact_events_precision": 0.5,
}
"""Floors that a broken path falls through; what is reached stands in the READMEs."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_reaches_its_bars_on_an_unseen_specimen(tmp_path: Path) -> None:
    """Two hours of experiment time: cells, names, deaths, contacts, extra frames."""
    done = vigil(
        "run", "demo", "--headless", "--duration", "60", "--seed", "31337",
        "--output", "run", "--set", "run.clock=stepped", "--set", 'log.frames="none"',
        "--json", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = result_of(done)

    figures = result_of(vigil("score", "run", "--json", folder=tmp_path))

    assert min(result[key] for key in ("deaths", "contacts", "extra_frames")) >= 1
    assert {key: figures[key] for key in BARS if figures[key] < BARS[key]} == {}
