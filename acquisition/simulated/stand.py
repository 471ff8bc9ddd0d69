"""The simulated stand: specimen, optics and camera behind a stage and a focus.

The specimen is frozen within one cycle, the four steps of a frame. With a running
clock a background thread of low priority prepares the next cycle ahead of its use, so
that exposures only pay for the camera; with a stepped clock every cycle is made on
demand and the whole run is reproducible to the byte.
"""

import logging
import os
import sys
import threading
import time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import Clock
from acquisition.records import Modality
from acquisition.simulated.camera import CameraModel
from acquisition.simulated.optics import Optics
from acquisition.simulated.render import Renderer
from acquisition.simulated.specimen import Specimen
from acquisition.simulated.truth import TruthFrame, truth_of
from acquisition.simulated.view import Cycle, visible_cells
from acquisition.simulated.world import World

__all__ = ["Cycle", "SimulatedStand"]

BANK_CYCLES = 8
BANK_INTERVAL_S = 24.0
SHORTEST_INTERVAL_S = 0.1
"""Wall seconds between two cycles of the background thread, at least."""
IDLE_INTERVAL_S = 1.0
"""Wall seconds after which an unused cycle is replaced by a newer one."""
NOTICEABLE_PX = 0.1
"""A new cycle is only made when a cell at the mean speed moved this far."""
LEAD = 0.6
"""The next cycle is begun after this part of the interval between frames."""
STALE = 3
"""A used cycle is not shown again after this many noticeable movements."""
NICENESS = 5

_log = logging.getLogger(__name__)


class SimulatedStand:
    """A microscope with a living specimen under it.

    The specimen does not age before :meth:`start`. All methods may be called from
    any thread.

    Parameters
    ----------
    world, seed
        Fix the specimen and the stand.
    size_px
        Edge of the square camera frame, a multiple of 32.
    clock
        Clock of the run.
    source
        ``live`` follows the clock; ``bank`` plays a few cycles in turn that are
        rendered at the start, for measuring everything else.
    modality
        ``brightfield`` shows one frame; the others show four steps, of which the
        second (and fourth) is phase contrast.
    """

    def __init__(
        self,
        world: World,
        seed: int,
        size_px: int,
        clock: Clock,
        source: Literal["live", "bank"] = "live",
        modality: Modality = "slim",
    ) -> None:
        self.world = world
        self.size_px = size_px
        self._clock = clock
        self._source = source
        self._is_brightfield = modality == "brightfield"
        speed_um_per_s = max(world.cells.speed_um_per_h, 1.0) / 3600
        self._noticeable_s = NOTICEABLE_PX * world.optics.pixel_um / speed_um_per_s
        self._build(seed)
        self._view = ((0.0, 0.0), 0.0)
        self._started = False
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._work = threading.Lock()
        self._newest: Cycle | None = None
        self._shown: Cycle | None = None
        self._newest_at = 0.0
        self._used_at = 0.0
        self._interval_s = 0.0
        self._bank: list[Cycle] = []
        self._played = 0
        self._thread: threading.Thread | None = None
        self._thread_cpu_s = 0.0

    def _build(self, seed: int) -> None:
        world, size_px = self.world, self.size_px
        field_um = size_px * world.optics.pixel_um + 2 * world.stage.margin_um
        self._specimen = Specimen(world, seed, field_um)
        self._renderer = Renderer(world, size_px)
        self._optics = Optics(world, seed, size_px, field_um)
        self._camera = CameraModel(world, seed, size_px)
        self._phase = np.empty((size_px, size_px), np.float32)
        self._renderer.look(self._specimen)
        self._specimen.settle()

    @property
    def dose_gy(self) -> float:
        """Dose that the specimen has absorbed so far."""
        return self._specimen.dose_gy

    @property
    def cpu_s(self) -> float:
        """Processor time of the background thread so far."""
        return self._thread_cpu_s

    def start(self) -> None:
        """Let the specimen follow the clock, or fill the bank."""
        self._started = True
        if self._source == "bank":
            for number in range(BANK_CYCLES):
                self._specimen.advance(BANK_INTERVAL_S if number else 0.0)
                self._bank.append(self._render())
        elif self._clock.mode != "stepped" and self._thread is None:
            self._thread = threading.Thread(
                target=self._prepare, name="specimen", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop the background thread."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def move_to(self, stage_yx_um: tuple[float, float]) -> None:
        """Move the stage; the next cycle is seen from there."""
        self._view = (stage_yx_um, self._view[1])
        self._wake.set()

    def set_focus(self, focus_um: float) -> None:
        """Move the focus (um); the specimen lies at the defocus of the world."""
        self._view = (self._view[0], focus_um)
        self._wake.set()

    def begin_cycle(self) -> Cycle:
        """Give what the steps of the next frame will show.

        The newest prepared cycle where one fits the view and is fresh, else one made
        now.
        """
        if self._bank:
            self._played += 1
            return self._bank[(self._played - 1) % len(self._bank)]
        now = time.monotonic()
        self._interval_s = now - self._used_at
        self._used_at = now
        cycle = self._fitting()
        if cycle is None:
            with self._work:
                cycle = self._fitting() or self._render()
                self._newest = cycle
        self._shown = cycle
        return cycle

    def expose(
        self,
        cycle: Cycle,
        step: int,
        exposure_ms: float,
        frame_number: int,
        out: NDArray[np.uint16],
    ) -> None:
        """Take one picture of a cycle into ``out`` (y, x).

        ``frame_number`` fixes the noise; ``step`` counts quarters from 0.
        """
        picture = cycle.frames[step if len(cycle.frames) > 1 else 0]
        self._camera.expose(picture, exposure_ms, frame_number, out)

    def truth(self, cycle: Cycle) -> TruthFrame:
        """Give the exact truth of a cycle."""
        return truth_of(0, cycle.time_s, cycle)

    def _fitting(self) -> Cycle | None:
        """Give the prepared cycle if it shows the present view and is fresh enough."""
        cycle = self._newest
        if self._thread is None or not self._thread.is_alive() or cycle is None:
            return None
        if (cycle.stage_yx_um, cycle.focus_um) != self._view:
            return None
        old = self._clock.now_s() - cycle.time_s > STALE * self._noticeable_s
        return None if old and cycle is self._shown else cycle

    def _render(self) -> Cycle:
        """Let the specimen catch up with the clock and draw what is in view."""
        stage, focus = self._view
        if self._started and self._source == "live":
            behind = self._clock.now_s() - self._specimen.time_s
            self._specimen.advance(behind)
        hours = self._specimen.time_s / 3600
        settings = self.world.stage
        drift = (settings.drift_um_per_h[0] * hours, settings.drift_um_per_h[1] * hours)
        centre = (stage[0] + drift[0], stage[1] + drift[1])
        defocus = self.world.optics.defocus_um + settings.focus_um_per_h * hours - focus
        phase = self._phase
        labels = np.empty(phase.shape, np.uint16)
        nuclei = np.empty(phase.shape, np.uint16)
        frames = np.empty((1 if self._is_brightfield else 4, *phase.shape), np.float32)
        self._renderer.render(self._specimen, centre, phase, labels, nuclei)
        self._optics.add_particles(phase, centre, self._specimen.minutes)
        if self._is_brightfield:
            self._optics.brightfield(phase, defocus, frames[0])
        else:
            self._optics.frames(phase, defocus, frames)
        return Cycle(
            time_s=self._specimen.time_s,
            stage_yx_um=stage,
            focus_um=focus,
            frames=frames,
            labels=labels,
            nuclei=nuclei,
            cells=visible_cells(self._specimen.columns(), labels, drift),
        )

    def _prepare(self) -> None:
        """Body of the background thread: keep a fresh cycle ready."""
        if sys.platform == "linux":
            # There a priority belongs to a thread; elsewhere to the whole process.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while not self._closing.is_set():
            self._wake.wait(SHORTEST_INTERVAL_S / 4)
            self._wake.clear()
            if self._is_due():
                with self._work:
                    self._newest = self._render()
                self._newest_at = time.monotonic()
                self._thread_cpu_s = time.thread_time()

    def _is_due(self) -> bool:
        """Say whether a new cycle would show something new and would be used."""
        cycle = self._newest
        if cycle is None or (cycle.stage_yx_um, cycle.focus_um) != self._view:
            return True
        now = time.monotonic()
        pause = SHORTEST_INTERVAL_S
        next_use = 0.0
        if self._used_at > self._newest_at:
            next_use = self._used_at + LEAD * self._interval_s
        else:
            pause = IDLE_INTERVAL_S
        if now < max(self._newest_at + pause, next_use):
            return False
        return self._clock.now_s() - cycle.time_s >= self._noticeable_s
