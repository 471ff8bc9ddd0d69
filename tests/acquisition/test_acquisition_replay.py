"""Recorded images: what opens, what is refused, and how they are played."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import useq

from acquisition.clock import Clock
from acquisition.errors import BadImages, FrameMissing, MicroscopeFault
from acquisition.imagefiles import describe_file, read_image
from acquisition.replay import ImageSequence
from acquisition.schedule import EventSource
from tests.acquisition.microscopes import (
    SIZE,
    Taken,
    drive,
    make_images,
    make_request,
    open_images,
)

STACK = np.arange(6 * 64 * 80, dtype=np.uint16).reshape(6, 64, 80)


def test_a_folder_is_read_in_natural_order_without_its_masks(tmp_path: Path) -> None:
    """img2 stands before img10, and files of labels are no images."""
    path = make_images(tmp_path / "images", 11)

    images = ImageSequence.open(path, 60, 0.5)

    assert images.count == 11
    assert images.shape == (SIZE, SIZE)
    assert [int(images.read(k)[0, 0]) for k in (0, 1, 10)] == [10, 20, 110]


def test_a_stack_is_read_page_by_page(tmp_path: Path) -> None:
    """Every page of a TIFF stack is an image; sizes need not be square."""
    tifffile.imwrite(tmp_path / "stack.tif", STACK)

    images = ImageSequence.open(tmp_path / "stack.tif")

    assert (images.count, images.shape) == (6, (64, 80))
    assert (images.read(4) == STACK[4]).all()
    assert (images.pixel_size_um, images.interval_s) == (None, None)


def test_an_ome_tiff_tells_its_calibration(tmp_path: Path) -> None:
    """Pixel size and interval come from the OME header, with their units."""
    metadata = {
        "axes": "TYX",
        "PhysicalSizeX": 650.0,
        "PhysicalSizeXUnit": "nm",
        "TimeIncrement": 2.0,
        "TimeIncrementUnit": "min",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)

    images = ImageSequence.open(tmp_path / "a.ome.tif")

    assert images.pixel_size_um == pytest.approx(0.65)
    assert images.interval_s == pytest.approx(120)


def test_the_times_of_the_planes_serve_when_there_is_no_increment(
    tmp_path: Path,
) -> None:
    """The median gap between the planes of an OME-TIFF is the interval."""
    planes = {"DeltaT": [0, 30, 60, 95, 120, 150], "DeltaTUnit": ["s"] * 6}
    metadata = {"axes": "TYX", "Plane": planes}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)

    assert ImageSequence.open(tmp_path / "a.ome.tif").interval_s == 30


@pytest.mark.parametrize("truncate", [False, True], ids=["pages", "one page"])
def test_an_imagej_stack_tells_its_calibration(tmp_path: Path, truncate: bool) -> None:
    """ImageJ stacks, also the large ones that hold one page only, are read whole."""
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK,
        imagej=True,
        truncate=truncate,
        resolution=(2.0, 2.0),
        metadata={"axes": "TYX", "unit": "um", "finterval": 15.0},
    )

    images = ImageSequence.open(tmp_path / "a.tif")

    assert images.pixel_size_um == pytest.approx(0.5)
    assert images.interval_s == 15
    assert (images.read(5) == STACK[5]).all()


@pytest.mark.parametrize("unit", ["pixel", "furlong", ""])
def test_units_that_nobody_knows_are_not_guessed(tmp_path: Path, unit: str) -> None:
    """A size or a time in an unknown unit counts as not said."""
    metadata = {
        "axes": "TYX",
        "PhysicalSizeX": 0.65,
        "PhysicalSizeXUnit": unit,
        "TimeIncrement": 2.0,
        "TimeIncrementUnit": unit,
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)

    file = describe_file(tmp_path / "a.ome.tif")

    assert (file.pixel_size_um, file.interval_s) == (None, None)


def test_plane_times_in_an_unknown_unit_are_no_interval(tmp_path: Path) -> None:
    """The interval stays unknown when the times of the planes cannot be read."""
    planes = {"DeltaT": [0, 30, 60, 95, 120, 150], "DeltaTUnit": ["pixel"] * 6}
    metadata = {"axes": "TYX", "Plane": planes}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)

    assert describe_file(tmp_path / "a.ome.tif").interval_s is None


def test_imagej_units_that_nobody_knows_are_not_guessed(tmp_path: Path) -> None:
    """The same holds for the header of ImageJ."""
    metadata = {"axes": "TYX", "unit": "pixel", "finterval": 15.0, "tunit": "ticks"}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, resolution=(2.0, 2.0), metadata=metadata)

    file = describe_file(path)

    assert (file.pixel_size_um, file.interval_s) == (None, None)


def test_settings_go_before_the_file(tmp_path: Path) -> None:
    """What the experiment says of size and interval is not overruled by a header."""
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.65, "TimeIncrement": 2.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)

    images = ImageSequence.open(tmp_path / "a.ome.tif", 7, 0.9)

    assert (images.interval_s, images.pixel_size_um) == (7, 0.9)


def test_eight_bit_images_fill_the_range(tmp_path: Path) -> None:
    """255 counts become 65535, so saturation keeps its meaning; the factor is told."""
    image = np.full((64, 64), 255, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "b.png"), np.dstack([image] * 3))

    images = ImageSequence.open(tmp_path)

    assert images.scale == 257
    assert [int(images.read(k).min()) for k in (0, 1)] == [65_535, 65_535]


@dataclass(frozen=True)
class Case:
    """A folder that must be refused, and what the message must name."""

    name: str
    write: Callable[[Path], Any]
    says: str


CASES = [
    Case("nothing", lambda _: None, "no image in this folder"),
    Case("text", lambda p: (p / "a.tif").write_text("no image"), "a.tif"),
    Case("empty", lambda p: (p / "a.png").write_bytes(b""), "a.png"),
    Case("masks", lambda p: make_mask(p / "a_mask.png"), "1 of the other kind"),
    Case(
        "sizes",
        lambda p: (make_mask(p / "a.png"), make_mask(p / "b.png", 70)),
        "b.png",
    ),
    Case(
        "floats",
        lambda p: tifffile.imwrite(p / "a.tif", STACK.astype(np.float32)),
        "float32",
    ),
    Case(
        "channels",
        lambda p: tifffile.imwrite(
            p / "a.ome.tif", STACK.reshape(2, 3, 64, 80), metadata={"axes": "TCYX"}
        ),
        "3 channels",
    ),
    Case(
        "colour",
        lambda p: tifffile.imwrite(p / "a.tif", np.zeros((64, 64, 3), np.uint8)),
        "colour",
    ),
]


def make_mask(path: Path, size: int = 64) -> None:
    """Write an 8-bit image."""
    cv2.imwrite(str(path), np.ones((size, size), np.uint8))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_cannot_be_played_is_refused_by_name(case: Case, tmp_path: Path) -> None:
    """Damaged, mixed, coloured and missing images are refused before the run."""
    case.write(tmp_path)

    with pytest.raises(BadImages, match=case.says):
        ImageSequence.open(tmp_path)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(BadImages, match="nowhere"):
        ImageSequence.open(tmp_path / "nowhere")


def test_images_must_fill_the_phase_steps(tmp_path: Path) -> None:
    """Six images are no whole number of four-step frames."""
    with pytest.raises(BadImages, match="no multiple of 4"):
        ImageSequence.open(make_images(tmp_path / "images", 6), steps=4)


def test_a_damaged_image_is_missing_and_the_others_are_not(tmp_path: Path) -> None:
    """Damage found while reading costs that image only."""
    path = make_images(tmp_path / "images", 3)
    images = ImageSequence.open(path)
    (path / "img2_phase.tif").unlink()

    with pytest.raises(FrameMissing, match="img2_phase"):
        images.read(1)
    assert int(images.read(2)[0, 0]) == 30


def spoil(path: Path, page: int) -> None:
    """Overwrite the packed pixels of one page of a TIFF file."""
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[page].dataoffsets[0]
        size = tiff.pages[page].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xa5" * size
    path.write_bytes(content)


def test_a_damaged_packed_page_is_named(tmp_path: Path) -> None:
    """Whatever the decoder says, the message names the file and the image."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib")
    spoil(path, 2)

    with pytest.raises(BadImages, match=r"a\.tif: image 3"):
        read_image(path, 2)
    assert (read_image(path, 3) == STACK[3]).all()


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    """An OME header that is no XML refuses the file by name."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "TYX"})
    path.write_bytes(path.read_bytes().replace(b"<Pixels ", b"<<ixels "))

    with pytest.raises(BadImages, match=r"a\.ome\.tif"):
        describe_file(path)


def play(path: Path, count: int) -> list[list[int]]:
    """Play four-step frames, going on after faults; gives the first pixels."""
    clock = Clock("stepped")
    microscope = open_images(path, clock, "slim")
    source = EventSource(clock, microscope.core, microscope.limits)
    source.add_timelapse(microscope.planned(useq.MDASequence()))
    taken = Taken(clock)
    faults = 0
    while not source.closed and faults < count:
        try:
            drive(microscope, source, taken)
        except MicroscopeFault:
            faults += 1
    microscope.close()
    assert faults == 1
    return [pixels[:, 0, 0].tolist() for pixels in taken.pixels]


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("step", [0, 1, 3])
def test_a_damaged_step_costs_its_frame_and_turns_no_other(
    tmp_path: Path, damaged: int, step: int
) -> None:
    """Of a stack of time x step the later frames begin with their first step."""
    steps = np.arange(12, dtype=np.uint16).reshape(3, 4)
    stack = np.tile(steps[..., None, None], (64, 64))
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "TCYX"}, compression="zlib")
    spoil(path, 4 * damaged + step)

    played = play(path, 3)

    assert played == np.delete(steps, damaged, axis=0).tolist()


def test_a_sequence_plays_with_its_own_interval_and_ends(tmp_path: Path) -> None:
    """Every image is one frame, interval_s apart, and the last one ends the run."""
    clock = Clock("stepped")
    microscope = open_images(make_images(tmp_path / "images", 5), clock)
    source = EventSource(clock, microscope.core, microscope.limits)
    plan = useq.MDASequence(time_plan={"interval": 1, "loops": 2})
    source.add_timelapse(microscope.planned(plan))
    refused = source.add_request(make_request(1, position="p0"), 0.0)
    taken = Taken(clock)

    end = drive(microscope, source, taken)
    microscope.close()

    assert end == "completed"
    assert taken.times_s == [0, 60, 120, 180, 240]
    assert refused.reason == "a recorded sequence has no extra frames"


def test_a_repeated_sequence_begins_again(tmp_path: Path) -> None:
    """With repeat the first image follows the last one, until someone ends the run."""
    clock = Clock("stepped")
    path = make_images(tmp_path / "images", 2)
    microscope = open_images(path, clock, repeat=True)
    source = EventSource(clock, microscope.core, microscope.limits)
    source.add_timelapse(useq.MDASequence(time_plan={"interval": 1, "loops": 5}))
    taken = Taken(clock)

    drive(microscope, source, taken)
    microscope.close()

    assert [int(pixels[0, 0, 0]) for pixels in taken.pixels] == [10, 20, 10, 20, 10]


@pytest.mark.parametrize(
    ("name", "count"),
    [("seg_phase_usiigaci", 8), ("timelapse_phase_t98g", 37)],
)
def test_real_folders_open(real_data: Path, name: str, count: int) -> None:
    """Folders of real phase-contrast images open as they were published."""
    images = ImageSequence.open(real_data / name, 600, 0.87)

    assert images.count == count
    assert images.read(count - 1).shape == images.shape
    assert images.read(0).std() > 0
