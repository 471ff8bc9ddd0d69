"""The shortcut audit: its features, classifiers, oracle, network and gates."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest

from acquisition.errors import BadWorld
from acquisition.simulated.drawing.looks import LOOK
from acquisition.simulated.fields import render_field
from acquisition.simulated.sections import Audit
from acquisition.simulated.world import SHIPPED_WORLDS, World
from calibration.audit.cells import AuditCells, amplitude_of, collect, picture_of
from calibration.audit.classifiers import (
    auroc,
    best_column,
    even_pics_f1,
    held_out,
    held_out_calls,
    linear,
    weighted_f1,
)
from calibration.audit.controls import control_faults, empty_dish, sham_deaths
from calibration.audit.features import FEATURES, FeatureMaps
from calibration.audit.latent import MIX, collect_latent, latent_columns
from calibration.audit.network import Training, look_and_learn
from calibration.audit.report import QUICK, audit_world, broken_gates

SHIPPED = sorted(path.stem for path in SHIPPED_WORLDS.glob("*.toml"))


def silent(what: str, share: float) -> None:
    """Take no interest in the progress."""


def disc(radius_px: float) -> np.ndarray:
    """Give the mask of a disc in 101 x 101 pixels."""
    y, x = np.mgrid[-50:51, -50:51]
    return np.asarray(np.hypot(y, x) < radius_px)


def test_first_order_features_are_what_their_names_say() -> None:
    """Mean, area and mass of a uniform disc follow from height and radius."""
    mask = disc(20)
    maps = FeatureMaps(np.where(mask, 0.5, 0).astype(np.float32), pixel_um=0.5)

    found = dict(
        zip(FEATURES, maps.measure((slice(0, 101), slice(0, 101)), mask), strict=True)
    )

    assert len(FEATURES) == 21
    assert found["mean"] == pytest.approx(0.5)
    assert found["area"] == pytest.approx(math.pi * 10**2, rel=0.02)
    assert found["mass"] == pytest.approx(found["mean"] * found["area"])
    assert found["elongation"] == pytest.approx(1, abs=0.01)
    assert found["filling"] == pytest.approx(1, abs=0.02)
    assert found["depth"] == pytest.approx(10, abs=0.3)


def test_auroc_is_folded() -> None:
    """A score that is wrong every time tells as much as one that is right."""
    dead = np.array([False, False, True, True])

    areas = [auroc(dead, np.array(score)) for score in ([1, 2, 3, 4], [4, 3, 2, 1])]

    assert areas == [1.0, 1.0]
    assert best_column(
        dead, np.array([[0, 1], [1, 1], [0, 2], [1, 2]]), ("a", "b")
    ) == (
        "b",
        1.0,
    )


def test_f1_is_stated_for_a_quarter_of_dead_cells() -> None:
    """Twice as many live cells, judged equally well, change neither figure."""
    dead = np.repeat([True, False], [40, 100])
    called = dead.copy()
    called[[0, 1, 2, 3, 50, 51, 52, 53, 54]] ^= True
    wide = np.concatenate([np.arange(140), np.arange(40, 140)])

    f1 = weighted_f1(called, dead)

    assert f1.dead == pytest.approx(2 * 0.225 / (2 * 0.225 + 0.025 + 0.0375))
    again = weighted_f1(called[wide], dead[wide])
    assert (again.live, again.dead) == pytest.approx((f1.live, f1.dead))


def test_even_f1_does_not_follow_the_share_of_the_dead() -> None:
    """The same likelihood ratios among few and many dead give the same figure."""
    rng = np.random.default_rng(4)
    ratio = {True: rng.normal(2, 1, 4000), False: rng.normal(-2, 1, 4000)}

    figures = []
    for count in (100, 4000):
        dead = np.repeat([True, False], [count, 4000])
        odds = np.log(count / 4000) + 2 * np.concatenate(
            (np.resize(ratio[True], count), ratio[False])
        )
        figures.append(even_pics_f1(1 / (1 + np.exp(-odds)), dead))

    assert figures[0] == pytest.approx(figures[1], abs=0.02)
    assert figures[1] == pytest.approx(0.977, abs=0.005)  # the normal above -2


def test_a_field_is_never_judged_by_a_model_that_saw_it() -> None:
    """A column that only names the field tells nothing about its cells."""
    rng = np.random.default_rng(1)
    field = np.repeat(np.arange(12), 50)
    dead = rng.random(600) < np.repeat(rng.random(12) > 0.5, 50) * 0.4 + 0.1
    columns = np.eye(12)[field]

    score = held_out(linear(), columns, dead, field)

    assert auroc(dead, score) < 0.75
    assert np.ptp(score[field == 3]) < 1e-9


def test_the_threshold_comes_from_other_fields() -> None:
    """Turning the labels of one field over does not change how it is called."""
    rng = np.random.default_rng(2)
    field = np.repeat(np.arange(4), 100)
    dead = rng.random(400) < 0.25
    score = np.clip(0.3 * dead + rng.random(400) * 0.6, 0, 1)
    turned = np.where(field == 1, ~dead, dead)

    calls = [
        held_out_calls(score, truth, field)[field == 1] for truth in (dead, turned)
    ]

    np.testing.assert_array_equal(*calls)


def test_the_oracle_sees_all_but_places_turns_and_the_answer() -> None:
    """No column of a drawing is left out beside those, and parts not drawn are 0."""
    looks = np.ones(3, LOOK)
    looks["bodies"] = [0, 1, 9]

    names, columns = latent_columns(looks)

    seen = {name.split(".")[0].split("/")[0] for name in names}
    left_out = set(LOOK.names or ()) - seen
    assert {"centre_um", "texture_at", "state", "age_min", "angle"} <= left_out
    assert all(
        name in ("centre_um", "texture_at", "state", "age_min")
        or name.endswith(("angle", "turn"))
        for name in left_out
    )
    assert columns[0, names.index("body_radius_um.max")] == 0
    assert np.isfinite(columns).all()


def test_latent_cells_are_those_that_would_be_rendered() -> None:
    """A quarter of them is dead, the same seed gives the same, another one does not."""
    world = World.load("cho_40x")

    first, again, other = (collect_latent(world, seed, 300) for seed in (5, 5, 500))

    assert len(first.dead) >= 300
    assert 0.15 < first.dead.mean() < 0.35
    np.testing.assert_array_equal(first.columns, again.columns)
    assert not np.array_equal(first.columns[:50], other.columns[:50])


@pytest.fixture(scope="module")
def cells() -> AuditCells:
    """Give the cells of a few fields with their crops."""
    return collect(World.load("cho_10x"), 3, 600, silent, crops=True)


def test_judged_cells_lie_inside_their_fields(cells: AuditCells) -> None:
    """Every crop holds its own mask, and no row has a gap."""
    assert len(cells.dead) >= 600
    assert cells.features.shape == (len(cells.dead), 21)
    assert np.isfinite(cells.features).all()
    middle = cells.crops[:, 1, 24:40, 24:40].astype(np.float32)
    assert (middle.max(axis=(1, 2)) > 0.5).mean() > 0.97
    assert np.isfinite(cells.drawn).all()


@pytest.mark.parametrize("modality", ["phase_contrast", "brightfield"])
def test_single_shots_are_audited_relative_to_the_empty_field(modality: str) -> None:
    """The background of the picture is 0 and cells stand out of it."""
    world = World.load("cho_10x")
    optics = world.optics.model_copy(update={"modality": modality})
    world = world.model_copy(update={"optics": optics})
    field = render_field(world, 4, 256, MIX)

    picture = picture_of(field, world, 4)

    empty, cell = picture[field.labels == 0], picture[field.labels > 0]
    assert abs(np.median(empty)) < 0.08
    assert cell.std() > 1.5 * empty.std()


def test_a_small_network_learns(cells: AuditCells) -> None:
    """After a few rounds it beats chance."""
    seen = look_and_learn(cells, cells.dead, Training(epochs=3), silent)

    assert auroc(cells.dead[seen.rows], seen.score) > 0.65


def test_a_small_network_repeats_itself(cells: AuditCells) -> None:
    """A second training gives equal scores."""
    names = AuditCells.__dataclass_fields__
    few = AuditCells(*(getattr(cells, name)[::3] for name in names))
    training = Training(epochs=2)

    first, again = (look_and_learn(few, few.dead, training, silent) for _ in "ab")

    assert np.ptp(first.score) > 0
    np.testing.assert_array_equal(first.score, again.score)


def test_the_network_sees_single_shots_as_amplitude() -> None:
    """The noise of few and many photons is equally strong, and an empty field is 0."""
    light = np.random.default_rng(0).poisson((500, 8000), (4000, 2)) / 500 - 1

    spread = amplitude_of(light.astype(np.float32)).std(axis=0)

    assert amplitude_of(np.zeros(1, np.float32)) == 0
    assert spread[1] == pytest.approx(spread[0], rel=0.1)


def figures(**changed: float) -> dict[str, object]:
    """Give figures that meet every gate, but for the changed ones."""
    good = {
        "feature_single": "mass",
        "latent_single": "rim",
        "auroc_single_max": 0.7,
        "auroc_linear6": 0.8,
        "auroc_forest21": 0.9,
        "auroc_latent_max": 0.85,
        "auroc_cnn": 0.97,
        "oracle_f1_live": 0.98,
        "oracle_f1_dead": 0.96,
    }
    return {**good, **changed}


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"auroc_single_max": 0.81}, "mass alone"),
        ({"auroc_linear6": 0.89}, "six plain features"),
        ({"auroc_forest21": 0.96}, "too much"),
        ({"auroc_forest21": 0.79}, "too little"),
        ({"auroc_latent_max": 0.93}, "rim alone"),
        ({"auroc_cnn": 0.95}, "a network sees too little"),
        ({"oracle_f1_live": 0.96}, "oracle_f1_live"),
        ({"oracle_f1_dead": 0.94}, "oracle_f1_dead"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_each_gate_fails_in_words(changed: dict[str, float], word: str) -> None:
    """A figure beyond its gate, on either side, is one fault that names it."""
    faults = broken_gates(figures(**changed), Audit())

    assert broken_gates(figures(), Audit()) == []
    assert len(faults) == 1
    assert word in faults[0]


def test_a_world_with_a_shortcut_fails() -> None:
    """Dead cells that have lost nearly all their mass are told by a line."""
    world = World.load("cho_10x")
    death = {"mass_loss": (0.85, 0.95), "instant_loss": 0.8}
    easy = world.model_copy(update={"death": world.death.model_copy(update=death)})

    result = audit_world(easy, 1, silent, replace(QUICK, latent_cells=800))

    assert not result["passed"]
    assert any("auroc_linear6" in fault for fault in result["faults"])


def test_an_empty_world_cannot_be_audited() -> None:
    """The error says how many cells there were and what to change."""
    world = World.load("cho_10x")
    none = world.model_copy(update={"cells": world.cells.model_copy(update={"n": 0})})

    with pytest.raises(BadWorld, match=r"gave 0 whole cells.*raise cells\.n"):
        audit_world(none, 1, silent, QUICK)


def test_a_sham_kills_as_many_as_the_world_says() -> None:
    """Cells begin to die at the spontaneous rate where nothing is done to them."""
    world = World.load("cho_10x")
    death = world.death.model_copy(update={"spontaneous_per_h": 0.01})

    result = sham_deaths(world.model_copy(update={"death": death}), 1, silent)

    assert result["sham_deaths_expected"] > 30
    assert control_faults(result) == []


def test_an_empty_dish_has_neither_cells_nor_events() -> None:
    """The product finds nothing between debris and floaters of the default world."""
    found = empty_dish(World.load("cho_10x"), 1, silent)

    assert (found.deaths, found.contacts) == (0, 0)
    assert found.objects == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_default_world_passes_the_quick_audit() -> None:
    """Neither six features nor one cue tell the dead, and the oracle does."""
    result = audit_world(World.load("cho_10x"), 1, silent, QUICK)

    assert result["faults"] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    os.environ.get("VIGIL_AUDIT") != "1",
    reason="takes many minutes a world; set VIGIL_AUDIT=1",
)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_world_passes_the_full_audit(name: str) -> None:
    """All gates hold, a network trained on the spot and the controls included."""
    result = audit_world(World.load(name), 1, silent)

    assert result["faults"] == []
