"""Fields for training: truth, reproducibility and the audit against shortcuts."""

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from acquisition.records import CellState
from acquisition.simulated.fields import Field, randomise, render_field
from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.population import IS_DEAD
from acquisition.simulated.world import World


def phase_of(field: Field) -> np.ndarray:
    """Retrieve the phase with the constants of the default world."""
    i0, i1, i2, i3 = field.frames.astype(float)
    phase = np.arctan2(0.6 * (i1 - i3) / 4, 1800 / 0.46 + 0.6 * (i0 - i2) / 4)
    return phase - np.median(phase[field.labels == 0])


def auroc(score: np.ndarray, truth: np.ndarray) -> float:
    """Give the area under the curve, whichever way the score points."""
    ranks = rankdata(score)[truth]
    dead, live = truth.sum(), (~truth).sum()
    area = (ranks.sum() - dead * (dead + 1) / 2) / (dead * live)
    return float(max(area, 1 - area))


def test_one_seed_is_one_field() -> None:
    """The same world and seed give the same bytes."""
    world = World.load("demo")

    one, two = render_field(world, 3, 256), render_field(world, 3, 256)

    assert one.frames.tobytes() == two.frames.tobytes()
    assert one.labels.tobytes() == two.labels.tobytes()


def test_every_label_has_its_row() -> None:
    """Columns hold exactly the labels of the map, with matching states."""
    field = render_field(World.load("demo"), 4, 512)

    labels = np.unique(field.labels)
    dead = field.state == CellState.DEAD
    assert np.array_equal(field.ids, labels[labels > 0])
    assert np.array_equal(dead, IS_DEAD[field.specimen_state])
    assert np.array_equal(dead, field.minutes_since_rupture >= 0)
    assert (field.visible_share <= 1).all()


def test_the_mix_rules_the_field() -> None:
    """A field has about the dead fraction that was asked for."""
    field = render_field(World.load("cho_10x"), 5, 1024, Mix.of(dead=0.5, alike=0.2))

    assert abs((field.state == CellState.DEAD).mean() - 0.5) < 0.08


def test_randomised_worlds_stay_within_their_limits() -> None:
    """Every draw is a valid world, and no two are alike."""
    world, rng = World.load("cho_10x"), np.random.default_rng(1)

    drawn = [randomise(world, rng) for _ in range(50)]

    checked = [World.check(one.model_dump(by_alias=True), "draw") for one in drawn]
    assert len({one.hash for one in checked}) == 50


def test_no_single_feature_tells_the_dead() -> None:
    """Mean, spread, peak, area and mass of true masks each stay below 0.80 AUROC."""
    rows, dead = [], []
    for seed in range(3):
        world, mix = World.load("cho_10x"), Mix.of(dead=0.25, alike=0.25)
        field = render_field(world, 100 + seed, 1024, mix)
        phase, labels, ids = phase_of(field), field.labels, field.ids
        peak = ndimage.labeled_comprehension(phase, labels, ids, _p98, float, 0.0)
        area, total, square = (
            np.bincount(labels.ravel(), weights=values.ravel())[ids]
            for values in (np.ones_like(phase), phase, phase**2)
        )
        spread = square / area - (total / area) ** 2
        rows.append(np.stack([peak, area, total, total / area, spread]))
        dead.append(field.state == CellState.DEAD)

    scores = [auroc(row, np.concatenate(dead)) for row in np.concatenate(rows, 1)]

    assert max(scores) < 0.80


def _p98(values: np.ndarray) -> float:
    return float(np.percentile(values, 98))
