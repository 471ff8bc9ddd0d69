"""The stand: cycles, views, clocks and the background thread."""

import time
from pathlib import Path

import numpy as np
import pytest

import acquisition.simulated
from acquisition.clock import Clock
from acquisition.simulated.sections import Dose, Protocol
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.world import World
from configs.schema import SIMULATED_CHANNELS

SIZE = 256


def stepped(seed: int = 1) -> tuple[SimulatedStand, Clock]:
    """Give a started stand on a stepped clock."""
    clock = Clock("stepped")
    stand = SimulatedStand(World.load("demo"), seed, SIZE, clock)
    stand.start()
    return stand, clock


def test_a_stepped_run_is_reproducible_to_the_byte() -> None:
    """Two stands of one seed show the same frames and truth."""
    runs = []
    for _ in range(2):
        stand, clock = stepped()
        out = np.empty((4, SIZE, SIZE), np.uint16)
        shown = b""
        for frame in range(4):
            clock.step_to(60.0 * frame)
            cycle = stand.begin_cycle()
            for step in range(4):
                stand.expose(cycle, step, 8.0, 4 * frame + step, out[step])
            shown += out.tobytes() + cycle.labels.tobytes()
        runs.append(shown)

    assert runs[0] == runs[1]


def test_a_cycle_follows_the_clock() -> None:
    """With a stepped clock the specimen is as old as the clock says."""
    stand, clock = stepped()

    clock.step_to(1234.5)

    assert stand.begin_cycle().time_s == pytest.approx(1234.5)


def test_nothing_ages_before_the_start() -> None:
    """Warming up on a fast clock leaves the specimen at time zero."""
    clock = Clock("scaled", speed=10_000)
    stand = SimulatedStand(World.load("demo"), 1, SIZE, clock)

    cycle = stand.begin_cycle()

    assert cycle.time_s == 0


def test_moving_the_stage_moves_the_view() -> None:
    """Cells keep their stage coordinates while their pixels move."""
    stand, _ = stepped()
    here = stand.begin_cycle()

    stand.move_to((26.0, -13.0))
    there = stand.begin_cycle()

    both, a, b = np.intersect1d(here.cells.id, there.cells.id, return_indices=True)
    assert len(both) > 10
    assert there.stage_yx_um == (26.0, -13.0)
    assert np.allclose(here.cells.centre_um[a], there.cells.centre_um[b])
    assert np.array_equal(here.labels[40:, :-20] > 0, there.labels[:-40, 20:] > 0)


def test_focus_sharpens() -> None:
    """Focusing away by 10 um takes the detail out of the frames."""
    stand, _ = stepped()
    sharp = stand.begin_cycle().frames

    stand.set_focus(10.0)
    fuzzy = stand.begin_cycle().frames

    def detail(frames: np.ndarray) -> float:
        return float(np.abs(np.diff(frames[1], axis=1)).mean())

    assert detail(fuzzy) < 0.7 * detail(sharp)


def test_drift_carries_the_specimen_away() -> None:
    """Creep of the stage shows in the coordinates that are read back."""
    world = World.load("demo")
    centres = []
    for drift in ((0.0, 0.0), (20.0, 0.0)):
        stage = world.stage.model_copy(update={"drift_um_per_h": drift})
        moved = world.model_copy(update={"stage": stage})
        clock = Clock("stepped")
        stand = SimulatedStand(moved, 1, SIZE, clock)
        stand.start()
        clock.step_to(1800)
        centres.append(stand.begin_cycle().cells)

    still, last = centres
    _, a, b = np.intersect1d(still.id, last.id, return_indices=True)
    assert len(a) > 5
    assert np.allclose(last.centre_um[b] - still.centre_um[a], (-10, 0))


def test_the_thread_prepares_cycles() -> None:
    """On a fast clock new cycles appear by themselves, and their cost is counted."""
    clock = Clock("scaled", speed=600)
    stand = SimulatedStand(World.load("demo"), 1, SIZE, clock)
    clock.start()
    stand.start()
    times = set()
    try:
        until = time.monotonic() + 60  # it leaves as soon as there are four
        while len(times) < 4 and time.monotonic() < until:
            times.add(stand.begin_cycle().time_s)
            time.sleep(0.05)
    finally:
        stand.close()

    assert len(times) >= 4
    assert stand.cpu_s > 0


def test_a_moved_view_is_never_stale() -> None:
    """Also with the thread running, a cycle shows the place the stage is at."""
    clock = Clock("real")
    stand = SimulatedStand(World.load("demo"), 1, SIZE, clock)
    clock.start()
    stand.start()
    try:
        for move in range(5):
            stand.move_to((10.0 * move, 0.0))
            assert stand.begin_cycle().stage_yx_um == (10.0 * move, 0.0)
    finally:
        stand.close()


def test_the_bank_plays_in_turn() -> None:
    """The bank shows a few cycles again and again, without a thread."""
    stand = SimulatedStand(World.load("demo"), 1, SIZE, Clock("real"), source="bank")
    stand.start()

    shown = [stand.begin_cycle().time_s for _ in range(16)]

    assert shown[:8] == shown[8:]
    assert len(set(shown)) == 8


def test_brightfield_is_one_frame() -> None:
    """A brightfield stand shows one frame whatever the modulator does."""
    clock = Clock("stepped")
    world = World.load("demo")
    stand = SimulatedStand(world, 1, SIZE, clock, channels=["Brightfield"])
    out = np.empty((SIZE, SIZE), np.uint16)

    cycle = stand.begin_cycle()
    stand.expose(cycle, 3, 8.0, 0, out)

    assert cycle.frames.shape == (1, SIZE, SIZE)
    assert out.mean() == pytest.approx(1800 / 0.46 + 100, rel=0.2)


def test_truth_is_that_of_the_labels() -> None:
    """The truth of a cycle lists exactly the cells in its label map."""
    stand, _ = stepped()
    cycle = stand.begin_cycle()

    truth = stand.truth(cycle)

    ids, areas = np.unique(cycle.labels[cycle.labels > 0], return_counts=True)
    assert np.array_equal(truth.id, ids)
    assert np.array_equal(truth.area_px, areas)
    assert stand.dose_gy == 3.5


@pytest.mark.parametrize("channel", SIMULATED_CHANNELS)
def test_the_bank_holds_every_channel(channel: str) -> None:
    """Each channel plays in turn; only SLIM has four steps."""
    world = World.load("demo")
    channels = ["SLIM", channel]
    stand = SimulatedStand(
        world, 1, SIZE, Clock("real"), source="bank", channels=channels
    )
    stand.start()
    stand.set_channel(channel)

    cycles = [stand.begin_cycle() for _ in range(9)]

    assert cycles[0] is cycles[8]
    assert {cycle.channel for cycle in cycles} == {channel}
    assert {len(c.frames) for c in cycles} == {4 if channel == "SLIM" else 1}


def test_a_stage_that_misses_its_place_shows_another_view() -> None:
    """The truth is in the coordinates that are read back, as the product sees it."""
    stand, _ = stepped()
    here = stand.begin_cycle()

    stand.move_to((0.0, 0.0), error_um=(13.0, 0.0))
    there = stand.begin_cycle()

    _, a, b = np.intersect1d(here.cells.id, there.cells.id, return_indices=True)
    moved = there.cells.centre_um[b] - here.cells.centre_um[a]
    assert there.stage_yx_um == (0.0, 0.0)
    assert np.allclose(moved, (-13.0, 0.0))
    assert np.array_equal(here.labels[20:] > 0, there.labels[:-20] > 0)


def test_an_open_beam_hits_the_sensor() -> None:
    """Bright specks appear while a planned dose is given, and at no other time."""
    world = World.load("demo")
    camera = world.camera.model_copy(update={"beam_specks": 200})
    protocol = Protocol(irradiate=(Dose(t_h=1.0, gy=7.0),))  # ten minutes
    world = world.model_copy(update={"camera": camera, "protocol": protocol})
    clock = Clock("stepped")
    stand = SimulatedStand(world, 1, SIZE, clock)
    stand.start()
    dark = np.empty((SIZE, SIZE), np.uint16)
    specks = []
    for minute in (59, 61, 69, 71):
        clock.step_to(60.0 * minute)
        stand.expose(stand.begin_cycle(), 0, 0.0, minute, dark)
        specks.append(int((dark > 500).sum()))

    assert specks[0] == specks[3] == 0
    assert min(specks[1:3]) > 100


def test_the_kernels_of_the_specimen_use_one_thread() -> None:
    """The renderer never takes the core of the analysis: no kernel runs in parallel."""
    folder = Path(acquisition.simulated.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py")]

    assert len(sources) > 10
    assert not any("parallel=True" in text or "prange" in text for text in sources)
