"""A training run under way: worlds, draws, schedules, interruption, devices."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acquisition.errors import BadConfig, BadInput, BadRun
from calibration.training.batches import BatchMaker, Draws, Pool
from calibration.training.devices import Ranks, choose_device, joined_ranks
from calibration.training.export import NORMALISATION
from calibration.training.fields import (
    field_path,
    generate,
    load_field,
    make_field,
)
from calibration.training.learner import Training, rate_factor
from calibration.training.recipe import (
    FIRST_TRAINING_SEED,
    Augmentation,
    Drawing,
    Fields,
    Losses,
    Optimiser,
    Recipe,
    Schedule,
    load_recipe,
)
from calibration.training.standing import Standing, Watch
from calibration.training.train import FIELDS, RECIPE, Course, train
from inference.architectures import StemUNetShape
from tests.app.live_runs import environment, start, wait_for

TINY = Recipe(
    name="tiny",
    network=StemUNetShape(base=8, levels=1),
    fields=Fields(size_px=256, train=3, validation=1, test=1, held_out_worlds=()),
    augmentation=Augmentation(crop_px=128),
    losses=Losses(min_object_px=50),
    optimiser=Optimiser(steps=6, batch=2, warm_up_steps=2, evaluate_every=3, threads=1),
)
TEXT = """name = "tiny"
[network]
base = 8
levels = 1
[fields]
size_px = 256
train = 3
validation = 1
test = 1
held_out_worlds = []
[augmentation]
crop_px = 128
[optimiser]
steps = {steps}
batch = 2
evaluate_every = 3
threads = 1
"""


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with all fields of the tiny recipe."""
    folder = tmp_path_factory.mktemp("fields")
    generate(TINY.fields, folder, ("validation", "train", "test"))
    return folder


def run(recipe: Recipe, folder: Path, fields: Path, watch: Watch = lambda _: True):  # type: ignore[no-untyped-def]
    """Train in this process, with the fields that are there."""
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(recipe.optimiser.threads)  # as `train` does
    return Course(recipe, folder, fields, Ranks(), watch).run(None)


def history(folder: Path) -> list[dict[str, Any]]:
    """Give the figures of all evaluations, without the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) | {"minutes": 0} for line in lines]


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    fields: Path, tmp_path: Path
) -> None:
    """Ended after any step and resumed, a run gives the weights of an unbroken one."""

    def stop(standing: Standing) -> bool:
        return not (standing.what == "training" and standing.done == 4)

    unbroken = run(TINY, tmp_path / "a", fields)
    stopped = run(TINY, tmp_path / "b", fields, stop)
    resumed = run(TINY, tmp_path / "b", fields)

    assert (stopped.state, stopped.steps, stopped.model) == ("interrupted", 4, None)
    assert (resumed.state, resumed.best) == ("ended", unbroken.best)
    first, second = (Training(TINY, tmp_path / name) for name in "ab")
    assert first.load()[0]
    assert second.load()[0]
    for name, tensor in first.averaged.state_dict().items():
        assert torch.equal(tensor, second.averaged.state_dict()[name]), name
    one, other = (history(tmp_path / name) for name in "ab")
    assert [row["step"] for row in one] == [3, 6]
    assert one == other
    assert all(0 <= row["pixel_f1_train"] <= 1 for row in one)
    assert all(row["pixel_loss_validation"] > 0 for row in one)


def test_a_run_says_where_it_stands(fields: Path, tmp_path: Path) -> None:
    """Every step is told with its loss, every evaluation with its figures."""
    told: list[Standing] = []

    run(TINY, tmp_path / "run", fields, lambda one: told.append(one) is None)

    assert [one.done for one in told if one.what == "training"] == [1, 2, 3, 4, 5, 6]
    assert [one.done for one in told if one.row is not None] == [3, 6]
    assert told[-1].best is not None


def test_another_recipe_does_not_resume_a_run(tmp_path: Path) -> None:
    """Resuming with another loss is refused by the name of what differs."""
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    (tmp_path / RECIPE).write_text(TEXT.format(steps=6))

    with pytest.raises(BadRun, match=r"another recipe \(losses differ\)"):
        train(
            load_recipe(tmp_path / RECIPE).model_copy(
                update={"losses": Losses(objects=2.0)}
            ),
            tmp_path,
            resume=True,
        )


def test_a_damaged_checkpoint_is_named(fields: Path, tmp_path: Path) -> None:
    """A checkpoint that cannot be read is refused with its path."""
    (tmp_path / "checkpoint.pt").write_bytes(b"")

    with pytest.raises(BadRun, match=r"checkpoint\.pt: no checkpoint"):
        run(TINY, tmp_path, fields)


def test_fresh_fields_take_the_place_of_the_oldest(
    fields: Path, tmp_path: Path
) -> None:
    """Of all fields that are drawn the newest stay, in memory as on disk."""
    settings = TINY.fields.model_copy(update={"kept": 2, "train": 3})
    seeds = settings.seeds("train")
    paths = [field_path(tmp_path, seed) for seed in (*seeds, seeds.stop)]
    for path in paths[:2]:
        shutil.copy(fields / path.name, path)
    pool = Pool(paths, settings.kept)

    generate(settings, tmp_path, ("train",))
    pool.refresh()

    assert [path.exists() for path in paths] == [False, True, True, False]
    assert len(pool.fields) == 2
    assert np.array_equal(pool.fields[1].phase, load_field(paths[2]).phase)
    generate(settings.model_copy(update={"train": 4}), tmp_path, ("train",))
    assert [path.exists() for path in paths] == [False, False, True, True]


def test_a_resumed_run_takes_the_fresh_fields_that_are_left(
    fields: Path, tmp_path: Path
) -> None:
    """A run whose oldest fields are gone goes on with those that are there."""
    settings = TINY.fields.model_copy(update={"kept": 2})
    place = shutil.copytree(fields, tmp_path / "fields")
    field_path(place, settings.first_seed).unlink()

    outcome = run(TINY.model_copy(update={"fields": settings}), tmp_path / "run", place)

    assert outcome.state == "ended"


def test_worlds_share_the_seeds_and_come_to_one_pixel_size() -> None:
    """Seeds go round among the worlds; cells are as large whatever the objective."""
    settings = TINY.fields.model_copy(
        update={"worlds": ("cho_10x", "cho_40x"), "natural": 1.0}
    )
    first = settings.first_seed

    names = [settings.world_of(first + at).name for at in range(3)]
    both = [make_field(settings, first + at) for at in range(2)]

    assert names == ["cho_10x", "cho_40x", "cho_10x"]
    assert {field.phase.shape for field in both} == {(256, 256)}
    areas = [
        np.median(np.unique(one.labels, return_counts=True)[1][1:]) for one in both
    ]
    assert 0.4 < areas[0] / areas[1] < 2.5


def test_a_world_of_far_smaller_pixels_is_refused(tmp_path: Path) -> None:
    """What the product would not resample is not trained on either."""
    world = tmp_path / "fine.toml"
    world.write_text('base = "cho_10x"\n[optics]\npixel_um = 0.2\n')
    settings = Fields(worlds=("cho_10x", str(world)))

    with pytest.raises(BadConfig, match=r"fine.toml has 0.2 um a pixel"):
        settings.pixel_um()


@pytest.mark.parametrize("modality", ["phase_contrast", "brightfield"])
def test_single_shots_come_to_the_level_of_phase(modality: str) -> None:
    """The middle grey of a single shot is the zero of the network."""
    settings = TINY.fields.model_copy(update={"modality": modality})

    field = make_field(settings, FIRST_TRAINING_SEED)

    assert abs(np.median(field.phase) - NORMALISATION.offset) <= 1
    assert field.phase.std() > 100


def test_schedules_are_those_of_the_papers() -> None:
    """The rate falls by steps, by the plateau, or along a cosine."""
    rates = [
        rate_factor(
            Optimiser(
                steps=100, warm_up_steps=1, schedule=Schedule(kind=kind, every=9)
            ),
            step=50,
            plateau=0.8,
        )
        for kind in ("cosine", "step", "plateau")
    ]

    assert rates == pytest.approx([0.5, 0.9**5, 0.8])


def test_all_variants_keep_image_and_truth_together(fields: Path) -> None:
    """Whatever the change of place, cells stay where their distance map is."""
    settings = Augmentation(crop_px=128, variants="twenty_one")
    path = field_path(fields, FIRST_TRAINING_SEED)
    maker = BatchMaker(Pool([path]), settings, NORMALISATION, Draws(8, seed=3))

    batch = maker.make(0)

    inside = batch.targets.objects > 0
    assert batch.targets.separation[~inside].mean() < 0.02
    assert batch.targets.separation[inside].mean() > 0.3
    assert torch.isfinite(batch.images).all()


def test_hard_fields_are_drawn_more_often(fields: Path, tmp_path: Path) -> None:
    """After an epoch the field with the largest loss has three times the weight."""
    recipe = TINY.model_copy(update={"drawing": Drawing(kind="hard")})
    course = Course(recipe, tmp_path, fields, Ranks(), lambda _: True)
    course.memory = type(course.memory)(3, hard_share=0.34)
    course.memory.note([0, 1, 2], [0.1, 0.9, 0.2])
    course.memory.begin_epoch()
    loaded = [
        load_field(field_path(fields, seed)) for seed in TINY.fields.seeds("train")
    ]

    weights = course._weights(loaded)

    assert weights is not None
    assert weights.tolist() == [1.0, 3.0, 1.0]
    assert run(recipe, tmp_path / "run", fields).state == "ended"


def test_a_device_that_is_not_there_is_refused() -> None:
    """The message names the setting, its value and what to do."""
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match=r"optimiser\.device is cuda"):
            choose_device(Optimiser(device="cuda"), Ranks())
    with pytest.raises(BadInput, match=r"optimiser\.precision is float16"):
        choose_device(Optimiser(device="cpu", precision="float16"), Ranks())
    plain = choose_device(Optimiser(device="cpu", precision="float32"), Ranks())

    assert plain.precision == torch.float32


def test_ranks_draw_their_own_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of several processes has its own draws; one alone has those of always."""
    alone = Draws(2, seed=5)
    several = [replace(alone, rank=rank, processes=2) for rank in range(2)]
    numbers = [one.generator(7).random() for one in (alone, *several)]
    monkeypatch.setenv("RANK", "first")

    assert len(set(numbers)) == 3
    assert numbers[0] == np.random.default_rng([5, 7]).random()
    with pytest.raises(BadInput, match="torchrun"), joined_ranks(Optimiser()):
        pass


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_resumes(fields: Path, tmp_path: Path) -> None:
    """Interrupted, the command exits 130 with a checkpoint; resumed, it ends."""
    shutil.copytree(fields, tmp_path / "run" / FIELDS)
    (tmp_path / "tiny.toml").write_text(TEXT.format(steps=4000))
    call = ("train", "tiny.toml", "--output", "run")
    with start(*call, folder=tmp_path, OMP_NUM_THREADS="1") as process:
        wait_for((tmp_path / "run" / "checkpoint.pt").exists, process)

        process.send_signal(signal.SIGINT)

        assert process.wait(60) == 130
    step = torch.load(tmp_path / "run" / "checkpoint.pt")["progress"]["step"]
    assert step >= 3


@pytest.mark.slow
def test_two_processes_train_one_network(fields: Path, tmp_path: Path) -> None:
    """Under torchrun, on processors, the run ends with one model."""
    shutil.copytree(fields, tmp_path / "run" / FIELDS)
    (tmp_path / "tiny.toml").write_text(TEXT.format(steps=3))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

    done = subprocess.run(
        [sys.executable, *launch, "-m", "app", "train", "tiny.toml", "--output", "run"],
        cwd=tmp_path,
        env=environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model" / "card.json").is_file()
