"""Scenes with exact truth for the comparison of trackers: dishes A and B, and wells.

**Dish.** Cells walk with a persistent velocity in a field that reflects them, its area
in proportion to their number, and push one another softly. A detector misses some,
invents some, and sees most touching pairs as one larger object at their middle.
Lengths are in units of a pixel, times in frames; the trackers read them as um and
minutes.

**Wells.** Fast effectors and slower targets in a square well, 5 minutes a frame, which
can hardly overlap. Touching ones are now and then seen as one object.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FRAME_S = 60.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What was there and what a detector found."""

    truth: NDArray[np.float64]  # (frame, cell, yx)
    found: tuple[NDArray[np.float64], ...]  # a frame: (object, y x radius)


@dataclass(frozen=True, slots=True)
class Dish:
    """A population and its detector."""

    speed: float
    missed: float
    false: float
    persistence: float = 5.0
    spacing: float = 60.0
    radius: float = 9.0
    noise: float = 0.7
    merged: float = 0.7


DISHES = {
    "A": Dish(speed=3.0, missed=0.02, false=0.01),
    "B": Dish(speed=6.0, missed=0.05, false=0.02),
}


def make_dish(dish: Dish, cells: int, frames: int, seed: int) -> Scene:
    """Let cells walk and be detected."""
    rng = np.random.default_rng(seed)
    edge = dish.spacing * np.sqrt(cells)
    left = np.exp(-1 / dish.persistence)
    sigma = dish.speed / np.sqrt(2)
    place = rng.uniform(0, edge, (cells, 2))
    velocity = rng.normal(0, sigma, (cells, 2))
    truth, found = np.empty((frames, cells, 2)), []
    for frame in range(frames):
        if frame:
            kick = np.sqrt(1 - left**2) * rng.normal(0, sigma, (cells, 2))
            velocity = left * velocity + kick
            place = place + velocity
            out = (place < 0) | (place > edge)
            place = np.where(place < 0, -place, place)
            place = np.where(place > edge, 2 * edge - place, place)
            velocity = np.where(out, -velocity, velocity)
            _push_apart(place, 1.2 * dish.radius)
        truth[frame] = place
        found.append(_detect(dish, place, edge, rng))
    return Scene(truth, tuple(found))


def _push_apart(place: NDArray[np.float64], reach: float) -> None:
    pair = cKDTree(place).query_pairs(reach, output_type="ndarray")
    if pair.size == 0:
        return
    away = place[pair[:, 0]] - place[pair[:, 1]]
    distance = np.linalg.norm(away, axis=1, keepdims=True) + 1e-9
    push = 0.25 * (reach - distance) * away / distance
    np.add.at(place, pair[:, 0], push)
    np.add.at(place, pair[:, 1], -push)


def _detect(
    dish: Dish, place: NDArray[np.float64], edge: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    cells = len(place)
    kept = rng.random(cells) > dish.missed
    seen, radius = place.copy(), np.full(cells, dish.radius)
    pairs = cKDTree(place).query_pairs(1.3 * dish.radius, output_type="ndarray")
    used: set[int] = set()
    for one, other in pairs.tolist():
        if {one, other} & used or rng.random() > dish.merged:
            continue
        used |= {one, other}
        seen[one] = (place[one] + place[other]) / 2
        radius[one] *= 1.4
        kept[one], kept[other] = True, False
    measured = seen[kept] + rng.normal(0, dish.noise, (int(kept.sum()), 2))
    invented = rng.poisson(dish.false * cells)
    nowhere = rng.uniform(0, edge, (invented, 2))
    centres = np.concatenate((measured, nowhere))
    radii = np.append(radius[kept], np.full(invented, 0.8 * dish.radius))
    objects = np.column_stack((centres, radii))
    return objects[rng.permutation(len(objects))]


WELL_EDGE = 50.0
WELL_FRAMES = 72
WELL_NOISE = 0.5
EFFECTOR, TARGET = (8.0, 5.0), (3.0, 6.5)
"""Step a frame and radius, in um."""
WELL_PERSISTENCE = 2.0
WELL_MISSED = 0.02
WELL_MERGED = 0.15


def make_well(cells: int, seed: int, frames: int = WELL_FRAMES) -> Scene:
    """Let effectors (the first half, rounded up) and targets share a well."""
    rng = np.random.default_rng(seed)
    effectors = (cells + 1) // 2 if cells > 1 else 1
    kinds = [EFFECTOR] * effectors + [TARGET] * (cells - effectors)
    speed, radius = np.array(kinds).T
    sigma = (speed / np.sqrt(2))[:, None]
    left = np.exp(-1 / WELL_PERSISTENCE)
    wall = radius[:, None]
    place = rng.uniform(wall, WELL_EDGE - wall, (cells, 2))
    velocity = sigma * rng.normal(size=(cells, 2))
    truth, found = np.empty((frames, cells, 2)), []
    for frame in range(frames):
        kick = np.sqrt(1 - left**2) * sigma * rng.normal(size=(cells, 2))
        velocity = left * velocity + kick
        place = _settle(place + velocity, radius)
        truth[frame] = place
        found.append(_detect_in_well(place, radius, rng))
    return Scene(truth, tuple(found))


def _settle(
    place: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.float64]:
    wall = radius[:, None]
    for _ in range(8):
        for one, other in itertools.combinations(range(len(place)), 2):
            away = place[one] - place[other]
            distance = np.linalg.norm(away) + 1e-9
            overlap = 0.85 * (radius[one] + radius[other]) - distance
            if overlap > 0:
                place[one] += 0.5 * overlap * away / distance
                place[other] -= 0.5 * overlap * away / distance
        place = np.clip(place, wall, WELL_EDGE - wall)
    return place


def _detect_in_well(
    place: NDArray[np.float64], radius: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    cells = len(place)
    seen, seen_radius = place.copy(), radius * (1 + 0.05 * rng.normal(size=cells))
    kept = rng.random(cells) > WELL_MISSED
    for one, other in itertools.combinations(range(cells), 2):
        near = np.linalg.norm(place[one] - place[other]) < radius[one] + radius[other]
        if not (kept[one] and kept[other] and near) or rng.random() > WELL_MERGED:
            continue
        weight = radius[[one, other]] ** 2
        seen[one] = weight @ place[[one, other]] / weight.sum()
        seen_radius[one] = np.hypot(radius[one], radius[other])
        kept[other] = False
    measured = seen[kept] + WELL_NOISE * rng.normal(size=(int(kept.sum()), 2))
    return np.column_stack((measured, seen_radius[kept]))


CROSSINGS, CROSSING_FRAMES = 40, 24
CROSSING_RADIUS = 8.0
CROSSING_PHASES = (0.8, 1.2)
"""Mean phase of the two of a pair, in rad: they are of one size."""
CROSSING_MERGED = range(9, 15)
"""Frames in which two that met are one object ..."""
CROSSING_APART = 5.0
"""... and how far each is from its middle then."""
CROSSING_TURN = (np.pi / 3, 2 * np.pi / 3)
"""Angle by which they turn about one another while they are one: about a quarter."""
CROSSING_STEP = 4.0


def make_crossings(seed: int) -> Scene:
    """Let unlike cells meet, turn about one another, and part again.

    Neither place nor course tell who is who then. Objects have a fourth column, their
    mean phase.
    """
    rng = np.random.default_rng(seed)
    pairs = np.arange(CROSSINGS)
    middle = 200.0 * np.stack(np.divmod(pairs, 8), axis=1)
    turn = rng.uniform(0, 2 * np.pi, CROSSINGS)
    turned = rng.choice((-1, 1), CROSSINGS) * rng.uniform(*CROSSING_TURN, CROSSINGS)
    truth = np.empty((CROSSING_FRAMES, 2 * CROSSINGS, 2))
    first, last = CROSSING_MERGED[0], CROSSING_MERGED[-1]
    for frame in range(CROSSING_FRAMES):
        apart = CROSSING_APART + CROSSING_STEP * max(first - frame, frame - last, 0)
        done = np.clip((frame - first + 1) / (last - first + 2), 0, 1)
        angle = turn + done * turned
        here = apart * np.stack((np.sin(angle), np.cos(angle)), axis=1)
        truth[frame, 0::2], truth[frame, 1::2] = middle + here, middle - here
    found = []
    for frame, place in enumerate(truth):
        phases = np.tile(CROSSING_PHASES, CROSSINGS)
        objects = np.column_stack((place, np.full(len(place), CROSSING_RADIUS), phases))
        objects[:, 2:] *= 1 + 0.03 * rng.normal(size=(len(objects), 2))
        if frame in CROSSING_MERGED:
            weight = objects[:, 2] ** 2
            both = weight[0::2] + weight[1::2]
            share = (weight[0::2] / both)[:, None]
            objects[0::2, :2] = share * place[0::2] + (1 - share) * place[1::2]
            objects[0::2, 2] = np.sqrt(both)
            objects = objects[0::2]
        objects[:, :2] += 0.5 * rng.normal(size=(len(objects), 2))
        found.append(objects[rng.permutation(len(objects))])
    return Scene(truth, tuple(found))
