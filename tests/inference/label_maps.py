"""Drawn fields: the maps a perfect network would give, with the instances behind."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.records import FrameInfo, Modality, blank_info
from inference.maps import Maps


def make_info(modality: Modality = "slim", pixel_size_um: float = 0.65) -> FrameInfo:
    """Give the header of a frame at stage position y 100, x -50 um."""
    return replace(
        blank_info(modality, pixel_size_um),
        stage_yx_um=(100.0, -50.0),
        exposure_start_ns=1_000,
        exposure_end_ns=2_000,
        read_ns=3_000,
    )


def ellipses(size_px: int, count: int, seed: int = 0) -> NDArray[np.int32]:
    """Give an instance map of random ellipses, later ones behind earlier ones."""
    random = np.random.default_rng(seed)
    instances = np.zeros((size_px, size_px), np.int32)
    for name in range(count, 0, -1):
        centre = random.uniform(0, size_px, 2).astype(int).tolist()
        axes = random.uniform(9, 18, 2).astype(int).tolist()
        angle = float(random.uniform(0, 180))
        cv2.ellipse(instances, centre, axes, angle, 0, 360, name, -1)
    return instances


def perfect_maps(instances: NDArray[np.int32], noise: float = 0.0) -> Maps:
    """Give the maps of an instance map (y, x); every third cell is dead."""
    separation = np.zeros(instances.shape)
    for name in np.unique(instances)[1:]:
        own = np.pad(instances == name, 1).astype(np.uint8)
        depth = cv2.distanceTransform(own, cv2.DIST_L2, 5)[1:-1, 1:-1]
        separation = np.maximum(separation, depth / depth.max())
    random = np.random.default_rng(1)
    separation += random.normal(0, noise, instances.shape) if noise else 0
    classes = np.where(instances % 3 == 0, 2, 1) * (instances > 0)
    return Maps(
        classes=classes.astype(np.uint8),
        dead=np.where(classes == 2, 240, 20).astype(np.uint8),
        separation=np.clip(255 * separation, 0, 255).astype(np.uint8),
    )
