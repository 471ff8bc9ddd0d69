"""Whole runs in which a process is killed: the recording goes on, or is readable."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import psutil
import pytest

from acquisition.archive.reader import RunReader
from acquisition.archive.writer import COMMIT_RECORDS
from app.__main__ import main
from tests.app.live_runs import SMALL, process_id, start, wait_for, wait_for_frames

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX only"),
]


RUN = ("run", "demo", "--output")


@dataclass(frozen=True)
class Wounded:
    """A run that lost its window, its analysis and its recorder, one by one."""

    out: Path
    said: str
    killed: dict[str, int]  # the process id of each
    recorded: list[int]  # frames on disk two seconds before the recorder was killed


def kill_part(out: Path, name: str, whole: Popen[str]) -> int:
    """Kill a part of a run that works; gives its process id."""
    pid = int(wait_for(lambda: process_id(out, name), whole))
    time.sleep(2)
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.fixture(scope="module")
def wounded(tmp_path_factory: pytest.TempPathFactory) -> Wounded:
    """Give a run that was wounded three times, went on, and was ended by Ctrl-C."""
    folder = tmp_path_factory.mktemp("wounded")
    out, killed = folder / "run", {}
    call = (*RUN, str(out), *SMALL)
    with start(*call, folder=folder, QT_QPA_PLATFORM="offscreen") as process:
        killed["display"] = kill_part(out, "display", process)
        killed["analysis"] = kill_part(out, "analysis", process)
        wait_for(lambda: process_id(out, "analysis") != killed["analysis"], process)
        with RunReader(out) as run:
            recorded = run.sequences.tolist()
        killed["recorder"] = kill_part(out, "recorder", process)
        wait_for(lambda: process_id(out, "recorder") != killed["recorder"], process)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 130, said
    return Wounded(out, said, killed, recorded)


def test_killing_the_window_changes_nothing(wounded: Wounded) -> None:
    """The window dies, the run goes on in the terminal and ends well."""
    assert "goes on without a window" in wounded.said
    with RunReader(wounded.out) as run:
        assert run.state == "interrupted"  # that is, by the Ctrl-C, and sealed


def test_a_killed_analysis_is_restarted_and_nothing_recorded_is_lost(
    wounded: Wounded,
) -> None:
    """The run says so, goes on recording, and analyses again after the restart."""
    assert "analysis died" in wounded.said
    assert process_id(wounded.out, "analysis") != wounded.killed["analysis"]
    assert len(wounded.recorded) > 5
    assert wounded.recorded == list(range(1, len(wounded.recorded) + 1))
    with RunReader(wounded.out) as run:
        assert set(wounded.recorded) <= set(run.sequences.tolist())
        ids = [set(run.tracks(s).track_id.tolist()) for s in run.analysed_sequences]
        assert not ids[0] & ids[-1]  # names are never given twice


def test_a_killed_recorder_is_replaced_and_no_frame_is_lost(wounded: Wounded) -> None:
    """Frames wait in memory until the new recorder has mended the run."""
    assert "recorder died" in wounded.said
    with RunReader(wounded.out) as run:
        there = run.sequences.tolist()
    missing = sorted(set(range(1, there[-1] + 1)) - set(there))
    assert len(list(wounded.out.glob("seg-*.h5"))) == 2
    assert len(missing) < COMMIT_RECORDS  # only what was not committed
    if missing:  # one hole, where the recorder died
        first, last = missing[0], missing[-1]
        assert missing == list(range(first, last + 1))
        assert wounded.recorded[-1] < first


def test_a_run_that_was_wounded_still_ends_by_itself(tmp_path: Path) -> None:
    """Its analysis was killed and replaced: the end is the planned one, exit code 0."""
    out = tmp_path / "run"
    with start(*RUN, str(out), "--duration", "15", *SMALL, folder=tmp_path) as process:
        pid = wait_for(lambda: process_id(out, "analysis"), process)
        os.kill(pid, signal.SIGKILL)
        said = process.communicate(timeout=120)[1]

    assert process.returncode == 0, said
    assert "analysis died" in said
    with RunReader(out) as run:
        there = run.sequences.tolist()
        assert run.state == "ended"
        assert there == list(range(1, len(there) + 1))


@pytest.mark.parametrize("wait_s", [0.3, 1.5])
def test_ctrl_c_while_starting_ends_without_a_traceback(
    wait_s: float, tmp_path: Path
) -> None:
    """A terminal signals the whole group; children leave it to the supervisor."""
    out = tmp_path / "run"
    with start(*RUN, str(out), *SMALL, folder=tmp_path) as process:
        wait_for(out.exists, process)
        time.sleep(wait_s)

        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=90)[1]

    assert process.returncode == 130, said
    assert "Traceback" not in said


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """Exit code 130 within seconds, and the run can be repaired."""
    out = tmp_path / "run"
    with start(*RUN, str(out), *SMALL, folder=tmp_path) as process:
        recorder = wait_for(lambda: process_id(out, "recorder"), process)
        os.kill(recorder, signal.SIGSTOP)  # so that the orderly end takes long

        os.killpg(process.pid, signal.SIGINT)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=30)[1]

    assert process.returncode == 130, said
    assert main(["repair", str(out)]) == 0


def test_without_a_supervisor_the_run_seals_itself(tmp_path: Path) -> None:
    """The parent is killed: its children notice, finish, and leave a sealed run."""
    out = tmp_path / "run"
    with start(*RUN, str(out), *SMALL, folder=tmp_path) as process:
        wait_for_frames(out, 1, process)
        family = psutil.Process(process.pid).children(recursive=True)

        process.kill()
        gone, alive = psutil.wait_procs(family, 60)

    assert not alive
    assert gone
    with RunReader(out) as run:
        assert run.state == "faulted"
        assert len(run.sequences) > 0


def test_after_kill_9_the_run_opens_and_repairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything is killed at once; at most the last second is missing."""
    out = tmp_path / "run"
    with start(*RUN, str(out), *SMALL, folder=tmp_path) as process:
        wait_for_frames(out, 15, process)
        family = psutil.Process(process.pid).children(recursive=True)

        os.killpg(process.pid, signal.SIGKILL)
        for member in family:
            if member.is_running():
                member.kill()
    psutil.wait_procs(family, 10)
    assert main(["repair", str(out), "--json"]) == 0

    with RunReader(out) as run:
        assert len(run.sequences) >= 10  # of five a second
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["frames"] == len(run.sequences)
