"""The engine takes the planned frame at the planned place, or says what went wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import useq

from acquisition.clock import Clock
from acquisition.errors import (
    FrameMalformed,
    FrameMissing,
    MicroscopeFault,
    StageOff,
)
from acquisition.microscope import Microscope
from acquisition.schedule import EventSource
from tests.acquisition.microscopes import (
    SIZE,
    Taken,
    drive,
    make_images,
    open_demo,
    open_images,
)


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Microscope]:
    """Give eight recorded images as a four-step microscope with Python devices."""
    path = make_images(tmp_path / "images", 8)
    microscope = open_images(path, Clock("stepped"), "slim")
    yield microscope
    microscope.close()


@pytest.fixture
def demo() -> Iterator[Microscope]:
    """Give the demonstration microscope of the C++ core."""
    microscope = open_demo(Clock())
    yield microscope
    microscope.close()


def take(microscope: Microscope, event: useq.MDAEvent) -> tuple[Taken, str]:
    """Run one event; gives its frame and how the run ended."""
    clock = Clock("stepped")
    source = EventSource(clock, microscope.core)
    taken = Taken(clock, then=source.close)
    source.put(event, 0.0)
    return taken, drive(microscope, source, taken)


def test_a_frame_is_all_its_phase_steps(played: Microscope) -> None:
    """One event gives one stack of four images, in the order of the modulator."""
    taken, end = take(played, useq.MDAEvent(pos_name="dish"))

    steps = taken.pixels[0]
    assert end == "completed"
    assert steps.shape == (4, SIZE, SIZE)
    assert steps.dtype == np.uint16
    assert np.diff(steps[:, 0, 0].astype(int)).tolist() == [10, 10, 10]


def test_stamps_and_positions_are_read_back(demo: Microscope) -> None:
    """Every frame says when it was exposed and where, y before x."""
    taken, _ = take(demo, useq.MDAEvent(x_pos=30, y_pos=-12, z_pos=2))

    stamps = taken.stamps[0]
    assert stamps.exposure_start_ns < stamps.exposure_end_ns <= stamps.read_ns
    assert stamps.exposure_end_ns - stamps.exposure_start_ns >= 2_000_000
    assert stamps.stage_yx_um == pytest.approx((-12, 30), abs=0.1)
    assert stamps.focus_um == pytest.approx(2, abs=0.1)
    assert stamps.cycle is None


def test_a_stuck_stage_is_a_fault_and_no_frame(played: Microscope) -> None:
    """A stage that stays where it was raises, with both positions; nothing is taken."""
    assert played.devices is not None
    played.devices.stage.is_stuck = True

    with pytest.raises(StageOff, match=r"found at 0\.00 um") as caught:
        take(played, useq.MDAEvent(x_pos=100, y_pos=0))

    assert caught.value.wanted_um == 100
    assert not played.devices.lamp.is_open


def test_a_move_that_did_not_happen_is_sent_again(played: Microscope) -> None:
    """The core believes that it has moved; the next frame there does not."""
    assert played.devices is not None
    played.devices.stage.misses_next_move = True
    there = useq.MDAEvent(x_pos=100, y_pos=0)
    with pytest.raises(StageOff):
        take(played, there)

    taken, _ = take(played, there)

    assert taken.stamps[0].stage_yx_um == (0, 100)


def test_an_image_that_cannot_be_read_is_a_missing_frame(tmp_path: Path) -> None:
    """No image raises with the device's message; the run can go on afterwards."""
    path = make_images(tmp_path / "images", 3)
    microscope = open_images(path, Clock("stepped"))
    file = path / "img2_phase.tif"
    file.write_bytes(file.read_bytes()[:300])
    clock = Clock("stepped")
    source = EventSource(clock, microscope.core, microscope.limits)
    source.add_timelapse(useq.MDASequence(time_plan={"interval": 60, "loops": 9}))
    taken = Taken(clock)

    with pytest.raises(FrameMissing, match="img2_phase"):
        drive(microscope, source, taken)
    end = drive(microscope, source, taken)
    microscope.close()

    assert [int(pixels[0, 0, 0]) for pixels in taken.pixels] == [10, 30]
    assert taken.times_s == [0, 120]
    assert end == "completed"


def test_a_camera_that_changes_its_size_is_a_fault(demo: Microscope) -> None:
    """A frame of another size than announced is never handed over."""
    demo.core.setProperty("Camera", "Binning", "2")

    with pytest.raises(FrameMalformed, match=r"\(256, 256\)"):
        take(demo, useq.MDAEvent())


def test_a_channel_that_does_not_exist_is_a_fault(demo: Microscope) -> None:
    """A preset that was not reached raises instead of imaging something else."""
    with pytest.raises(MicroscopeFault, match="infrared"):
        take(demo, useq.MDAEvent(channel={"config": "infrared"}))


def test_eight_bit_cameras_give_the_same_frames(demo: Microscope) -> None:
    """Frames are uint16 whatever the camera's depth."""
    demo.core.setProperty("Camera", "PixelType", "8bit")

    taken, _ = take(demo, useq.MDAEvent())

    assert taken.pixels[0].dtype == np.uint16
    assert taken.pixels[0].max() > 0


def record_lamp(microscope: Microscope) -> Callable[[], list[bool]]:
    """Write down the moves of the lamp shutter."""
    assert microscope.devices is not None
    moves: list[bool] = []
    core = microscope.core
    core.events.propertyChanged.connect(
        lambda device, _, value: (
            moves.append(str(value) in ("1", "True")) if device == "Lamp" else None
        )
    )
    return lambda: moves


def test_the_lamp_is_open_during_the_steps_only(played: Microscope) -> None:
    """The lamp opens once and closes once in a frame, and is found closed."""
    assert played.devices is not None
    moves = record_lamp(played)

    take(played, useq.MDAEvent())

    assert moves() == [True, False]
    assert not played.devices.lamp.is_open
    assert played.core.getAutoShutter()


def test_the_demonstration_takes_three_frames(demo: Microscope) -> None:
    """The C++ core and its .cfg pass through the same engine and source."""
    clock = Clock()
    source = EventSource(clock, demo.core, demo.limits)
    plan = useq.MDASequence(time_plan={"interval": 0.02, "loops": 3})
    source.add_timelapse(demo.planned(plan))
    taken = Taken(clock)

    end = drive(demo, source, taken)

    assert end == "completed"
    assert len(taken.pixels) + source.skipped_slots == 3
    assert all(pixels.shape == demo.frame_shape for pixels in taken.pixels)


def test_an_autofocus_that_is_missing_is_a_fault(played: Microscope) -> None:
    """A planned autofocus that cannot happen ends the run instead of being left out."""
    action = useq.HardwareAutofocus(autofocus_motor_offset=0)

    with pytest.raises(MicroscopeFault, match="autofocus"):
        take(played, useq.MDAEvent(action=action))


def test_a_channel_gives_its_exposure_back(demo: Microscope) -> None:
    """An event that names no exposure has that of the run, not of the one before."""
    long = useq.MDAEvent(channel={"config": "DAPI"}, exposure=20)

    first, _ = take(demo, long)
    second, _ = take(demo, useq.MDAEvent(channel={"config": "FITC"}))

    found = [(stamps.channel, stamps.exposure_ms) for stamps in first.stamps]
    found += [(stamps.channel, stamps.exposure_ms) for stamps in second.stamps]
    assert found == [("DAPI", 20), ("FITC", 2)]
    assert not second.stamps[0].is_late


def test_a_real_stand_says_what_its_presets_show() -> None:
    """Steps and modality of a frame follow from the preset that it was taken with."""
    shows = {"DAPI": "fluorescence", "Cy5": "slim"}
    microscope = open_demo(
        Clock(), modality="slim", modulator="Emission", channel="Cy5", channels=shows
    )

    blue, _ = take(microscope, useq.MDAEvent(channel={"config": "DAPI"}))
    microscope.close()

    assert blue.pixels[0].shape == (1, 512, 512)
    assert blue.stamps[0].modality == "fluorescence"
