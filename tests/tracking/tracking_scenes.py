"""Made-up scenes for the tests of tracking: cells with known places and fates."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from samples import make_cells, make_info, make_segmented

from acquisition.records import Segmented


def make_scene(
    centre_um: NDArray[np.float64],
    time_s: float,
    dead_probability: float | NDArray[np.float64] = 0.02,
    touching: tuple[tuple[int, int], ...] = (),
    area_um2: float | NDArray[np.float64] = 300.0,
) -> Segmented:
    """Give a frame of 640 um with cells at these places, labelled from 1.

    Only those that touch are in the label map, side by side in a corner of it.
    """
    centre_um = np.asarray(centre_um, np.float64).reshape(-1, 2)
    count = len(centre_um)
    cells = replace(
        make_cells(count),
        centre_um=centre_um,
        area_um2=np.full(count, area_um2, np.float32),
        dead_probability=np.full(count, dead_probability, np.float32),
        touches_edge=np.zeros(count, np.bool_),
        touching=np.array(touching, np.int32).reshape(-1, 2),
        box_px=np.tile(np.array([0, 0, 64, 64], np.int32), (count, 1)),
    )
    labels = np.zeros((64, 64), np.uint16)
    labels[: len(touching), :2] = cells.touching
    info = replace(make_info(int(time_s) + 1, time_s), pixel_size_um=10.0)
    return replace(make_segmented(0), info=info, cells=cells, labels=labels)


def walk(count: int, frames: int, step_um: float, seed: int) -> NDArray[np.float64]:
    """Give a random walk on a wide grid, 40 um apart: (frame, cell, yx) in um."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    grid = np.stack(np.divmod(np.arange(count), side), axis=1) * 40.0 - 20.0 * side
    steps = rng.normal(0, step_um, (frames, count, 2))
    return grid + np.cumsum(steps, axis=0)
