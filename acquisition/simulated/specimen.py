"""The living specimen: cells that crawl, push, grow, divide and die.

Motion is a persistent random walk (Ornstein-Uhlenbeck velocity, exactly integrated in
the velocity) with short trembling and mutual repulsion, between reflecting walls.
All randomness comes from one generator, so a seed and the sequence of steps fix it all.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.errors import BadWorld
from acquisition.simulated.fates import age_cells, divide, irradiate
from acquisition.simulated.population import (
    IS_DEAD,
    LifeState,
    assign_states,
    draw_cells,
)
from acquisition.simulated.sections import Mix
from acquisition.simulated.world import World

MOST_CELLS = 16_000
"""Cells at the start; all daughters must find an id of 16 bits as well."""
LARGEST_STEP_MIN = 1.0
TREMBLE_MIN = 1.0
WOBBLE_MIN = 30.0
REPULSION_UM_PER_MIN = 1.6
REACH = 0.92
"""Cells repel below this fraction of the sum of their radii: they touch, then push."""
STREAM = 1
"""Number of the random stream of the specimen."""

MOBILITY = np.array([1.0, 0.05, 0.5, 0.3, 0.05, 0.03, 0.15, 0.03])
"""Crawling speed of each `LifeState` relative to interphase."""


@dataclass(frozen=True, slots=True)
class SpecimenCells:
    """All cells of the specimen at one time, one row a cell."""

    id: NDArray[np.uint32]  # (cell,)
    parent: NDArray[np.uint32]  # (cell,) 0 where it was there from the start
    centre_um: NDArray[np.float64]  # (cell, yx) the field centre is 0 0
    state: NDArray[np.uint8]  # (cell,) LifeState
    dead: NDArray[np.bool_]  # (cell,) membrane ruptured
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before, NaN unknown
    mass_pg: NDArray[np.float64]  # (cell,) true dry mass
    dose_gy: NDArray[np.float64]  # (cell,) absorbed so far


class Specimen:
    """A dish of cells in a square field.

    Parameters
    ----------
    world
        What the cells are like and what is done to them.
    seed
        Fixes everything random together with the world.
    field_um
        Edge of the field; its walls reflect the cells.
    mix
        States at the start; ``None`` takes those of the world.

    Raises
    ------
    BadWorld
        If there would be more than `MOST_CELLS` cells in the field.
    """

    def __init__(
        self, world: World, seed: int, field_um: float, mix: Mix | None = None
    ) -> None:
        self.world = world
        self.field_um = field_um
        self.dose_gy = 0.0
        self._rng = np.random.default_rng([seed, STREAM])
        view_um = 1024 * world.optics.pixel_um
        count = round(world.cells.n * (field_um / view_um) ** 2)
        if count > MOST_CELLS:
            raise BadWorld(
                f"cells.n = {world.cells.n} a view makes {count} cells in a field of "
                f"{field_um:.0f} um with stage.margin_um = {world.stage.margin_um:g}; "
                f"at most {MOST_CELLS} can be simulated: lower one of the two"
            )
        cells = draw_cells(world, self._rng, count)
        cells["id"] = 1 + np.arange(count)
        self._place(cells)
        assign_states(cells, world.mix if mix is None else mix, world, self._rng)
        self.cells = cells
        self._next_id = count + 1
        self._minutes = 0.0
        self._due = sorted(world.protocol.irradiate, key=lambda dose: dose.t_h)
        self._give_due_doses()

    @property
    def time_s(self) -> float:
        """Experiment time of the specimen."""
        return self._minutes * 60

    @property
    def minutes(self) -> float:
        """The same in minutes."""
        return self._minutes

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps of at most a minute; any duration is exact."""
        left = max(0.0, seconds / 60)
        steps = math.ceil(left / LARGEST_STEP_MIN - 1e-9)
        end = self._minutes + left
        for _ in range(steps):
            self._step(left / steps)
        self._minutes = end

    def irradiate(self, gy: float) -> None:
        """Give a dose to all cells at the present time, at the rate of the world."""
        irradiate(self.cells, gy, self._minutes, self.world, self._rng)
        self.dose_gy += gy

    def columns(self) -> SpecimenCells:
        """Give the truth of all cells now."""
        cells = self.cells
        since = self._minutes - cells["rupture_min"]
        return SpecimenCells(
            id=cells["id"].copy(),
            parent=cells["parent"].copy(),
            centre_um=cells["centre_um"] + cells["jitter_um"],
            state=cells["state"].copy(),
            dead=IS_DEAD[cells["state"]],
            minutes_since_rupture=np.where(np.isfinite(since), since, np.nan),
            mass_pg=dry_mass_pg(cells, self._minutes, self.world),
            dose_gy=np.full(len(cells), self.dose_gy),
        )

    def settle(self, minutes: float = 6.0) -> None:
        """Push overlapping cells apart without letting time pass."""
        for _ in range(round(minutes)):
            self._push(1.0)

    def _give_due_doses(self) -> None:
        while self._due and self._due[0].t_h * 60 <= self._minutes:
            dose = self._due.pop(0)
            irradiate(self.cells, dose.gy, dose.t_h * 60, self.world, self._rng)
            self.dose_gy += dose.gy

    def _place(self, cells: NDArray[np.void]) -> None:
        """Scatter cells evenly; a few may lie on each other, as in a dish."""
        half = self.field_um / 2
        spacing = 0.62 * self.field_um / math.sqrt(max(1, len(cells)))
        placed = cells["centre_um"]
        for row in range(len(cells)):
            for _ in range(20):
                spot = self._rng.uniform(-half, half, 2)
                gap = np.hypot(*(placed[:row] - spot).T)
                if not row or gap.min() > spacing or self._rng.random() < 0.06:
                    break
            placed[row] = spot

    def _step(self, minutes: float) -> None:
        self._move(minutes)
        self._push(minutes)
        self._reflect()
        self._reshape(minutes)
        self._minutes += minutes
        self._give_due_doses()
        cells, now = self.cells, self._minutes
        age_cells(cells, now, minutes, self.world, self._rng)
        cells = divide(cells, now, self._next_id, self.world, self._rng)
        self._next_id = max(self._next_id, int(cells["id"].max(initial=0)) + 1)
        self.cells = cells

    def _move(self, minutes: float) -> None:
        traits = self.world.cells
        cells = self.cells
        shape = (len(cells), 2)
        keep = math.exp(-minutes / traits.persistence_min)
        spread = traits.speed_um_per_h / 60 * math.sqrt((1 - keep * keep) / 2)
        before = cells["velocity_um_per_min"].copy()
        kick = self._rng.normal(0, spread, shape)
        cells["velocity_um_per_min"] = keep * before + kick
        mean = (before + cells["velocity_um_per_min"]) / 2
        mobility = MOBILITY[cells["state"]] * cells["pace"]
        cells["centre_um"] += mean * mobility[:, None] * minutes
        keep = math.exp(-minutes / TREMBLE_MIN)
        tremble = traits.jitter_um * math.sqrt(1 - keep * keep)
        cells["jitter_um"] *= keep
        cells["jitter_um"] += self._rng.normal(0, tremble, shape)
        heading = np.arctan2(*cells["velocity_um_per_min"].T)
        turn = (heading - cells["angle_rad"] + math.pi / 2) % math.pi - math.pi / 2
        cells["angle_rad"] += turn * np.minimum(1, 0.02 * minutes * mobility)

    def _push(self, minutes: float) -> None:
        cells = self.cells
        force = np.zeros((len(cells), 2))
        crowd = np.zeros(len(cells))
        repel(cells["centre_um"].copy(), REACH * cells["radius_um"], force, crowd)
        cells["centre_um"] += REPULSION_UM_PER_MIN * minutes * force
        self._crowd = crowd

    def _reflect(self) -> None:
        half = self.field_um / 2
        centre = self.cells["centre_um"]
        out = np.abs(centre) > half
        folded = np.sign(centre) * np.maximum(2 * half - np.abs(centre), 0)
        self.cells["centre_um"] = np.where(out, folded, centre)
        speed = self.cells["velocity_um_per_min"]
        inward = -np.sign(centre) * np.abs(speed)
        self.cells["velocity_um_per_min"] = np.where(out, inward, speed)

    def _reshape(self, minutes: float) -> None:
        """Let outlines wobble and granules stream; crowded cells grow more slowly."""
        cells = self.cells
        alive = ~IS_DEAD[cells["state"]][:, None]
        keep = math.exp(-minutes / WOBBLE_MIN)
        fresh = self._rng.standard_normal(cells["wobble"].shape)
        wobble = keep * cells["wobble"] + math.sqrt(1 - keep * keep) * fresh
        cells["wobble"] = np.where(alive, wobble, cells["wobble"])
        # Granules stream in live cells; in dead ones only Brownian shimmer is left.
        stream = np.where(alive, 0.30, 0.10) * math.sqrt(minutes)
        cells["texture_at"] += stream * self._rng.standard_normal((len(cells), 2))
        growing = cells["state"] == LifeState.INTERPHASE
        inhibition = 1 / (1 + self._crowd)
        progress = minutes / cells["cycle_min"] * inhibition
        grown = np.minimum(cells["cycle"] + progress, 1)
        cells["cycle"] = np.where(growing, grown, cells["cycle"])


def dry_mass_pg(
    cells: NDArray[np.void], now_min: float, world: World
) -> NDArray[np.float64]:
    """Give the true dry mass: growth, loss in apoptosis, leakage after rupture."""
    state = cells["state"]
    mass = cells["birth_mass_pg"] * (1 + cells["cycle"])
    age = now_min - cells["since_min"]
    shrunk = np.isin(state, (LifeState.LATE_APOPTOSIS, LifeState.SECONDARY_NECROSIS))
    early = state == LifeState.EARLY_APOPTOSIS
    share = np.where(shrunk, 1.0, np.where(early, np.clip(age / 80, 0, 1), 0.0))
    mass = mass * (1 - 0.25 * share)
    death = world.death
    late = 1 - np.exp(-np.maximum(age, 0) / death.loss_tau_min)
    rest = np.maximum(cells["mass_loss"] - death.instant_loss, 0)
    lost = np.where(IS_DEAD[state], death.instant_loss + rest * late, 0.0)
    return np.asarray(mass * (1 - lost))


@njit(nogil=True, cache=True)
def repel(
    centre_um: NDArray[np.float64],
    radius_um: NDArray[np.float64],
    force: NDArray[np.float64],
    crowd: NDArray[np.float64],
) -> None:
    """Add up the pushes between overlapping discs and the overlap each one suffers."""
    for i in range(len(centre_um)):
        for j in range(i + 1, len(centre_um)):
            dy = centre_um[i, 0] - centre_um[j, 0]
            dx = centre_um[i, 1] - centre_um[j, 1]
            reach = radius_um[i] + radius_um[j]
            square = dy * dy + dx * dx
            if square < reach * reach and square > 1e-9:
                distance = math.sqrt(square)
                overlap = (reach - distance) / reach
                push_y = overlap * dy / distance
                push_x = overlap * dx / distance
                force[i, 0] += push_y
                force[i, 1] += push_x
                force[j, 0] -= push_y
                force[j, 1] -= push_x
                crowd[i] += overlap
                crowd[j] += overlap
