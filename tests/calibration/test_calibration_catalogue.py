"""Models listed, shown, verified, promoted; networks compared."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from acquisition.errors import BadConfig, BadModel, BadRun
from calibration.models.catalogue import list_models, show_model, verify_model
from calibration.models.harness import RESULT, budget, compare_networks, measure
from calibration.models.learning import LEARNING, learning_figures
from calibration.models.promotion import STRATA, compare_rows
from calibration.training.fields import generate
from calibration.training.recipe import (
    Augmentation,
    Candidate,
    Comparison,
    Fields,
    Optimiser,
    Recipe,
    load_recipe,
)
from inference.architectures import EncoderName, StemUNetShape, UNetShape
from inference.cards import MODELS, load_model, save_model
from inference.model_folder import CARD_FILE, WEIGHTS_FILE, Shelf
from tracking.forecasts.card import FORECASTS

TINY = Recipe(
    name="tiny",
    fields=Fields(size_px=256, train=2, validation=1, test=1, held_out_worlds=()),
    augmentation=Augmentation(crop_px=64),
    optimiser=Optimiser(steps=2, batch=1, evaluate_every=2, threads=1),
    compare=Comparison(
        frame_px=64,
        repeat=3,
        networks=(
            Candidate(name="one", network=StemUNetShape(base=8, levels=1)),
            Candidate(name="two", network=UNetShape(widths=(8, 16))),
        ),
    ),
)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Give a copy of the shipped model in a folder of models."""
    model = load_model("slim")
    folder = tmp_path / "mine"
    save_model(
        folder, model.card, model.weights, model.golden, "for a test", model.second
    )
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Change the card of a model without its hashes."""
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | changes))


def test_shipped_models_and_those_of_folders_are_listed(copied: Path) -> None:
    """A row says what a model is and how it did where it did worst."""
    edit(copied, architecture={"kind": "resnet"})

    rows = list_models([copied.parent])

    shipped = next(row for row in rows if row["name"] == "slim")
    mine = rows[-1]
    assert (shipped["name"], shipped["kind"]) == ("slim", "stem_unet")
    assert shipped["parameters"] > 1e6
    assert shipped["measured"].startswith("simulated")
    assert (mine["name"], mine["kind"]) == ("mine", None)
    assert "kind is none of" in mine["fault"]


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    """A list of nothing would look like an answer."""
    with pytest.raises(BadModel, match="no model in it"):
        list_models([tmp_path])


def test_a_card_is_told_in_words() -> None:
    """What it is not good for, and that it was never measured on real images."""
    shown = show_model("slim")

    assert "It is not good for:\n  - " in shown["text"]
    assert "On recordings of real microscopes:\n  never measured" in shown["text"]
    assert shown["gflop"] > 1


def test_the_shipped_model_is_whole() -> None:
    """The float32 reference gives the golden maps again."""
    checked = verify_model("slim")

    assert checked["whole"], checked["reason"]
    assert checked["golden_equal"] > 0.999


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: edit(folder, temperature=3.0), "other maps of the golden"),
        (lambda folder: edit(folder, weights_sha256="0" * 64), "sha256"),
        (lambda folder: (folder / WEIGHTS_FILE).write_bytes(b"\x80\x04."), "sha256"),
        (lambda folder: (folder / CARD_FILE).write_text("{"), "Invalid JSON"),
    ],
    ids=["temperature", "hash", "pickle", "card"],
)
def test_a_spoilt_model_is_not_whole(copied: Path, spoil: Any, reason: str) -> None:
    """Whatever was changed since it was written is found and said."""
    spoil(copied)

    checked = verify_model(str(copied))

    assert not checked["whole"]
    assert reason in checked["reason"]


def row(name: str, **figures: float | None) -> dict[str, Any]:
    """Give the row of a world, 0.9 in all that is not named."""
    return {"name": name, **dict.fromkeys(STRATA, 0.9), **figures}


def test_a_new_model_is_promoted_unless_a_stratum_loses_a_point() -> None:
    """Better on average does not help where one world gets worse."""
    old = [row("a"), row("b")]

    better = compare_rows(old, [row("a", object_f1_dead=0.891), row("b")])
    worse = compare_rows(
        old, [row("a", object_f1_live=1.0), row("b", object_f1_dead=0.88)]
    )

    assert better["promote"]
    assert not worse["promote"]
    assert worse["reasons"] == ["b, object_f1_dead: 0.880 instead of 0.900"]


def test_what_the_new_model_refuses_counts_as_lost() -> None:
    """Figures that only the old model has refuse it; without any, nothing is said."""
    nothing = dict.fromkeys(STRATA)

    lost = compare_rows([row("a")], [row("a", **nothing)])
    unknown = compare_rows([row("a", **nothing)], [row("a")])

    assert not lost["promote"]
    assert "nothing instead of 0.900" in lost["reasons"][0]
    assert not unknown["promote"]
    assert "more fields" in unknown["reasons"][0]


def test_only_the_network_differs_between_those_compared() -> None:
    """One setting makes all budgets larger; split, loss and crops stay."""
    one, two = (budget(TINY, each, 3.0) for each in TINY.compare.networks)

    assert one.optimiser.steps == two.optimiser.steps == 6
    assert one.fields == two.fields
    assert one.fields.seeds("test") == TINY.fields.seeds("test")
    assert one.network != two.network


def test_a_network_costs_memory_and_time(tmp_path: Path) -> None:
    """Times are above nothing and training holds no less than inference."""
    generate(TINY.fields, tmp_path, ("train",))

    measured = measure(budget(TINY, TINY.compare.networks[0], 1.0), tmp_path)

    assert 0 < measured["p50_ms"] <= measured["p95_ms"]
    assert measured["training_peak_mb"] >= measured["inference_peak_mb"]


def test_finished_networks_are_not_trained_again(tmp_path: Path) -> None:
    """A comparison that was ended goes on with what is not finished."""
    place = tmp_path / "scale-1"
    for name in ("one", "two"):
        (place / name).mkdir(parents=True)
        (place / name / RESULT).write_text(json.dumps({"name": name}))

    rows = list(compare_networks(TINY, tmp_path, None, lambda *_: True))

    assert rows == [{"name": "one"}, {"name": "two"}]
    with pytest.raises(BadConfig, match=r"compare\.networks: empty"):
        next(compare_networks(Recipe(), tmp_path, None, lambda *_: True))


def test_the_shipped_comparison_has_the_networks_of_the_papers() -> None:
    """Plain, with and without attention, two encoders, a transformer and VGG16."""
    recipe = load_recipe(Path("configs/training/compare.toml"))

    kinds = [one.network.kind for one in recipe.compare.networks]

    assert kinds.count("attention_unet") == kinds.count("eunet") == 2
    assert {"unet", "vit_unet", "vgg_unet", "stem_unet"} < set(kinds)


def test_the_shipped_study_has_the_encoders_of_the_paper() -> None:
    """Six encoders under one decoder, with the loss and budget of the paper."""
    recipe = load_recipe(Path("configs/training/encoders.toml"))
    settings = recipe.optimiser

    shapes = [one.network for one in recipe.compare.networks]

    assert {one.kind for one in shapes} == {"encoder_unet"}
    assert {one.encoder for one in shapes} == set(get_args(EncoderName))
    assert recipe.losses.pixels == "weighted_dice"
    assert recipe.fields.modality == "brightfield"
    assert settings.steps / settings.evaluate_every == 45
    assert (settings.batch, settings.patience, settings.rate) == (16, 5, 1e-4)


def test_a_network_that_is_compared_may_begin_with_a_file() -> None:
    """The file is that of its own recipe; a network without encoder has none."""
    encoder = {"file": "a", "source": "b", "licence": "MIT", "copyright": "c"}
    named: dict[str, Any] = {"name": "one", "encoder": encoder}

    candidate = Candidate.model_validate(named | {"network": {"kind": "gated_unet"}})

    assert budget(TINY, candidate, 1.0).encoder == candidate.encoder
    assert budget(TINY, TINY.compare.networks[0], 1.0).encoder is None
    with pytest.raises(ValidationError, match="no published encoder"):
        Candidate.model_validate(named | {"network": {"kind": "unet"}})


def test_how_a_network_learned_follows_from_its_history() -> None:
    """Gaps, gain and spread are those counted by hand; one evaluation has no spread."""
    rows = [
        {
            "pixel_loss_train": 0.4,
            "pixel_loss_validation": loss,
            "pixel_f1_train": 0.9,
            "pixel_f1_validation": 0.8,
        }
        for loss in (9.0, *(0.5, 0.7) * 5)
    ]

    learned, one = learning_figures(rows), learning_figures(rows[:1])

    assert list(learned) == list(LEARNING)
    assert learned["loss_gap"] == pytest.approx(0.3)
    assert learned["f1_gap"] == pytest.approx(0.1)
    assert learned["gain_per_evaluation"] == pytest.approx(0.3 / 11)
    assert learned["sigma"] == pytest.approx(0.1054, abs=1e-4)
    assert learned["steadiness"] == pytest.approx(9.487, abs=1e-3)
    assert (one["sigma"], one["steadiness"]) == (None, None)


@pytest.mark.slow
def test_networks_are_trained_and_measured_side_by_side(tmp_path: Path) -> None:
    """Every network has its quality, size, memory and time; fields are shared."""
    rows = list(compare_networks(TINY, tmp_path, None, lambda *_: True))

    assert [one["name"] for one in rows] == ["one", "two"]
    keys = ("instance_f1_50", "parameters", "p50_ms", "p95_ms", *LEARNING)
    assert all(key in one for one in rows for key in keys)
    assert all(one["training_peak_mb"] > 1 for one in rows)  # not that of the parent
    assert len(list((tmp_path / "fields").glob("*.npz"))) == 4


@pytest.mark.parametrize(
    ("shelf", "other", "name"),
    [(MODELS, FORECASTS, "slim"), (FORECASTS, MODELS, "forecast")],
    ids=["cells", "walks"],
)
def test_both_kinds_of_models_are_found_alike(
    shelf: Shelf,
    other: Shelf,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder of the user goes before a shipped name; the other kind is no answer."""
    monkeypatch.chdir(tmp_path)
    shipped = shelf.find(name)
    shutil.copytree(shipped, tmp_path / name)

    assert shipped == shelf.shipped / name
    assert shelf.find(name) == Path(name)
    assert shelf.look("nowhere") is None
    assert other.look(name) is None
    with pytest.raises(BadModel, match=rf"{shelf.kind} 'nowhere'.*one of: .*{name}"):
        shelf.find("nowhere")


def test_evaluations_of_an_older_version_are_refused() -> None:
    """A history without losses of pixels is named, with what to do."""
    with pytest.raises(BadRun, match="--output"):
        learning_figures([{"step": 1, "loss": 0.5}])
