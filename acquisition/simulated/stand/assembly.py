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
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import Clock
from acquisition.simulated.drawing.render import Renderer
from acquisition.simulated.light.camera import CameraModel
from acquisition.simulated.light.fluorescence import DYES, Dye, Maps, Stains
from acquisition.simulated.light.optics import Optics
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.truth.file import TruthFrame, truth_of
from acquisition.simulated.truth.witness import Witness
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
SLIM_STEPS = 4
CONTRAST_STEP = 1
"""The step of the modulator that is positive phase contrast."""
NICENESS = 5
WARM_UP_PX = 128

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """Where the stand looks."""

    stage_yx_um: tuple[float, float] = (0.0, 0.0)  # as read back
    error_um: tuple[float, float] = (0.0, 0.0)  # by which the stage misses that place
    focus_um: float = 0.0


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
    channels
        Channels that will be looked at, the first of them at the start; the bank
        holds these. "SLIM" shows four steps, all others one picture.
    """

    def __init__(
        self,
        world: World,
        seed: int,
        size_px: int,
        clock: Clock,
        source: Literal["live", "bank"] = "live",
        channels: Sequence[str] = ("SLIM",),
    ) -> None:
        self.world = world
        self.size_px = size_px
        self.channel = channels[0]
        self._channels = tuple(dict.fromkeys(channels))
        self._clock = clock
        self._source = source
        speed_um_per_s = max(world.speed_um_per_h, 1.0) / 3600
        self._noticeable_s = NOTICEABLE_PX * world.optics.pixel_um / speed_um_per_s
        self._build(seed)
        self._witness: Witness | None = None
        self._view = View()
        self._started = False
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._work = threading.Lock()
        self._newest: tuple[View, Cycle] | None = None
        self._shown: Cycle | None = None
        self._newest_at = 0.0
        self._used_at = 0.0
        self._interval_s = 0.0
        self._bank: list[dict[str, Cycle]] = []
        self._played: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._cpu_s = 0.0

    def _build(self, seed: int) -> None:
        world, size_px = self.world, self.size_px
        self._specimen = Specimen.under_stand(world, seed, size_px)
        field_um = self._specimen.field_um
        self._renderer = Renderer(world, size_px)
        self._optics = Optics(world, seed, size_px, field_um)
        self._stains = Stains(world, seed, size_px)
        self._camera = CameraModel(world, seed, size_px)
        self._phase = np.empty((size_px, size_px), np.float32)

    @property
    def dose_gy(self) -> float:
        """Dose that the specimen has absorbed so far."""
        return self._specimen.dose_gy

    @property
    def cpu_s(self) -> float:
        """Processor time that the cycles have cost so far, in whatever thread."""
        return self._cpu_s

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that will be looked at."""
        return self._channels

    def keep_truth(self) -> None:
        """Let every cycle from now on tell the truth in full; see `Insight`."""
        with self._work:
            self._witness = Witness(self._specimen)
            self._newest = None

    def start(self) -> None:
        """Let the specimen follow the clock, or fill the bank."""
        self._started = True
        if self._source == "bank":
            for number in range(BANK_CYCLES):
                self._specimen.advance(BANK_INTERVAL_S if number else 0.0)
                view, names = self._view, self._channels
                self._bank.append({name: self._render(view, name) for name in names})
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

    def move_to(
        self,
        stage_yx_um: tuple[float, float],
        error_um: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Move the stage; the next cycle is seen from there, off by the error."""
        self._view = View(stage_yx_um, error_um, self._view.focus_um)
        self._wake.set()

    def set_focus(self, focus_um: float) -> None:
        """Move the focus (um); the specimen lies at the defocus of the world."""
        self._view = replace(self._view, focus_um=focus_um)
        self._wake.set()

    def set_channel(self, channel: str) -> None:
        """Change the light path; the next cycle is seen through it."""
        self.channel = channel
        self._wake.set()

    def begin_cycle(self) -> Cycle:
        """Give what the steps of the next frame will show.

        The newest prepared cycle where one fits the view and is fresh, else one made
        now.
        """
        if self._bank:
            turn = self._played[self.channel]
            self._played[self.channel] += 1
            cycles = self._bank[turn % len(self._bank)]
            if self.channel not in cycles:
                cycles[self.channel] = self._render(self._view, self.channel)
            return cycles[self.channel]
        now = time.monotonic()
        self._interval_s = now - self._used_at
        self._used_at = now
        cycle = self._fitting()
        if cycle is None:
            with self._work:
                cycle = self._fitting() or self._renew()
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
        self._camera.expose(
            picture,
            exposure_ms,
            frame_number,
            out,
            beam_open=is_beam_open(self.world, cycle.time_s),
        )
        self.bleach(cycle, exposure_ms)

    def bleach(self, cycle: Cycle, light_ms: float) -> None:
        """Let the light of one exposure fall on the dyes; those of the bank last."""
        if light_ms > 0 and self._source == "live":
            self._stains.bleach(cycle.channel, cycle.cells.id, light_ms)

    def truth(self, cycle: Cycle) -> TruthFrame:
        """Give the exact truth of a cycle."""
        return truth_of(0, cycle.time_s, cycle)

    def _fitting(self) -> Cycle | None:
        """Give the prepared cycle if it shows the present view and is fresh enough."""
        cycle = self._in_view()
        if self._thread is None or not self._thread.is_alive() or cycle is None:
            return None
        old = self._clock.now_s() - cycle.time_s > STALE * self._noticeable_s
        return None if old and cycle is self._shown else cycle

    def _in_view(self) -> Cycle | None:
        """Give the newest cycle if the stand still looks there in that light."""
        if self._newest is None:
            return None
        view, cycle = self._newest
        return cycle if (view, cycle.channel) == (self._view, self.channel) else None

    def _renew(self) -> Cycle:
        view = self._view
        cycle = self._render(view, self.channel)
        self._newest = view, cycle
        return cycle

    def _render(self, view: View, channel: str) -> Cycle:
        """Let the specimen catch up with the clock and draw what is in view."""
        began_s = time.thread_time()
        if self._started and self._source == "live":
            self._specimen.advance_to(self._clock.now_s())
        hours = self._specimen.time_s / 3600
        settings = self.world.stage
        off = (
            settings.drift_um_per_h[0] * hours + view.error_um[0],
            settings.drift_um_per_h[1] * hours + view.error_um[1],
        )
        centre = (view.stage_yx_um[0] + off[0], view.stage_yx_um[1] + off[1])
        defocus = self.world.optics.defocus_um + settings.focus_um_per_h * hours
        defocus -= view.focus_um
        labels = np.empty(self._phase.shape, np.uint16)
        nuclei = np.empty(self._phase.shape, np.uint16)
        self._renderer.render(self._specimen, centre, self._phase, labels, nuclei)
        cells = visible_cells(self._specimen.columns(), labels, nuclei, off)
        if channel in DYES:
            nucleus_px = self._renderer.nucleus_areas(cells.id)
            maps = Maps(labels, nuclei, nucleus_px, self._phase)
            frames = self._glow(channel, maps, defocus)
        else:
            frames = self._transmit(channel, centre, defocus)
        insight = None
        if self._witness is not None:
            light = self._optics.light if len(frames) == SLIM_STEPS else None
            insight = self._witness.insight(
                self._specimen, cells, labels, self._renderer.placed, off, light
            )
        cycle = Cycle(
            time_s=self._specimen.time_s,
            stage_yx_um=view.stage_yx_um,
            focus_um=view.focus_um,
            frames=frames,
            labels=labels,
            nuclei=nuclei,
            cells=cells,
            channel=channel,
            insight=insight,
        )
        self._cpu_s += time.thread_time() - began_s
        return cycle

    def _transmit(
        self, channel: str, centre_um: tuple[float, float], defocus_um: float
    ) -> NDArray[np.float32]:
        """Give the frames (step, y, x) of a channel of transmitted light."""
        phase = self._phase
        self._optics.add_scenery(phase, centre_um, self._specimen.minutes)
        frames = np.empty((4, *phase.shape), np.float32)
        if channel == "Brightfield":
            self._optics.brightfield(phase, defocus_um, frames[0])
            return frames[:1]
        self._optics.frames(phase, defocus_um, frames)
        if channel == "PhaseContrast":
            return frames[CONTRAST_STEP : CONTRAST_STEP + 1].copy()
        return frames

    def _glow(self, dye: Dye, maps: Maps, defocus_um: float) -> NDArray[np.float32]:
        """Give the frame (1, y, x) of a fluorescence channel."""
        table, minutes = self._specimen.cells, self._specimen.minutes
        return self._stains.show(dye, table, minutes, maps, defocus_um)[None]

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
                    self._renew()
                self._newest_at = time.monotonic()

    def _is_due(self) -> bool:
        """Say whether a new cycle would show something new and would be used."""
        cycle = self._in_view()
        if cycle is None:
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


def is_beam_open(world: World, time_s: float) -> bool:
    """Say whether a planned dose is being given at an experiment time."""
    per_min = world.radiation.gy_per_min
    return any(
        0 <= time_s - 3600 * dose.t_h < 60 * dose.gy / per_min
        for dose in world.protocol.irradiate
    )


def warm_up(world: World, channels: Sequence[str]) -> None:
    """Compile every kernel that a run will need, on a small stand of its own.

    Otherwise the first exposures would compile them, and look like a camera that
    stalls.
    """
    clock = Clock("stepped")
    stand = SimulatedStand(world, 0, WARM_UP_PX, clock, channels=channels)
    stand.keep_truth()
    stand.start()
    image = np.empty((WARM_UP_PX, WARM_UP_PX), np.uint16)
    for channel in channels:
        stand.set_channel(channel)
        clock.step_to(clock.now_s() + 90.0)
        stand.expose(stand.begin_cycle(), 0, 1.0, 0, image)
