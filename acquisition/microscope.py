"""The microscope of a run: built, checked, and the same from outside for every kind.

Three kinds stand behind one core: the simulated microscope, a recorded sequence, and a
real stand through a Micro-Manager configuration. Nothing here opens any beam; the
shutter of the core is the lamp.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# NOTE: without Qt signals, whatever else the process has imported.
os.environ.setdefault("PYMM_SIGNALS_BACKEND", "psygnal")

from pymmcore_plus import CMMCorePlus, DeviceType, configure_logging  # noqa: E402
from useq import MDASequence, TIntervalLoops  # noqa: E402

from acquisition.clock import Clock  # noqa: E402
from acquisition.errors import BadConfig  # noqa: E402
from acquisition.replay import ImageSequence, SequenceCamera  # noqa: E402
from acquisition.schedule import Limits  # noqa: E402
from acquisition.simulated import devices as simulated_devices  # noqa: E402
from configs import schema  # noqa: E402

if TYPE_CHECKING:
    from acquisition.simulated.stand import Cycle, SimulatedStand

logger = logging.getLogger(__name__)

PHASE_STEPS = 4
SMALLEST_FRAME_PX = 64
ENDLESS_LOOPS = 10_000_000
"""Loops of a time-lapse that only the end of its images ends."""

EXPOSURE_TOLERANCE = 0.05
"""Largest accepted relative difference between asked and read-back exposure."""

DEMO_CONFIG = "MMConfig_demo.cfg"
"""Comes with the test adapters, which the core finds by itself."""
