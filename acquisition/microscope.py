"""The microscope of a run: built, checked, and the same from outside for every kind.

Three kinds stand behind one core: the simulated microscope, a recorded sequence, and a
real stand through a Micro-Manager configuration. Nothing here opens any beam; the
shutter of the core is the lamp.
"""

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymmcore_plus import CMMCorePlus
from useq import MDAEvent, MDASequence, TIntervalLoops

from acquisition.clock import Clock
from acquisition.errors import BadConfig
from acquisition.preflight import prepare_stand
from acquisition.records import Modality
from acquisition.replay import SequenceCamera
from acquisition.simulated.stand.devices import Devices
from acquisition.stands import Stand, open_stand, requested_channels, steps_of
from acquisition.wishes import Limits
from configs import schema

if TYPE_CHECKING:
    from acquisition.simulated.stand.assembly import Cycle, SimulatedStand

logger = logging.getLogger(__name__)

CLOSING_S = 2.0
"""A stand whose camera has stalled is given so long to close its lamp."""

ENDLESS_LOOPS = 10_000_000
"""Loops of a time-lapse that only the end of its images ends."""


@dataclass(frozen=True, slots=True)
class Microscope:
    """A microscope that has passed every check and is ready for a run."""

    core: CMMCorePlus
    shape: tuple[int, int]  # (y, x) of an image
    settings: schema.Microscope
    pixel_size_um: float
    saturation_dn: int
    modulator: str | None  # steps the phase; None where nothing does
    stage_tolerance_um: float
    limits: Limits  # what requests may ask for
    notes: tuple[str, ...]  # what a person should know
    parts: Stand

    @property
    def steps(self) -> int:
        """Images that make a frame of the main modality: 4 phase steps, or 1."""
        return steps_of(self.settings.modality)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(step, y, x) of a frame of the main modality."""
        return self.steps, *self.shape

    def light_path(self, event: MDAEvent) -> tuple[str, Modality]:
        """Give the channel in which an event is imaged, and what it shows."""
        channel = preset_of(event) or self.settings.main_channel
        return channel or "", self.settings.modality_of(channel)

    @property
    def stand(self) -> "SimulatedStand | None":
        """The simulated stand, or None."""
        return self.parts.simulated

    @property
    def devices(self) -> Devices | None:
        """The Python devices of a simulated or recorded microscope, or None."""
        return self.parts.devices

    def dose_gy(self) -> float:
        """Dose absorbed by the specimen so far; known of simulated specimens only."""
        return 0.0 if self.stand is None else float(self.stand.dose_gy)

    def beam_was_open(self, cycle: "Cycle | None") -> bool:
        """Say whether a dose was being given while a simulated stand showed a cycle.

        NOTE: it tells what the world plans for its specimen. There is no call to open a
        beam, and whether one is open at a real stand is not known here.
        """
        if self.stand is None or cycle is None:
            return False
        # NOTE: here, since only this kind needs the specimen and its kernels.
        from acquisition.simulated.stand.assembly import is_beam_open

        return is_beam_open(self.stand.world, cycle.time_s)

    def warm_up(self) -> None:
        """Let a simulated stand compile what its exposures will need."""
        if self.stand is not None:
            # NOTE: here, since only this kind needs the specimen and its kernels.
            from acquisition.simulated.stand.assembly import warm_up

            warm_up(self.stand.world, self.stand.channels)
            self.stand.begin_cycle()  # draws every cell once; later ones only some

    def cycle(self) -> "Cycle | None":
        """Give what the simulated stand showed in the last exposure, with its truth."""
        camera = None if self.devices is None else self.devices.camera
        return getattr(camera, "cycle", None)

    def planned(self, timelapse: MDASequence) -> MDASequence:
        """Complete a time-lapse with what only this microscope knows.

        A grid gets the size of the field. A recorded sequence gets the interval of its
        images instead of the planned times, and goes on until they are exhausted.
        """
        changes: dict[str, Any] = {}
        height_um, width_um = (edge * self.pixel_size_um for edge in self.shape)
        grid = timelapse.grid_plan
        if grid is not None and grid.fov_width is None:
            field = {"fov_width": width_um, "fov_height": height_um}
            changes["grid_plan"] = grid.model_copy(update=field)
        images = self.parts.images
        if images is not None and images.interval_s is not None:
            interval = images.interval_s
            plan = TIntervalLoops(interval=interval, loops=ENDLESS_LOOPS)
            changes["time_plan"] = plan
        return timelapse.replace(**changes) if changes else timelapse

    def snapshot(self) -> dict[str, dict[str, str]]:
        """Give every property of every device, and the versions, for the log."""
        core = self.core
        found = {
            device: {
                str(name): _property(core, device, name)
                for name in core.getDevicePropertyNames(device)
            }
            for device in core.getLoadedDevices()
        }
        found["versions"] = {
            "core": core.getVersionInfo(),
            "device interface": core.getAPIVersionInfo(),
        }
        return found

    def darken(self) -> None:
        """Close the lamp, whatever else is stuck."""
        lamp = self.core.getShutterDevice()
        if lamp:
            self.core.setShutterOpen(lamp, False)

    def close(self) -> None:
        """Cancel what runs, stop the simulation and let go of all devices."""
        self.core.mda.cancel()
        self.parts.close()


def open_microscope(experiment: schema.Experiment, clock: Clock) -> Microscope:
    """Build the microscope of an experiment and check it before anything runs.

    Raises
    ------
    BadConfig
        With every fault at once: roles, devices, modulator, settings, image size,
        channels, pixel size, interval.
    BadWorld
        If the world of a simulated microscope is wrong.
    BadImages
        If a recorded sequence cannot be played.
    """
    stand = open_stand(experiment, clock)
    settings = experiment.microscope
    try:
        faults = prepare_stand(experiment, stand)
        size_um = settings.pixel_size_um or stand.pixel_size_um
        if faults or size_um is None:
            raise BadConfig("microscope", faults)
        return _assemble(experiment, stand, size_um)
    except BaseException:
        stand.close()
        raise


def close_microscope(microscope: Microscope, *, stalled: bool) -> None:
    """Let go of all devices; with a camera that has stalled, only close the lamp.

    The stalled exposure holds its device, and a driver may wait for it for ever.
    """
    if not stalled:
        microscope.close()
        return
    closing = threading.Thread(target=microscope.darken, daemon=True)
    closing.start()
    closing.join(CLOSING_S)
    if closing.is_alive():
        logger.error("the lamp could not be closed; close it by hand")


def _assemble(
    experiment: schema.Experiment, stand: Stand, size_um: float
) -> Microscope:
    core, settings = stand.core, experiment.microscope
    shape = core.getImageHeight(), core.getImageWidth()
    home = None
    if core.getXYStageDevice():
        x_um, y_um = core.getXYPosition()
        home = (y_um, x_um)
    camera = None if stand.devices is None else stand.devices.camera
    limits = Limits(
        home,
        max(shape) * size_um,
        settings.stage_limits_um,
        is_analysed=lambda event: settings.analyses(preset_of(event)),
        focus_um=core.getZPosition if core.getFocusDevice() else None,
        channels=requested_channels(experiment),
    )
    if isinstance(camera, SequenceCamera):
        refusal = "a recorded sequence has no extra frames"
        limits = Limits(home, refusal=refusal, exhausted=camera.is_exhausted)
    largest_dn = 2 ** min(core.getImageBitDepth(), 16) - 1
    notes = stand.notes
    if largest_dn < settings.saturation_dn:
        notes = (*notes, f"the camera saturates at {largest_dn} counts")
    return Microscope(
        core=core,
        shape=shape,
        settings=settings,
        pixel_size_um=size_um,
        saturation_dn=min(settings.saturation_dn, largest_dn),
        modulator=stand.modulator,
        stage_tolerance_um=settings.stage_tolerance_um,
        limits=limits,
        notes=notes,
        parts=stand,
    )


def preset_of(event: MDAEvent) -> str | None:
    """Give the channel that an event names, if it does."""
    return event.channel.config if event.channel is not None else None


def _property(core: CMMCorePlus, device: str, name: str) -> str:
    try:
        return str(core.getProperty(device, name))
    except RuntimeError as error:
        return f"(unreadable: {error})"
