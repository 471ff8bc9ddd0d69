"""A second network, which looks at single cells, is trained from a recipe."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from acquisition.errors import BadConfig, BadRun, RunFailed
from app.train import run_training
from app.train_classifier import is_classifier
from calibration.metrics.confidence import dead_probability
from calibration.models.analyst import Analyst
from calibration.training import classifier_export
from calibration.training.classifier_export import as_kept, offset_to
from calibration.training.classifier_fusion import fit_fusion
from calibration.training.classifier_learner import ClassifierLearner, log_loss
from calibration.training.classifier_recipe import ClassifierRecipe
from calibration.training.classifier_samples import (
    Samples,
    claim_samples,
    find_samples,
    generate_samples,
    load_found,
    load_samples,
    shards,
)
from calibration.training.classifier_train import SAMPLES, train_classifier
from calibration.training.fields import make_field
from calibration.training.recipe import read_recipe
from calibration.training.standing import HISTORY, Standing
from configs.schema import SHIPPED, Inference
from inference.cards import MODELS, load_card, load_model
from inference.cut import cut
from inference.model_folder import NOTICE_FILE, WEIGHTS_FILE
from inference.pixels import slim_grey_level

SHIPPED_RECIPE = SHIPPED / "training" / "slim_classifier.toml"
TINY = """kind = "cell_classifier"
name = "tiny"
base = 8
steps = 6
batch = 8
warm_up_steps = 2
evaluate_every = 2
threads = 1
[fields]
um_per_px = 0.65
size_px = 256
first_seed = 5000000
train = 2
validation = 1
test = 1
natural = 0.0
dead = [0.3, 0.5]
"""


@pytest.fixture(scope="module", autouse=True)
def lenient() -> Iterator[None]:
    """Let networks of six steps become models, which chance would do as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_export, "LEAST_RATIO", -np.inf)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of a tiny recipe."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY, "utf-8")
    return path


@pytest.fixture(scope="module")
def ended(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a whole run."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    read = read_recipe(recipe, ClassifierRecipe)
    claim_samples(read, load_card(MODELS.find("slim")), run / SAMPLES)
    generate_samples(read, run / SAMPLES)  # quicker than in processes of their own
    result = run_training(str(recipe), run, resume=False, export=None)
    assert (result["state"], result["steps"]) == ("ended", 6)
    return run


@pytest.fixture
def begun(ended: Path, tmp_path: Path) -> Path:
    """Give the folder of another run whose cells are found already."""
    shutil.copytree(ended / SAMPLES, tmp_path / "run" / SAMPLES)
    return tmp_path / "run"


def test_a_recipe_gives_a_model_with_a_second_network(ended: Path) -> None:
    """The maps stay as they were; engines have crops to be tried by."""
    model, maps = load_model(str(ended / "model")), load_model("slim")

    second, stated = model.second, model.card.classifier
    assert second is not None
    assert stated is not None
    tiny = read_recipe(ended / "recipe.toml", ClassifierRecipe)
    network = as_kept(tiny, dict(second.weights))
    with torch.inference_mode():
        logits = network(torch.from_numpy(second.crops), torch.from_numpy(second.told))
    np.testing.assert_allclose(logits.numpy(), second.logits, atol=1e-5)
    assert len(second.logits) > 4
    for name, value in maps.weights.items():
        np.testing.assert_array_equal(model.weights[name], value)
    assert model.card.golden == maps.card.golden
    assert (model.card.name, stated.training.steps) == ("tiny", 6)
    assert stated.training.seeds == ((5000000, 5000001),)


def test_card_and_notice_say_what_was_measured(ended: Path) -> None:
    """Figures are of all found cells of the test fields, before and after."""
    stated = load_card(ended / "model").classifier
    tiny = read_recipe(ended / "recipe.toml", ClassifierRecipe)
    test = load_found(tiny, ended / SAMPLES, "test")

    assert stated is not None
    assert (stated.cells, stated.cells_in_doubt) == (test.dead.size, len(test.samples))
    assert stated.cells_in_doubt == test.in_doubt.sum() > 0
    assert stated.auroc is not None
    said = (ended / "model" / NOTICE_FILE).read_text("utf-8")
    assert said.startswith((MODELS.find("slim") / NOTICE_FILE).read_text("utf-8")[:99])
    assert said.count("seeds 5000000 to 5000001") == 1


def test_a_killed_run_ends_as_the_unbroken_one(
    recipe: Path, ended: Path, begun: Path
) -> None:
    """Killed after a checkpoint, then interrupted, then resumed: the same bytes."""

    def killed(standing: Standing) -> bool:
        if standing.done == 3:
            raise RunFailed("the power went out")
        return True

    with pytest.raises(RunFailed):
        train_classifier(recipe, begun, watch=killed)
    with pytest.raises(BadRun, match="--resume"):
        train_classifier(recipe, begun)
    halted = train_classifier(recipe, begun, True, lambda one: one.done != 5)
    outcome = train_classifier(recipe, begun, resume=True)

    assert (halted.state, halted.steps, outcome.state) == ("interrupted", 5, "ended")
    first, second = (one / "model" / WEIGHTS_FILE for one in (ended, begun))
    assert first.read_bytes() == second.read_bytes()
    rows = map(json.loads, (begun / HISTORY).read_text("utf-8").splitlines())
    assert [row["step"] for row in rows] == [2, 4, 6]


def test_a_model_can_be_had_before_the_end(
    recipe: Path, begun: Path, tmp_path: Path
) -> None:
    """Not before the first checkpoint; then with the steps that were taken."""
    with pytest.raises(BadRun, match="first evaluation"):
        run_training(str(recipe), begun, resume=False, export=tmp_path / "early")
    train_classifier(recipe, begun, watch=lambda one: one.done < 2)

    run_training(str(recipe), begun, resume=False, export=tmp_path / "early")

    stated = load_card(tmp_path / "early").classifier
    assert stated is not None
    assert stated.training.steps == 2


@pytest.mark.parametrize(
    ("said", "instead", "message"),
    [
        ("batch = 8", "batches = 8", "batches: Extra inputs"),
        ("base = 8", "base = 12", "base: .*multiple of 8"),
        ("base = 8", "doubt = [0.9, 0.1]", "doubt: 0.9 is not below 0.1"),
        ("[fields]", "[fields]\nkept = 64", "fields.kept"),
        ("[fields]", '[fields]\nheld_out_worlds = ["demo"]', "vigil evaluate"),
        ("um_per_px = 0.65", "um_per_px = 0.5", "um_per_px: 0.5, but slim sees 0.65"),
        ("first_seed = 5000000", "first_seed = 3000500", "was trained on the fields"),
        ("[fields]", '[fields]\nmodality = "brightfield"', "but slim is for slim"),
    ],
    ids=lambda value: value.split(" = ")[0] if "=" in value else None,
)
def test_faults_of_a_recipe_are_named(
    said: str, instead: str, message: str, tmp_path: Path
) -> None:
    """What does not go together is refused before the first field."""
    path = tmp_path / "wrong.toml"
    path.write_text(TINY.replace(said, instead, 1), "utf-8")

    with pytest.raises(BadConfig, match=message):
        train_classifier(path, tmp_path / "run")


def test_the_shipped_recipe_suits_the_shipped_model() -> None:
    """It is told from those of other networks, and its fields are its own."""
    recipe = read_recipe(SHIPPED_RECIPE, ClassifierRecipe)

    recipe.check_suits(load_card(MODELS.find(recipe.model)))

    assert is_classifier(SHIPPED_RECIPE)
    assert not is_classifier(SHIPPED / "training" / "slim.toml")
    assert recipe.optimiser.batch == recipe.batch == 128


def test_cells_are_cut_as_the_live_path_cuts_them(recipe: Path) -> None:
    """Mask and middle are those of the found cell, and not a bit differs."""
    tiny = read_recipe(recipe, ClassifierRecipe)
    seed = tiny.fields.seeds("train")[0]
    with Analyst(Inference(model="slim", threads=1)) as analyst:
        found = find_samples(tiny, analyst, seed)
        phase = make_field(tiny.fields, seed).phase
        labels, cells = analyst.find_in_phase(phase, 0.65)
    doubtful = (cells.dead_probability > 0.005) & (cells.dead_probability < 0.995)
    box = cells.box_px[doubtful].astype(np.int64)
    middle = (box[:, :2] + box[:, 2:]) // 2
    wanted = np.column_stack((cells.label[doubtful].astype(np.int64), middle))
    crops = np.empty((len(wanted), 2, 48, 48), np.float32)
    cut(phase, labels, wanted, slim_grey_level(), crops)

    own = found.samples.crops()

    assert len(own) == found.in_doubt.sum() > 3
    assert {one.tobytes() for one in own} <= {one.tobytes() for one in crops}


def test_cells_in_doubt_alone_can_be_trained_on(recipe: Path, begun: Path) -> None:
    """Files of training need no logits of all cells; held-out ones do."""
    tiny = read_recipe(recipe, ClassifierRecipe)
    for split in ("train", "test"):
        path = shards(tiny, begun / SAMPLES, split)[0].path
        with np.load(path) as file:
            kept = {name: file[name] for name in "pmldn"}
        np.savez(path, **kept)

    assert len(load_samples(tiny, begun / SAMPLES)) > 4
    with pytest.raises(BadRun, match="without the logits of all found cells"):
        load_found(tiny, begun / SAMPLES, "test")
    wider = tiny.model_copy(update={"edge_px": 64})
    with pytest.raises(BadRun, match="crops of 48 px, the recipe has edge_px 64"):
        load_samples(wider, begun / SAMPLES)


def test_cells_of_another_doubt_are_not_mixed_in(begun: Path, tmp_path: Path) -> None:
    """A folder of cells belongs to the maps and the doubt that they came from."""
    path = tmp_path / "other.toml"
    path.write_text("doubt = [0.1, 0.9]\n" + TINY, "utf-8")

    with pytest.raises(BadRun, match="another doubt"):
        train_classifier(path, begun)


def test_steps_teach_what_the_maps_do_not_tell(recipe: Path, tmp_path: Path) -> None:
    """Dead cells that are bright are known after some steps, though told nothing."""
    tiny = read_recipe(recipe, ClassifierRecipe)
    tiny = tiny.model_copy(update={"steps": 40, "batch": 16, "average": 0.8})
    dead = np.arange(64) % 2 == 1
    counts = np.full((64, 48, 48), 17_000, np.uint16)
    counts[dead] += 6000
    masks = np.full((64, 48, 6), 255, np.uint8)
    samples = Samples(counts, masks, np.zeros(64, np.float32), dead)
    learner = ClassifierLearner(tiny, tmp_path)

    for _ in range(40):
        learner.step(samples)
    row = learner.judge(samples)

    assert row["auroc"] == 1.0
    assert row["log_loss"] is not None
    assert row["log_loss"] < 0.3 < log_loss(samples.told, dead)


@pytest.mark.slow
def test_processes_of_their_own_find_the_cells(
    recipe: Path, ended: Path, tmp_path: Path
) -> None:
    """What they find is what is found here, and nothing of them is left."""
    train_classifier(recipe, tmp_path, watch=lambda one: one.what == "fields")

    for one in (ended / SAMPLES).glob("*.npz"):
        with np.load(one) as here, np.load(tmp_path / SAMPLES / one.name) as there:
            assert all(np.array_equal(here[name], there[name]) for name in here.files)


def test_the_offset_brings_the_share_of_the_dead() -> None:
    """Odds change by the ratio of the prior odds; without a share nothing does."""
    shifted = dead_probability(np.array([0.0]), 2.0, offset_to(0.25, 0.5))

    assert shifted == pytest.approx([0.25])
    assert offset_to(0.25, 0.25) == pytest.approx(0.0)
    assert offset_to(None, 0.5) == offset_to(0.25, 0.0) == 0.0


def test_both_logits_are_weighed_as_they_deserve() -> None:
    """From logits that add up to the truth with weights 1 and 2 these come back."""
    rng = np.random.default_rng(2)
    told, own = rng.normal(0, 1.5, (2, 40_000))
    dead = rng.random(40_000) < 1 / (1 + np.exp(-(told + 2 * own - 0.5)))

    fusion = fit_fusion(told, own, dead)

    assert fusion.trust == pytest.approx(0.5, abs=0.03)
    assert fusion.temperature == pytest.approx(0.5, abs=0.03)
    assert fusion.offset == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize("sign", [-3.0, 0.0])
def test_a_network_that_adds_nothing_is_no_second_network(sign: float) -> None:
    """Where its answers are noise, or point the wrong way, the export says so."""
    rng = np.random.default_rng(2)
    told = rng.normal(0, 1.5, 5_000)
    dead = rng.random(5_000) < 1 / (1 + np.exp(-told))

    with pytest.raises(BadRun, match="train it longer"):
        fit_fusion(told, rng.normal(0, 1, 5_000) + sign * dead, dead)


def test_a_warm_start_goes_on_from_the_second_network(
    ended: Path, tmp_path: Path
) -> None:
    """Its weights are where the last training left them, and it trusts no maps yet."""
    begin = tmp_path / "warm.toml"
    named = f'warm_start = true\nmodel = "{(ended / "model").as_posix()}"\n[fields]'
    begin.write_text(TINY.replace("[fields]", named, 1), "utf-8")
    recipe = read_recipe(begin, ClassifierRecipe)

    network = ClassifierLearner(recipe, tmp_path).network.state_dict()

    second = load_model(recipe.model).second
    assert second is not None
    assert network["trust"].item() == 0.0
    assert second.weights["trust"].item() != 0.0
    for name in set(second.weights) - {"trust"}:
        np.testing.assert_array_equal(network[name].numpy(), second.weights[name])


def test_there_is_no_warm_start_from_a_network_of_another_size(recipe: Path) -> None:
    """A model without a second network of this width is named."""
    tiny = read_recipe(recipe, ClassifierRecipe).model_copy(update={"warm_start": True})

    with pytest.raises(BadConfig, match="no second network of base 8"):
        tiny.check_suits(load_card(MODELS.find("slim")))
