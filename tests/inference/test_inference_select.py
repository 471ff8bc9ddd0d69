"""The choice of the engine is tried, explained and never silent."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.errors import BadModel
from configs.schema import Inference
from inference.cards import Model, load_model, save_model
from inference.engines.cache import SIDE_FILE, EngineCache
from inference.engines.candidates import candidates, remember, thread_count
from inference.engines.openvino_engine import openvino_key, supported_precisions
from inference.engines.standby import StandbyEngine
from inference.engines.torch_engine import TorchEngine
from inference.maps import Maps
from inference.probe import class_agreement, probe_engine, tiled
from inference.select import build_engines, select_engine

SHAPE = (512, 512)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the engine cache of the user out of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Spoilt(TorchEngine):
    """The reference, but for what is done to its maps."""

    spoil: Callable[[Maps], Maps]

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Give the maps of a frame (y, x), spoilt."""
        return self.spoil(super().infer(frame, offset, scale))


def spoilt(model: Model, spoil: Callable[[Maps], Maps]) -> Spoilt:
    """Make an engine for small frames whose maps are spoilt."""
    engine = Spoilt(model, SHAPE, 1)
    engine.spoil = spoil
    return engine


def model_without_answer(folder: Path) -> Model:
    """Write a model whose golden answer no engine can give."""
    model = load_model("slim")
    wrong = replace(model.golden, maps=2 - np.minimum(model.golden.maps, 2))
    save_model(folder, model.card, model.weights, wrong, "for a test", model.second)
    return load_model(str(folder))


def test_auto_chooses_a_fast_engine_that_agrees() -> None:
    """Auto serves OpenVINO in the best precision of the processor, and says so."""
    engine, card, reasons = select_engine(Inference(model="slim", threads=1), SHAPE)

    assert engine.name == f"openvino-{supported_precisions()[0]}"
    assert card is not None
    assert card.name == "slim"
    assert "serves" in reasons[-1]


def test_every_refused_candidate_has_its_reason(tmp_path: Path) -> None:
    """With a wrong golden answer all candidates are refused, one reason each."""
    model_without_answer(tmp_path / "wrong")

    settings = Inference(model=str(tmp_path / "wrong"), precision="f32", threads=1)
    with pytest.raises(BadModel) as caught:
        select_engine(settings, SHAPE)

    for name in ("openvino-f32", "torch-f32"):
        assert f"{name} left out: " in str(caught.value)


def test_cards_come_first_and_torch_last() -> None:
    """The order is TensorRT, torch on a card, OpenVINO as the processor can, torch."""
    listed = candidates(Inference(), load_model("slim"), (64, 64))

    processor = [f"openvino-{precision}" for precision in supported_precisions()]
    cards = ["tensorrt", "torch-cuda-f16", "torch-cuda-bf16"]
    assert [c.name for c in listed] == [*cards, *processor, "torch-f32"]
    assert [c.needed for c in listed if c.precision == "int8"] in ([], [0.99])


def test_named_engine_is_the_one_that_serves() -> None:
    """A named engine is tried alone."""
    engine, _, reasons = select_engine(
        Inference(model="slim", engine="torch", threads=1), SHAPE
    )

    assert engine.name == "torch-f32"
    assert len(reasons) == 1


def damage(model: Model, shape: tuple[int, int]) -> Path:
    """Cut off the cached engine that serves; gives its folder."""
    key = openvino_key(model, shape, supported_precisions()[-1])
    place = EngineCache().find(model, key)
    assert place is not None
    (place / "graph.bin").write_bytes(b"cut off")
    return place


def test_a_damaged_engine_is_made_again_while_another_serves() -> None:
    """Torch serves until the engine is whole again; then it takes over."""
    settings = Inference(model="slim", precision="f32", threads=1)
    select_engine(settings, SHAPE)[0].close()
    model = load_model("slim")
    place = damage(model, SHAPE)
    frame = tiled(model.golden.frame, SHAPE)

    engine, _, reasons = select_engine(settings, SHAPE, background=True)
    first = engine.infer(frame, 16384.0, 1 / 3500), engine.name
    assert isinstance(engine, StandbyEngine)
    assert engine.wait(60)
    second = engine.infer(frame, 16384.0, 1 / 3500), engine.name

    assert (first[1], second[1]) == ("torch-f32", "openvino-f32")
    assert "openvino-f32 is made meanwhile" in reasons[-1]
    assert class_agreement(first[0].classes, second[0].classes) > 0.999
    assert (place / SIDE_FILE).is_file()


def test_what_is_made_serves_at_once() -> None:
    """With a warm cache no stand-in is needed."""
    settings = Inference(model="slim", precision="f32", threads=1)
    select_engine(settings, SHAPE)[0].close()

    engine, _, _ = select_engine(settings, SHAPE, background=True)

    assert engine.name == "openvino-f32"
    assert not isinstance(engine, StandbyEngine)


def test_the_fastest_of_this_pc_is_remembered() -> None:
    """Auto follows the order that was measured here, for this size and model only."""
    model = load_model("slim")
    remember(model, (64, 64), 1, ["torch-f32", "openvino-f32"])

    engine, _, _ = select_engine(Inference(model="slim", threads=1), (64, 64))

    assert engine.name == "torch-f32"


def test_every_candidate_is_tried_and_has_its_reason() -> None:
    """Building tells of each candidate whether it passed, how fast, or why not."""
    tried, kept = build_engines(
        Inference(model="slim", engine="torch", threads=1), (64, 64)
    )
    cards, _ = build_engines(Inference(model="slim", engine="tensorrt"), (64, 64))

    assert not kept  # one engine alone is no order
    assert tried[0].probe is not None
    assert tried[0].fault is None
    assert cards[0].fault is not None or cards[0].probe is not None


def test_an_absent_precision_is_refused() -> None:
    """A precision that was asked for is not replaced by another one."""
    with pytest.raises(BadModel, match="precision"):
        select_engine(
            Inference(model="slim", engine="torch", precision="int8"), (64, 64)
        )


def test_classical_needs_no_model() -> None:
    """The classical engine has no card, and says that it knows no viability."""
    engine, card, reasons = select_engine(
        Inference(engine="classical", model="none"), SHAPE
    )

    assert engine.name == "classical"
    assert card is None
    assert "no viability" in reasons[0]


def test_small_frames_are_probed_against_a_fresh_reference() -> None:
    """Below the size of the stored answer the reference is computed again."""
    model = load_model("slim")
    engine = TorchEngine(model, (128, 160), 1)

    probe = probe_engine(engine, model, (128, 160))

    assert probe.agreement == 1.0
    assert probe.frame_ms > 0


def test_stored_answer_is_that_of_the_reference() -> None:
    """The golden maps of the card are what float32 gives here, at any larger size."""
    model = load_model("slim")

    probe = probe_engine(TorchEngine(model, (544, 640), 1), model, (544, 640))

    assert probe.agreement >= 0.999


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda m: replace(m, dead=np.zeros_like(m.dead)), "dead map is empty"),
        (
            lambda m: replace(m, separation=np.zeros_like(m.separation)),
            "separation map is empty",
        ),
        (lambda m: replace(m, dead=255 - m.dead), "called otherwise"),
        (lambda m: replace(m, separation=m.separation // 4), "cells"),
        (lambda m: replace(m, classes=np.minimum(m.classes, 1)), "cell pixels"),
    ],
)
def test_every_map_counts(spoil: Callable[[Maps], Maps], says: str) -> None:
    """An engine that is wrong in a single map has a fault that says which."""
    model = load_model("slim")

    probe = probe_engine(spoilt(model, spoil), model, SHAPE)

    assert probe.fault is not None
    assert says in probe.fault


def test_a_faultless_probe_has_no_fault() -> None:
    """The reference itself agrees with the stored answer in all three maps."""
    model = load_model("slim")

    probe = probe_engine(TorchEngine(model, SHAPE, 1), model, SHAPE)

    assert probe.fault is None
    assert probe.cells_found == probe.cells_wanted > 5


def test_golden_frame_without_cells_is_refused(tmp_path: Path) -> None:
    """An answer without cells cannot tell engines apart."""
    model = load_model("slim")
    empty = replace(model.golden, maps=np.zeros_like(model.golden.maps))
    save_model(
        tmp_path / "empty", model.card, model.weights, empty, "for a test", model.second
    )

    with pytest.raises(BadModel, match=r"golden frame .* no cell"):
        select_engine(
            Inference(model=str(tmp_path / "empty"), engine="torch", threads=1), SHAPE
        )


def test_agreement_counts_cell_pixels_only() -> None:
    """Background that both sides call background proves nothing."""
    found = np.array([[0, 0, 1, 2]], np.uint8)
    wanted = np.array([[0, 0, 1, 1]], np.uint8)

    assert class_agreement(found, wanted) == 0.5
    with pytest.raises(BadModel, match="no cell"):
        class_agreement(np.zeros_like(found), np.zeros_like(found))


def test_tiles_begin_at_the_corner() -> None:
    """A tiled frame repeats the golden one, cut at the far sides."""
    frame = np.arange(6, dtype=np.uint16).reshape(2, 3)

    whole = tiled(frame, (5, 4))

    np.testing.assert_array_equal(whole[:2, :3], frame)
    np.testing.assert_array_equal(whole[2:4, 3], frame[:, 0])


def test_threads_leave_a_core_to_the_camera() -> None:
    """Unset threads are all cores but one, and at least one."""
    assert thread_count(Inference()) >= 1
    assert thread_count(Inference(threads=3)) == 3
