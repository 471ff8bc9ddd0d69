"""Maps of live and dead cells whose future is known: what map forecasts learn from.

The specimen of the simulated microscope is seen from above, in the true outlines of its
cells; of the frame every few pixels one is taken, as many as a network sees.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.drawing.render import Renderer
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.world import World
from calibration.training.forecast_courses import Course

LIVE, DEAD = 1, 2
NOISE_UM = 0.3
"""Of a measured centre."""


@dataclass(frozen=True, slots=True)
class MapCourse:
    """What became of a field: its masks, and the places of the cells in them."""

    pixel_um: float
    labels: NDArray[np.uint16]  # (frame, y, x) id, 0: nothing
    maps: NDArray[np.uint8]  # (frame, y, x) 0, `LIVE`, `DEAD`
    course: Course  # a tick a frame; cells by id - 1


@dataclass(frozen=True, slots=True)
class MapView:
    """How a specimen is looked at."""

    world: str
    edge_px: int  # of a map
    reduced: int  # pixels of the frame to one of the map, along an axis
    interval_s: float
    frames: int


def map_course(view: MapView, seed: int, ahead: tuple[int, ...]) -> MapCourse:
    """Let a specimen live, and map it at regular times.

    ``ahead`` are the horizons of the course, in frames.
    """
    world = World.load(view.world)
    size_px, step = view.edge_px * view.reduced, view.reduced
    specimen = Specimen.under_stand(world, seed, size_px)
    renderer = Renderer(world, size_px)
    phase = np.empty((size_px, size_px), np.float32)
    whole, nuclei = (np.empty((size_px, size_px), np.uint16) for _ in range(2))
    labels = np.empty((view.frames, view.edge_px, view.edge_px), np.uint16)
    maps = np.empty(labels.shape, np.uint8)
    seen = []
    for frame in range(view.frames):
        specimen.advance_to(frame * view.interval_s)
        renderer.render(specimen, (0.0, 0.0), phase, whole, nuclei)
        labels[frame] = whole[step // 2 :: step, step // 2 :: step]
        cells = specimen.columns()
        kinds = np.zeros(int(cells.id.max(initial=0)) + 1, np.uint8)
        kinds[cells.id] = np.where(cells.dead, DEAD, LIVE)
        maps[frame] = kinds[labels[frame]]
        in_view = np.isin(cells.id, labels[frame])
        seen.append((cells.id[in_view], cells.centre_um[in_view], cells.dead[in_view]))
    course = _course(view, seen, np.array(ahead), seed)
    return MapCourse(world.optics.pixel_um * step, labels, maps, course)


def _course(
    view: MapView,
    seen: list[tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.bool_]]],
    ahead: NDArray[np.int64],
    seed: int,
) -> Course:
    """Give the places of the cells, from the middle of the map; nobody is asked."""
    count = int(max(ids.max(initial=0) for ids, _, _ in seen))
    place = np.full((len(seen), count, 2), np.nan)
    dead = np.zeros((len(seen), count), np.bool_)
    for frame, (ids, centre_um, is_dead) in enumerate(seen):
        at = ids.astype(np.int64) - 1
        place[frame, at], dead[frame, at] = centre_um, is_dead
    noise = np.random.default_rng([seed, 78]).normal(0, NOISE_UM, place.shape)
    unknown = np.full((len(seen), count, ahead.size, 2), np.nan)
    return Course(
        tick_s=view.interval_s,
        place_um=place,
        dead=dead,
        frames=np.arange(len(seen)),
        seen_um=place + noise,
        ahead=ahead,
        oracle_um=unknown,
        oracle_um2=unknown[..., 0],
    )
