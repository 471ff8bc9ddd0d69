"""The devices of the simulated microscope, in the device interface of the core.

Everything around them speaks to a plain core, as to a real stand. They share state as
Python objects and never ask the core for it, because its device locks are held during
an exposure.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pymmcore_plus import CMMCorePlus
from pymmcore_plus.experimental.unicore import (
    CameraDevice,
    ShutterDevice,
    StageDevice,
    StateDevice,
    UniMMCore,
    XYStageDevice,
)

if TYPE_CHECKING:
    from acquisition.simulated.stand import Cycle, SimulatedStand

CameraFault = Literal["missing", "wrong_size", "saturated", "constant"]
"""What can be made to go wrong with an exposure."""

PHASE_STEPS = {0: "0", 1: "pi/2", 2: "pi", 3: "3pi/2"}


class PhaseModulator(StateDevice):
    """The phase ring's modulator: four states, a quarter of a turn apart."""

    def __init__(self) -> None:
        super().__init__(PHASE_STEPS)
        self.state = 0

    def get_state(self) -> int:
        """Give the present step."""
        return self.state

    def set_state(self, position: int) -> None:
        """Go to a step, at once."""
        self.state = position


class LampShutter(ShutterDevice):
    """The shutter of the lamp; closed at the start and when unloaded."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    def get_open(self) -> bool:
        """Say whether light falls on the specimen."""
        return self.is_open

    def set_open(self, open: bool) -> None:
        """Open or close."""
        self.is_open = open

    def shutdown(self) -> None:
        """Close."""
        self.is_open = False


class SimulatedStage(XYStageDevice):
    """A stage that is where it was sent, unless it is stuck.

    Parameters
    ----------
    on_move
        Told the new centre of the field, (y, x) in micrometres.
    """

    def __init__(
        self, on_move: Callable[[tuple[float, float]], None] | None = None
    ) -> None:
        super().__init__()
        self._on_move = on_move
        self._yx_um = (0.0, 0.0)
        self.is_stuck = False

    def set_position_um(self, x: float, y: float) -> None:
        """Move."""
        if self.is_stuck:
            return
        self._yx_um = (y, x)
        if self._on_move is not None:
            self._on_move(self._yx_um)

    def get_position_um(self) -> tuple[float, float]:
        """Give (x, y), the order of the device interface."""
        y_um, x_um = self._yx_um
        return x_um, y_um

    def home(self) -> None:
        """Go to the middle of the dish."""
        self.set_position_um(0.0, 0.0)

    def stop(self) -> None:
        """Do nothing: every move is over at once."""

    def set_origin_x(self) -> None:
        """Refuse: the specimen is fixed to these coordinates."""
        raise RuntimeError("the simulated stage keeps its origin")

    def set_origin_y(self) -> None:
        """Refuse: the specimen is fixed to these coordinates."""
        raise RuntimeError("the simulated stage keeps its origin")


class SimulatedFocus(StageDevice):
    """The focus drive.

    Parameters
    ----------
    on_move
        Told the new focus in micrometres.
    """

    def __init__(self, on_move: Callable[[float], None] | None = None) -> None:
        super().__init__()
        self._on_move = on_move
        self._focus_um = 0.0

    def set_position_um(self, val: float) -> None:
        """Move."""
        self._focus_um = val
        if self._on_move is not None:
            self._on_move(val)

    def get_position_um(self) -> float:
        """Give the focus."""
        return self._focus_um

    def home(self) -> None:
        """Go to zero."""
        self.set_position_um(0.0)

    def stop(self) -> None:
        """Do nothing: every move is over at once."""

    def set_origin(self) -> None:
        """Refuse: the specimen is fixed to these coordinates."""
        raise RuntimeError("the simulated focus keeps its origin")


class SimulatedCamera(CameraDevice):
    """The camera of a simulated stand.

    An exposure takes its time: the call returns at an absolute deadline, and the noise
    is computed meanwhile. Without lamp it gives a dark frame. A new cycle of the
    specimen begins at the first phase step, and at every exposure of a single shot.

    Parameters
    ----------
    stand
        Specimen and optics.
    lamp, modulator
        The devices that act on the light.
    is_single_shot
        Every exposure is a frame of its own.
    is_paced
        False with a stepped clock: no sleeping.
    """

    def __init__(
        self,
        stand: "SimulatedStand",
        lamp: LampShutter,
        modulator: PhaseModulator,
        *,
        is_single_shot: bool = False,
        is_paced: bool = True,
    ) -> None:
        super().__init__()
        self._stand = stand
        self._lamp = lamp
        self._modulator = modulator
        self._is_single_shot = is_single_shot
        self._is_paced = is_paced
        self._exposure_ms = 10.0
        self._exposures = 0
        self.cycle: Cycle | None = None
        self.faults: dict[int, CameraFault] = {}  # number of the exposure, from 0

    def get_exposure(self) -> float:
        """Exposure in milliseconds."""
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        """Set the exposure in milliseconds."""
        self._exposure_ms = exposure

    def shape(self) -> tuple[int, int]:
        """Give (y, x) of the sensor."""
        return self._stand.size_px, self._stand.size_px

    def dtype(self) -> Any:
        """Give the type of the pixels."""
        return np.uint16

    def start_sequence(
        self,
        n: int | None,
        get_buffer: Callable[[Sequence[int], Any], NDArray[np.uint16]],
    ) -> Iterator[Mapping[str, Any]]:
        """Expose one image after the other."""
        taken = 0
        while n is None or taken < n:
            number = self._exposures
            self._exposures += 1
            self._expose(number, get_buffer)
            taken += 1
            yield {"Exposure": number}

    def _expose(
        self,
        number: int,
        get_buffer: Callable[[Sequence[int], Any], NDArray[np.uint16]],
    ) -> None:
        step = self._modulator.state
        if self.cycle is None or self._is_single_shot or step == 0:
            self.cycle = self._stand.begin_cycle()
        deadline = time.monotonic() + self._exposure_ms / 1e3
        fault = self.faults.get(number)
        rows, columns = self.shape()
        if fault == "missing":
            self._wait_until(deadline)
            raise RuntimeError(f"the camera gave no image for exposure {number}")
        if fault == "wrong_size":
            get_buffer((rows // 2, columns), np.uint16)[:] = 0
        elif fault in ("saturated", "constant"):
            value = 65_535 if fault == "saturated" else 100
            buffer = get_buffer((rows, columns), np.uint16)
            buffer[:] = value
            buffer[0, 0] -= fault == "saturated"
        else:
            light_ms = self._exposure_ms if self._lamp.is_open else 0.0
            buffer = get_buffer((rows, columns), np.uint16)
            self._stand.expose(self.cycle, step, light_ms, number, buffer)
        self._wait_until(deadline)

    def _wait_until(self, deadline: float) -> None:
        if self._is_paced:
            time.sleep(max(0.0, deadline - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Devices:
    """The Python devices of a stand, for those who know that it is simulated."""

    camera: CameraDevice
    stage: SimulatedStage = field(default_factory=SimulatedStage)
    focus: SimulatedFocus = field(default_factory=SimulatedFocus)
    lamp: LampShutter = field(default_factory=LampShutter)
    modulator: PhaseModulator = field(default_factory=PhaseModulator)


def load_devices(devices: Devices, modulator: str) -> CMMCorePlus:
    """Build a core of these devices; the modulator gets the label given."""
    core = UniMMCore()
    labelled = {
        "Camera": devices.camera,
        "XY": devices.stage,
        "Focus": devices.focus,
        "Lamp": devices.lamp,
        modulator: devices.modulator,
    }
    for label, device in labelled.items():
        core.loadPyDevice(label, device)
        core.initializeDevice(label)
    core.setCameraDevice("Camera")
    core.setXYStageDevice("XY")
    core.setFocusDevice("Focus")
    core.setShutterDevice("Lamp")
    return core
