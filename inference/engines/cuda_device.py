"""The graphics card, and why it cannot serve.

Written, not run: no NVIDIA card was at hand.
"""

import ctypes
import sys
from typing import Any

from acquisition.errors import BadModel
from inference.engines.cache import Hardware

NOT_RUN = "written, not run: no NVIDIA card was at hand"
"""Said wherever the engines of cards are claimed."""


def driver_version() -> str | None:
    """Give the version of the NVIDIA driver; None where there is none.

    Asks the driver's own library, so that a PC without a card never imports torch.
    """
    windows = sys.platform == "win32"
    try:
        nvml: Any = ctypes.CDLL("nvml.dll" if windows else "libnvidia-ml.so.1")
    except OSError:
        return None
    text = ctypes.create_string_buffer(96)
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        if nvml.nvmlSystemGetDriverVersion(text, len(text)) != 0:
            return None
    finally:
        nvml.nvmlShutdown()
    return text.value.decode()


def find_card() -> Hardware:
    """Give the card that torch would use.

    Raises
    ------
    BadModel
        If there is none, or torch cannot use it; the message names the cure.
    """
    driver = driver_version()
    if driver is None:
        raise BadModel("no NVIDIA driver on this PC")
    import torch

    if torch.version.cuda is None:
        raise BadModel(
            f"torch {torch.__version__} is a build for processors; install the CUDA "
            "build of the same version"
        )
    if not torch.cuda.is_available():
        raise BadModel(
            f"CUDA {torch.version.cuda} of torch cannot use driver {driver}; update "
            "the driver"
        )
    major, minor = torch.cuda.get_device_capability()
    return Hardware(
        name=torch.cuda.get_device_name(),
        capability=f"sm_{major}{minor}",
        cuda=torch.version.cuda,
        driver=driver.split(".")[0],
    )
