"""The whole tracking stage at growing fields: tracks, forecasts, events and requests.

The cells are those of dish A, and the network of the forecasts corrects the bank. Of a
stage with its whole load, the second half of the frames counts.
"""

import time
from typing import Any

import numpy as np

from calibration.benchmarks.tracking_figures import as_segmented
from calibration.benchmarks.tracking_scenes import Scene
from configs.events import Events, Trigger
from configs.schema import Forecasting, Tracking
from tracking.stage import TrackingStage


def time_stage(made: Scene, settings: Tracking, step_s: float) -> dict[str, Any]:
    """Let the stage follow a scene, and give the milliseconds of its frames.

    Returns
    -------
    dict
        ``cpu_ms`` of the calling thread and ``wall_ms``: medians; ``cpu_ms_max``.
    """
    triggers = (Trigger(event="contact"), Trigger(event="death"))
    stage = TrackingStage(settings, Forecasting(), Events(), triggers)
    stage.warm_up()
    cpu, wall = [], []
    for number, objects in enumerate(made.found):
        segmented = as_segmented(objects, number, step_s)
        began = time.thread_time(), time.perf_counter()
        stage(segmented)
        cpu.append(1e3 * (time.thread_time() - began[0]))
        wall.append(1e3 * (time.perf_counter() - began[1]))
    late = slice(len(cpu) // 2, None)
    return {
        "cpu_ms": round(float(np.median(cpu[late])), 2),
        "cpu_ms_max": round(max(cpu[late]), 2),
        "wall_ms": round(float(np.median(wall[late])), 2),
    }
