"""The closer look at cells in doubt: crops, engines, bounds, and the whole stage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from label_maps import make_info
from numpy.typing import NDArray
from samples import make_cells

from acquisition.errors import BadModel
from acquisition.records import Cells, CellState, Frame, read_only
from acquisition.simulated.fields import render_field
from acquisition.simulated.world import World
from configs.schema import Inference, Stand
from inference.cards import Classifier, Model, SecondNetwork, load_model, save_model
from inference.closer_look import CloserLook
from inference.cut import cut
from inference.engines.cell_engines import (
    OpenVinoCells,
    TorchCells,
    build_classifier,
    closer_look_of,
    largest_difference,
    select_closer_look,
)
from inference.engines.classical import ClassicalEngine
from inference.stage import InferenceStage

EDGE = 16
ALL = Inference(closer_looks=64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Give the shipped maps with a small second network of random weights."""
    import torch

    from inference.nets.cell_classifier import CellClassifier

    shipped = load_model("slim")
    torch.manual_seed(3)
    network = CellClassifier(8).eval()
    network.trust.fill_(0.7)
    part = Classifier(
        base=8,
        edge_px=EDGE,
        doubt=(0.01, 0.99),
        temperature=1.5,
        dead_offset=0.2,
        training=shipped.card.training,
        cells=0,
        cells_in_doubt=0,
    )
    weights = {
        name: value.numpy()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    rng = np.random.default_rng(1)
    crops = rng.normal(0, 1, (20, 2, EDGE, EDGE)).astype(np.float16)
    crops = crops.astype(np.float32)
    told = rng.normal(0, 1, 20).astype(np.float32)
    kept = {n: v.astype(np.float16) if v.ndim == 4 else v for n, v in weights.items()}
    reference = build_classifier(part, SecondNetwork(kept, crops, told, told))
    logits = reference(torch.from_numpy(crops), torch.from_numpy(told)).numpy()
    folder = tmp_path_factory.mktemp("model") / "twice"
    save_model(
        folder,
        shipped.card.model_copy(update={"classifier": part}),
        shipped.weights,
        shipped.golden,
        "made up",
        SecondNetwork(weights, crops, told, logits),
    )
    return load_model(str(folder))


class Counting:
    """An engine that calls every cell dead, and counts them."""

    name = "counting"

    def __init__(self) -> None:
        self.crops: NDArray[np.float32] = np.empty(0, np.float32)

    def logits(
        self, crops: NDArray[np.float32], told: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Give one large logit a cell."""
        self.crops = crops.copy()
        return np.full(len(told), 9.0, np.float32)

    def close(self) -> None:
        """Nothing is held."""


def in_doubt(*probabilities: float) -> Cells:
    """Give cells in one row, 10 px apart, with these P(dead)."""
    count = len(probabilities)
    left = 10 * np.arange(count)
    box = np.column_stack((left * 0, left, left * 0 + 4, left + 4)).astype(np.int32)
    return replace(
        make_cells(count),
        dead_probability=np.array(probabilities, np.float32),
        state=np.full(count, CellState.LIVE, np.uint8),
        box_px=box,
    )


def test_a_crop_shows_grey_level_and_own_mask_and_nothing_beyond_the_frame() -> None:
    """The middle of the crop is the pixel asked for; outside the frame all is 0."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 60_000, (20, 30)).astype(np.uint16)
    labels = rng.integers(0, 3, (20, 30)).astype(np.uint16)
    crops = np.ones((1, 2, 8, 8), np.float32)

    cut(frame, labels, np.array([[2, 1, 28]]), (16384.0, 1 / 3500), crops)

    grey, mask = np.zeros((8, 8)), np.zeros((8, 8))
    grey[3:8, 0:6] = ((frame[0:5, 24:30] - 16384.0) / 3500).clip(-4, 8)
    mask[3:8, 0:6] = labels[0:5, 24:30] == 2
    np.testing.assert_allclose(crops[0, 0], grey, atol=1e-5)
    np.testing.assert_array_equal(crops[0, 1], mask)


def test_only_cells_in_doubt_are_called_again(model: Model) -> None:
    """Sure calls stay as they are; the others get those of the second network."""
    assert model.card.classifier is not None
    cells = in_doubt(0.001, 0.3, 0.6, 0.999)
    frame = np.full((40, 60), 16384, np.uint16)

    look = CloserLook(model.card.classifier, Counting(), ALL)
    again = look(frame, (16384.0, 1.0), np.zeros_like(frame), cells)

    np.testing.assert_allclose(
        again.dead_probability,
        [0.001, *[1 / (1 + np.exp(-(9 / 1.5 + 0.2)))] * 2, 0.999],
        rtol=1e-4,
    )
    assert again.state.tolist() == [1, 2, 2, 2]
    assert not again.unsure.any()


def test_the_least_sure_come_first_where_not_all_can_be_looked_at(
    model: Model,
) -> None:
    """Of four cells in doubt two are looked at: those nearest to even odds."""
    assert model.card.classifier is not None
    cells = in_doubt(0.1, 0.45, 0.9, 0.6)
    frame = np.full((40, 60), 16384, np.uint16)
    engine = Counting()

    look = CloserLook(model.card.classifier, engine, Inference(closer_looks=2))
    again = look(frame, (16384.0, 1.0), np.zeros_like(frame), cells)

    changed = again.dead_probability != cells.dead_probability
    assert changed.tolist() == [False, True, False, True]


def test_frames_of_other_pixels_are_looked_at_on_the_grid_of_the_model(
    model: Model,
) -> None:
    """A label map twice as fine leads to the crop around the same place."""
    assert model.card.classifier is not None
    seen = np.full((40, 60), 16384, np.uint16)
    seen[10, 20] = 20_000
    labels = np.zeros((80, 120), np.uint16)
    labels[18:24, 38:44] = 1
    box = np.array([[18, 38, 24, 44]], np.int32)
    cells = replace(in_doubt(0.5), box_px=box, label=np.array([1], np.int32))
    engine = Counting()

    CloserLook(model.card.classifier, engine, ALL)(seen, (16384.0, 1.0), labels, cells)

    middle = EDGE // 2
    assert engine.crops[0, 0, middle, middle] == 8.0  # clipped
    assert engine.crops[0, 1].sum() == 9


def test_openvino_gives_the_answers_of_the_reference(
    model: Model, tmp_path: Path
) -> None:
    """P(dead) of 20 crops, in batches of which the last is not full, is the same."""
    assert model.card.classifier is not None
    assert model.second is not None
    engine = OpenVinoCells(model, 1, tmp_path)

    assert largest_difference(engine, model.card.classifier, model.second) < 1e-4
    assert not np.allclose(model.second.logits, model.second.logits[0])


def test_the_reference_gives_the_stored_answers(model: Model) -> None:
    """Weights and golden crops survive the way to the disk and back."""
    assert model.card.classifier is not None
    assert model.second is not None
    engine = TorchCells(model)

    assert largest_difference(engine, model.card.classifier, model.second) < 1e-4


@pytest.mark.parametrize("shift", [3.0, np.nan])
def test_without_an_engine_that_agrees_calls_are_those_of_the_maps(
    model: Model, shift: float
) -> None:
    """Other answers, and no numbers, are refused one by one; a run goes on, told so."""
    assert model.second is not None
    logits = model.second.logits + np.float32(shift)
    wrong = replace(model, second=replace(model.second, logits=logits))

    closer, said = closer_look_of(wrong, ALL, "openvino-bf16")

    assert closer is None
    assert [sentence.partition(" ")[0] for sentence in said[:2]] == [
        "openvino-f32",
        "torch-f32",
    ]
    assert "left out" in said[0]
    assert "calls are those of the maps" in said[2]


def test_weights_of_another_size_are_refused(model: Model) -> None:
    """A card that names a wider network than the weights are of is told apart."""
    assert model.card.classifier is not None
    assert model.second is not None
    wide = model.card.classifier.model_copy(update={"base": 16})

    with pytest.raises(BadModel, match="do not fit the card"):
        build_classifier(wide, model.second)


def test_it_can_be_switched_off_and_needs_a_second_network(model: Model) -> None:
    """No closer look without looks, without a network, or for the classical engine."""
    off = Inference(closer_looks=0)

    assert closer_look_of(model, off, "torch-f32") == (None, ())
    assert closer_look_of(load_model("phase"), ALL, "torch-f32") == (None, ())
    assert select_closer_look(ALL, None, "classical") == (None, ())


def test_the_stage_looks_closer_at_what_it_found(model: Model) -> None:
    """Calls of cells in doubt differ from those without, outlines do not."""
    field = render_field(World.load("cho_10x"), seed=11, size_px=256)
    info = make_info("slim", field.pixel_size_um)
    frame = read_only(Frame(info, field.frames))
    card = model.card.classifier
    assert card is not None
    looks = CloserLook(card.model_copy(update={"doubt": (0, 1)}), Counting(), ALL)
    settings = Inference()

    plain, closer = (
        InferenceStage(ClassicalEngine(), None, settings, Stand(), one)(frame)
        for one in (None, looks)
    )

    np.testing.assert_array_equal(plain.labels, closer.labels)
    assert (closer.cells.state == CellState.DEAD).all()
    assert not (plain.cells.state == CellState.DEAD).all()
