"""Small real runs for the tests of the archive; run as a script it writes until killed.

Arguments of the script: run directory, then the file in which it notes the last frame
that it handed to the writer and the last one that was committed for sure.
"""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from acquisition.archive import writer
from acquisition.archive.schema import RunFacts
from acquisition.records import Frame
from configs.schema import Log
from tests.samples import make_analysed, make_info

RUN_ID = "0123456789abcdef0123456789abcdef"


def make_facts(shape: tuple[int, int, int] = (4, 64, 64)) -> RunFacts:
    """Give the facts of a small simulated run."""
    return RunFacts(
        run_id=RUN_ID,
        software="vigil 0.1.0",
        seed=7,
        pixel_size_um=0.65,
        modality="slim",
        shape=shape,
        models=({"name": "slim", "sha256": "ab" * 32},),
        clock_mode="scaled",
        clock_speed=120.0,
        started="2026-01-02T03:04:05+00:00",
    )


def make_frame(
    sequence: int, time_s: float | None = None, cause: str = "protocol"
) -> Frame:
    """Give a frame whose pixels follow from its number."""
    info = make_info(sequence, float(sequence) if time_s is None else time_s)
    pixels = np.random.default_rng(sequence).integers(
        100, 4000, (4, 64, 64), dtype=np.uint16
    )
    return Frame(dataclasses.replace(info, cause=cause), pixels)


def make_writer(
    directory: Path, log: Log | None = None, run_id: str = RUN_ID
) -> writer.RunWriter:
    """Start a run in a directory, which is made where it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    facts = dataclasses.replace(make_facts(), run_id=run_id)
    return writer.RunWriter(directory, 'name = "x"\n', log or Log(), facts)


def assert_same(first: object, second: object) -> None:
    """Compare two records field by field, arrays by value and type."""
    assert type(first) is type(second), (first, second)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    elif dataclasses.is_dataclass(first):
        for field in dataclasses.fields(first):
            assert_same(getattr(first, field.name), getattr(second, field.name))
    else:
        assert first == second


def write_until_killed(directory: Path, notes: Path) -> None:
    """Write 100 frames a second and note wall time and number of each."""
    run = make_writer(directory, Log(segment_minutes=0.01))
    with notes.open("a", encoding="utf-8") as file:
        for sequence in range(1, 100_000):
            run.write_frame(make_frame(sequence))
            run.write_analysed(make_analysed(40, sequence, float(sequence)))
            file.write(f"{time.monotonic()} {sequence}\n")
            file.flush()
            time.sleep(0.01)


@contextmanager
def writing_process(directory: Path, notes: Path) -> Iterator[Path]:
    """Run the writer in another process; it is killed (-9) at the end."""
    script = "tests.acquisition.archive.archive_samples"
    command = [sys.executable, "-m", script, str(directory), str(notes)]
    victim = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    try:
        while not notes.exists() or not notes.stat().st_size:
            time.sleep(0.01)
        yield notes
    finally:
        victim.kill()
        victim.wait()


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]), Path(sys.argv[2]))
