"""Every error that vigil raises on purpose.

VigilError
|-- BadInput            what the user can put right: file, setting, model (exit 2)
|   |-- BadConfig       the experiment file: every fault at once, with full paths
|   |-- BadWorld        a world file of the simulated microscope
|   |-- BadImages       an image file or folder that cannot be played
|   |-- BadModel        weights or card refused: hash, architecture, pixel size
|   |-- BadRun          a run directory that cannot be read or written
|   `-- BadMessage      bytes on a socket that are no record of ours
|-- RunFailed           a run or a measurement did not come to its end
`-- MicroscopeFault     the stand did something else than it was told
    |-- FrameMissing    an exposure gave no frame
    |-- FrameMalformed  wrong size or type, NaN: quarantined
    `-- StageOff        the stage is not where it was sent

A message says what happened, with the value, then what to do.
"""

from configs.faults import BadConfig, BadInput, VigilError

__all__ = [
    "BadConfig",
    "BadImages",
    "BadInput",
    "BadMessage",
    "BadModel",
    "BadRun",
    "BadWorld",
    "FrameMalformed",
    "FrameMissing",
    "MicroscopeFault",
    "RunFailed",
    "StageOff",
    "VigilError",
]


class BadWorld(BadInput):
    """A world file is wrong."""


class BadImages(BadInput):
    """An image file or folder cannot be played."""


class BadModel(BadInput):
    """Weights or card are refused."""


class BadRun(BadInput):
    """A run directory cannot be read or written."""


class BadMessage(BadInput):
    """Bytes that are no record of ours."""


class RunFailed(VigilError):
    """A run or a measurement did not come to its end."""


class MicroscopeFault(VigilError):
    """The stand did something else than it was told."""


class FrameMissing(MicroscopeFault):
    """An exposure gave no frame."""


class FrameMalformed(MicroscopeFault):
    """A frame of the wrong size or type, with NaN, or saturated."""


class StageOff(MicroscopeFault):
    """The stage is not where it was sent."""

    def __init__(
        self, axis: str, wanted_um: float, found_um: float, tolerance_um: float
    ) -> None:
        self.wanted_um = wanted_um
        self.found_um = found_um
        super().__init__(
            f"stage {axis}: sent to {wanted_um:.2f} um, found at {found_um:.2f} um "
            f"(tolerance {tolerance_um:g} um); check the stage, then run again"
        )
