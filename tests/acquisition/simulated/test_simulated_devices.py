"""The devices of the simulated stand, each through a plain core."""

from collections.abc import Iterator

import pytest
from pymmcore_plus import CMMCorePlus

from acquisition.simulated.stand.devices import (
    CHANNEL_GROUP,
    Devices,
    FilterWheel,
    LampShutter,
    PhaseModulator,
    load_devices,
)
from acquisition.simulated.stand.exposures import SimulatedCamera
from acquisition.simulated.stand.stages import Mechanics, SimulatedFocus, SimulatedStage
from configs.schema import SIMULATED_CHANNELS
from tests.acquisition.simulated.test_simulated_stand import stepped


@pytest.fixture
def devices() -> Devices:
    """Give the devices of a small stand whose stage settles in 80 ms."""
    stand, _ = stepped()
    stage = SimulatedStage(stand.move_to, Mechanics(80.0, 2.0, seed=5))
    wheel = FilterWheel(SIMULATED_CHANNELS, stand.set_channel)
    plain = Devices(SimulatedCamera(stand, LampShutter(), PhaseModulator(), stage))
    focus = SimulatedFocus(stand.set_focus)
    return Devices(plain.camera, stage, focus, wheel=wheel)


@pytest.fixture
def core(devices: Devices) -> Iterator[CMMCorePlus]:
    """Give a core of these devices."""
    core = load_devices(devices, "Modulator", settle_ms=80.0)
    yield core
    core.unloadAllDevices()


def test_presets_turn_the_filter_wheel(core: CMMCorePlus, devices: Devices) -> None:
    """A channel is a preset of the core, as on a real stand, and is read back."""
    core.setConfig(CHANNEL_GROUP, "NucGreen")

    assert set(core.getAvailableConfigs(CHANNEL_GROUP)) == set(SIMULATED_CHANNELS)
    assert core.getCurrentConfig(CHANNEL_GROUP) == "NucGreen"
    assert core.getStateLabel("Wheel") == "NucGreen"
    assert devices.wheel is not None
    assert devices.wheel.channel == "NucGreen"


def test_a_core_waits_until_the_stage_has_settled() -> None:
    """The stage is busy until a move has settled, and the core waits for it."""
    stand, _ = stepped()
    stage = SimulatedStage(stand.move_to, Mechanics(2_000.0))  # no machine is so busy
    camera = SimulatedCamera(stand, LampShutter(), PhaseModulator(), stage)
    core = load_devices(Devices(camera, stage), "Modulator", settle_ms=2_000.0)

    core.setXYPosition(10.0, 0.0)
    busy = core.deviceBusy("XY")
    core.waitForDevice("XY")
    still_busy = core.deviceBusy("XY")
    core.unloadAllDevices()

    assert busy
    assert not still_busy


def test_a_core_waits_longer_for_a_slow_stage() -> None:
    """The patience of the core grows with the time that settling takes."""
    stand, _ = stepped()
    stage = SimulatedStage(stand.move_to)
    camera = SimulatedCamera(stand, LampShutter(), PhaseModulator(), stage)

    core = load_devices(Devices(camera, stage), "Modulator", settle_ms=60_000)
    patience_ms = core.getTimeoutMs()
    core.unloadAllDevices()

    assert patience_ms == 120_000


def test_where_a_move_ends_is_off_by_a_drawn_error() -> None:
    """The view is off, the position read back is not; the seed fixes both."""
    ends = []
    for _ in range(2):
        seen: list[tuple[float, float]] = []
        stage = SimulatedStage(lambda _, e, s=seen: s.append(e), Mechanics(0, 2.0, 5))
        for step in range(200):
            stage.set_position_um(float(step), 0.0)
        ends.append(seen)

    assert ends[0] == ends[1]
    assert stage.get_position_um() == (199.0, 0.0)
    spread = sum(y * y + x * x for y, x in ends[0]) / 400
    assert spread == pytest.approx(4.0, rel=0.2)


def test_a_missed_move_is_missed_once() -> None:
    """The stage stays where it is for one move and obeys the next."""
    stage = SimulatedStage()
    stage.misses_next_move = True

    stage.set_position_um(5.0, 0.0)
    missed = stage.get_position_um()
    stage.set_position_um(5.0, 0.0)

    assert missed == (0.0, 0.0)
    assert stage.get_position_um() == (5.0, 0.0)


def test_a_frozen_modulator_says_that_it_obeys() -> None:
    """Its state reads back right while the light keeps its phase for a whole frame."""
    modulator = PhaseModulator()
    modulator.freeze()
    light = []

    for step in (0, 1, 2, 3, 0, 1):
        modulator.set_state(step)
        light.append(modulator.take_step())

    assert light == [0, 0, 0, 0, 0, 1]
    assert modulator.get_state() == 1
