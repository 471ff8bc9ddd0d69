"""What a camera sees of a simulated field in each modality, as a frame of a run."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Frame, Modality, blank_info, read_only
from acquisition.simulated.fields import Field
from acquisition.simulated.stand.assembly import CONTRAST_STEP
from acquisition.simulated.world import World
from calibration.audit.cells import brightfield_of


def shoot(
    field: Field, world: World, seed: int, modality: Modality
) -> NDArray[np.uint16]:
    """Give the pictures (step, y, x) of a field: four steps in slim, else one.

    Parameters
    ----------
    field, world, seed
        A rendered field, and what it was rendered from.
    modality
        What the stand looks with.
    """
    if modality == "slim":
        return field.frames
    if modality == "phase_contrast":
        return field.frames[CONTRAST_STEP : CONTRAST_STEP + 1]
    return brightfield_of(field, world, seed)[None]


def frame_of(
    pixels: NDArray[np.uint16], modality: Modality, pixel_size_um: float
) -> Frame:
    """Give pictures (step, y, x) as a frame; what nobody asks for is left blank."""
    info = replace(
        blank_info(modality, pixel_size_um), position="field", cause="evaluation"
    )
    frame: Frame = read_only(Frame(info, np.ascontiguousarray(pixels)))
    return frame
