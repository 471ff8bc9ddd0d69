"""Small real microscopes for tests: recorded images, and the C++ demonstration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from acquisition.clock import Clock
from acquisition.engine import FrameStamps, StrictEngine
from acquisition.microscope import Microscope, open_microscope
from acquisition.records import Request
from acquisition.schedule import EventSource
from configs.loading import check_experiment

SIZE = 64


def make_images(folder: Path, count: int, dtype: type = np.uint16) -> Path:
    """Write numbered images whose mean tells their number, and one of labels."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 7
    for number in range(1, count + 1):
        image = (pattern + 10 * number).astype(dtype)
        tifffile.imwrite(folder / f"img{number}_phase.tif", image)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    tifffile.imwrite(folder / "img1_instances.tif", labels)
    return folder


def open_images(
    path: Path,
    clock: Clock,
    modality: str = "phase_contrast",
    triggers: list[dict[str, Any]] | None = None,
    **sequence: Any,
) -> Microscope:
    """Open recorded images as a microscope."""
    content = {
        "run": {"clock": clock.mode},
        "microscope": {
            "kind": "sequence",
            "modality": modality,
            "pixel_size_um": 0.5,
            "exposure_ms": 1,
        },
        "sequence": {"images": str(path), "interval_s": 60, **sequence},
        "timelapse": {"time_plan": {"interval": 1, "loops": 5}},
        "triggers": triggers or [],
    }
    return open_microscope(check_experiment(content, "test"), clock)


def open_demo(clock: Clock, **microscope: Any) -> Microscope:
    """Open the demonstration microscope of the C++ core."""
    content = {
        "microscope": {
            "kind": "micromanager",
            "modality": "phase_contrast",
            "config_file": "demo",
            "exposure_ms": 2,
            **microscope,
        },
        "timelapse": {
            "time_plan": {"interval": 1, "loops": 5},
            "stage_positions": [{"x": 0, "y": 0, "name": "dish"}],
        },
    }
    return open_microscope(check_experiment(content, "test"), clock)


class Taken:
    """The frames that an engine handed over."""

    def __init__(self, clock: Clock, then: Callable[[], None] = lambda: None) -> None:
        self.clock = clock
        self.then = then
        self.purposes: list[dict[str, Any]] = []
        self.times_s: list[float] = []
        self.pixels: list[NDArray[np.uint16]] = []
        self.stamps: list[FrameStamps] = []

    def add(
        self, purpose: dict[str, Any], pixels: NDArray[np.uint16], stamps: FrameStamps
    ) -> None:
        """Keep a frame."""
        self.purposes.append(purpose)
        self.times_s.append(self.clock.now_s())
        self.pixels.append(pixels)
        self.stamps.append(stamps)
        self.then()


def drive(microscope: Microscope, source: EventSource, taken: Taken) -> str:
    """Run to the end in this thread; gives how it ended."""
    runner = microscope.core.mda
    runner.set_engine(StrictEngine(microscope, taken.add))
    runner.run(source)
    return str(runner.status.finish_reason)


def make_request(request_id: int, **changes: Any) -> Request:
    """Give a request for two extra frames at the position of the demonstration."""
    values: dict[str, Any] = {
        "request_id": request_id,
        "event_id": 1,
        "kind": "burst",
        "cause": "death of track 1",
        "position": "dish",
        "centre_yx_um": None,
        "frames": 2,
        "interval_s": 0.0,
        "created_s": 0.0,
        "valid_until_s": 1e9,
    }
    return Request(**{**values, **changes})
