"""What is foreseen leads to extra frames before it happens, on a real scheduler."""

import numpy as np
import useq

from acquisition.clock import Clock
from acquisition.schedule import EventSource
from configs.events import Events, PredictedContactRule, Trigger
from configs.schema import Forecasting, Tracking
from tests.acquisition.microscopes import Taken, drive, open_demo
from tests.tracking.tracking_scenes import make_scene
from tracking.stage import TrackingStage

STEP_S = 60.0


def approach(time_s: float):
    """Give two cells of 20 um that come closer by 1 um a minute and touch at 30 min."""
    gap_um = max(30.0 - time_s / 60, 0.0)
    places = np.array([[0.0, 0.0], [0.0, 19.6 + gap_um]])
    touching = ((1, 2),) if gap_um == 0 else ()
    return make_scene(places, time_s, touching=touching)


def test_a_predicted_contact_gets_its_frames_in_time():
    """Extra frames are taken after the prediction and before the cells touch."""
    clock = Clock("stepped")
    microscope = open_demo(clock)
    plan = useq.MDASequence(
        time_plan={"interval": STEP_S, "loops": 40},
        stage_positions=[{"x": 0, "y": 0, "name": "dish"}],
    )
    trigger = Trigger(event="predicted contact", frames=2, valid_for_s=600)
    events = Events(predicted_contact=PredictedContactRule(max_lead_s=600))
    stage = TrackingStage(Tracking(), Forecasting(), events, (trigger,))
    source = EventSource(clock, microscope.core, microscope.limits)
    source.add_timelapse(plan)
    found = []

    def analyse() -> None:
        if taken.purposes[-1]["cause"] == "protocol":
            analysed = stage(approach(clock.now_s()))
            found.extend(analysed.events)
            for request in analysed.requests:
                source.add_request(request, clock.now_s())

    taken = Taken(clock, analyse)
    drive(microscope, source, taken)
    microscope.close()

    foreseen = next(event for event in found if event.kind == "predicted contact")
    met = next(event for event in found if event.kind == "contact")
    extra_s = [
        time_s
        for time_s, purpose in zip(taken.times_s, taken.purposes, strict=True)
        if purpose["cause"] != "protocol"
    ]
    assert len(extra_s) >= 2
    assert foreseen.time_s - foreseen.lead_s <= extra_s[0] < met.time_s
    assert source.replies()[0].outcome == "done"
