"""The camera of the simulated microscope as a device, with faults on demand."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymmcore_plus.experimental.unicore import CameraDevice

from acquisition.simulated.stand.devices import LampShutter, PhaseModulator
from acquisition.simulated.stand.stages import SimulatedStage
from configs.schema import CameraFault

if TYPE_CHECKING:
    from acquisition.simulated.stand.assembly import Cycle, SimulatedStand

LATE_S = 1.5
"""How much longer than asked a late exposure takes, on the wall."""

GetBuffer = Callable[[Sequence[int], Any], NDArray[Any]]


class SimulatedCamera(CameraDevice):
    """The camera of a simulated stand.

    An exposure takes its time: the call returns at an absolute deadline, and the noise
    is computed meanwhile. Without lamp it gives a dark frame. A new cycle of the
    specimen begins at the first phase step, at every exposure of a single shot, and
    when the filter wheel has turned.

    Parameters
    ----------
    stand
        Specimen and optics.
    lamp, modulator, stage
        The devices that act on the light, and one that can be made to fail.
    is_paced
        False with a stepped clock: no sleeping.
    """

    def __init__(
        self,
        stand: "SimulatedStand",
        lamp: LampShutter,
        modulator: PhaseModulator,
        stage: SimulatedStage,
        *,
        is_paced: bool = True,
    ) -> None:
        super().__init__()
        self._stand = stand
        self._lamp = lamp
        self._modulator = modulator
        self._stage = stage
        self._is_paced = is_paced
        self._exposure_ms = 10.0
        self._exposures = 0
        self._before: NDArray[np.uint16] | None = None
        self._never = threading.Event()
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
        self, n: int | None, get_buffer: GetBuffer
    ) -> Iterator[Mapping[str, Any]]:
        """Expose one image after the other."""
        taken = 0
        while n is None or taken < n:
            number = self._exposures
            self._exposures += 1
            self._expose(number, get_buffer)
            taken += 1
            yield {"Exposure": number}

    def _expose(self, number: int, get_buffer: GetBuffer) -> None:
        fault = self.faults.get(number)
        if fault == "frozen_modulator":
            self._modulator.freeze()
        if fault == "stuck_stage":
            self._stage.misses_next_move = True
        cycle = self._cycle()
        step = self._modulator.take_step()
        deadline = time.monotonic() + self._exposure_ms / 1e3
        if fault == "stall":
            self._never.wait()
        light_ms = self._exposure_ms if self._lamp.is_open else 0.0
        if fault in ("missing", "dropped"):
            self._stand.bleach(cycle, light_ms)  # lost frames change no later one
            self._wait_until(deadline)
            raise RuntimeError(f"the camera gave no image for exposure {number}")
        odd = fault in ("wrong_size", "nan")
        image = (np.empty if odd else get_buffer)(self.shape(), np.uint16)
        self._stand.expose(cycle, step, light_ms, number, image)
        _spoil(image, fault, self._before, get_buffer)
        self._before = image
        self._wait_until(deadline)
        if fault == "late":
            time.sleep(LATE_S)

    def _cycle(self) -> "Cycle":
        """Give what this exposure sees: the rest of a cycle, or a new one."""
        cycle = self.cycle
        if (
            cycle is None
            or cycle.channel != self._stand.channel
            or len(cycle.frames) == 1
            or self._modulator.state == 0
        ):
            cycle = self.cycle = self._stand.begin_cycle()
        return cycle

    def _wait_until(self, deadline: float) -> None:
        if self._is_paced:
            time.sleep(max(0.0, deadline - time.monotonic()))


def _spoil(
    image: NDArray[np.uint16],
    fault: CameraFault | None,
    before: NDArray[np.uint16] | None,
    get_buffer: GetBuffer,
) -> None:
    """Spoil an image as the fault asks; one of another kind goes to a new buffer."""
    rows, columns = image.shape
    if fault == "wrong_size":
        get_buffer((rows // 2, columns), np.uint16)[:] = image[: rows // 2]
    elif fault == "nan":
        spoilt = get_buffer(image.shape, np.float32)
        spoilt[:] = image
        spoilt[rows // 2, columns // 2] = np.nan
    elif fault == "torn" and before is not None:
        image[rows // 2 :] = before[rows // 2 :]
    elif fault in ("saturated", "constant"):
        image[:] = 65_535 if fault == "saturated" else 100
        image[0, 0] -= fault == "saturated"
