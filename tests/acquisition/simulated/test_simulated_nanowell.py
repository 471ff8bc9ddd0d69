"""Cells in nanowells: who is there, how they move and meet, and who kills whom."""

from typing import Any

import numpy as np
import pytest

from acquisition.clock import Clock
from acquisition.errors import BadWorld
from acquisition.simulated.fields import render_field
from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.chip import Chip
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.population import IS_DEAD, CellKind, LifeState
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.world import World

SIX_HOURS_MIN = 360


def chip_world(spontaneous_per_h: float = 0.0, **nanowell: Any) -> World:
    """Give the shipped world of nanowells, all alive, with other numbers."""
    world = World.load("nanowell_20x")
    assert world.nanowell is not None
    death = {"spontaneous_per_h": spontaneous_per_h}
    return world.model_copy(
        update={
            "nanowell": world.nanowell.model_copy(update=nanowell),
            "death": world.death.model_copy(update=death),
            "mix": Mix(mitosis=0, spreading=0),
        }
    )


def on_chip_um(specimen: Specimen) -> np.ndarray:
    """Give how far each cell lies from the middle of its well, on the chip's axes."""
    chip, cells = specimen.chip, specimen.cells
    assert chip is not None
    y, x = (cells["centre_um"] - chip.centres_um(cells["well"])).T
    c, s = chip.turn
    return np.abs(np.stack([c * y - s * x, c * x + s * y], 1))


def test_wells_are_filled_as_the_world_says() -> None:
    """Counts stay in their ranges, four cells at most, and empty wells occur."""
    specimen = Specimen(chip_world(effectors=(0, 3), targets=(0, 3)), 1, 2000)
    assert specimen.chip is not None
    wells = specimen.chip.touching((0, 0), 2000)

    kind, well = specimen.cells["kind"], specimen.cells["well"]
    crowds = [np.isin(wells, well[kind == k]) for k in CellKind]
    counts = [[np.sum(well[kind == k] == w) for k in (1, 2)] for w in wells]

    assert not crowds[CellKind.ADHERENT].any()
    assert np.max(counts, axis=0).tolist() == [3, 3]
    assert 0 == np.min(np.sum(counts, axis=1)) < np.max(np.sum(counts, axis=1)) == 4


def test_size_alone_does_not_tell_the_type() -> None:
    """The larger of an effector and a target is the target, but not always."""
    cells = Specimen(chip_world(), 2, 1500).cells
    effectors, targets = (cells["radius_um"][cells["kind"] == k] for k in (1, 2))

    auroc = np.mean(effectors[:, None] < targets)

    assert effectors.mean() < targets.mean()
    assert 0.6 < auroc < 0.8


def test_no_cell_crosses_a_wall_in_six_hours() -> None:
    """On a turned chip, at every minute, all bodies are between their walls."""
    specimen = Specimen(chip_world(0.05, turn_deg=2.0), 3, 500)
    farthest = 0.0

    for _ in range(SIX_HOURS_MIN):
        specimen.advance(60)
        reach = on_chip_um(specimen) + specimen.cells["radius_um"][:, None]
        farthest = max(farthest, float(reach.max()))

    assert 23 < farthest < 25


def test_the_number_of_cells_in_a_well_stays() -> None:
    """No cell comes, goes or divides within the six hours of an assay."""
    specimen = Specimen(chip_world(0.05), 4, 500)
    before = specimen.cells[["id", "well", "kind"]].copy()

    specimen.advance(6 * 3600)

    assert np.array_equal(specimen.cells[["id", "well", "kind"]], before)


@pytest.mark.parametrize(
    ("crowd", "low", "high"),
    [(((1, 1), (0, 0)), 5, 10), (((0, 0), (1, 1)), 1, 2)],
    ids=["effectors", "targets"],
)
def test_lone_cells_have_the_speed_of_their_type(
    crowd: tuple[tuple[int, int], ...], low: float, high: float
) -> None:
    """Effectors make 5 to 10 um a minute, targets 1 to 2 (LFT)."""
    specimen = Specimen(chip_world(effectors=crowd[0], targets=crowd[1]), 5, 1000)
    places = []

    for _ in range(91):
        places.append(specimen.cells["centre_um"].copy())
        specimen.advance(20)

    steps = np.linalg.norm(np.diff(places, axis=0), axis=2) * 3
    assert low < steps.mean() < high


def followed(world: World, seed: int, field_um: float) -> list[np.ndarray]:
    """Give the table of cells at every minute of six hours."""
    specimen = Specimen(world, seed, field_um)
    tables = []
    for _ in range(SIX_HOURS_MIN):
        specimen.advance(60)
        tables.append(specimen.cells.copy())
    return tables


def test_contacts_are_long_and_slow() -> None:
    """A conjugate lasts 10 to 60 minutes, touches all the time and nearly stands."""
    tables = followed(chip_world(effectors=(1, 1), targets=(1, 1)), 6, 500)
    held = np.array([t["partner"][t["kind"] == CellKind.EFFECTOR] > 0 for t in tables])
    where = [t["centre_um"] for t in tables]
    away = np.array([np.linalg.norm(w[::2] - w[1::2], axis=1) for w in where])
    steps = np.linalg.norm(np.diff([w[::2] for w in where], axis=0), axis=2)

    edges = np.diff(np.pad(held, ((1, 1), (0, 0))).astype(int), axis=0)
    lasted = np.nonzero(edges.T < 0)[1] - np.nonzero(edges.T > 0)[1]

    assert 25 < np.median(lasted) < 45
    assert lasted.max() <= 60
    assert away[held].max() < 16
    assert steps[held[1:]].mean() < 0.4 * steps[~held[1:]].mean()


def test_kills_are_as_likely_as_the_world_says() -> None:
    """At one to one, the chance given is the share of targets met that die of it."""
    specimen = Specimen(chip_world(effectors=(1, 1), targets=(1, 1)), 7, 2600)

    specimen.advance(6 * 3600)

    cells = specimen.cells
    met = int(np.count_nonzero(cells["met"]))
    killed = int(np.count_nonzero(cells["killer"]))
    assert met > 1000
    assert killed / met == pytest.approx(0.31, abs=3 * np.sqrt(0.31 * 0.69 / met))


def test_a_kill_has_its_cause_and_its_delay() -> None:
    """A target dies 20 to 90 minutes after its killer, from its well, first held it."""
    world = chip_world(effectors=(1, 2), targets=(1, 2), kill_probability=1.0)
    tables = followed(world, 8, 500)
    last = tables[-1]
    minutes = 1 + np.arange(len(tables))

    for row in np.flatnonzero(np.isfinite(last["commit_min"])):
        killer = int(np.flatnonzero(last["id"] == last["killer"][row])[0])
        held = np.array([t["partner"][killer] == t["id"][row] for t in tables])
        wait = last["commit_min"][row] - minutes[held.argmax()]
        assert last["well"][killer] == last["well"][row]
        assert last["kind"][killer] == CellKind.EFFECTOR
        assert held.any()
        assert 20 <= wait <= 91
        assert last["state"][row] not in (LifeState.SWELLING, LifeState.GHOST)
    assert np.count_nonzero(last["killer"]) > 20


def test_without_a_kill_nobody_is_blamed() -> None:
    """Cells that die by themselves have no killer in the truth."""
    specimen = Specimen(chip_world(0.2, kill_probability=0.0), 9, 600)

    specimen.advance(6 * 3600)

    truth = specimen.columns()
    assert truth.dead.sum() > 20
    assert not truth.killer.any()


def test_a_chip_is_the_same_whoever_looks() -> None:
    """One seed is one chip of cells, however time is cut; another seed is another."""
    once, often, other = (Specimen(chip_world(0.02), seed, 400) for seed in (5, 5, 6))
    once.advance_to(7200)
    other.advance_to(7200)

    while often.time_s < 7100:
        often.advance(47.3)
        often.columns()
    often.advance_to(7200)

    assert often.cells.tobytes() == once.cells.tobytes()
    assert other.cells.tobytes() != once.cells.tobytes()


def test_wells_keep_their_numbers_under_drift_and_moves() -> None:
    """Wherever the stage and the chip have gone, a cell is in the well it names."""
    world = chip_world()
    assert world.nanowell is not None
    chip, clock = Chip.lay(world.nanowell, 3), Clock("stepped")
    drifting = world.stage.model_copy(update={"drift_um_per_h": (20.0, -30.0)})
    world = world.model_copy(update={"stage": drifting})
    stand = SimulatedStand(world, 3, 512, clock)
    stand.start()

    for hour in range(1, 4):
        clock.step_to(3600.0 * hour)
        stand.move_to((10.0 * hour, -15.0))
        cells = stand.begin_cycle().cells
        crept_um = hour * np.array([20.0, -30.0])

        found = chip.inside(cells.centre_um + crept_um)
        assert np.array_equal(found, cells.well)


def test_death_and_type_are_independent_in_fields() -> None:
    """A mix makes as many effectors die as targets, and none of them spreads."""
    world = chip_world()
    fields = [render_field(world, 20 + n, 1024, Mix.of(0.4, 0.2)) for n in range(4)]
    kind = np.concatenate([field.kind for field in fields])
    state = np.concatenate([field.specimen_state for field in fields])

    shares = [IS_DEAD[state[kind == k]].mean() for k in (1, 2)]

    assert min(np.bincount(kind)[1:]) > 40
    assert abs(shares[0] - shares[1]) < 0.25
    assert np.mean(shares) == pytest.approx(0.4, abs=0.12)
    assert LifeState.SPREADING not in state


def test_a_chip_too_fine_for_the_field_is_refused() -> None:
    """Millions of wells in a wide dish: one clear error, at once."""
    world = chip_world(pitch_um=12.0, well_um=11.0, block_gap_um=0.0)

    with pytest.raises(BadWorld, match=r"nanowell\.pitch_um = 12"):
        Specimen(world, 1, 20_000)
