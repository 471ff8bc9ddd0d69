"""Drills: every fault of the simulated stand in a whole run, and what it leaves."""

from pathlib import Path
from typing import Any

import pytest

from acquisition.archive.reader import RunReader
from tests.app.live_runs import SMALL, result_of, vigil

pytestmark = pytest.mark.timeout(300)

STEPPED = ("--set", "run.clock=stepped", "--set", "log.frames=all", "--headless")

BROKEN = {4: "missing", 9: "wrong_size", 14: "nan", 19: "dropped"}
"""These cost one exposure: the frame is broken off, and the next begins."""
SPOILT = {24: "saturated", 32: "constant", 40: "torn", 48: "frozen_modulator"}
"""These cost a frame of four exposures; each is followed by a sound one."""
LATE = 56

SAID = [
    "no image in step 1 of 4",
    "(128, 256) uint16 instead of (256, 256)",
    "NaN or infinite values",
    "the camera gave no image for exposure 19",
    "step 1: 100% of the pixels are saturated",
    "step 1 is constant",
    "step 1 is torn",
    "the four phase steps are alike",
]


IRRADIATED = """
schema = 1
name = "irradiated"
base = "demo"
seeds = [1]

[protocol]
irradiate = [{ t_h = 0.045, gy = 1.05 }]
"""
"""A dose of 90 s, from 162 s on."""


def drill(folder: Path, faults: dict[int, str], *more: str) -> tuple[Any, str, int]:
    """Run with planned faults; gives the summary, what was said, and the exit code."""
    planned = ", ".join(f'"{number}"="{fault}"' for number, fault in faults.items())
    done = vigil(
        "run", "demo", "--output", "run", "--json", *SMALL, *STEPPED,
        "--set", f"simulated.faults={{{planned}}}", *more, folder=folder,
    )  # fmt: skip
    return result_of(done), done.stderr, done.returncode


def loops(count: int) -> tuple[str, str]:
    """Give the setting of a short time-lapse."""
    return "--set", f"timelapse.time_plan={{interval=30, loops={count}}}"


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a run with every fault that costs a frame, and one late frame."""
    folder = tmp_path_factory.mktemp("drill")
    faults = {**BROKEN, **SPOILT, LATE: "late"}
    (folder / "irradiated.toml").write_text(IRRADIATED)
    world = ("--world", "irradiated.toml")
    result, said, code = drill(folder, faults, *loops(19), *world)
    assert (code, result["state"], result["frames_made"]) == (0, "ended", 19), said
    assert "is late: an exposure took" in said
    return folder / "run"


def test_every_spoilt_frame_is_named_and_passed_over(drilled: Path) -> None:
    """Each fault leaves a record with its reason; all others are analysed."""
    with RunReader(drilled) as run:
        skips = run.skips()
        lost = {skip.sequence for skip in skips}

        assert len(skips) == len(SAID)
        for skip, words in zip(skips, SAID, strict=True):
            assert (skip.stage, words in skip.reason) == ("camera", True), skip
        assert set(run.sequences.tolist()) == set(range(1, 20)) - lost
        assert run.analysed_sequences.tolist() == run.sequences.tolist()


def test_the_record_tells_while_a_dose_is_given(drilled: Path) -> None:
    """A frame during a planned dose says that the beam is open, and no other."""
    with RunReader(drilled) as run:
        infos = [run.info(sequence) for sequence in run.sequences]

    during = [162 <= info.time_s < 252 for info in infos]
    assert any(during)
    assert [info.beam_open for info in infos] == during
    assert (infos[0].dose_gy, infos[-1].dose_gy) == (0.0, pytest.approx(1.05))


def test_a_late_frame_is_kept_and_told(drilled: Path) -> None:
    """It is no loss: its stamps show when it was taken, and the log says so."""
    with RunReader(drilled) as run:
        infos = [run.info(sequence) for sequence in run.sequences]
        took_s = [(i.exposure_end_ns - i.exposure_start_ns) * 1e-9 for i in infos]
        health = run.health()

    assert sum(seconds > 1.4 for seconds in took_s) == 1
    assert any("is late" in report.message for report in health)
    assert max(dict(report.facts).get("late_frames", 0) for report in health) == 1


def test_a_stage_that_misses_a_move_costs_one_frame(tmp_path: Path) -> None:
    """The position is read back: nothing is imaged at the wrong place."""
    places = '[{x=0, y=0, name="a"}, {x=40, y=0, name="b"}]'
    wish = ("--set", f"timelapse.stage_positions={places}")

    result, said, code = drill(tmp_path, {4: "stuck_stage"}, *loops(3), *wish)

    assert code == 0, said
    assert result["frames_recorded"] == 5
    with RunReader(tmp_path / "run") as run:
        (skip,) = run.skips()
        assert "stage x: sent to 0.00 um, found at 40.00 um" in skip.reason
        assert {run.info(s).stage_yx_um for s in run.sequences} == {(0, 0), (0, 40)}


def test_a_camera_that_stalls_ends_the_run_with_everything_safe(tmp_path: Path) -> None:
    """An exposure that never returns is a fault of the run, not a hang."""
    result, said, code = drill(tmp_path, {13: "stall"}, *loops(9))

    assert code == 1
    assert result["state"] == "faulted"
    assert "camera stall" in result["reason"]
    assert "Traceback" not in said
    assert "lamp" not in said  # it was closed
    assert "did not stop" not in said
    with RunReader(tmp_path / "run") as run:
        assert run.state == "faulted"
        assert run.analysed_sequences.tolist() == [1, 2, 3]
        assert ["camera stall" in skip.reason for skip in run.skips()] == [True]
