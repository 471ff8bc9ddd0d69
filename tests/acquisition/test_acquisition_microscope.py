"""Microscopes are checked before a run, with every fault at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import useq

from acquisition.clock import Clock
from acquisition.errors import BadConfig, FrameMalformed, FrameMissing
from acquisition.inspection import inspect_pixels
from acquisition.microscope import Microscope, open_microscope
from acquisition.schedule import EventSource
from acquisition.simulated.stand.exposures import SimulatedCamera
from configs.loading import check_experiment
from tests.acquisition.microscopes import (
    Taken,
    drive,
    make_images,
    open_demo,
    open_images,
)


@pytest.fixture
def simulated() -> Iterator[Microscope]:
    """Give a small simulated microscope whose clock is stepped."""
    microscope = open_simulated("slim")
    yield microscope
    microscope.close()


def open_simulated(modality: str) -> Microscope:
    """Open a small simulated microscope."""
    content = {
        "microscope": {"kind": "simulated", "modality": modality, "exposure_ms": 8},
        "simulated": {"world": "demo", "size_px": 128},
        "timelapse": {"time_plan": {"interval": 30, "loops": 3}},
    }
    return open_microscope(check_experiment(content, "test"), Clock("stepped"))


def take(microscope: Microscope, loops: int = 1) -> Taken:
    """Take a short time-lapse."""
    clock = Clock("stepped")
    source = EventSource(clock, microscope.core, microscope.limits)
    source.add_timelapse(
        useq.MDASequence(time_plan={"interval": 30, "loops": loops}), start_s=0.0
    )
    taken = Taken(clock)
    drive(microscope, source, taken)
    return taken


def camera_of(microscope: Microscope) -> SimulatedCamera:
    """Give the simulated camera."""
    assert microscope.devices is not None
    assert isinstance(microscope.devices.camera, SimulatedCamera)
    return microscope.devices.camera


def test_the_demonstration_is_found_without_an_installation() -> None:
    """Config "demo" opens the C++ core, with pixel size and depth from the devices."""
    microscope = open_demo(Clock())

    found = microscope.snapshot()
    microscope.close()

    assert microscope.shape == (512, 512)
    assert microscope.pixel_size_um == 1.0
    assert found["Camera"]["Exposure"].startswith("2")
    assert "Device API" in found["versions"]["device interface"]


def test_the_depth_of_the_camera_bounds_the_saturation() -> None:
    """An 8-bit camera saturates at 255 whatever the setting says; a note tells it."""
    settings = {"Camera": {"PixelType": "8bit"}}

    microscope = open_demo(Clock(), camera_settings=settings)
    microscope.close()

    assert microscope.saturation_dn == 255
    assert any("255" in note for note in microscope.notes)


def test_any_device_with_four_states_can_step_the_phase() -> None:
    """Four-step phase runs on a C++ core with a state device as the modulator."""
    microscope = open_demo(Clock(), modality="slim", modulator="Emission")

    taken = take(microscope)
    microscope.close()

    assert microscope.frame_shape == (4, 512, 512)
    assert taken.pixels[0].shape == (4, 512, 512)


CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({"config_file": "none.cfg"}, ["microscope.config_file", "none.cfg"]),
    ({"modality": "slim"}, ["microscope.modulator"]),
    ({"channel": "Infrared"}, ["microscope.channel: no preset 'Infrared'", "DAPI"]),
    ({"modality": "slim", "modulator": "Disc"}, ["no device 'Disc'", "Emission"]),
    ({"modality": "slim", "modulator": "Camera"}, ["is no device with states"]),
    (
        {
            "modality": "slim",
            "camera_settings": {"Camera": {"Gain": "9999"}, "Fan": {"On": "1"}},
        },
        ["3 faults", "Camera.Gain", "Fan.On", "microscope.modulator"],
    ),
    ({"camera_settings": {"Camera": {"PixelType": "32bitRGB"}}}, ["colour"]),
]


@pytest.mark.parametrize(("settings", "says"), CASES)
def test_every_fault_is_named_before_anything_runs(
    settings: dict[str, Any], says: list[str]
) -> None:
    """All faults come at once, each with the path of the setting."""
    with pytest.raises(BadConfig) as caught:
        open_demo(Clock(), **settings)

    assert all(word in str(caught.value) for word in says)


def test_a_broken_configuration_file_is_refused(tmp_path: Path) -> None:
    """A .cfg that the core cannot load names the file and the device interface."""
    path = tmp_path / "broken.cfg"
    path.write_text("Device,Camera,NoSuchLibrary,DCam\n")

    with pytest.raises(BadConfig, match=r"broken\.cfg.*Device API version"):
        open_demo(Clock(), config_file=str(path))


def test_size_and_interval_are_never_guessed(tmp_path: Path) -> None:
    """Images that say neither are refused with both settings named."""
    path = make_images(tmp_path / "images", 2)
    content = {
        "microscope": {"kind": "sequence", "modality": "phase_contrast"},
        "sequence": {"images": str(path)},
        "timelapse": {},
    }

    with pytest.raises(BadConfig) as caught:
        open_microscope(check_experiment(content, "test"), Clock("stepped"))

    assert "microscope.pixel_size_um" in str(caught.value)
    assert "sequence.interval_s" in str(caught.value)


def test_a_grid_gets_the_size_of_the_field(tmp_path: Path) -> None:
    """Tiles lie one field apart when the plan does not say how large a field is."""
    path = make_images(tmp_path / "images", 2)
    microscope = open_images(path, Clock("stepped"))
    plan = useq.MDASequence(grid_plan={"rows": 1, "columns": 2})

    events = list(microscope.planned(plan).replace(time_plan=None))
    microscope.close()

    assert events[1].x_pos - events[0].x_pos == 32.0  # 64 pixels of 0.5 um


def test_the_simulated_microscope_gives_four_step_frames(
    simulated: Microscope,
) -> None:
    """Frames of the embedded microscope are sound, alike by seed, and carry a cycle."""
    again = open_simulated("slim")

    first, second = take(simulated, 2), take(again, 2)
    again.close()

    assert first.pixels[1].shape == simulated.frame_shape == (4, 128, 128)
    assert inspect_pixels(first.pixels[1], (4, 128, 128), 65_535) is None
    assert (first.pixels[1] == second.pixels[1]).all()
    assert first.stamps[1].cycle is not None
    assert simulated.pixel_size_um == 0.65


def test_without_the_lamp_the_frame_is_dark(simulated: Microscope) -> None:
    """No light falls on the camera while the lamp is closed."""
    core = simulated.core
    lit = take(simulated).pixels[0]

    core.setAutoShutter(False)
    core.snapImage()
    dark = core.getImage()

    assert dark.mean() < 0.2 * lit.mean()


def test_a_single_shot_is_one_image_of_one_cycle() -> None:
    """Phase contrast takes one image a frame, each of a new cycle."""
    microscope = open_simulated("phase_contrast")

    taken = take(microscope, 2)
    microscope.close()

    first, second = (stamps.cycle for stamps in taken.stamps)
    assert taken.pixels[0].shape == (1, 128, 128)
    assert first is not second


def test_a_camera_without_an_image_ends_the_run_with_its_words(
    simulated: Microscope,
) -> None:
    """A lost exposure is a missing frame that names the phase step."""
    camera_of(simulated).faults[2] = "missing"

    with pytest.raises(FrameMissing, match="step 3 of 4"):
        take(simulated)


def test_a_frame_of_the_wrong_size_is_not_handed_over(simulated: Microscope) -> None:
    """Half a frame is a fault."""
    camera_of(simulated).faults[0] = "wrong_size"

    with pytest.raises(FrameMalformed, match=r"\(64, 128\)"):
        take(simulated)


def test_saturated_and_constant_steps_are_quarantined(simulated: Microscope) -> None:
    """The first look at the pixels names the step that cannot be used."""
    faults = camera_of(simulated).faults
    faults[1], faults[7] = "saturated", "constant"

    frames = take(simulated, 2).pixels

    reasons = [inspect_pixels(frame, (4, 128, 128), 65_535) for frame in frames]
    assert "step 2" in str(reasons[0])
    assert "step 4 is constant" in str(reasons[1])
    assert np.median(frames[0][0]) > 0
