"""The analysis of a run: what the tracks weigh, and what is recorded of a frame."""

from dataclasses import replace

import numpy as np
from samples import make_segmented

from acquisition.records import Analysed, Frame, Segmented
from app.analysis import Analysis
from configs.events import Events
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
