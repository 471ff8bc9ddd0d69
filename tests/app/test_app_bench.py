"""``vigil bench live``: the contract's keys, exact sums, honest refusals."""

from pathlib import Path

import pytest

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
