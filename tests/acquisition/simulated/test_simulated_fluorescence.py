"""Fluorescence images: what the dyes show of the truth, and what they do not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.clock import Clock
from acquisition.simulated.light.fluorescence import DYES, dna_content
from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.population import LifeState
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.view import Cycle
from acquisition.simulated.world import World

SIZE = 512
OLD_MIN = 60.0


def make_stand(seed: int, mix: Mix | None = None, **sections: object) -> SimulatedStand:
    """Give a stand with a quarter of the cells dead, and as many that look it."""
    world = World.load("cho_10x")
    mix = Mix.of(0.25, 0.25) if mix is None else mix
    world = world.model_copy(update={"mix": mix, **sections})
    stand = SimulatedStand(world, seed, SIZE, Clock("stepped"), channels=DYES)
    stand.start()
    return stand


def take(stand: SimulatedStand, dye: str, number: int = 0) -> tuple[Cycle, NDArray]:
    """Take one picture (y, x) of a dye, less the counts of an empty dish."""
    stand.set_channel(dye)
    cycle = stand.begin_cycle()
    out = np.empty((SIZE, SIZE), np.uint16)
    stand.expose(cycle, 0, 400.0, number, out)
    empty = np.median(out[cycle.labels == 0])
    return cycle, out.astype(float) - float(empty)


def per_nucleus(cycle: Cycle, picture: NDArray) -> dict[int, float]:
    """Give the mean light inside each nucleus of at least 30 pixels."""
    ids, index, count = np.unique(cycle.nuclei, return_inverse=True, return_counts=True)
    mean = np.bincount(index.ravel(), picture.ravel()) / count
    whole = zip(ids.tolist(), mean.tolist(), count.tolist(), strict=True)
    return {cell: light for cell, light, n in whole if cell and n >= 30}


def test_the_dyes_tell_the_dead_from_the_living() -> None:
    """Green over blue finds over 97 % of those dead for an hour; bleed finds nobody."""
    old, called, living, wrong = 0, 0, 0, 0
    for seed in (1, 2, 3):
        stand = make_stand(seed)
        cycle, blue = take(stand, "NucBlue", 0)
        _, green = take(stand, "NucGreen", 1)
        light, ratio = per_nucleus(cycle, blue), per_nucleus(cycle, green)
        row = {int(cell): n for n, cell in enumerate(cycle.cells.id)}
        for cell, glow in light.items():
            since = cycle.cells.minutes_since_rupture[row[cell]]
            is_green = ratio[cell] > 0.25 * glow
            old += since > OLD_MIN
            called += since > OLD_MIN and is_green
            living += not cycle.cells.dead[row[cell]]
            wrong += not cycle.cells.dead[row[cell]] and is_green

    assert old > 40
    assert called > 0.97 * old
    assert living > 100
    assert wrong <= 0.02 * living


def test_blue_light_is_that_of_the_dna() -> None:
    """Nuclei in mitosis give twice the light of young ones, however condensed."""
    stand = make_stand(4, Mix(mitosis=0.3, spreading=0.0))
    cycle, blue = take(stand, "NucBlue")
    table = Specimen.under_stand(stand.world, 4, SIZE).cells
    dna = dict(zip(table["id"].tolist(), dna_content(table), strict=True))

    sums = np.bincount(cycle.nuclei.ravel(), blue.ravel(), minlength=65536)
    inside = np.unique(cycle.nuclei[8:-8, 8:-8])[1:]
    single = [sums[cell] for cell in inside.tolist() if dna[cell] < 1.05]
    double = [sums[cell] for cell in inside.tolist() if dna[cell] > 1.95]

    assert min(len(single), len(double)) > 10
    assert np.median(double) / np.median(single) == pytest.approx(2, rel=0.3)


def test_annexin_marks_the_rim_of_apoptotic_cells() -> None:
    """Apoptotic cells glow at their border, opened ones inside too, others nowhere."""
    cycle, picture = take(make_stand(5), "AnnexinV")
    light = per_state(cycle, picture)

    assert light[LifeState.LATE_APOPTOSIS] > 5 * light[LifeState.INTERPHASE]
    assert light[LifeState.GHOST] > 5 * light[LifeState.INTERPHASE]


def per_state(cycle: Cycle, picture: NDArray) -> dict[int, float]:
    """Give the median light of the cells of each state."""
    found: dict[int, list[float]] = {}
    for cell, state in zip(cycle.cells.id, cycle.cells.state, strict=True):
        light = float(picture[cycle.labels == cell].mean())
        found.setdefault(int(state), []).append(light)
    return {state: float(np.median(light)) for state, light in found.items()}


def test_light_destroys_the_dye() -> None:
    """Each exposure takes its share, of the channel that was lit alone."""
    stand = make_stand(6)
    _, before = take(stand, "NucBlue")
    for _ in range(100):
        stand.bleach(stand.begin_cycle(), 4000.0)

    _, after = take(stand, "NucBlue")
    kept = after[before > 500].sum() / before[before > 500].sum()

    assert kept == pytest.approx(0.9995**1000, abs=0.05)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two stands of one seed show the same dyes; a lost picture changes no other."""
    first, second = make_stand(7), make_stand(7)

    pictures = [take(first, "NucBlue", number)[1] for number in range(3)]
    second.set_channel("NucBlue")
    for _ in range(2):
        second.bleach(second.begin_cycle(), 400.0)

    assert np.array_equal(pictures[2], take(second, "NucBlue", 2)[1])
