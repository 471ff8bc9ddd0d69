"""The analysis of a run: what the tracks weigh, and what is recorded of a frame."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import make_info, make_segmented

from acquisition.errors import BadModel
from acquisition.records import Analysed, Frame, Segmented, read_only
from app.analysis import Analysis, build_analysis
from app.preflight import check_plan
from configs import load_experiment
from configs.events import Events
from configs.models import CHOSEN_MODELS
from configs.schema import Forecasting, Inference, Tracking
from inference.prevalence import Prevalence
from tracking.stage import TrackingStage

FRAMES = 12


def segment(frame: Frame) -> Segmented:
    """Give 60 cells that lie apart, of which few look dead."""
    blank = make_segmented(60)
    rows = np.stack(np.divmod(np.arange(60.0), 8), axis=1)
    odd = np.random.default_rng(frame.info.sequence).beta(0.2, 4.0, 60)
    cells = replace(
        blank.cells,
        centre_um=40.0 * rows,
        dead_probability=odd.astype(np.float32),
        touching=np.zeros((0, 2), np.int32),
    )
    return replace(blank, info=frame.info, cells=cells)


def analyse(follows: bool) -> tuple[Analysis, list[Analysed]]:
    """Give an analysis that has seen some frames, and what it said of them."""
    tracking = TrackingStage(Tracking(), Forecasting(model="bank"), Events(), ())
    prevalence = Prevalence(0.25, Inference(follow_prevalence=follows))
    analysis = Analysis(segment, tracking, prevalence)  # type: ignore[arg-type]
    pixels = np.zeros((4, 64, 64), np.uint16)
    info = make_segmented(0).info
    frames = [
        Frame(replace(info, sequence=at, time_s=20.0 * at), pixels)
        for at in range(1, FRAMES + 1)
    ]
    return analysis, [analysis(frame) for frame in frames]


def test_what_is_recorded_follows_the_dead_of_the_run() -> None:
    """Fewer dead than in training: P(dead) of a frame sinks, that of a track not."""
    following, shifted = analyse(follows=True)
    fixed, plain = analyse(follows=False)

    assert following.facts()["dead_share"] < 0.22
    assert "dead_share" not in fixed.facts()
    after, before = (
        seen[-1].segmented.cells.dead_probability for seen in (shifted, plain)
    )
    assert (after < before).all()
    assert np.array_equal(
        shifted[-1].tracks.dead_probability, plain[-1].tracks.dead_probability
    )


@pytest.mark.parametrize(
    ("pixel_size_um", "served"), [(0.65, "slim-"), (0.325, "slim_40x-")]
)
def test_a_run_that_names_no_model_says_which_one_serves(
    pixel_size_um: float, served: str
) -> None:
    """The size of the pixels decides; the notes of the run say so first."""
    overrides = ["inference.engine=torch", "forecast.model=bank"]
    experiment = load_experiment("demo", overrides)

    analyse, notes = build_analysis(experiment, (128, 128), pixel_size_um)
    info = replace(make_info(), pixel_size_um=pixel_size_um)
    pixels = np.full((4, 128, 128), 2000, np.uint16)
    analysed = analyse(read_only(Frame(info, pixels)))

    assert notes[0].startswith(f"model {served.rstrip('-')}, made for {pixel_size_um}")
    assert analysed.segmented.model.startswith(served)


@pytest.mark.parametrize("known", [True, False])
def test_only_models_that_may_serve_are_read_before_a_run(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged model stops no run that knows it will take another."""
    monkeypatch.setitem(CHOSEN_MODELS, "slim", {"slim": 0.65, "nowhere": 0.325})
    overrides = ["log.min_free_gb=0"]
    overrides += ["microscope.pixel_size_um=0.65"] if known else []
    experiment = load_experiment("demo", overrides)

    with nullcontext() if known else pytest.raises(BadModel, match="nowhere"):
        check_plan(experiment, tmp_path)
