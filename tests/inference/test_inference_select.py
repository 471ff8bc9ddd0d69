"""The choice of the engine is tried, explained and never silent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import BadModel
from configs.schema import Inference
from inference.cards import Model, load_model, save_model
from inference.engines.openvino_engine import supported_precisions
from inference.engines.torch_engine import TorchEngine
from inference.select import (
    class_agreement,
    probe_engine,
    select_engine,
    thread_count,
    tiled,
)

SHAPE = (512, 512)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the engine cache of the user out of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def model_without_answer(folder: Path) -> Model:
    """Write a model whose golden answer no engine can give."""
    model = load_model("slim")
    wrong = replace(model.golden, maps=2 - np.minimum(model.golden.maps, 2))
    save_model(folder, model.card, model.weights, wrong, "for a test")
    return load_model(str(folder))


def test_auto_chooses_a_fast_engine_that_agrees() -> None:
    """Auto serves OpenVINO in the best precision of the processor, and says so."""
    engine, card, reasons = select_engine(Inference(threads=1), SHAPE)

    assert engine.name == f"openvino-{supported_precisions()[0]}"
    assert card is not None
    assert card.name == "slim"
    assert "serves" in reasons[-1]


def test_every_refused_candidate_has_its_reason(tmp_path: Path) -> None:
    """With a wrong golden answer all candidates are refused, one reason each."""
    model_without_answer(tmp_path / "wrong")

    with pytest.raises(BadModel) as caught:
        select_engine(Inference(model=str(tmp_path / "wrong"), threads=1), SHAPE)

    for name in (*supported_precisions(), "torch-f32"):
        assert name in str(caught.value)
    assert str(caught.value).count("left out") == 1 + len(supported_precisions())


def test_named_engine_is_the_one_that_serves() -> None:
    """A named engine is tried alone."""
    engine, _, reasons = select_engine(Inference(engine="torch", threads=1), SHAPE)

    assert engine.name == "torch-f32"
    assert len(reasons) == 1


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


def test_agreement_counts_cell_pixels_only() -> None:
    """Background that both sides call background proves nothing."""
    found = np.array([[0, 0, 1, 2]], np.uint8)
    wanted = np.array([[0, 0, 1, 1]], np.uint8)

    assert class_agreement(found, wanted) == 0.5
    assert class_agreement(np.zeros_like(found), np.zeros_like(found)) == 1.0


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
