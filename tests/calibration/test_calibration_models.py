"""A model beside the truth: fields of worlds, images with masks and with boxes."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from acquisition.errors import BadImages, BadModel, BadWorld
from acquisition.records import CellState, Segmented
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.fields import Field, render_field
from acquisition.simulated.sections import Mix
from acquisition.simulated.world import World
from calibration.datasets.folders import load_folder
from calibration.datasets.records import Boxes
from calibration.models.analyst import Analyst, Recalled, judge
from calibration.models.figures import figures_of, intervals_of, summarise_rows
from calibration.models.images import (
    box_iou,
    call_figures,
    coded_phase,
    compare_boxes,
    counts,
    evaluate_images,
)
from calibration.models.worlds import (
    CONTRACT,
    Effort,
    crowded,
    evaluate_worlds,
    find_worlds,
    seeds_of,
)
from calibration.shots import frame_of, shoot
from configs.schema import Inference
from inference.cards import MODELS
from inference.model_folder import CARD_FILE
from inference.phase import PhaseRetrieval, phase_in_rad
from inference.prevalence import shift_frame

SMALL = Effort(fields=2, size_px=256)
TORCH = Inference(model="slim", engine="torch", threads=1)


def tell_nobody(what: str, share: float) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def field() -> Field:
    """Give a field of the demo."""
    return render_field(World.load("demo"), 11, 512)


@pytest.fixture
def analyst():  # type: ignore[no-untyped-def]
    """Give the shipped model by the reference engine."""
    with Analyst(TORCH) as one:
        yield one


@pytest.fixture
def seen(field: Field, analyst: Analyst) -> Segmented:
    """Give the field as the model sees it."""
    frame = frame_of(field.frames, "slim", field.pixel_size_um)
    return analyst.segment(frame, stand_of(World.load("demo")))


@pytest.fixture
def truth(field: Field) -> dict[int, int]:
    """Give the state of every cell of the field."""
    return dict(zip(field.ids.tolist(), field.state.tolist(), strict=True))


def test_every_world_has_all_keys_of_the_contract(analyst: Analyst) -> None:
    """Rows state name, kind and every figure, if only as None, of fresh fields."""
    worlds = [World.load("demo"), World.load("cho_40x")]

    (rows,) = evaluate_worlds([analyst], worlds, SMALL, tell_nobody)

    assert [row["name"] for row in rows] == ["demo", "cho_40x"]
    assert all(set(CONTRACT) <= set(row) for row in rows)
    assert rows[0]["kind"] == "held out"
    assert rows[0]["instance_f1_50"] > 0.8
    assert rows[0]["n_objects"] == rows[0]["n_live"] + rows[0]["n_dead"]
    assert rows[0]["object_f1_dead"] is None  # fewer than 50 dead cells


def test_two_models_see_the_same_fields(analyst: Analyst) -> None:
    """The same model twice has equal rows: nothing is drawn anew for the second."""
    first, second = evaluate_worlds(
        [analyst, analyst], [World.load("demo")], SMALL, tell_nobody
    )

    assert first == second


def test_a_world_of_too_small_pixels_is_a_row_with_the_reason(
    analyst: Analyst, tmp_path: Path
) -> None:
    """What the product refuses is said, and refused as a whole only if it is all."""
    fine = tmp_path / "fine.toml"
    fine.write_text('base = "demo"\n[optics]\npixel_um = 0.2\n[cells]\nn = 5\n')
    worlds = find_worlds([str(tmp_path), "demo"])

    (rows,) = evaluate_worlds([analyst], worlds, SMALL, tell_nobody)

    assert "0.2 um per pixel" in rows[0]["reason"]
    assert rows[0]["n_objects"] is None
    assert rows[1]["reason"] is None
    with pytest.raises(BadModel, match=r"0\.2 um per pixel"):
        evaluate_worlds([analyst], worlds[:1], SMALL, tell_nobody)


def test_worlds_come_from_names_files_and_folders(tmp_path: Path) -> None:
    """A folder stands for its world files; an empty one is refused."""
    (tmp_path / "b.toml").write_text('base = "demo"\n')
    (tmp_path / "a.toml").write_text('base = "sham"\n')

    names = [world.name for world in find_worlds(["demo", str(tmp_path)])]

    assert names == ["demo", "a", "b"]
    (tmp_path / "none").mkdir()
    with pytest.raises(BadWorld, match="without world files"):
        find_worlds([str(tmp_path / "none")])


def test_seeds_are_those_of_the_world_first() -> None:
    """The seeds that a world names come first, and none comes twice."""
    seeds = seeds_of(World.load("cho_10x"), 105)

    assert seeds[:4] == [101, 102, 103, 1]
    assert len(set(seeds)) == 105


def test_a_dish_is_made_to_a_share_of_dead_cells() -> None:
    """States keep their proportions; a world without any dead gets ghosts."""
    world = World.load("demo").mix

    mix = world.with_dead(0.5)

    assert mix.ghost + mix.secondary_necrosis == pytest.approx(0.5)
    assert mix.ghost / mix.secondary_necrosis == pytest.approx(0.11 / 0.09)
    assert mix.mitosis / mix.spreading == pytest.approx(0.8)
    assert Mix().with_dead(0.25).ghost == pytest.approx(0.25)


def test_a_crowded_dish_holds_more_cells_of_the_same_world() -> None:
    """Two and a half times the cells of the field, and the optics of the world."""
    world = World.load("cho_10x")

    full = crowded(world, 2.5)

    cells = [render_field(dish, 1, 256).ids.size for dish in (world, full)]
    assert cells[1] > 1.8 * cells[0]
    assert full.optics == world.optics


def test_a_perfect_answer_has_perfect_figures(field: Field, analyst: Analyst) -> None:
    """Truth against itself: nothing is missed and nothing is false."""
    frame = frame_of(field.frames, "slim", field.pixel_size_um)
    labels, cells = analyst.find(frame, stand_of(World.load("demo")))
    states = dict(zip(cells.label.tolist(), cells.state.tolist(), strict=True))

    row = figures_of([judge(labels, states, (labels, cells), 1.0)])

    assert row["instance_f1_50"] == row["instance_f1_75"] == 1.0
    assert (row["missed"], row["false"]) == (0.0, 0.0)
    assert row["n_objects"] == cells.label.size


def test_figures_of_few_cells_are_not_stated(field: Field, analyst: Analyst) -> None:
    """Slivers are left out on both sides; a class of fewer than 50 cells is None."""
    frame = frame_of(field.frames, "slim", field.pixel_size_um)
    found = analyst.find(frame, stand_of(World.load("demo")))
    truth = dict.fromkeys(field.ids.tolist(), CellState.LIVE)

    all_of_them = judge(field.labels, truth, found, 1.0)
    larger = judge(field.labels, truth, found, 200.0)

    assert larger.true < all_of_them.true
    assert figures_of([larger])["mean_object_f1"] is None


def test_intervals_draw_whole_fields(
    field: Field, seen: Segmented, truth: dict[int, int]
) -> None:
    """One field says nothing of others; equal fields leave no doubt, others do."""
    cells = (seen.labels, seen.cells)
    good = judge(field.labels, truth, cells, 1.0, seen.phase)
    bad = judge(field.labels[::-1], truth, cells, 1.0, seen.phase)

    certain, open_ = intervals_of([good, good]), intervals_of([good, bad, bad])

    assert intervals_of([good])["instance_f1_50"] is None
    assert certain["instance_f1_50"] == [figures_of([good])["instance_f1_50"]] * 2
    assert open_["instance_f1_50"][0] < open_["instance_f1_50"][1]  # type: ignore[index]


def test_errors_are_counted_by_their_flags(
    field: Field, seen: Segmented, truth: dict[int, int]
) -> None:
    """Where every cell is missed, errors carry flags as often as cells do."""
    nothing = (np.zeros_like(seen.labels), seen.cells)

    judged = judge(field.labels, truth, nothing, 1.0, seen.phase)
    row = figures_of([judged])

    assert judged.blurred.mean() == pytest.approx(0.1, abs=0.02)
    assert row["flagged_errors"] == row["flagged_cells"] > judged.on_edge.mean()
    assert row["touching_recall_50"] in (None, 0.0)


def test_natural_figures_follow_the_corrected_probabilities(
    field: Field, seen: Segmented, truth: dict[int, int]
) -> None:
    """A correction changes what holds at the share that is there, not at 25 % dead."""
    shifted = shift_frame(seen, -2.0, (0.35, 0.65)).cells
    plain, corrected = (
        figures_of(
            [judge(field.labels, truth, (seen.labels, seen.cells), 1.0, None, others)]
        )
        for others in (None, Recalled(natural=shifted, even=None))
    )

    changed = {key for key in plain if plain[key] != corrected[key]}

    assert "ece" in changed
    about_error = {"ece", "ece_by_chance"}
    assert changed <= {*about_error, *(key for key in plain if key.endswith("natural"))}


def test_median_and_worst_name_the_world() -> None:
    """The worst calibration is the largest error, the worst F1 the smallest."""
    rows = [
        {"name": "a", "mean_object_f1": 0.9, "ece": 0.01},
        {"name": "b", "mean_object_f1": 0.7, "ece": 0.05},
        {"name": "c", "mean_object_f1": None, "ece": None},
    ]

    summary = summarise_rows(rows, ("mean_object_f1", "ece"))

    assert summary["median"]["mean_object_f1"] == pytest.approx(0.8)
    assert summary["worst"]["mean_object_f1"] == {"value": 0.7, "name": "b"}
    assert summary["worst"]["ece"]["name"] == "b"


@pytest.mark.parametrize("modality", ["slim", "phase_contrast", "brightfield"])
def test_a_shot_has_the_steps_of_its_modality(field: Field, modality: str) -> None:
    """Four steps in slim, one picture else, all of the size of the field."""
    shot = shoot(field, World.load("demo"), 11, modality)

    assert shot.shape == ((4 if modality == "slim" else 1), 512, 512)
    assert shot.std() > 0


def test_phase_images_are_read_as_phase(
    field: Field, analyst: Analyst, tmp_path: Path
) -> None:
    """A file of phase in rad gives the cells that its frames would have given."""
    world = World.load("demo")
    frame = frame_of(field.frames, "slim", field.pixel_size_um)
    retrieved = PhaseRetrieval(stand_of(world), (512, 512))(field.frames)
    tifffile.imwrite(tmp_path / "x_phase.tif", phase_in_rad(retrieved))
    tifffile.imwrite(
        tmp_path / "x_instances.tif", analyst.find(frame, stand_of(world))[0]
    )

    (row,) = evaluate_images(analyst, load_folder(tmp_path, 0.65), tell_nobody)

    assert row["instance_f1_75"] > 0.99
    assert row["iou_foreground"] > 0.99


def test_an_image_without_pixel_size_is_refused(
    analyst: Analyst, tmp_path: Path
) -> None:
    """A pixel size is never guessed; the message names the option."""
    image = np.zeros((64, 64), np.uint8)
    cv2.imwrite(str(tmp_path / "x.png"), image)
    cv2.imwrite(str(tmp_path / "x_mask.png"), image)

    with pytest.raises(BadImages, match="--pixel-size"):
        evaluate_images(analyst, load_folder(tmp_path), tell_nobody)


def test_boxes_overlap_as_rectangles_do() -> None:
    """Half of a box shifted by half its width is a third of the union."""
    box = np.array([[0.0, 0.0, 10.0, 10.0]])

    iou = box_iou(box, np.array([[0.0, 5.0, 10.0, 15.0], [20.0, 20.0, 30.0, 30.0]]))

    assert iou.tolist() == [[pytest.approx(1 / 3), 0.0]]


def test_boxes_tell_how_the_calls_rank(field: Field, analyst: Analyst) -> None:
    """Of boxes that were found, the calls are gathered over all images."""
    frame = frame_of(field.frames, "slim", field.pixel_size_um)
    _, cells = analyst.find(frame, stand_of(World.load("demo")))

    rows = [compare_boxes(Boxes(cells.box_px.astype(float), cells.state), cells)]
    figures = call_figures(rows)

    assert rows[0]["instance_f1_75"] == 1.0
    assert figures["auroc_dead"] == figures["balanced_accuracy"] == 1.0
    assert "calls" not in rows[0]


def test_counts_of_any_image() -> None:
    """8 bits stay, numbers with a point fill 16 bits, phase is coded to 0.1 mrad."""
    ramp = np.linspace(-1, 1, 5, dtype=np.float32)[None]

    assert counts(np.array([[7]], np.uint8)).tolist() == [[7]]
    assert counts(ramp).tolist() == [[0, 16384, 32768, 49151, 65535]]
    np.testing.assert_allclose(phase_in_rad(coded_phase(ramp)), ramp, atol=1e-4)


def test_even_figures_are_called_for_as_many_dead_as_living(
    field: Field, analyst: Analyst, seen: Segmented, truth: dict[int, int]
) -> None:
    """A cell above the share of the training is more likely dead than it was before."""
    recalled = analyst.recall(seen, analyst.prevalence())
    judged = judge(field.labels, truth, (seen.labels, seen.cells), 1.0, None, recalled)

    share = analyst.card.training.dead_share
    assert share is not None
    above = seen.cells.dead_probability > share
    np.testing.assert_array_equal(recalled.even.state == CellState.DEAD, above)
    even, plain = (
        int((table.inside_state == CellState.DEAD).sum())
        for table in (judged.even, judged.objects)
    )
    assert even > plain


def test_a_second_network_that_cannot_serve_gives_no_figures(tmp_path: Path) -> None:
    """Figures of the maps alone would be those of another model: it is refused."""
    folder = tmp_path / "model"
    shutil.copytree(MODELS.find("slim"), folder)
    text = (folder / CARD_FILE).read_text("utf-8")
    (folder / CARD_FILE).write_text(text.replace('"base": 16', '"base": 24'), "utf-8")
    empty = np.full((64, 64), 16_384, np.uint16)

    with (
        Analyst(TORCH.model_copy(update={"model": str(folder)})) as analyst,
        pytest.raises(BadModel, match="do not fit the card"),
    ):
        analyst.find_in_phase(empty, 0.65)
