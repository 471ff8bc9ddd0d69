"""Courses of cells whose future is known: what forecasts are trained and judged on.

A course holds the places of cells on a lattice of ticks, the ticks at which frames were
taken, where cells were measured in them, and what an oracle that knows each cell's walk
and present velocity would say. Two sources: made-up populations of persistent walks,
and the specimen of the simulated microscope itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from acquisition.records import Cells, CellState, Tracks
from acquisition.simulated.specimen.dish import STEP_US, Specimen
from acquisition.simulated.truth.oracle import forecast_displacement
from acquisition.simulated.world import World

SPECIMEN_TICK_S = STEP_US / 1e6
SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Population:
    """Cells on persistent walks, each with a speed and a persistence of its own."""

    cells: int = 500
    speed_um_per_min: float = 4.0
    """Median over the cells of the root mean square speed."""
    speed_spread: float = 0.0
    """Standard deviation of its logarithm."""
    persistence_min: float = 5.0
    persistence_spread: float = 0.0
    resting: float = 0.0
    """Share of the cells that do not move at all."""
    stopping: float = 0.0
    """Probability of a tick after which a cell never moves again."""
    tremble_um: float = 0.0
    """Random step of a tick of those that rest or have stopped."""
    noise_um: float = 0.7


@dataclass(frozen=True, slots=True)
class Course:
    """Cells over time; a cell that is not there, or not measured, is NaN."""

    tick_s: float
    place_um: NDArray[np.float64]  # (tick, cell, yx)
    dead: NDArray[np.bool_]  # (tick, cell)
    frames: NDArray[np.int64]  # (frame,) tick of each
    seen_um: NDArray[np.float64]  # (frame, cell, yx)
    ahead: NDArray[np.int64]  # (horizon,) ticks
    oracle_um: NDArray[np.float64]  # (frame, cell, horizon, yx) mean place
    oracle_um2: NDArray[np.float64]  # (frame, cell, horizon) variance of an axis

    @property
    def horizons_s(self) -> tuple[float, ...]:
        """The horizons in s."""
        return tuple((self.ahead * self.tick_s).tolist())

    def later_um(self, frame: int) -> NDArray[np.float64]:
        """Give the true places (cell, horizon, yx) after a frame, NaN past the end."""
        ticks = self.frames[frame] + self.ahead
        later = np.full((self.place_um.shape[1], self.ahead.size, 2), np.nan)
        inside = ticks < len(self.place_um)
        later[:, inside] = self.place_um[ticks[inside]].swapaxes(0, 1)
        return later

    def shown(self, first_id: int = 1) -> Iterator[tuple[float, Cells, Tracks]]:
        """Give time, cells and tracks of every frame, under their true names.

        A cell has a track from its first measured frame to its last frame alive or
        dead; where it is not measured its track coasts.
        """
        here = np.isfinite(self.place_um[self.frames, :, 0])
        seen = np.isfinite(self.seen_um[..., 0])
        age = np.cumsum(seen, axis=0)
        last_um = np.zeros_like(self.seen_um[0])
        for frame, tick in enumerate(self.frames.tolist()):
            last_um[seen[frame]] = self.seen_um[frame, seen[frame]]
            row = np.flatnonzero(here[frame] & (age[frame] > 0))
            yield (
                tick * self.tick_s,
                *_records(
                    first_id + row,
                    last_um[row],
                    seen[frame, row],
                    age[frame, row],
                    self.dead[tick, row],
                ),
            )


def _records(
    track_id: NDArray[np.int64],
    centre_um: NDArray[np.float64],
    seen: NDArray[np.bool_],
    age: NDArray[np.int64],
    dead: NDArray[np.bool_],
) -> tuple[Cells, Tracks]:
    count = track_id.size
    label = np.where(seen, np.arange(1, count + 1), 0).astype(np.int32)
    state = np.where(dead, CellState.DEAD, CellState.LIVE).astype(np.uint8)
    ones, no = np.ones(count, np.float32), np.zeros(count, np.bool_)
    nothing = np.zeros(count, np.int64)
    tracks = Tracks(
        track_id=track_id,
        label=label,
        centre_um=centre_um,
        velocity_um_per_s=np.zeros((count, 2)),
        radius_um=10 * ones,
        age_frames=age.astype(np.int32),
        missed_frames=np.zeros(count, np.int32),
        dead_probability=dead.astype(np.float32),
        state=state,
        unsure=no,
        parent=nothing,
        merged_with=nothing,
        quality=ones,
        provisional=no,
    )
    cells = Cells(
        label=label[seen],
        centre_um=centre_um[seen],
        area_um2=300 * ones[seen],
        axes_um=np.ones((int(seen.sum()), 2), np.float32),
        angle_rad=ones[seen],
        mean_phase_rad=ones[seen],
        dry_mass_pg=ones[seen],
        dead_probability=dead[seen].astype(np.float32),
        state=state[seen],
        unsure=no[seen],
        touches_edge=no[seen],
        box_px=np.zeros((int(seen.sum()), 4), np.int32),
        touching=np.empty((0, 2), np.int32),
    )
    return cells, tracks


def walk_course(
    population: Population,
    frames: NDArray[np.int64],
    ahead: NDArray[np.int64],
    rng: Generator,
    tick_s: float = SECONDS_PER_MINUTE,
) -> Course:
    """Let a made-up population walk until the last horizon of the last frame.

    Parameters
    ----------
    frames, ahead
        Ticks of the frames, and of the horizons after each.
    """
    count, tick_min = population.cells, tick_s / SECONDS_PER_MINUTE
    spread = np.exp(population.speed_spread * rng.normal(size=(count, 1)))
    sigma = population.speed_um_per_min * spread / np.sqrt(2)
    spread = np.exp(population.persistence_spread * rng.normal(size=(count, 1)))
    persistence = population.persistence_min * spread
    left = np.exp(-tick_min / persistence)
    stopped = rng.random((count, 1)) < population.resting
    total = int(frames[-1] + ahead[-1]) + 1
    place, velocity = np.empty((total, count, 2)), np.empty((total, count, 2))
    here, v = rng.uniform(0, 2000, (count, 2)), sigma * rng.normal(size=(count, 2))
    for tick in range(total):
        v = np.where(stopped, 0.0, v)
        place[tick], velocity[tick] = here, v
        # As the reference scene does it: the new velocity is the step of the tick.
        v = left * v + np.sqrt(1 - left**2) * sigma * rng.normal(size=(count, 2))
        tremble = population.tremble_um * rng.normal(size=(count, 2))
        stopped = stopped | (rng.random((count, 1)) < population.stopping)
        here = here + np.where(stopped, tremble, tick_min * v)
    noise = rng.normal(0, population.noise_um, (frames.size, count, 2))
    mean, variance = _walk_oracle(velocity[frames], left, sigma, ahead, tick_min)
    return Course(
        tick_s=tick_s,
        place_um=place,
        dead=np.zeros((total, count), np.bool_),
        frames=frames,
        seen_um=place[frames] + noise,
        ahead=ahead,
        oracle_um=place[frames][:, :, None] + mean,
        oracle_um2=variance,
    )


def _walk_oracle(
    velocity: NDArray[np.float64],
    left: NDArray[np.float64],
    sigma: NDArray[np.float64],
    ahead: NDArray[np.int64],
    tick_min: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give mean displacement and variance of the walk of the reference scene.

    With ``a`` = left: the path of n ticks is ``v (a + ... + a^n)``; the kick of tick j
    is carried on by ``1 + ... + a^(n-j)``. Chance stops are not foreseen.
    """
    mean = np.empty((*velocity.shape[:2], ahead.size, 2))
    variance = np.empty((*velocity.shape[:2], ahead.size))
    for column, ticks in enumerate(ahead.tolist()):
        powers = left ** np.arange(1, ticks + 1)  # (cell, tick)
        mean[:, :, column] = tick_min * velocity * powers.sum(axis=1)[:, None]
        carried = np.cumsum(left ** np.arange(ticks), axis=1)
        kick = (1 - left[:, 0] ** 2) * sigma[:, 0] ** 2 * tick_min**2
        still = (velocity == 0).all(axis=2)
        variance[:, :, column] = np.where(still, 0, kick * (carried**2).sum(axis=1))
    return mean, variance


def specimen_course(
    world: World,
    seed: int,
    frames: NDArray[np.int64],
    ahead: NDArray[np.int64],
    noise_um: float,
) -> Course:
    """Let the specimen of the simulated microscope live, seen under its true names.

    One tick is a step of its lattice, 20 s. Cells are measured with ``noise_um``.
    """
    specimen = Specimen.under_stand(world, seed, 1024)
    rng = np.random.default_rng([seed, 77])
    total = int(frames[-1] + ahead[-1]) + 1
    horizons_s = tuple((ahead * SPECIMEN_TICK_S).tolist())
    ticks, oracles = [], {}
    start_s = specimen.time_s
    for tick in range(total):
        specimen.advance_to(start_s + tick * SPECIMEN_TICK_S)
        cells = specimen.columns()
        ticks.append((cells.id.astype(np.int64), cells.centre_um, cells.dead))
        if tick in frames:
            told = forecast_displacement(specimen, horizons_s)
            oracles[tick] = (told.id, told.mean_um, told.variance_um2)
    count = int(max(ids.max(initial=0) for ids, _, _ in ticks))
    place = np.full((total, count, 2), np.nan)
    dead = np.zeros((total, count), np.bool_)
    for tick, (ids, centre_um, is_dead) in enumerate(ticks):
        place[tick, ids - 1], dead[tick, ids - 1] = centre_um, is_dead
    mean = np.full((frames.size, count, ahead.size, 2), np.nan)
    variance = np.full((frames.size, count, ahead.size), np.nan)
    for frame, tick in enumerate(frames.tolist()):
        ids, moved, spread = oracles[tick]
        mean[frame, ids - 1] = place[tick, ids - 1, None] + moved
        variance[frame, ids - 1] = spread
    seen = place[frames] + rng.normal(0, noise_um, (frames.size, count, 2))
    return Course(SPECIMEN_TICK_S, place, dead, frames, seen, ahead, mean, variance)


def with_gaps(course: Course, missed: float, rng: Generator) -> Course:
    """Give the course with a share of the measurements left out."""
    gone = rng.random(course.seen_um.shape[:2]) < missed
    return replace(course, seen_um=np.where(gone[..., None], np.nan, course.seen_um))
