"""The truth file: what is written is read, also after a kill."""

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from acquisition.clock import Clock
from acquisition.errors import BadRun
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.truth.file import TruthReader, TruthWriter
from acquisition.simulated.truth.foresight import HORIZONS_S
from acquisition.simulated.view import Cycle, touching_pairs
from acquisition.simulated.world import World

SIZE = 256


def write_run(
    path: Path, frames: int, interval_s: float, *, full: bool = False
) -> list[Cycle]:
    """Write the truth of a short run and give its cycles."""
    clock = Clock("stepped")
    world = World.load("demo")
    stand = SimulatedStand(world, 2, SIZE, clock)
    if full:
        stand.keep_truth()
    stand.start()
    writer = TruthWriter(path, world, 2, SIZE, world.optics.pixel_um)
    cycles = []
    for number in range(frames):
        clock.step_to(interval_s * number)
        cycles.append(stand.begin_cycle())
        writer.write(number + 1, interval_s * number, cycles[-1])
    writer.close()
    return cycles


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every frame comes back with labels, columns and pairs."""
    cycles = write_run(tmp_path / "truth.h5", 5, 60)

    with TruthReader(tmp_path / "truth.h5") as truth:
        frames = [truth.frame(sequence) for sequence in truth.sequences]

    assert [frame.sequence for frame in frames] == [1, 2, 3, 4, 5]
    for frame, cycle in zip(frames, cycles, strict=True):
        assert np.array_equal(frame.labels, cycle.labels)
        assert np.array_equal(frame.id, cycle.cells.id)
        assert np.array_equal(frame.dead, cycle.cells.dead)
        assert np.array_equal(frame.centre_um, cycle.cells.centre_um)
        assert np.array_equal(frame.touching, cycle.cells.touching)


def test_a_truth_in_full_is_read(tmp_path: Path) -> None:
    """Nuclei, later places, contacts and haloed masses come back as they were seen."""
    cycles = write_run(tmp_path / "truth.h5", 3, 600, full=True)

    with TruthReader(tmp_path / "truth.h5") as truth:
        frames = [truth.frame(sequence) for sequence in truth.sequences]

    for frame, cycle in zip(frames, cycles, strict=True):
        assert cycle.insight is not None
        assert np.array_equal(frame.nuclei, cycle.nuclei)
        assert np.allclose(frame.later_um, cycle.insight.later_um, equal_nan=True)
        assert np.array_equal(frame.onset_s, cycle.insight.onset_s, equal_nan=True)
        assert np.array_equal(frame.overlap_px, cycle.insight.overlap_px)
        assert np.allclose(frame.haloed_mass_pg, cycle.insight.haloed_mass_pg)
        assert not (frame.minutes_since_commit < 0).any()


def test_later_places_are_those_of_later_frames(tmp_path: Path) -> None:
    """Where a frame says cells will be in twenty minutes, a later one shows them."""
    write_run(tmp_path / "truth.h5", 3, 1200, full=True)

    with TruthReader(tmp_path / "truth.h5") as truth:
        now, then = truth.frame(2), truth.frame(3)

    _, mine, theirs = np.intersect1d(now.id, then.id, return_indices=True)
    place = HORIZONS_S.index(1200.0)
    assert len(mine) > 10
    assert np.allclose(now.later_um[mine, place], then.centre_um[theirs], atol=1e-4)


def test_whole_masks_hold_what_is_visible_and_more(tmp_path: Path) -> None:
    """A whole mask contains the label, and of a covered cell what lies under others."""
    (cycle,) = write_run(tmp_path / "truth.h5", 1, 60, full=True)
    assert cycle.insight is not None

    with TruthReader(tmp_path / "truth.h5") as truth:
        whole = {cell: truth.whole_mask(1, cell) for cell in cycle.cells.id.tolist()}

    hidden = {int(cell) for cell in cycle.insight.masks.rows["id"]} & set(whole)
    assert hidden
    for cell, mask in whole.items():
        label = cycle.labels == cell
        assert mask[label].all()
        assert (mask.sum() > label.sum()) == (cell in hidden)


def test_a_basic_truth_leaves_out_what_costs(tmp_path: Path) -> None:
    """Without the full truth its columns say that they are unknown."""
    write_run(tmp_path / "truth.h5", 1, 60)

    with TruthReader(tmp_path / "truth.h5") as truth:
        frame = truth.frame(1)
        world, doses = truth.world, truth.unplanned_doses(1)

    assert np.isnan(frame.later_um).all()
    assert np.isnan(frame.haloed_mass_pg).all()
    assert np.isfinite(frame.velocity_um_per_min).all()
    assert (frame.dose_gy == 3.5).all()
    assert (world.hash, doses) == (World.load("demo").hash, [])


def test_deaths_are_where_the_dead_flag_flips(tmp_path: Path) -> None:
    """Each death lies between the last frame alive and the first frame dead."""
    cycles = write_run(tmp_path / "truth.h5", 13, 600)

    with TruthReader(tmp_path / "truth.h5") as truth:
        deaths = dict(truth.deaths())

    flips = {}
    for before, after in pairwise(cycles):
        alive = before.cells.id[~before.cells.dead]
        dead = after.cells.id[after.cells.dead]
        for cell in np.intersect1d(alive, dead).tolist():
            flips[cell] = (before.time_s, after.time_s)
    assert flips
    assert set(flips) <= set(deaths)
    assert all(low < deaths[cell] <= high for cell, (low, high) in flips.items())


def test_a_truth_file_is_never_overwritten(tmp_path: Path) -> None:
    """A file that exists is refused and left as it is."""
    path = tmp_path / "truth.h5"
    path.write_bytes(b"mine")

    with pytest.raises(BadRun, match="cannot be created"):
        TruthWriter(path, World.load("demo"), 1, SIZE, 0.65)
    assert path.read_bytes() == b"mine"


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """What is no truth file gives one clear error."""
    path = tmp_path / "truth.h5"
    path.write_bytes(b"no HDF5")

    with pytest.raises(BadRun, match="no readable truth"):
        TruthReader(path)


def test_an_unknown_frame_is_named(tmp_path: Path) -> None:
    """Asking for a frame that is not there says so."""
    write_run(tmp_path / "truth.h5", 2, 60)

    with TruthReader(tmp_path / "truth.h5") as truth, pytest.raises(BadRun, match="77"):
        truth.frame(77)


KILLED = """
import os, signal, sys
from pathlib import Path
from acquisition.clock import Clock
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.truth.file import TruthWriter
from acquisition.simulated.world import World

world = World.load("demo")
stand = SimulatedStand(world, 2, 256, Clock("stepped"))
stand.keep_truth()
writer = TruthWriter(Path(sys.argv[1]), world, 2, 256, 0.65, flush_s=0.0)
for number in range(1, 8):
    writer.write(number, float(number), stand.begin_cycle())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX only")
def test_a_killed_writer_leaves_a_readable_file(tmp_path: Path) -> None:
    """After kill -9 every flushed frame is there."""
    path = tmp_path / "truth.h5"

    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)

    with TruthReader(path) as truth:
        last = truth.frame(7)
        assert truth.sequences.tolist() == list(range(1, 8))
    assert set(last.id) == set(np.unique(last.labels)) - {0}


def test_touching_means_two_pixels_apart() -> None:
    """One empty pixel between two masks is touching, two are not; pairs are sorted."""
    labels = np.zeros((32, 32), np.uint16)
    labels[4:8, 4:8] = 9
    labels[4:8, 9:12] = 3
    labels[4:8, 14:18] = 5
    labels[9, 16] = 7

    pairs = touching_pairs(labels)

    assert pairs.tolist() == [[3, 9], [5, 7]]


def test_without_cells_there_are_no_pairs() -> None:
    """An empty map gives an empty table of the right shape."""
    pairs = touching_pairs(np.zeros((8, 8), np.uint16))

    assert pairs.shape == (0, 2)
