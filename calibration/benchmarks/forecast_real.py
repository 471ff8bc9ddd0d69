"""`vigil bench forecast --tracks`: forecasts of real cells, with no constant of theirs.

The tables hold who was where; there are no images. Everything that has constants has
those of the simulated microscope. The true place is the measured one: nobody knows
better.
"""

from pathlib import Path
from typing import Any

import numpy as np

from acquisition.simulated.world import World
from calibration.benchmarks.forecast import (
    MIXED,
    SPECIMEN,
    SPECIMEN_NOISE_UM,
    Regime,
    Tally,
    run,
    table_rows,
    table_summary,
)
from calibration.benchmarks.forecast_baselines import Fitted, Law, fit
from calibration.datasets.tracks import PointTracks, load_tracks
from calibration.training.forecast_courses import Course, walk_course

STEPS = np.array([1, 3, 5])
LOCALISATION_UM = 1.0
"""That of the settings where they say nothing else."""


def bench_tracks(
    paths: list[Path],
    models: tuple[str, ...] = ("bank",),
    pixel_size_um: float | None = None,
    interval_s: float | None = None,
) -> dict[str, Any]:
    """Judge the forecasts of real tracks 1, 3 and 5 frames ahead.

    Returns
    -------
    dict
        ``rows`` and ``summary`` as of `bench_forecast`; the regime is the file.

    Raises
    ------
    BadImages
        If a table is wrong, or nothing says what a pixel and a frame are.
    """
    world = World.load(SPECIMEN)
    law = Law(
        world.cells.speed_um_per_h / 60, world.cells.persistence_min, SPECIMEN_NOISE_UM
    )
    fitted = _fitted()
    rows: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    for path in paths:
        course = course_of(load_tracks(path, pixel_size_um, interval_s))
        regime = Regime(
            path.stem, law, LOCALISATION_UM, lambda _: [], measured_is_true=True
        )
        tally = Tally()
        for model in models:
            run(regime, [course], (model, "forecast"), fitted, tally)
        about = {"regime": path.stem, "truth": "real tracks, measured places"}
        rows += [about | row for row in table_rows(tally, course.horizons_s)]
        summary += [about | row for row in table_summary(tally)]
    return {"rows": rows, "summary": summary}


def course_of(points: PointTracks) -> Course:
    """Give a table of points as a course, a tick a frame."""
    ids, cell = np.unique(points.track_id, return_inverse=True)
    first, last = int(points.frame.min()), int(points.frame.max())
    place = np.full((last - first + 1, ids.size, 2), np.nan)
    place[points.frame - first, cell] = points.centre_um
    nobody = np.full((len(place), ids.size, STEPS.size, 2), np.nan)
    return Course(
        tick_s=points.frame_interval_s,
        place_um=place,
        dead=np.zeros(place.shape[:2], np.bool_),
        frames=np.arange(len(place)),
        seen_um=place,
        ahead=STEPS,
        oracle_um=nobody,
        oracle_um2=nobody[..., 0],
    )


def _fitted() -> Fitted:
    """Fit the least-squares forecast on simulated cells; lengths do not carry over."""
    rng = np.random.default_rng([1000, 5])
    course = walk_course(MIXED, np.arange(40), STEPS, rng)
    return Fitted(fit([course]).weights, {})
