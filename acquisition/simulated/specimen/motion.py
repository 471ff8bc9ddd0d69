"""How cells move in one step of the lattice: crawl, tremble, push, drift, change shape.

Velocity is an Ornstein-Uhlenbeck process, integrated exactly together with the path.
Neighbours crawl alike because their kicks are weighted sums of the kicks around them,
scaled back to unit variance: each cell by itself keeps the speed and the persistence
that it would have alone. Cells are soft discs to each other: they give way more the
further they overlap, and those at different heights pass each other.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.specimen.population import (
    IS_DEAD,
    LOBES,
    RUFFLES,
    CellKind,
    LifeState,
)

STEP_MIN = 1.0 / 3.0
"""Of the lattice; constants of a step below are computed for it."""
TREMBLE_MIN = 1.0
"""Correlation time of the trembling."""
WOBBLE_MIN = 30.0
LIFT_MIN = 7.0
"""Time constant of rising: floating within about twenty minutes."""
SQUEEZE_MIN = 40.0
"""Time constant with which a crowd presses cells together, and lets them go."""
SQUEEZE = 0.9
"""How far: the spread area is divided by 1 + SQUEEZE x crowd."""
REACH = 0.90
"""Cells touch at this fraction of the sum of their radii."""
PUSH_UM_PER_MIN = 0.3
"""Speed at which a cell gives way at full overlap, for the soft margin."""
CORE_UM_PER_MIN = 12.0
"""The same for the core: it grows with the square of the overlap."""
COUPLING = 0.62
"""Standard deviation of the weights of the kicks, in world.cells.neighbour_um."""
PASSING_UM = 8.0
"""Cells at heights this far apart do not push each other."""
FLOW_UM_PER_MIN = 0.8
"""Speed of the medium an axis, root mean square, at `FLOW_HEIGHT_UM`."""
FLOW_HEIGHT_UM = 20.0
FLOW_MIN = 20.0
"""Correlation time of the flow."""
WOBBLES = RUFFLES + LOBES
NOISES = 8 + WOBBLES
"""Normal deviates of one cell in one step: velocity, path, trembling, texture, shape"""

MOBILITY = np.array([1.0, 0.05, 0.5, 0.3, 0.05, 0.03, 0.15, 0.03])
"""Crawling speed of each `LifeState` relative to interphase."""
HANGING_MOBILITY = 0.1
"""The same of cells that have nothing to crawl on."""
CONJUGATE_MOBILITY = 0.15
"""The same of an effector and its target while they hold each other."""
EFFORT = 1.0
"""Cells that are held up push harder by this, so that a dish keeps its speed ..."""
RESOLVE = 2.0
"""... and turn more slowly by this, so that it keeps its persistence."""

_INTERPHASE = int(LifeState.INTERPHASE)


class Moving(NamedTuple):
    """The columns of the table of cells that one step reads or writes."""

    kind: Any
    well: Any
    state: Any
    cycle: Any
    cycle_min: Any
    centre_um: Any
    velocity_um_per_min: Any
    jitter_um: Any
    speed_um_per_min: Any
    pace: Any
    lift_um: Any
    lift_to_um: Any
    hangs: Any
    crowd: Any
    squeeze: Any
    angle_rad: Any
    radius_um: Any
    wobble: Any
    texture_at: Any


class Surroundings(NamedTuple):
    """What all cells share during a step."""

    jitter_um: float  # standard deviation an axis
    neighbour_um: float
    half_um: float  # half the edge of the field
    flow_y: float  # um a minute at FLOW_HEIGHT_UM
    flow_x: float
    progress: float  # factor on the cell cycle


def moving(cells: NDArray[np.void]) -> Moving:
    """Give views of the columns that the kernels need."""
    return Moving(*(cells[name] for name in Moving._fields))


def mobility(cells: NDArray[np.void]) -> NDArray[np.float64]:
    """Give the factor of each cell on its velocity: its path is mobility x velocity."""
    ground = np.where(cells["hangs"], HANGING_MOBILITY, 1.0)
    ground *= np.where(cells["partner"] > 0, CONJUGATE_MOBILITY, 1.0)
    effort = 1 + EFFORT * np.minimum(cells["crowd"], 1)
    return np.asarray(MOBILITY[cells["state"]] * cells["pace"] * ground * effort)


def persistence_min(cells: NDArray[np.void]) -> NDArray[np.float64]:
    """Give the present correlation time of the velocity of each cell."""
    resolve = 1 + RESOLVE * np.minimum(cells["crowd"], 1)
    return np.asarray(cells["persistence_min"] * resolve)


def step(
    cells: NDArray[np.void], around: Surroundings, noise: NDArray[np.float64]
) -> None:
    """Move all cells by one step of the lattice, in place.

    ``noise`` (cell, `NOISES`) is standard normal.
    """
    if not len(cells):
        return
    columns = moving(cells)
    kicks = np.empty((len(cells), 4))
    reach = COUPLING * 2.3 * around.neighbour_um
    binned = _binned(cells["centre_um"], reach, around.half_um)
    ground = _ground(cells, around.neighbour_um)
    scale_um = COUPLING * around.neighbour_um
    share_kicks(cells["centre_um"], ground, noise, scale_um, binned, kicks)
    laws = (mobility(cells), persistence_min(cells))
    crawl(columns, around, laws, kicks, noise)
    push_apart(cells, around.half_um, STEP_MIN)
    reshape(columns, around.progress, IS_DEAD, noise)


def push_apart(cells: NDArray[np.void], half_um: float, minutes: float) -> None:
    """Let overlapping cells give way for some time, and keep them inside the field.

    Sets the crowd of every cell.
    """
    if not len(cells):
        return
    columns = moving(cells)
    push = np.zeros((len(cells), 2))
    reach = 2 * REACH * float(cells["radius_um"].max())
    repel(columns, _binned(cells["centre_um"], reach, half_um), push)
    confine(columns, push, minutes, half_um)


def flow_step(
    flow: NDArray[np.float64], noise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the flow (y, x) of the medium one step later."""
    keep = math.exp(-STEP_MIN / FLOW_MIN)
    return np.asarray(
        keep * flow + math.sqrt(1 - keep * keep) * FLOW_UM_PER_MIN * noise
    )


def _ground(cells: NDArray[np.void], neighbour_um: float) -> NDArray[np.int64]:
    """Give what each cell crawls on: its well, -1 where none or by its own mind."""
    crawls = (cells["state"] == LifeState.INTERPHASE) & ~cells["hangs"]
    crawls &= (cells["kind"] == CellKind.ADHERENT) & (neighbour_um > 0)
    return np.where(crawls, cells["well"].astype(np.int64), -1)


def _binned(
    centre_um: NDArray[np.float64], reach_um: float, half_um: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, float, float]]:
    """Sort cells into square bins at least as wide as the reach.

    Gives the cells in the order of their bins, the start of every bin in it, and of
    the bins the number along an edge, the width and the offset.
    """
    most = max(1, math.isqrt(len(centre_um)))
    edge = max(1, min(most, int(2 * half_um / max(reach_um, 1e-6))))
    width = 2 * half_um / edge
    place = np.clip((centre_um + half_um) / width, 0, edge - 1).astype(np.int64)
    number = place[:, 0] * edge + place[:, 1]
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(edge * edge + 1))
    return order, starts, (edge, width, half_um)


@njit(nogil=True, cache=True)
def share_kicks(
    centre_um: NDArray[np.float64],
    ground: NDArray[np.int64],
    noise: NDArray[np.float64],
    scale_um: float,
    binned: Any,
    kicks: NDArray[np.float64],
) -> None:
    """Mix the kicks of neighbours that crawl on the same ground, at unit variance.

    Steps: for each cell, weighted sum of the noise over the 3 x 3 bins around it, then
    division by the root of the sum of squared weights. Others keep their own noise.
    """
    order, starts, (edge, width, half) = binned
    for i in range(len(kicks)):
        total = 1.0
        kicks[i] = noise[i, :4]
        if ground[i] < 0:
            continue
        y, x = centre_um[i, 0], centre_um[i, 1]
        by = min(max(int((y + half) / width), 0), edge - 1)
        bx = min(max(int((x + half) / width), 0), edge - 1)
        for row in range(max(by - 1, 0), min(by + 2, edge)):
            low = row * edge + max(bx - 1, 0)
            high = row * edge + min(bx + 1, edge - 1)
            for place in range(starts[low], starts[high + 1]):
                j = order[place]
                if j == i or ground[j] != ground[i]:
                    continue
                dy = centre_um[j, 0] - y
                dx = centre_um[j, 1] - x
                far = (dy * dy + dx * dx) / (2 * scale_um * scale_um)
                if far < 2.65:
                    weight = math.exp(-far)
                    total += weight * weight
                    for k in range(4):
                        kicks[i, k] += weight * noise[j, k]
        kicks[i] /= math.sqrt(total)


@njit(nogil=True, cache=True)
def crawl(
    cells: Any,
    around: Any,
    laws: tuple[NDArray[np.float64], NDArray[np.float64]],
    kicks: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> None:
    """Move every cell along its path, let it tremble, rise and drift.

    Steps: exact joint draw of velocity and path of an Ornstein-Uhlenbeck process over
    the step; trembling; turn of the long axis towards the heading; height; flow.
    """
    mobility, persistence = laws
    dt = STEP_MIN
    keep_j = math.exp(-dt / TREMBLE_MIN)
    tremble = around.jitter_um * math.sqrt(1 - keep_j * keep_j)
    rise = -math.expm1(-dt / LIFT_MIN)
    for i in range(len(kicks)):
        tau = persistence[i]
        sigma = cells.speed_um_per_min[i] / math.sqrt(2.0)
        r = dt / tau
        keep = math.exp(-r)
        fresh = -math.expm1(-2 * r)  # of the variance of the velocity
        late = -math.expm1(-r)
        spread = 2 * r - 3 + 4 * keep - keep * keep
        path_v = tau * late * late / math.sqrt(fresh)
        path = math.sqrt(max(tau * tau * spread - path_v * path_v, 0.0))
        for axis in range(2):
            old = cells.velocity_um_per_min[i, axis]
            a, b = kicks[i, axis], kicks[i, 2 + axis]
            moved = old * tau * late + sigma * (path_v * a + path * b)
            cells.velocity_um_per_min[i, axis] = (
                keep * old + sigma * math.sqrt(fresh) * a
            )
            cells.centre_um[i, axis] += mobility[i] * moved
            cells.jitter_um[i, axis] = (
                keep_j * cells.jitter_um[i, axis] + tremble * noise[i, 4 + axis]
            )
        vy, vx = cells.velocity_um_per_min[i, 0], cells.velocity_um_per_min[i, 1]
        turn = math.atan2(vy, vx) - cells.angle_rad[i] + math.pi / 2
        turn = turn - math.pi * math.floor(turn / math.pi) - math.pi / 2
        cells.angle_rad[i] += turn * min(1.0, 0.02 * dt * mobility[i])
        cells.lift_um[i] += rise * (cells.lift_to_um[i] - cells.lift_um[i])
        if cells.lift_um[i] > 1.0:
            share = cells.lift_um[i] / FLOW_HEIGHT_UM
            cells.centre_um[i, 0] += dt * share * around.flow_y
            cells.centre_um[i, 1] += dt * share * around.flow_x


@njit(nogil=True, cache=True)
def repel(cells: Any, binned: Any, push: NDArray[np.float64]) -> None:
    """Add up the speeds (um a minute) at which cells give way to each other.

    Steps: every pair in neighbouring bins once; a soft margin and a hard core; the
    height between two cells weakens both. The sum of the overlaps is the crowd.
    """
    order, starts, (edge, width, half) = binned
    count = len(push)
    for i in range(count):
        cells.crowd[i] = 0.0
    for i in range(count):
        y, x = cells.centre_um[i, 0], cells.centre_um[i, 1]
        by = min(max(int((y + half) / width), 0), edge - 1)
        bx = min(max(int((x + half) / width), 0), edge - 1)
        for row in range(max(by - 1, 0), min(by + 2, edge)):
            low = row * edge + max(bx - 1, 0)
            high = row * edge + min(bx + 1, edge - 1)
            for place in range(starts[low], starts[high + 1]):
                j = order[place]
                if j <= i or cells.well[j] != cells.well[i]:
                    continue
                dy = y - cells.centre_um[j, 0]
                dx = x - cells.centre_um[j, 1]
                reach = REACH * (cells.radius_um[i] + cells.radius_um[j])
                square = dy * dy + dx * dx
                if square >= reach * reach:
                    continue
                apart = abs(cells.lift_um[i] - cells.lift_um[j]) / PASSING_UM
                if apart >= 1:
                    continue
                distance = math.sqrt(square)
                if distance < 1e-6:
                    dy, dx, distance = 1e-6, 0.0, 1e-6
                overlap = 1 - distance / reach
                crowd = overlap * (1 - apart)
                strength = PUSH_UM_PER_MIN * crowd + CORE_UM_PER_MIN * overlap * crowd
                push[i, 0] += strength * dy / distance
                push[i, 1] += strength * dx / distance
                push[j, 0] -= strength * dy / distance
                push[j, 1] -= strength * dx / distance
                cells.crowd[i] += crowd
                cells.crowd[j] += crowd


@njit(nogil=True, cache=True)
def confine(
    cells: Any, push: NDArray[np.float64], minutes: float, half_um: float
) -> None:
    """Give way, and turn back at the walls of the field.

    Steps for each axis: move; mirror place and velocity at a wall that was crossed.
    """
    for i in range(len(push)):
        for axis in range(2):
            place = cells.centre_um[i, axis] + minutes * push[i, axis]
            speed = cells.velocity_um_per_min[i, axis]
            if place < -half_um:
                place = min(-2 * half_um - place, half_um)
                speed = abs(speed)
            elif place > half_um:
                place = max(2 * half_um - place, -half_um)
                speed = -abs(speed)
            cells.centre_um[i, axis] = place
            cells.velocity_um_per_min[i, axis] = speed


@njit(nogil=True, cache=True)
def reshape(
    cells: Any,
    progress: float,
    is_dead: NDArray[np.bool_],
    noise: NDArray[np.float64],
) -> None:
    """Let outlines wobble and granules stream, grow, and yield to the crowd.

    Steps: the outlines of the dead are fixed and only a Brownian shimmer is left in
    them; crowded cells grow more slowly and spread less.
    """
    dt = STEP_MIN
    keep = math.exp(-dt / WOBBLE_MIN)
    fresh = math.sqrt(1 - keep * keep)
    yields = -math.expm1(-dt / SQUEEZE_MIN)
    for i in range(len(noise)):
        dead = is_dead[cells.state[i]]
        stream = (0.10 if dead else 0.30) * math.sqrt(dt)
        cells.texture_at[i, 0] += stream * noise[i, 6]
        cells.texture_at[i, 1] += stream * noise[i, 7]
        if dead:
            continue
        for k in range(WOBBLES):
            cells.wobble[i, k] = keep * cells.wobble[i, k] + fresh * noise[i, 8 + k]
        wanted = 1 / (1 + SQUEEZE * cells.crowd[i])
        cells.squeeze[i] += yields * (wanted - cells.squeeze[i])
        if cells.state[i] == _INTERPHASE and not cells.hangs[i]:
            grown = progress * dt / cells.cycle_min[i] / (1 + cells.crowd[i])
            cells.cycle[i] = min(cells.cycle[i] + grown, 1.0)
