"""Whole runs in which a process is killed: the recording goes on, or is readable."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from acquisition.archive.reader import RunReader
from acquisition.archive.writer import COMMIT_RECORDS
from tests.app.live_runs import SMALL, process_id, result_of, start, vigil, wait_for

pytestmark = pytest.mark.timeout(300)


def test_a_killed_analysis_is_restarted_and_nothing_recorded_is_lost(
    tmp_path: Path,
) -> None:
    """The run says so, goes on recording, and analyses again after the restart."""
    out = tmp_path / "run"
    process = start(
        "run", "demo", "--output", str(out), "--duration", "20", *SMALL,
        folder=tmp_path,
    )  # fmt: skip
    pid = wait_for(lambda: process_id(out, "analysis"))
    time.sleep(2)

    os.kill(pid, signal.SIGKILL)
    said = process.communicate(timeout=120)[1]

    assert process.returncode == 0, said
    assert "analysis died" in said
    with RunReader(out) as run:
        assert run.sequences.tolist() == list(range(1, len(run.sequences) + 1))
        assert process_id(out, "analysis") != pid
        ids = [set(run.tracks(s).track_id.tolist()) for s in run.analysed_sequences]
        assert not ids[0] & ids[-1]  # names are never given twice


def test_a_killed_recorder_is_replaced_and_no_frame_is_lost(tmp_path: Path) -> None:
    """Frames wait in memory until the new recorder has mended the run."""
    out = tmp_path / "run"
    process = start(
        "run", "demo", "--output", str(out), "--duration", "20", *SMALL,
        folder=tmp_path,
    )  # fmt: skip
    pid = wait_for(lambda: process_id(out, "recorder"))
    time.sleep(3)

    os.kill(pid, signal.SIGKILL)
    said = process.communicate(timeout=120)[1]

    assert process.returncode == 0, said
    assert "recorder died" in said
    with RunReader(out) as run:
        missing = set(range(1, int(run.sequences[-1]) + 1)) - set(run.sequences)
        assert len(list(out.glob("seg-*.h5"))) == 2
        assert len(missing) < COMMIT_RECORDS  # only what was not committed
        assert not missing or max(missing) - min(missing) == len(missing) - 1


def test_killing_the_window_changes_nothing(tmp_path: Path) -> None:
    """The window dies, the run goes on in the terminal and ends well."""
    out = tmp_path / "run"
    process = start(
        "run", "demo", "--output", str(out), "--duration", "15", *SMALL,
        folder=tmp_path, QT_QPA_PLATFORM="offscreen",
    )  # fmt: skip
    pid = wait_for(lambda: process_id(out, "display"))

    os.kill(pid, signal.SIGKILL)
    said = process.communicate(timeout=120)[1]

    assert process.returncode == 0, said
    assert "goes on without a window" in said
    with RunReader(out) as run:
        assert run.state == "ended"


@pytest.mark.parametrize("wait_s", [0.3, 1.5])
def test_ctrl_c_while_starting_ends_without_a_traceback(
    wait_s: float, tmp_path: Path
) -> None:
    """A terminal signals the whole group; children leave it to the supervisor."""
    out = tmp_path / "run"
    process = start("run", "demo", "--output", str(out), *SMALL, folder=tmp_path)
    wait_for(out.exists)
    time.sleep(wait_s)

    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=90)[1]

    assert process.returncode == 130, said
    assert "Traceback" not in said


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """Exit code 130 within seconds, and the run can be repaired."""
    out = tmp_path / "run"
    process = start("run", "demo", "--output", str(out), *SMALL, folder=tmp_path)
    recorder = wait_for(lambda: process_id(out, "recorder"))
    os.kill(recorder, signal.SIGSTOP)  # so that the orderly end takes long

    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[1]

    assert process.returncode == 130, said
    assert vigil("repair", "run", folder=tmp_path).returncode == 0


def test_without_a_supervisor_the_run_seals_itself(tmp_path: Path) -> None:
    """The parent is killed: its children notice, finish, and leave a sealed run."""
    out = tmp_path / "run"
    process = start("run", "demo", "--output", str(out), *SMALL, folder=tmp_path)
    wait_for(lambda: process_id(out, "recorder"))
    family = psutil.Process(process.pid).children(recursive=True)

    process.kill()
    gone, alive = psutil.wait_procs(family, 60)

    process.communicate(timeout=10)
    assert not alive
    assert gone
    with RunReader(out) as run:
        assert run.state == "faulted"
        assert len(run.sequences) > 0


def test_after_kill_9_the_run_opens_and_repairs(tmp_path: Path) -> None:
    """Everything is killed at once; at most the last second is missing."""
    out = tmp_path / "run"
    process = start("run", "demo", "--output", str(out), *SMALL, folder=tmp_path)
    wait_for(lambda: process_id(out, "recorder"))
    time.sleep(4)
    family = psutil.Process(process.pid).children(recursive=True)

    os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        if member.is_running():
            member.kill()
    process.communicate(timeout=30)
    psutil.wait_procs(family, 10)
    done = vigil("repair", "run", "--json", folder=tmp_path)

    with RunReader(out) as run:
        seconds = len(run.sequences) / 5
        assert seconds > 2
    assert result_of(done)["frames"] == len(run.sequences)


def test_a_drill_with_every_camera_fault_leaves_a_record_each(tmp_path: Path) -> None:
    """Missing, wrong-sized, saturated and constant frames are named and passed over."""
    drill = ('{"8"="missing", "14"="wrong_size", "23"="saturated", "31"="constant"}',)
    done = vigil(
        "run", "demo", "--output", "run", "--duration", "6", "--json", *SMALL,
        "--set", f"simulated.faults={drill[0]}", folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    with RunReader(tmp_path / "run") as run:
        reasons = " ".join(skip.reason for skip in run.skips())
        assert len(run.skips()) == 4
        assert len(run.sequences) == result_of(done)["frames_made"] - 4
    for word in ("gave no image", "instead of", "saturated", "constant"):
        assert word in reasons
