"""A writer that is killed or runs out of disk costs at most the last second."""

import json
import os
import random
import resource
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

from acquisition.archive.reader import RunReader
from acquisition.archive.repair import RepairReport, repair
from acquisition.archive.superblock import is_flagged, lookup3
from acquisition.archive.writer import RunWriter
from acquisition.errors import BadRun
from acquisition.records import Reply
from tests.acquisition.archive.archive_samples import (
    assert_same,
    make_frame,
    make_writer,
    writing_process,
)
from tests.samples import make_analysed


def kill_a_writer(directory: Path, notes: Path, after_s: float) -> list[int]:
    """Kill a busy writer; give the frames that it wrote a second before or earlier."""
    with writing_process(directory, notes):
        time.sleep(after_s)
    lines = [line.split() for line in notes.read_text().splitlines()]
    lines = [line for line in lines if len(line) == 2]
    end_s = float(lines[-1][0])
    return [int(number) for when, number in lines if float(when) < end_s - 1.0]


@pytest.mark.parametrize("kill", range(3))
def test_a_killed_writer_loses_at_most_a_second(tmp_path: Path, kill: int) -> None:
    """After kill -9 the run opens as it is, right up to the last second."""
    after_s = random.Random(kill).uniform(0.2, 2.5)

    safe = kill_a_writer(tmp_path / "run", tmp_path / "notes", after_s)

    with RunReader(tmp_path / "run") as run:
        assert run.state == "crashed"
        assert run.sequences.tolist() == list(range(1, len(run.sequences) + 1))
        assert set(safe) <= set(run.analysed_sequences.tolist())
        for sequence in run.sequences.tolist()[::7]:
            assert_same(run.frame(sequence), make_frame(sequence))
        for sequence in run.analysed_sequences.tolist()[::7]:
            expected = make_analysed(40, sequence, float(sequence))
            assert_same(run.cells(sequence), expected.segmented.cells)


def test_a_repaired_run_opens_everywhere(tmp_path: Path) -> None:
    """After the repair every segment opens normally with the same frames."""
    kill_a_writer(tmp_path / "run", tmp_path / "notes", 0.8)
    with RunReader(tmp_path / "run") as crashed:
        frames = crashed.sequences.tolist()

    report = repair(tmp_path / "run")

    assert report.frames == len(frames)
    assert report.state == "recovered"
    kept = 0
    for path in sorted((tmp_path / "run").glob("seg-*.h5")):
        with h5py.File(path, "r") as file:
            index = file["frames/raw_index"][:]
            kept += len(index)
            for row in range(0, len(index), 9):
                pixels = file["frames/raw"][row].tobytes()
                assert zlib.crc32(pixels) == index["crc32"][row]
    assert kept == len(frames)


def test_a_repair_changes_nothing_twice(tmp_path: Path) -> None:
    """The second repair reports the same and leaves every byte alone."""
    kill_a_writer(tmp_path / "run", tmp_path / "notes", 0.3)
    first = repair(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    second = repair(tmp_path / "run")

    after = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert second == first
    assert after == before


def test_a_sealed_run_needs_no_repair(tmp_path: Path) -> None:
    """A repair of a run that ended well reports its frames and keeps its state."""
    run = make_writer(tmp_path / "run")
    run.write_frame(make_frame(1))
    run.close("ended")

    assert repair(tmp_path / "run") == RepairReport(1, 0, "ended")


def test_a_segment_that_is_beyond_repair_is_named(tmp_path: Path) -> None:
    """A sealed file that cannot be opened any more is no run of zero frames."""
    make_writer(tmp_path / "run").close("ended")
    (tmp_path / "run" / "seg-00000.h5").write_bytes(b"garbage")

    assert repair(tmp_path / "run").damaged == ("seg-00000.h5",)


def test_a_running_run_is_not_repaired(tmp_path: Path) -> None:
    """The repair keeps its hands off a run with a living writer."""
    run = make_writer(tmp_path / "run")

    with pytest.raises(BadRun, match=f"written by process {os.getpid()}"):
        repair(tmp_path / "run")
    run.close("ended")


def test_a_damaged_frame_is_counted(tmp_path: Path) -> None:
    """A bit that turned in stored pixels is found by the checksum."""
    kill_a_writer(tmp_path / "run", tmp_path / "notes", 0.3)
    path = tmp_path / "run" / "seg-00000.h5"
    with h5py.File(path, "r", swmr=True) as file:
        place = file["frames/raw"].id.get_chunk_info_by_coord((2, 0, 0, 0))
    with path.open("r+b") as raw:
        raw.seek(place.byte_offset + place.size // 2)
        raw.write(b"\xff\x00\xff")

    report = repair(tmp_path / "run")

    assert report.lost_frames >= 1


def test_a_new_writer_goes_on_after_a_crash(tmp_path: Path) -> None:
    """The same run continues in a new segment; the crashed one is mended first."""
    kill_a_writer(tmp_path / "run", tmp_path / "notes", 1.5)
    with (tmp_path / "run" / "events.jsonl").open("a") as file:
        file.write('{"type": "event", "torn')

    run = make_writer(tmp_path / "run")
    run.write_frame(make_frame(5000))
    run.write_reply(Reply(1, 2.0, "done", ""))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.state == "ended"
        assert back.sequences.tolist()[-1] == 5000
        assert len(back.sequences) > 2
        assert len(back.replies()) == 1
        assert all(segment.sha256 for segment in back.manifest.segments)
    assert not any(is_flagged(path) for path in (tmp_path / "run").glob("seg-*.h5"))


def test_another_run_never_goes_on(tmp_path: Path) -> None:
    """A writer with another run id is refused."""
    run = make_writer(tmp_path / "run")
    run.close("ended")

    with pytest.raises(BadRun, match="already holds run"):
        make_writer(tmp_path / "run", run_id="f" * 32)


def test_an_event_is_on_the_disk_at_once(tmp_path: Path) -> None:
    """An event is readable before any commit of the tables."""
    run = make_writer(tmp_path / "run")

    run.write_analysed(make_analysed(1))

    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["event", "request"]
    run.close("ended")


def write_frames(run: RunWriter, count: int) -> None:
    """Write frames 1 to a number."""
    for sequence in range(1, count + 1):
        run.write_frame(make_frame(sequence))


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    """A write error is raised once, clearly; all committed frames stay readable."""
    run = make_writer(tmp_path / "run")

    with largest_file(3_000_000), pytest.raises(BadRun, match="free the disk"):
        write_frames(run, 1000)
    run.write_frame(make_frame(1001))
    run.close("ended")

    assert run.unwritten == 1
    with RunReader(tmp_path / "run") as back:
        assert back.state == "faulted"
        assert len(back.sequences) > 30
        for sequence in back.sequences.tolist():
            assert_same(back.frame(sequence), make_frame(sequence))
    assert repair(tmp_path / "run").frames >= len(back.sequences)


def test_the_checksum_is_that_of_the_format() -> None:
    """The plain-Python lookup3 gives the published value of its author."""
    assert lookup3(b"Four score and seven years ago") == 0x17770551
    assert lookup3(b"") == 0xDEADBEEF


def test_a_segment_killed_while_it_was_made_is_left_out(tmp_path: Path) -> None:
    """Where the tables were not on the disk yet, the repair goes on without them."""
    run = make_writer(tmp_path / "run")
    run.write_frame(make_frame(1))
    run.close("ended")
    segment = next((tmp_path / "run").glob("seg-*.h5"))
    whole = segment.read_bytes()
    segment.write_bytes(whole[:800] + bytes(len(whole) - 800))

    assert repair(tmp_path / "run").frames == 0
    with RunReader(tmp_path / "run") as back:
        assert back.damaged == (segment.name,)
