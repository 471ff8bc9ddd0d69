"""The devices of the simulated microscope, in the device interface of the core.

Everything around them speaks to a plain core, as to a real stand. They share state as
Python objects and never ask the core for it, because its device locks are held during
an exposure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pymmcore_plus import CMMCorePlus
from pymmcore_plus.experimental.unicore import (
    CameraDevice,
    ShutterDevice,
    StateDevice,
    UniMMCore,
)

from acquisition.simulated.stand.stages import SimulatedFocus, SimulatedStage

PHASE_STEPS = {0: "0", 1: "pi/2", 2: "pi", 3: "3pi/2"}

CHANNEL_GROUP = "Channel"
"""Group of the presets that turn the filter wheel; where useq looks for channels."""
LONGEST_WAIT_MS = 5_000
"""A core waits so long for a busy device, and longer where settling takes longer."""


class PhaseModulator(StateDevice):
    """The phase ring's modulator: four states, a quarter of a turn apart.

    A frozen one obeys and says so, while the light keeps its phase: the worst fault,
    for nothing but the pixels can tell.
    """

    def __init__(self) -> None:
        super().__init__(PHASE_STEPS)
        self.state = 0
        self._frozen_at: int | None = None
        self._frozen_for = 0

    def get_state(self) -> int:
        """Give the present step."""
        return self.state

    def set_state(self, position: int) -> None:
        """Go to a step, at once."""
        self.state = position

    def freeze(self) -> None:
        """Let the light keep its phase until a whole frame was taken with it."""
        self._frozen_at, self._frozen_for = self.state, 0

    def take_step(self) -> int:
        """Give the step that the light of one exposure has."""
        if self.state == 0 and self._frozen_for >= len(PHASE_STEPS):
            self._frozen_at = None
        if self._frozen_at is None:
            return self.state
        self._frozen_for += 1
        return self._frozen_at


class FilterWheel(StateDevice):
    """The wheel that puts the filters of a channel into the light path.

    Parameters
    ----------
    channels
        What stands in the positions, from 0.
    on_turn
        Told the channel that is in the light path.
    """

    def __init__(
        self,
        channels: Iterable[str],
        on_turn: Callable[[str], None] | None = None,
    ) -> None:
        self.channels = tuple(channels)
        super().__init__(dict(enumerate(self.channels)))
        self._on_turn = on_turn
        self.state = 0

    @property
    def channel(self) -> str:
        """What is in the light path."""
        return self.channels[self.state]

    def get_state(self) -> int:
        """Give the present position."""
        return self.state

    def set_state(self, position: int) -> None:
        """Turn to a position, at once."""
        self.state = position
        if self._on_turn is not None:
            self._on_turn(self.channel)


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


@dataclass(frozen=True, slots=True)
class Devices:
    """The Python devices of a stand, for those who know that it is simulated."""

    camera: CameraDevice
    stage: SimulatedStage = field(default_factory=SimulatedStage)
    focus: SimulatedFocus = field(default_factory=SimulatedFocus)
    lamp: LampShutter = field(default_factory=LampShutter)
    modulator: PhaseModulator = field(default_factory=PhaseModulator)
    wheel: FilterWheel | None = None


def load_devices(
    devices: Devices, modulator: str, settle_ms: float = 0.0
) -> CMMCorePlus:
    """Build a core of these devices; the modulator gets the label given.

    The positions of a filter wheel become the presets of the group "Channel".
    """
    core = UniMMCore()
    labelled = {
        "Camera": devices.camera,
        "XY": devices.stage,
        "Focus": devices.focus,
        "Lamp": devices.lamp,
        modulator: devices.modulator,
    }
    if devices.wheel is not None:
        labelled["Wheel"] = devices.wheel
    for label, device in labelled.items():
        core.loadPyDevice(label, device)
        core.initializeDevice(label)
    core.setCameraDevice("Camera")
    core.setXYStageDevice("XY")
    core.setFocusDevice("Focus")
    core.setShutterDevice("Lamp")
    core.setTimeoutMs(max(LONGEST_WAIT_MS, round(2 * settle_ms)))
    for channel in devices.wheel.channels if devices.wheel is not None else ():
        core.defineConfig(CHANNEL_GROUP, channel, "Wheel", "Label", channel)
    return core
