"""Make the picture of the window from the simulated microscope.

Run from the root of the project: ``python app/pictures/make.py``. The demonstration
plays for half an hour of experiment time on a stepped clock, so the picture shows the
same cells every time; stamps of time, and with them the latency, are those of the
machine that made it.
"""

import os
import shutil
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np

from acquisition.clock import Clock
from acquisition.records import Frame, FrameInfo, Health, Reply
from acquisition.simulated.stand import SimulatedStand
from acquisition.simulated.world import World
from app.analysis import build_analysis
from app.panels.strips import EVERY_S
from app.panels.style import apply_style
from app.panels.toolkit import QtWidgets
from app.state import ViewState
from app.window import Window
from configs.loading import load_experiment
from configs.schema import Experiment

FRAMES = 90
INTERVAL_S = 24.0
HERE = Path(__file__).parent


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
        return FrameInfo(
            sequence=sequence,
            time_s=sequence * INTERVAL_S,
            modality="slim",
            channel="SLIM",
            pixel_size_um=self._pixel_um,
            exposure_ms=8.0,
            saturation_dn=65_535,
            position="dish",
            stage_yx_um=(0.0, 0.0),
            focus_um=0.0,
            cause="protocol",
            dose_gy=self._stand.dose_gy,
            beam_open=False,
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


if __name__ == "__main__":
    make_window_picture(load_experiment("demo"), HERE / "window.png")
