"""Make the pictures of the documents from the simulated microscope.

Run from the root of the project: ``python app/pictures/make.py``, or with the word
``window`` or ``worlds`` for a part of them. The demonstration
plays for half an hour of experiment time on a stepped clock, so the picture shows the
same cells every time; stamps of time, and with them the latency, are those of the
machine that made it. The picture of a world is a field of the audit.
"""

import os
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from dataclasses import replace

import cv2
import numpy as np

from acquisition.clock import Clock
from acquisition.records import Frame, FrameInfo, Health, Reply, blank_info
from acquisition.simulated.fields import render_field
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.world import SHIPPED_WORLDS, World
from app.analysis import build_analysis
from app.panels.strips import EVERY_S
from app.panels.style import apply_style
from app.panels.toolkit import QtWidgets
from app.state import ViewState
from app.window import Window
from calibration.audit.cells import picture_of
from calibration.audit.latent import MIX
from configs.loading import load_experiment
from configs.schema import Experiment

FRAMES = 90
INTERVAL_S = 24.0
HERE = Path(__file__).parent
WORLDS = Path("acquisition/simulated/pictures")
WORLD_SEED = 11
SHOWN_PX = 720
DARKEST, BRIGHTEST = 0.3, 99.7
"""Percentiles that become black and white."""


class Show:
    """The demonstration without processes: stand, analysis and state in a row."""

    def __init__(self, experiment: Experiment, size_px: int = 1024) -> None:
        self._clock = Clock("stepped")
        self._world = World.load("demo")
        self._stand = SimulatedStand(
            self._world, experiment.run.seed, size_px, self._clock
        )
        self._stand.start()
        self._pixel_um = self._world.optics.pixel_um
        shape = (size_px, size_px)
        self._analyse, _ = build_analysis(experiment, shape, self._pixel_um)
        self._pixels = np.empty((4, *shape), np.uint16)
        self.state = ViewState(
            experiment.display, experiment.budget.latency_ms, experiment.run.speed
        )

    def play(self, sequence: int) -> None:
        """Expose and analyse one frame, and answer what it asks for."""
        self._clock.step_to(sequence * INTERVAL_S)
        cycle = self._stand.begin_cycle()
        for step in range(4):
            number = 4 * sequence + step
            self._stand.expose(cycle, step, 8.0, number, self._pixels[step])
        end_ns = time.monotonic_ns()
        analysed = self._analyse(Frame(self._info(sequence, end_ns), self._pixels))
        self.state.take(analysed)
        for request in analysed.requests:
            done = Reply(request.request_id, request.created_s, "done", "")
            self.state.take(done)

    def tell_disk(self) -> None:
        """Report the disk as the recorder would."""
        free_gb = shutil.disk_usage(HERE).free / 1e9
        facts = (("disk_free_gb", free_gb),)
        now_ns = time.monotonic_ns()
        self.state.take(
            Health("recorder", "running", 0.0, now_ns, 0.0, 0, 0, "", (), facts)
        )

    def _info(self, sequence: int, end_ns: int) -> FrameInfo:
        return replace(
            blank_info("slim", self._pixel_um),
            sequence=sequence,
            time_s=sequence * INTERVAL_S,
            channel="SLIM",
            dose_gy=self._stand.dose_gy,
            exposure_start_ns=end_ns - 32_000_000,
            exposure_end_ns=end_ns,
            read_ns=end_ns,
        )


def make_window_picture(experiment: Experiment, path: Path) -> None:
    """Play the demonstration and save the window as it then stands."""
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    apply_style(application)
    show = Show(experiment)
    window = Window(list, show.state, experiment.display.rate_hz, lambda: None)
    window.show()
    for sequence in range(1, FRAMES + 1):
        show.play(sequence)
        if sequence % 5 == 0:
            window.turn()
            application.processEvents()
    show.tell_disk()
    time.sleep(EVERY_S)
    show.play(FRAMES + 1)
    window.turn()
    application.processEvents()
    window.grab().save(str(path))
    window.close()


def make_world_pictures(folder: Path) -> None:
    """Show the upper left of one field of every shipped world, as the product sees it.

    A quarter of the cells is dead and a quarter only looks like it, so that there is
    something to see in every world.
    """
    folder.mkdir(exist_ok=True)
    for path in sorted(SHIPPED_WORLDS.glob("*.toml")):
        world = World.load(path)
        seed = world.seeds[0] if world.seeds else WORLD_SEED
        field = render_field(world, seed, 1024, MIX)
        picture = picture_of(field, world, seed)[:SHOWN_PX, :SHOWN_PX]
        low, high = np.percentile(picture, (DARKEST, BRIGHTEST))
        grey = np.clip((picture - low) / (high - low), 0, 1) ** 0.8
        cv2.imwrite(
            str(folder / f"{path.stem}.png"), np.rint(255 * grey).astype(np.uint8)
        )


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["window", "worlds"]
    if "window" in wanted:
        make_window_picture(load_experiment("demo"), HERE / "window.png")
    if "worlds" in wanted:
        make_world_pictures(WORLDS)
