"""From a frame to its cells: phase retrieval, network, instances, measurements."""

from inference.cells import find_cells
from inference.maps import Engine, Maps
from inference.phase import PhaseRetrieval, phase_in_rad, retrieve_phase
from inference.pixels import grey_level, network_shape
from inference.stage import InferenceStage

__all__ = [
    "Engine",
    "InferenceStage",
    "Maps",
    "PhaseRetrieval",
    "find_cells",
    "grey_level",
    "network_shape",
    "phase_in_rad",
    "retrieve_phase",
]
