"""The engine that either takes the planned frame at the planned place, or says no.

The stock engine of pymmcore-plus warns and goes on when a stage refuses or a camera
gives no image, and the run is reported as completed. Here every command is read back,
and one event is one whole frame: all its phase steps, or nothing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymmcore_plus.mda import MDAEngine
from useq import (
    AcquireImage,
    CustomAction,
    HardwareAutofocus,
    MDAEvent,
    MDASequence,
)

from acquisition.clock import stamp_ns
from acquisition.errors import (
    FrameMalformed,
    FrameMissing,
    MicroscopeFault,
    StageOff,
)
from acquisition.microscope import Microscope
from acquisition.preflight import EXPOSURE_TOLERANCE
from acquisition.records import Modality
from acquisition.stands import steps_of

if TYPE_CHECKING:
    from acquisition.simulated.stand.assembly import Cycle


LATE_FACTOR, LATE_S = 2.0, 1.0
"""An exposure is late that takes longer than this many times itself and a second."""
STALL_FACTOR, STALL_S = 10.0, 15.0
"""It never comes back when it takes longer than the larger of these two."""


@dataclass(frozen=True, slots=True)
class FrameStamps:
    """When, where and through what a frame was exposed, as read back."""

    exposure_start_ns: int  # monotonic; of the first step
    exposure_end_ns: int  # of the last step
    read_ns: int  # pixels in memory
    stage_yx_um: tuple[float, float]
    focus_um: float
    cycle: "Cycle | None"  # what the simulated stand showed
    channel: str
    modality: Modality
    exposure_ms: float  # of a step, as asked
    slowest_ms: float  # longest time that one of its exposures took

    @property
    def is_late(self) -> bool:
        """Whether an exposure took far longer than asked."""
        return self.slowest_ms > LATE_FACTOR * self.exposure_ms + 1e3 * LATE_S


OnFrame = Callable[[dict[str, Any], NDArray[np.uint16], FrameStamps], None]
"""Takes the purpose of an event (cause, position, request_id), pixels and stamps."""


class StrictEngine(MDAEngine):
    """One event, one whole frame (step, y, x), at the place it was planned for.

    Every frame is handed to ``on_frame`` in the thread of the runner, before the
    runner goes on. The lamp is open during the steps only; nothing else is opened.

    Parameters
    ----------
    microscope
        The microscope; it must outlive the engine.
    on_frame
        Called with every frame.

    Raises
    ------
    MicroscopeFault
        Out of ``core.mda.run``: `StageOff`, `FrameMissing` or `FrameMalformed`, or
        the fault itself when a device does not answer or does not obey.
    """

    def __init__(self, microscope: Microscope, on_frame: OnFrame) -> None:
        super().__init__(
            microscope.core,
            use_hardware_sequencing=False,
            force_set_xy_position=False,
            restore_initial_state=False,
        )
        self._microscope = microscope
        self._on_frame = on_frame
        self._lamp_was_automatic = False
        self._snapping: tuple[float, float] | None = None  # since, stalled from

    @property
    def stalled_for_s(self) -> float:
        """Seconds since a camera that has stalled began its exposure; 0: it has not.

        NOTE: nothing can call an exposure back: cancelling the runner is only heard
        between two events, and the thread stays inside the driver. Who sees this must
        do without the thread.
        """
        snapping, now = self._snapping, time.monotonic()
        if snapping is None or now < snapping[1]:
            return 0.0
        return now - snapping[0]

    def setup_sequence(self, sequence: MDASequence) -> Any:
        """Take the lamp out of the automatic mode, then prepare as usual."""
        self._lamp_was_automatic = self.mmcore.getAutoShutter()
        self.mmcore.setAutoShutter(False)
        return super().setup_sequence(sequence)

    def teardown_sequence(self, sequence: MDASequence) -> None:
        """Give the lamp back as it was found."""
        super().teardown_sequence(sequence)
        self.mmcore.setAutoShutter(self._lamp_was_automatic)

    def setup_event(self, event: MDAEvent) -> None:
        """Bring stage, focus, channel and exposure to their values, and read back."""
        if isinstance(event.action, CustomAction):
            return
        if event.exposure is None:  # else it would be that of the channel before
            asked_ms = self._microscope.settings.exposure_ms
            event = event.model_copy(update={"exposure": asked_ms})
        with _faults_of_devices():
            super().setup_event(event)
            try:
                self._read_back(event)
            except StageOff:
                self.force_set_xy_position = True  # send it again the next time
                raise
            self.force_set_xy_position = False

    def exec_event(self, event: MDAEvent) -> Iterator[Any]:
        """Expose all steps, hand the frame over, and yield it to the runner."""
        if isinstance(event.action, HardwareAutofocus):
            yield from super().exec_event(event)
            if not self._af_succeeded:
                raise MicroscopeFault("the autofocus failed; check it, then run again")
        if not isinstance(event.action, AcquireImage | None):
            return
        path = self._microscope.light_path(event)
        shape = (steps_of(path[1]), *self._microscope.shape)
        pixels = np.empty(shape, np.uint16)
        with _faults_of_devices():
            stamps = self._expose(pixels, *path)
        self._on_frame(event.metadata["vigil"], pixels, stamps)
        yield pixels, event, {}

    def _expose(
        self, pixels: NDArray[np.uint16], channel: str, modality: Modality
    ) -> FrameStamps:
        """Fill the frame (step, y, x); the lamp is open from first to last step."""
        stage_yx_um, focus_um = self._where()
        exposure_ms = self.mmcore.getExposure()
        start_ns = end_ns = read_ns = slowest_ns = 0
        self._light(True)
        try:
            for step, image in enumerate(pixels):
                if len(pixels) > 1:
                    self._turn_modulator(step)
                began_ns = stamp_ns()
                start_ns = start_ns or began_ns
                end_ns = self._snap(f"step {step + 1} of {len(pixels)}", image)
                slowest_ns = max(slowest_ns, end_ns - began_ns)
                read_ns = stamp_ns()
        finally:
            self._light(False)
        return FrameStamps(
            exposure_start_ns=start_ns,
            exposure_end_ns=end_ns,
            read_ns=read_ns,
            stage_yx_um=stage_yx_um,
            focus_um=focus_um,
            cycle=self._microscope.cycle(),
            channel=channel,
            modality=modality,
            exposure_ms=exposure_ms,
            slowest_ms=slowest_ns * 1e-6,
        )

    def _snap(self, name: str, image: NDArray[np.uint16]) -> int:
        """Expose one step into ``image`` (y, x); gives the end of the exposure."""
        allowed_s = max(STALL_FACTOR * self.mmcore.getExposure() / 1e3, STALL_S)
        now = time.monotonic()
        try:
            self._snapping = now, now + allowed_s
            self.mmcore.snapImage()
            end_ns = stamp_ns()
            self._snapping = None
            taken = self.mmcore.getImage()
        except (RuntimeError, OSError, ValueError, MicroscopeFault) as error:
            raise FrameMissing(
                f"no image in {name}: {error}; check the camera and its cable"
            ) from error
        finally:
            self._snapping = None
        if taken.dtype.kind == "f" and not np.isfinite(taken).all():
            raise FrameMalformed(
                f"{name}: NaN or infinite values in an image of type {taken.dtype}"
            )
        if taken.shape != image.shape or taken.dtype not in (np.uint8, np.uint16):
            raise FrameMalformed(
                f"{name}: camera gave {taken.shape} {taken.dtype} instead of "
                f"{image.shape} uint16; its settings were changed during the run"
            )
        image[:] = taken
        return end_ns

    def _turn_modulator(self, step: int) -> None:
        modulator = self._microscope.modulator
        if modulator is None:
            return
        try:
            self.mmcore.setState(modulator, step)
            self.mmcore.waitForDevice(modulator)
            found = self.mmcore.getState(modulator)
        except RuntimeError as error:
            raise FrameMissing(
                f"modulator {modulator} failed at state {step}: {error}"
            ) from error
        if found != step:
            raise FrameMissing(
                f"modulator {modulator}: sent to state {step}, found at {found}; "
                "check the phase module"
            )

    def _light(self, is_open: bool) -> None:
        core = self.mmcore
        lamp = core.getShutterDevice()
        if not lamp:
            return
        core.setShutterOpen(lamp, is_open)
        core.waitForDevice(lamp)
        if core.getShutterOpen(lamp) != is_open:
            state = "open" if is_open else "close"
            raise MicroscopeFault(f"lamp shutter {lamp} did not {state}; check it")

    def _where(self) -> tuple[tuple[float, float], float]:
        """Read stage (y, x) and focus, zero where there is no such device."""
        core = self.mmcore
        x_um, y_um = core.getXYPosition() if core.getXYStageDevice() else (0.0, 0.0)
        focus_um = core.getZPosition() if core.getFocusDevice() else 0.0
        return (y_um, x_um), focus_um

    def _read_back(self, event: MDAEvent) -> None:
        """Compare what the devices say with what the event wants."""
        (y_um, x_um), focus_um = self._where()
        wanted_z = event.z_pos
        if wanted_z is not None:  # the autofocus may have corrected this position
            wanted_z += self._z_correction.get(event.index.get("p"), 0.0)
        tolerance_um = self._microscope.stage_tolerance_um
        axes = (("y", event.y_pos, y_um), ("x", event.x_pos, x_um))
        for axis, wanted, found in (*axes, ("focus", wanted_z, focus_um)):
            if wanted is not None and not abs(found - wanted) <= tolerance_um:
                raise StageOff(axis, wanted, found, tolerance_um)
        channel = event.channel
        if channel is not None:
            preset = self.mmcore.getCurrentConfig(channel.group)
            if preset != channel.config:
                raise MicroscopeFault(
                    f"channel {channel.group}: sent to {channel.config}, found at "
                    f"{preset or 'no preset'}; check its devices"
                )
        if event.exposure is not None:
            exposure_ms = self.mmcore.getExposure()
            if abs(exposure_ms - event.exposure) > EXPOSURE_TOLERANCE * event.exposure:
                raise MicroscopeFault(
                    f"exposure: set to {event.exposure:g} ms, found {exposure_ms:g} ms"
                )


@contextmanager
def _faults_of_devices() -> Iterator[None]:
    """Turn what the core raises into a fault of the microscope."""
    try:
        yield
    except (RuntimeError, TimeoutError) as error:
        raise MicroscopeFault(
            f"a device did not obey: {error}; check it, then run again"
        ) from error
