"""Training: targets, batches, loss, checkpoints, and a whole small run."""

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from acquisition.errors import BadConfig, BadRun
from calibration.training.batches import BatchMaker, Draws, Pool
from calibration.training.evaluation import (
    ObjectScores,
    object_metrics,
)
from calibration.training.export import NORMALISATION, export_model, notice
from calibration.training.fields import (
    TrainingField,
    claim_folder,
    field_path,
    join_fragments,
    load_field,
    make_field,
    save_field,
    separation_target,
)
from calibration.training.learner import CHECKPOINT, Training, rate_factor
from calibration.training.losses import Targets, object_logits, object_loss
from calibration.training.recipe import (
    FIRST_TRAINING_SEED,
    Augmentation,
    Encoder,
    Fields,
    Losses,
    Optimiser,
    Recipe,
    load_recipe,
)
from calibration.training.train import train
from inference.architectures import EncoderUNetShape, EUNetShape, StemUNetShape
from inference.cards import load_model
from inference.nets.eunet import EUNet
from inference.pixels import GREY_SPAN, percentiles, slim_grey_level

SMALL = Recipe(
    name="small",
    network=StemUNetShape(base=8, levels=1),
    fields=Fields(size_px=256, train=16, validation=2, test=1),
    augmentation=Augmentation(crop_px=128),
    losses=Losses(min_object_px=50),
    optimiser=Optimiser(steps=30, batch=2, warm_up_steps=5, evaluate_every=15),
)


@pytest.fixture(scope="module")
def field() -> TrainingField:
    """Give a small simulated field."""
    return make_field(SMALL.fields, FIRST_TRAINING_SEED)


@pytest.fixture
def maker(field: TrainingField, tmp_path: Path) -> BatchMaker:
    """Give batches of that field."""
    path = field_path(tmp_path, FIRST_TRAINING_SEED)
    save_field(path, field)
    return BatchMaker(Pool([path]), SMALL.augmentation, NORMALISATION, Draws(2, seed=5))


def test_shipped_recipe_is_valid() -> None:
    """The recipe of the shipped model can be trained again as it stands."""
    recipe = load_recipe(Path("configs/training/slim.toml"))

    assert recipe.name == "slim"


def test_splits_share_no_seed_and_stay_above_the_runs() -> None:
    """No seed serves two splits, and none can be the seed of a demonstration."""
    fields = Fields(train=400, validation=50, test=50)

    seeds = [set(fields.seeds(split)) for split in ("train", "validation", "test")]

    assert len(set.union(*seeds)) == 500
    assert min(set.union(*seeds)) >= FIRST_TRAINING_SEED


def test_unknown_key_of_a_recipe_is_named(tmp_path: Path) -> None:
    """A typing mistake in a recipe is refused with its full path."""
    path = tmp_path / "recipe.toml"
    path.write_text("[optimiser]\nstep = 5\n")

    with pytest.raises(BadConfig, match=r"optimiser\.step"):
        load_recipe(path)


def test_same_seed_same_field(field: TrainingField) -> None:
    """A field is fixed by its seed, and empty ground lies at zero phase."""
    again = make_field(SMALL.fields, FIRST_TRAINING_SEED)

    np.testing.assert_array_equal(again.phase, field.phase)
    np.testing.assert_array_equal(again.labels, field.labels)
    background = field.phase[field.labels == 0].astype(float) - NORMALISATION.offset
    assert abs(np.median(background) * 2e-4) < 0.1


def test_fragments_of_one_cell_are_joined() -> None:
    """Gaps within a cell are closed, gaps between cells and other cells are kept."""
    labels = np.zeros((40, 60), np.uint16)
    labels[10:20, 10:20] = labels[10:20, 22:30] = 3
    labels[10:20, 32:40] = 4

    joined = join_fragments(labels)

    assert (joined[12:18, 20:22] == 3).all()
    assert (joined[:, 30:32] == 0).all()
    np.testing.assert_array_equal(joined[labels > 0], labels[labels > 0])


def test_separation_is_low_on_seams_and_one_in_the_middle() -> None:
    """Touching cells are parted by a valley, and background is zero."""
    labels = np.zeros((40, 80), np.uint16)
    labels[10:30, 10:40] = 1
    labels[10:30, 40:70] = 2

    separation = separation_target(labels)

    assert separation[labels == 0].max() == 0
    assert separation[20, 39] < 40
    assert separation[20, 40] < 40
    assert separation[20, 25] == separation[20, 55] == 255


def test_field_comes_back_from_disk(field: TrainingField, tmp_path: Path) -> None:
    """Nothing of a field is lost on disk."""
    save_field(tmp_path / "1.npz", field)

    again = load_field(tmp_path / "1.npz")

    for name in TrainingField.__slots__:
        np.testing.assert_array_equal(getattr(again, name), getattr(field, name))


def test_batch_depends_on_seed_and_step_alone(maker: BatchMaker) -> None:
    """A resumed run sees the batches that an unbroken one would have seen."""
    alone = maker.make(7)
    ahead = list(maker.ahead(6, 8))[1]

    torch.testing.assert_close(alone.images, ahead.images)
    torch.testing.assert_close(alone.targets.objects, ahead.targets.objects)


def test_a_fault_of_the_batches_ends_the_training(maker: BatchMaker) -> None:
    """What goes wrong ahead is raised where the batch is wanted, without a wait."""
    maker.pool.fields.clear()

    with pytest.raises(ValueError, match="high <= 0"):
        next(maker.ahead(0, 3))


def test_batches_left_early_leave_no_thread(maker: BatchMaker) -> None:
    """A training that stops before its last batch leaves nothing running."""
    ahead = maker.ahead(0, 100)
    next(ahead)

    ahead.close()

    assert not [one for one in threading.enumerate() if one.name.startswith("batches")]


def test_export_wants_every_held_out_field(
    field: TrainingField, tmp_path: Path
) -> None:
    """Figures on a part of the test fields would not be those that the card names."""
    for split in ("validation", "test"):
        for seed in SMALL.fields.seeds(split)[:1]:
            save_field(field_path(tmp_path / "fields", seed), field)
    missing = SMALL.fields.seeds("validation")[1]

    with pytest.raises(BadRun, match=f"{missing}"):
        export_model(SMALL, tmp_path, tmp_path / "model")


def test_batch_numbers_every_cell_once(maker: BatchMaker) -> None:
    """Cells are numbered through the batch and keep the state of their pixels."""
    targets = maker.make(3).targets

    numbers = targets.objects.unique()
    dead_pixels = targets.dead[(targets.objects - 1).clamp(min=0)] == 1

    assert numbers.tolist() == list(range(len(targets.dead) + 1))
    assert torch.equal(dead_pixels & (targets.objects > 0), targets.classes == 2)


def test_object_logit_is_the_mean_inside_the_cell() -> None:
    """Every cell counts once, by the mean of its pixels."""
    objects = torch.tensor([[[0, 1, 1, 2]]])
    margin = torch.tensor([[[9.0, 1.0, 3.0, -4.0]]])

    logits, pixels = object_logits(margin, objects, 3)

    assert logits.tolist() == [2.0, -4.0, 0.0]
    assert pixels.tolist() == [2, 1, 0]


def test_small_pieces_do_not_count() -> None:
    """Pieces below the limit change nothing, and without cells the loss is zero."""
    blank = torch.zeros(1, 1, 4)
    targets = Targets(
        classes=blank.long(),
        separation=blank,
        objects=torch.tensor([[[1, 1, 1, 2]]]),
        dead=torch.tensor([1.0, 0.0]),
    )
    margin = torch.tensor([[[2.0, 2.0, 2.0, 50.0]]])

    assert object_loss(margin, targets, 2).item() == pytest.approx(np.log1p(np.exp(-2)))
    assert object_loss(margin, targets, 10).item() == 0.0


def test_rate_warms_up_and_ends_at_zero() -> None:
    """The rate rises, peaks after the warm-up and ends at nothing."""
    settings = Optimiser(steps=1000, warm_up_steps=100)

    rates = [rate_factor(settings, step) for step in (0, 100, 500, 1000)]

    assert rates[0] < rates[2] < rates[1] <= 1.0
    assert rates[3] == pytest.approx(0.0, abs=1e-12)


def test_training_lowers_the_loss(maker: BatchMaker, tmp_path: Path) -> None:
    """A few steps on one field make the network better at it."""
    longer = SMALL.optimiser.model_copy(update={"steps": 60})
    training = Training(SMALL.model_copy(update={"optimiser": longer}), tmp_path)

    losses = [training.step(batch)["loss"] for batch in maker.ahead(0, 45)]

    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_resumed_training_is_the_unbroken_one(
    maker: BatchMaker, tmp_path: Path
) -> None:
    """A checkpoint holds everything: the next step is the same with and without it."""
    unbroken = Training(SMALL, tmp_path)
    for batch in maker.ahead(0, 3):
        unbroken.step(batch)
    unbroken.save()

    resumed = Training(SMALL, tmp_path)

    assert resumed.load() == (True, None)
    assert resumed.progress.step == 3
    assert resumed.step(maker.make(3)) == pytest.approx(unbroken.step(maker.make(3)))


def test_a_warm_start_takes_the_weights_that_fit(tmp_path: Path) -> None:
    """The shipped network is the beginning; one of another shape is refused."""
    same = SMALL.model_copy(update={"network": StemUNetShape(), "warm_start": "slim"})
    other = SMALL.model_copy(
        update={"network": StemUNetShape(stem=2, base=8), "warm_start": "slim"}
    )

    begun = Training(same, tmp_path).network.state_dict()["head.bias"]

    assert np.array_equal(begun.numpy(), load_model("slim").weights["head.bias"])
    with pytest.raises(BadRun, match="no weight"):
        Training(other, tmp_path)


def test_an_encoder_begins_with_a_file_and_the_notice_names_it(tmp_path: Path) -> None:
    """The file fills the encoder; its source and licence travel with the weights."""
    shape = EUNetShape(decoder=(32, 16, 16, 8, 8))
    given = EUNet(shape).encoder.state_dict()
    published = {
        re.sub(r"_blocks\.\d+\.", "_blocks.", name): tensor
        for name, tensor in given.items()
    }
    file = tmp_path / "published.safetensors"
    save_file(published, file)
    encoder = Encoder(
        file=str(file), source="ImageNet", licence="MIT", copyright="its authors"
    )
    recipe = SMALL.model_copy(update={"network": shape, "encoder": encoder})

    network = Training(recipe, tmp_path).network

    assert isinstance(network, EUNet)
    begun = network.encoder.state_dict()
    assert all(torch.equal(begun[name], given[name]) for name in given)
    file.unlink()  # a run that ends needs it no more
    assert "encoder from ImageNet (MIT, its authors" in notice(recipe, tmp_path)


def test_a_frozen_encoder_is_what_it_was_after_a_step(
    maker: BatchMaker, tmp_path: Path
) -> None:
    """Neither decay, nor running statistics, nor averaging move it; the rest moves."""
    shape = EncoderUNetShape(
        encoder="mobilenet_v2", decoder=(16, 16, 8, 8), frozen_encoder=True
    )
    training = Training(SMALL.model_copy(update={"network": shape}), tmp_path)
    before = {k: v.clone() for k, v in training.network.state_dict().items()}

    training.step(maker.make(0))

    for network in (training.network, training.averaged):
        for name, tensor in network.state_dict().items():
            if name.startswith("encoder."):
                assert torch.equal(tensor, before[name]), name
    moved = training.network.state_dict()["up.0.mix.0.weight"]
    assert not torch.equal(moved, before["up.0.mix.0.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "take one of eunet, vgg_unet, gated_unet, encoder_unet"),
        ({"licence": "CC-BY-NC-4.0"}, "licence"),
        ({"compare": True}, "do not share an encoder"),
    ],
    ids=["no encoder", "licence", "comparison"],
)
def test_a_file_for_an_encoder_is_refused_where_it_may_not_go(
    changes: dict[str, Any], message: str
) -> None:
    """The network has none, the licence forbids it, or others begin without."""
    encoder = {"file": "a", "source": "b", "licence": "MIT", "copyright": "c"}
    other = {"name": "stem", "network": {"kind": "stem_unet"}}
    recipe: dict[str, Any] = {"encoder": encoder | changes}
    if recipe["encoder"].pop("compare", False):
        recipe |= {"network": {"kind": "eunet"}, "compare": {"networks": [other]}}

    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(recipe)


def test_single_shots_are_levelled_at_the_pixel_size_of_the_network() -> None:
    """As in the live path: the span of the resampled image is stretched to 3."""
    settings = Fields(
        worlds=("cho_40x",), modality="brightfield", um_per_px=0.65, size_px=256
    )

    shown = make_field(settings, FIRST_TRAINING_SEED).phase

    zero, per_count = slim_grey_level()
    low, median, high = percentiles(shown, (1.0, 50.0, 99.8))
    assert median == pytest.approx(zero, abs=2)
    assert (high - low) * per_count == pytest.approx(GREY_SPAN, abs=2 * per_count)


def test_metrics_of_a_known_table() -> None:
    """F1 of both classes follows from the counts."""
    scores = ObjectScores(
        np.array([2.0, 1.0, -1.0, -2.0]), np.array([True, False, False, True]), 0.6
    )

    metrics = object_metrics(scores)

    assert metrics.f1_dead == metrics.f1_live == 0.5
    assert metrics.auroc_dead == 0.5
    assert metrics.pixel_f1_validation == pytest.approx(0.75)
    assert (metrics.objects_live, metrics.objects_dead) == (2, 2)


@pytest.mark.slow
def test_whole_run_gives_a_model_and_can_be_resumed(tmp_path: Path) -> None:
    """A recipe leads to a model that loads, and a finished run is not overwritten."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "small"\n[network]\nbase = 8\nlevels = 1\n'
        "[fields]\nheld_out_worlds = []\nsize_px = 256\ntrain = 16\n"
        "validation = 1\ntest = 1\n[augmentation]\ncrop_px = 128\n"
        "[optimiser]\nsteps = 4\nbatch = 2\nevaluate_every = 2\n"
        "[parting]\nseparation_height = 0.3\n"
    )

    outcome = train(recipe, tmp_path / "run")

    folder = outcome.model
    assert (outcome.state, outcome.steps) == ("ended", 4)
    assert (tmp_path / "run" / "recipe.toml").read_text() == recipe.read_text()
    card = load_model(str(folder)).card
    assert card.training.steps == 4
    assert card.parting.separation_height == 0.3
    assert (tmp_path / "run" / CHECKPOINT).exists()
    with pytest.raises(BadRun, match="resume"):
        train(recipe, tmp_path / "run")
    assert train(recipe, tmp_path / "run", resume=True).model == folder


def test_fields_of_another_recipe_are_not_mixed_in(tmp_path: Path) -> None:
    """A folder of fields belongs to what made it; other settings are refused."""
    claim_folder(Fields(), tmp_path)
    claim_folder(Fields(train=7), tmp_path)  # only more or fewer of the same

    with pytest.raises(BadRun, match="another recipe"):
        claim_folder(Fields(dead=(0.4, 0.5)), tmp_path)
