"""The living specimen: a dish of cells that is the same whenever anyone looks.

The specimen lives on a fixed lattice of its own time: motion every 20 seconds, fates
on whole minutes. A look between two lattice times moves nothing forward: what varies
smoothly is interpolated, states are those of the earlier one. So a seed alone fixes
the specimen of every time, however often and however far apart it is looked at. Planned
doses fall on the first whole minute that is not before their time.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadWorld
from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.chip import Chip
from acquisition.simulated.specimen.doses import irradiate, progress_left
from acquisition.simulated.specimen.encounters import live_in_wells, meet
from acquisition.simulated.specimen.fates import (
    age_cells,
    begin,
    divide,
    dry_mass_pg,
    forget_appointments,
)
from acquisition.simulated.specimen.motion import (
    FLOW_UM_PER_MIN,
    NOISES,
    STEP_MIN,
    Surroundings,
    flow_step,
    mobility,
    push_apart,
    step,
)
from acquisition.simulated.specimen.nanowell import fill_wells, in_suspension
from acquisition.simulated.specimen.population import (
    IS_DEAD,
    MOST_CELLS,
    assign_states,
    draw_cells,
)
from acquisition.simulated.specimen.size import radius_um
from acquisition.simulated.world import World

STREAM = 1
"""Number of the random stream of fates."""
MOTION_STREAM = 11
DOSE_STREAM = 12

STEP_US = 20_000_000
STEPS_A_MINUTE = 3
SMOOTH = [
    "centre_um",
    "velocity_um_per_min",
    "jitter_um",
    "angle_rad",
    "cycle",
    "lift_um",
    "squeeze",
    "wobble",
    "texture_at",
]
"""Columns that are interpolated between two lattice times."""


@dataclass(frozen=True, slots=True)
class SpecimenCells:
    """All cells of the specimen at one time, one row a cell."""

    id: NDArray[np.uint32]  # (cell,)
    parent: NDArray[np.uint32]  # (cell,) 0 where it was there from the start
    kind: NDArray[np.uint8]  # (cell,) CellKind
    well: NDArray[np.uint32]  # (cell,) 0 in an open dish
    killer: NDArray[np.uint32]  # (cell,) effector it has begun to die of, 0 none
    centre_um: NDArray[np.float64]  # (cell, yx) the field centre is 0 0
    lift_um: NDArray[np.float64]  # (cell,) height above the others
    state: NDArray[np.uint8]  # (cell,) LifeState
    dead: NDArray[np.bool_]  # (cell,) membrane ruptured
    minutes_since_commit: NDArray[np.float64]  # (cell,) of dying; NaN: it has not
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before, NaN unknown
    mass_pg: NDArray[np.float64]  # (cell,) true dry mass
    dose_gy: NDArray[np.float64]  # (cell,) absorbed so far
    velocity_um_per_min: NDArray[np.float64]  # (cell, yx) of the persistent walk
    jitter_um: NDArray[np.float64]  # (cell, yx) part of the centre
    mobility: NDArray[np.float64]  # (cell,) the path is mobility x velocity


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
        self.chip: Chip | None = None
        self.field_um = field_um
        self.dose_gy = 0.0
        self.given: list[tuple[float, float]] = []
        self._entropy = [seed]
        rng = self._fates = np.random.default_rng([seed, STREAM])
        self._motion = np.random.default_rng([seed, MOTION_STREAM])
        mix = world.mix if mix is None else mix
        if world.nanowell is None:
            cells = self._scatter(rng)
        else:
            self.chip = Chip.lay(world.nanowell, seed)
            self.field_um = field_um + 4 * world.nanowell.well_um
            cells = fill_wells(world, world.nanowell, self.chip, field_um, rng)
            mix = in_suspension(mix)
        count = len(cells)
        cells["id"] = 1 + np.arange(count)
        assign_states(cells, mix, world, rng)
        begin(cells, world, rng)
        cells["radius_um"] = radius_um(cells, 0.0, world)
        self._base = cells
        self._ahead: NDArray[np.void] | None = None
        self._between: NDArray[np.void] | None = None
        self._flow = FLOW_UM_PER_MIN * self._motion.standard_normal(2)
        self._next_id = count + 1
        self._steps = 0
        self._now_us = 0
        self._doses = 0
        self._due = sorted(world.protocol.irradiate, key=lambda dose: dose.t_h)
        self._give_due_doses()

    @classmethod
    def under_stand(cls, world: World, seed: int, size_px: int) -> "Specimen":
        """Make the specimen that a stand with this view has at its start."""
        field_um = size_px * world.optics.pixel_um + 2 * world.stage.margin_um
        specimen = cls(world, seed, field_um)
        specimen.settle()
        return specimen

    @property
    def time_s(self) -> float:
        """Experiment time of the specimen."""
        return self._now_us / 1e6

    @property
    def minutes(self) -> float:
        """The same in minutes."""
        return self._now_us / 60e6

    @property
    def steps(self) -> int:
        """Steps of the lattice that have passed."""
        return self._steps

    @property
    def cells(self) -> NDArray[np.void]:
        """The table of cells now; between two lattice times an interpolated copy.

        What is set or written at a lattice time changes the specimen.
        """
        past = self._now_us - self._steps * STEP_US
        if not past:
            return self._base
        if self._between is None:
            ahead, share = self._next(), past / STEP_US
            cells = self._base.copy()
            for column in SMOOTH:
                cells[column] += share * (ahead[column] - cells[column])
            self._between = cells
        return self._between

    @cells.setter
    def cells(self, cells: NDArray[np.void]) -> None:
        self._base = cells
        self._ahead = self._between = None

    def advance(self, seconds: float) -> None:
        """Let time pass; any duration is exact to the microsecond."""
        self._advance_to_us(self._now_us + max(0, round(seconds * 1e6)))

    def advance_to(self, time_s: float) -> None:
        """Let time pass until an experiment time; one that is past changes nothing."""
        self._advance_to_us(round(time_s * 1e6))

    def span_um(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give all centres (cell, yx) at the lattice time behind and ahead of now.

        Centres in between lie on the straight line between the two.
        """
        base, ahead = self._base, self._next()
        return (
            base["centre_um"] + base["jitter_um"],
            ahead["centre_um"] + ahead["jitter_um"],
        )

    def ids(self) -> NDArray[np.uint32]:
        """Give the ids of all cells, in the order of the table."""
        return np.asarray(self._base["id"])

    def irradiate(self, gy: float) -> None:
        """Give a dose that was not planned to all cells, at the rate of the world."""
        self.given.append((self.time_s, gy))
        self._dose(gy, self.minutes)
        self._ahead_keeps_step()

    def diverge(self, entropy: list[int]) -> None:
        """Let chance take another course from now on.

        How long present states will last is drawn again, given how long they have
        lasted. Paths part at the next lattice time.
        """
        self._entropy = list(entropy)
        self._fates = np.random.default_rng([*entropy, STREAM])
        self._motion = np.random.default_rng([*entropy, MOTION_STREAM])
        forget_appointments(self._base, self.minutes, self.world, self._fates)
        self._ahead_keeps_step()

    def columns(self) -> SpecimenCells:
        """Give the truth of all cells now."""
        cells, now = self.cells, self.minutes
        commit, rupture = now - cells["commit_min"], now - cells["rupture_min"]
        return SpecimenCells(
            id=cells["id"].copy(),
            parent=cells["parent"].copy(),
            kind=cells["kind"].copy(),
            well=cells["well"].copy(),
            killer=np.where(np.isfinite(commit), cells["killer"], 0).astype(np.uint32),
            centre_um=cells["centre_um"] + cells["jitter_um"],
            lift_um=cells["lift_um"].copy(),
            state=cells["state"].copy(),
            dead=IS_DEAD[cells["state"]],
            minutes_since_commit=np.where(np.isfinite(commit), commit, np.nan),
            minutes_since_rupture=np.where(np.isfinite(rupture), rupture, np.nan),
            mass_pg=dry_mass_pg(cells, now, self.world),
            dose_gy=np.full(len(cells), self.dose_gy),
            velocity_um_per_min=cells["velocity_um_per_min"].copy(),
            jitter_um=cells["jitter_um"].copy(),
            mobility=mobility(cells),
        )

    def settle(self, minutes: float = 6.0) -> None:
        """Push overlapping cells apart without letting time pass."""
        for _ in range(math.ceil(minutes / STEP_MIN)):
            push_apart(self._base, self.field_um / 2, STEP_MIN)
            if self.chip is not None:
                live_in_wells(self._base, self.chip)
        self._ahead = self._between = None

    def _advance_to_us(self, now_us: int) -> None:
        while (self._steps + 1) * STEP_US <= now_us:
            self._base, self._ahead = self._next(in_place=True), None
            self._steps += 1
            if self._steps % STEPS_A_MINUTE == 0:
                self._live()
        if now_us > self._now_us:
            self._now_us = now_us
            self._between = None

    def _next(self, *, in_place: bool = False) -> NDArray[np.void]:
        """Give the cells one step later, before fates are decided; same rows."""
        if self._ahead is None:
            self._ahead = self._base if in_place else self._base.copy()
            traits = self.world.cells
            minutes = self._steps * STEP_MIN
            around = Surroundings(
                jitter_um=traits.jitter_um,
                neighbour_um=traits.neighbour_um,
                half_um=self.field_um / 2,
                flow_y=self._flow[0],
                flow_x=self._flow[1],
                progress=progress_left(self.world, minutes),
            )
            noise = self._motion.standard_normal((len(self._base), NOISES))
            step(self._ahead, around, noise)
            if self.chip is not None:
                live_in_wells(self._ahead, self.chip)
            self._flow = flow_step(self._flow, self._motion.standard_normal(2))
        return self._ahead

    def _live(self) -> None:
        """Decide fates at a whole minute."""
        now = self._steps / STEPS_A_MINUTE
        self._give_due_doses()
        age_cells(self._base, now, 1.0, self.world, self._fates)
        if self.world.nanowell is not None:
            meet(self._base, now, self.world.nanowell, self._fates)
        cells = divide(self._base, now, self._next_id, self.world, self._fates)
        self._next_id = max(self._next_id, int(cells["id"].max(initial=0)) + 1)
        cells["radius_um"] = radius_um(cells, now, self.world)
        self._base = cells

    def _give_due_doses(self) -> None:
        minutes = self._steps / STEPS_A_MINUTE
        while self._due and self._due[0].t_h * 60 <= minutes:
            dose = self._due.pop(0)
            self._dose(dose.gy, dose.t_h * 60)

    def _dose(self, gy: float, at_min: float) -> None:
        # A stream for each dose: one that was not planned must not shift the others.
        rng = np.random.default_rng([*self._entropy, DOSE_STREAM, self._doses])
        irradiate(self._base, gy, at_min, self.world, rng)
        self._doses += 1
        self.dose_gy += gy

    def _ahead_keeps_step(self) -> None:
        """Give the cells one step later what was changed between the two."""
        self._between = None
        if self._ahead is not None:
            columns = ("lesions", "cycle_min", "die_min", "until_min", "rupture_min")
            for column in columns:
                self._ahead[column] = self._base[column]

    def _scatter(self, rng: np.random.Generator) -> NDArray[np.void]:
        """Draw the cells of an open dish, with their places."""
        view_um = 1024 * self.world.optics.pixel_um
        count = round(self.world.cells.n * (self.field_um / view_um) ** 2)
        if count > MOST_CELLS:
            raise BadWorld(
                f"cells.n = {self.world.cells.n} a view makes {count} cells in a field "
                f"of {self.field_um:.0f} um with stage.margin_um = "
                f"{self.world.stage.margin_um:g}; at most {MOST_CELLS} can be "
                "simulated: lower one of the two"
            )
        cells = draw_cells(self.world, rng, count)
        self._place(cells, rng)
        return cells

    def _place(self, cells: NDArray[np.void], rng: np.random.Generator) -> None:
        """Scatter cells evenly; a few may lie on each other, as in a dish."""
        half = self.field_um / 2
        spacing = 0.62 * self.field_um / math.sqrt(max(1, len(cells)))
        placed = cells["centre_um"]
        for row in range(len(cells)):
            for _ in range(20):
                spot = rng.uniform(-half, half, 2)
                gap = np.hypot(*(placed[:row] - spot).T)
                if not row or gap.min() > spacing or rng.random() < 0.06:
                    break
            placed[row] = spot
