"""``vigil bench``: the contract's keys, exact sums, honest refusals."""

import json
from pathlib import Path

import pytest

from app.__main__ import main
from tests.app.conftest import Refusal
from tests.app.live_runs import result_of, vigil

pytestmark = pytest.mark.timeout(300)

KEYS = {
    "fps_asked",
    "fps_done",
    "cells_mean",
    "made",
    "delivered",
    "replaced",
    "in_flight",
    "lost",
    "latency_ms",
    "latency_all_ms",
    "stage_ms",
    "cpu_share",
    "engine",
}


def test_the_benchmark_adds_up(tmp_path: Path) -> None:
    """Nothing is lost or left in flight, and every frame is accounted for."""
    done = vigil(
        "bench", "live", "--size", "256", "--fps", "5", "--seconds", "6", "--json",
        folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    figures = result_of(done)
    assert set(figures) >= KEYS
    assert figures["lost"] == figures["in_flight"] == 0
    assert figures["made"] == figures["delivered"] + figures["replaced"]
    assert figures["latency_ms"]["p50"] > 0


@pytest.mark.parametrize("fps", ["0", "-1", "nan"])
def test_an_impossible_rate_is_refused(fps: str, refusal: Refusal) -> None:
    """A rate that is no rate is bad input, not a traceback."""
    said = refusal("bench", "live", "--fps", fps)

    assert "--fps" in said


@pytest.mark.parametrize(("what", "rows"), [("log", 5), ("display", 4)])
def test_record_and_picture_are_measured(
    what: str, rows: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row has its times, the first a plain way beside it; nothing is left."""
    call = ["bench", what, "--size", "128", "--repeat", "2", "--json"]
    place = ["--output", str(tmp_path)] if what == "log" else []

    assert main([*call, *place]) == 0

    found = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert len(found) == rows
    assert all({"what", "cpu_ms", "wall_ms_p50", "ratio"} <= set(row) for row in found)
    assert found[0]["ratio"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("log", "--size", "100"), "--size: must be a multiple of 32"),
        (("log", "--output", "nowhere"), "nowhere cannot be written"),
        (("display", "--repeat", "0"), "--repeat: must be at least 1"),
    ],
    ids=["size", "folder", "repeat"],
)
def test_an_impossible_benchmark_is_refused(
    arguments: tuple[str, ...], expected: str, refusal: Refusal
) -> None:
    """The option is named with its value and what is allowed."""
    assert expected in refusal("bench", *arguments)
