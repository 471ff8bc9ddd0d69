"""What cells do in a well: walls, collisions, conjugates, and kills.

Unlike cells on a dish these are firm balls. An effector that touches a target may
stick to it for a while (a conjugate), and both then nearly stand. At the first
conjugation of a pair it is decided, with the probability of the world, whether the
effector kills: the target then begins to die some time after, whether or not the
effector is still there. A pair that met without a kill may meet again in peace.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from acquisition.simulated.sections import Nanowell
from acquisition.simulated.specimen.chip import Chip
from acquisition.simulated.specimen.motion import PASSING_UM, STEP_MIN
from acquisition.simulated.specimen.nanowell import INSET
from acquisition.simulated.specimen.population import NEVER, CellKind, LifeState

FIRM = 0.90
"""Balls come this near, in sums of their radii: they are soft at the skin."""
TOUCH = 1.05
"""So near, cells touch."""
STICK_CHANCE = 0.35
"""Of a conjugate, for a minute of touch."""
CONJUGATE_MIN = (10.0, 60.0)
"""How long a conjugate lasts."""
PAUSE_MIN = (5.0, 20.0)
"""How long an effector then leaves targets alone."""
TURN_MIN = 1.5
"""Time constant with which an effector turns to where it goes."""
ROUNDS = 4
"""Of parting balls and keeping them between the walls, in a step."""

_EFFECTOR = int(CellKind.EFFECTOR)
_INTERPHASE = int(LifeState.INTERPHASE)


class Inmates(NamedTuple):
    """The columns of the table of cells that are read or written in a step."""

    kind: Any
    id: Any
    partner: Any
    state: Any
    centre_um: Any
    velocity_um_per_min: Any
    lift_um: Any
    angle_rad: Any
    radius_um: Any


def live_in_wells(cells: NDArray[np.void], chip: Chip) -> None:
    """Part the balls, hold conjugates together and keep all inside; in place.

    Belongs to the end of every step of the lattice.
    """
    order = np.argsort(cells["well"], kind="stable")
    wells, first = np.unique(cells["well"][order], return_index=True)
    starts = np.append(first, len(cells))
    columns = Inmates(*(cells[name] for name in Inmates._fields))
    middles = chip.centres_um(wells)
    share_room(columns, (order, starts), middles, (chip.well_um / 2, *chip.turn))


@njit(nogil=True, cache=True)
def share_room(
    cells: Any,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    middles: NDArray[np.float64],
    well: tuple[float, float, float],
) -> None:
    """Move the cells of each well.

    ``groups`` holds the rows in order of wells, and the start of each well in it;
    ``well`` half the edge, cosine and sine of the turn.

    Steps, repeated: every pair too close parts, the lighter ball going further; a
    conjugate that gapes closes; whoever is beyond a wall is put back and its velocity
    mirrored, on the axes of the chip. Last, effectors turn to where they go.
    """
    order, starts = groups
    for g in range(len(starts) - 1):
        for _ in range(ROUNDS):
            for m in range(starts[g], starts[g + 1]):
                for n in range(m + 1, starts[g + 1]):
                    _part(cells, order[m], order[n])
            for m in range(starts[g], starts[g + 1]):
                _keep_inside(cells, order[m], middles[g], well)
        for m in range(starts[g], starts[g + 1]):
            i = order[m]
            if cells.kind[i] != _EFFECTOR or cells.state[i] != _INTERPHASE:
                continue
            aim_y = cells.velocity_um_per_min[i, 0]
            aim_x = cells.velocity_um_per_min[i, 1]
            for n in range(starts[g], starts[g + 1]):
                j = order[n]
                if cells.partner[i] == cells.id[j]:
                    aim_y = cells.centre_um[j, 0] - cells.centre_um[i, 0]
                    aim_x = cells.centre_um[j, 1] - cells.centre_um[i, 1]
            turn = math.atan2(aim_y, aim_x) - cells.angle_rad[i]
            turn -= 2 * math.pi * math.floor(turn / (2 * math.pi) + 0.5)
            cells.angle_rad[i] -= turn * math.expm1(-STEP_MIN / TURN_MIN)


@njit(nogil=True, cache=True)
def _part(cells: Any, i: int, j: int) -> None:
    """Push two balls apart, or pull a gaping conjugate together."""
    if abs(cells.lift_um[i] - cells.lift_um[j]) >= PASSING_UM:
        return
    dy = cells.centre_um[i, 0] - cells.centre_um[j, 0]
    dx = cells.centre_um[i, 1] - cells.centre_um[j, 1]
    distance = math.sqrt(dy * dy + dx * dx)
    if distance < 1e-6:
        dy, dx, distance = 1e-6, 0.0, 1e-6
    wanted = FIRM * (cells.radius_um[i] + cells.radius_um[j])
    held = cells.partner[i] == cells.id[j] or cells.partner[j] == cells.id[i]
    if distance >= wanted and not held:
        return
    a, b = cells.radius_um[i] ** 3, cells.radius_um[j] ** 3
    move = (wanted - distance) / distance
    for axis, away in ((0, dy), (1, dx)):
        cells.centre_um[i, axis] += move * away * b / (a + b)
        cells.centre_um[j, axis] -= move * away * a / (a + b)


@njit(nogil=True, cache=True)
def _keep_inside(
    cells: Any,
    i: int,
    middle: NDArray[np.float64],
    well: tuple[float, float, float],
) -> None:
    """Put a cell back between the walls; its velocity turns inwards."""
    half, c, s = well
    room = max(half - INSET * cells.radius_um[i], 0.0)
    y = cells.centre_um[i, 0] - middle[0]
    x = cells.centre_um[i, 1] - middle[1]
    v, u = c * y - s * x, c * x + s * y
    if abs(v) <= room and abs(u) <= room:
        return
    vy, vx = cells.velocity_um_per_min[i, 0], cells.velocity_um_per_min[i, 1]
    vv, vu = c * vy - s * vx, c * vx + s * vy
    if abs(v) > room:
        v = math.copysign(room, v)
        vv = -math.copysign(vv, v)
    if abs(u) > room:
        u = math.copysign(room, u)
        vu = -math.copysign(vu, u)
    cells.centre_um[i, 0] = middle[0] + c * v + s * u
    cells.centre_um[i, 1] = middle[1] + c * u - s * v
    cells.velocity_um_per_min[i, 0] = c * vv + s * vu
    cells.velocity_um_per_min[i, 1] = c * vu - s * vv


def meet(
    cells: NDArray[np.void], now_min: float, settings: Nanowell, rng: Generator
) -> None:
    """Let conjugates form and end, and effectors decide to kill; in place.

    Belongs to the end of every whole minute.
    """
    _acquit(cells)
    _let_go(cells, now_min, rng)
    effectors, targets = _touching(cells, now_min)
    sticks = rng.random(len(effectors)) < STICK_CHANCE
    effectors, targets = effectors[sticks], targets[sticks]
    effectors, first = np.unique(effectors, return_index=True)
    targets = targets[first]
    cells["partner"][effectors] = cells["id"][targets]
    lasts = np.ceil(rng.uniform(*CONJUGATE_MIN, len(effectors)))
    cells["busy_until_min"][effectors] = now_min + lasts
    bit = np.uint64(1) << (cells["id"][targets].astype(np.uint64) % np.uint64(64))
    fresh = (cells["met"][effectors] & bit) == 0
    cells["met"][effectors] |= bit
    kills = fresh & (rng.random(len(effectors)) < settings.kill_probability)
    delay = np.ceil(rng.uniform(*settings.kill_delay_min, len(effectors)))
    for effector, target, wait in zip(
        effectors[kills], targets[kills], delay[kills], strict=True
    ):
        if not cells["killer"][target]:
            cells["killer"][target] = cells["id"][effector]
            cells["blow_min"][target] = now_min + wait
            cells["die_min"][target] = min(cells["die_min"][target], now_min + wait)
    _mark_held(cells)


def _acquit(cells: NDArray[np.void]) -> None:
    """Forget the killer of a cell that something else struck first."""
    else_struck = cells["commit_min"] < cells["blow_min"]
    cells["killer"][else_struck] = 0
    cells["blow_min"][else_struck] = NEVER


def _let_go(cells: NDArray[np.void], now_min: float, rng: Generator) -> None:
    """End the conjugates whose time is over or whose effector dies, and set it off."""
    effector = (cells["kind"] == CellKind.EFFECTOR) & (cells["partner"] > 0)
    alive = cells["state"] == LifeState.INTERPHASE
    rows = np.flatnonzero(effector & (~alive | (cells["busy_until_min"] <= now_min)))
    pause = np.ceil(rng.uniform(*PAUSE_MIN, len(rows)))
    cells["busy_until_min"][rows] = now_min + pause
    away = cells["centre_um"][rows] - cells["centre_um"][_rows(cells, rows)]
    away /= np.maximum(np.hypot(*away.T), 1e-6)[:, None]
    speed = np.hypot(*cells["velocity_um_per_min"][rows].T)
    cells["velocity_um_per_min"][rows] = speed[:, None] * away
    cells["partner"][rows] = 0


def _rows(cells: NDArray[np.void], held_by: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give the rows of the partners of some cells; its own row to one without."""
    order = np.argsort(cells["id"])
    wanted = cells["partner"][held_by]
    place = np.searchsorted(cells["id"], wanted, sorter=order)
    rows = order[np.minimum(place, len(cells) - 1)]
    return np.where(cells["id"][rows] == wanted, rows, held_by)


def _touching(
    cells: NDArray[np.void], now_min: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the rows of all pairs of a free effector and a living target it touches."""
    alive = cells["state"] == LifeState.INTERPHASE
    free = (cells["partner"] == 0) & (cells["busy_until_min"] <= now_min)
    effectors = np.flatnonzero((cells["kind"] == CellKind.EFFECTOR) & alive & free)
    targets = np.flatnonzero((cells["kind"] == CellKind.TARGET) & alive)
    targets = targets[np.argsort(cells["well"][targets], kind="stable")]
    homes = cells["well"][targets]
    first = np.searchsorted(homes, cells["well"][effectors], "left")
    count = np.searchsorted(homes, cells["well"][effectors], "right") - first
    before = np.cumsum(count) - count
    place = np.repeat(first - before, count) + np.arange(count.sum())
    effectors, targets = np.repeat(effectors, count), targets[place]
    apart = cells["centre_um"][effectors] - cells["centre_um"][targets]
    reach = TOUCH * (cells["radius_um"][effectors] + cells["radius_um"][targets])
    near = np.hypot(*apart.T) <= reach
    return effectors[near], targets[near]


def _mark_held(cells: NDArray[np.void]) -> None:
    """Name to every target the effector that holds it."""
    target = cells["kind"] == CellKind.TARGET
    cells["partner"][target] = 0
    holders = np.flatnonzero(~target & (cells["partner"] > 0))
    held = _rows(cells, holders)
    cells["partner"][held[held != holders]] = cells["id"][holders[held != holders]]
    cells["partner"][holders[held == holders]] = 0
