"""Forecasts say where cells will be, how far off that may be, and how good they are."""

from dataclasses import replace

import numpy as np
import pytest
from samples import make_cells, make_tracks

from acquisition.records import BAND_SIGMAS, CellState
from configs.schema import Forecasting
from tests.tracking.tracking_scenes import walk
from tracking.forecasts.forecaster import MODELS, Forecaster, measured_centres
from tracking.forecasts.rolling import MOST_WAITING, Made, Scores

HORIZONS = (60.0, 180.0)
BANDS = np.ones((2, 2))


def make_forecaster(localisation_um=0.5, horizons_s=HORIZONS):
    """Give a forecaster of these horizons, and its scores."""
    scores = Scores(MODELS, len(horizons_s))
    settings = Forecasting(model="bank", horizons_s=horizons_s)
    return Forecaster(settings, localisation_um, scores), scores


def make_frame(centre_um, state=CellState.LIVE):
    """Give the cells and tracks of a frame with cells at these places."""
    count = len(centre_um)
    tracks = replace(
        make_tracks(count),
        centre_um=np.asarray(centre_um, float),
        state=np.full(count, state, np.uint8),
    )
    return replace(make_cells(count), centre_um=tracks.centre_um), tracks


def test_live_cells_go_on_and_dead_cells_stay():
    """Of cells on the same steady way, the dead one is forecast where it is."""
    forecaster, _ = make_forecaster()
    across = 50.0 * np.arange(60)
    for minute in range(20):
        cells, tracks = make_frame(np.stack((2.0 * minute + 0 * across, across), 1))
        forecaster.observe(60.0 * minute, cells, tracks)
        forecaster.forecast(tracks)
    state = np.full(60, CellState.LIVE, np.uint8)
    state[1] = CellState.DEAD

    mean, cov = forecaster.predict(replace(tracks, state=state), (180.0,))

    assert mean[0, 0] == pytest.approx([44.0, 0.0], abs=0.7)
    assert mean[1, 0] == pytest.approx([38.0, 50.0])
    assert cov.shape == (60, 1, 2, 2)


def test_bands_hold_nine_of_ten_cells_whose_errors_have_heavy_tails():
    """Cells that leap as no walk does get bands that hold 90 % all the same."""
    rng = np.random.default_rng(4)
    steps = rng.standard_t(2.2, (90, 150, 2))
    places = walk(150, 1, 0.0, 0)[0] + np.cumsum(steps, axis=0)
    forecaster, scores = make_forecaster()

    made = []
    for minute, here in enumerate(places):
        cells, tracks = make_frame(here)
        forecaster.observe(60.0 * minute, cells, tracks)
        made.append(forecaster.forecast(tracks))

    inside = [
        np.linalg.norm(made[i].centre_um[:, 0] - places[i + 1], axis=1)
        <= BAND_SIGMAS * made[i].sigma_um[:, 0]
        for i in range(40, 89)
    ]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)
    assert scores.figures("bank")["coverage"] == pytest.approx(0.9, abs=0.04)


def test_the_score_is_the_error_that_was_made():
    """Error and skill of a cell that walks straight: staying misses every step."""
    forecaster, scores = make_forecaster(horizons_s=(60.0,))
    for minute in range(60):
        here = 2.0 * minute + np.array([[0.0, 0.0], [0.0, 50.0], [0.0, 90.0]])
        cells, tracks = make_frame(here)
        forecaster.observe(60.0 * minute, cells, tracks)
        forecaster.forecast(tracks)

    assert scores.figures("stay")["error_um"] == pytest.approx(np.sqrt(8))
    assert scores.figures("stay")["skill"] == 0
    assert scores.figures("bank")["skill"] > 0.8
    assert scores.figures("bank", kind=1) is None


def test_cells_that_only_tremble_are_expected_to_stay():
    """Where apparent ways lead nowhere, the trust in them goes to nothing."""
    rng = np.random.default_rng(8)
    forecaster, scores = make_forecaster()
    places = walk(100, 1, 0.0, seed=0)[0]
    for minute in range(60):
        cells, tracks = make_frame(places + rng.normal(0, 0.6, places.shape))
        forecaster.observe(60.0 * minute, cells, tracks)
        forecaster.forecast(tracks)

    assert scores.figures("bank")["error_um"] < scores.figures("stay")["error_um"]


def test_a_way_is_believed_by_its_kind_and_not_before_it_has_earned_it():
    """Clear ways that lead somewhere are believed, unclear ones that do not are not."""
    rng = np.random.default_rng(3)
    scores, count = Scores(("stay", "bank"), 1), 400
    ids, variance = np.arange(1, count + 1), np.ones((2, count), np.float32)
    way = np.zeros((2, count, 2), np.float32)
    way[1] = rng.normal(0, 0.1, (count, 2))
    way[1, ::2, 0] += 3.0
    now = rng.normal(0, 0.1, (count, 2))
    now[::2, 0] += 0.8 * 3
    told = np.zeros_like(way)
    made = Made(0.0, ids, np.zeros(count, bool), told[0], way, told, variance, BANDS)

    scores.learn(0, made, ids[:4], now[:4], 1.0)
    early = scores.trust()[1, 0, 0]
    scores.learn(0, made, ids, now, 1.0)

    assert (early == 0).all()
    assert scores.trust()[1, 0, 0, -1] == pytest.approx(0.8, abs=0.1)
    assert scores.trust()[1, 0, 0, 0] < 0.2


def test_staying_is_as_good_as_it_is_of_cells_that_diffuse():
    """Few cells whose steps know nothing of each other cost nothing to forecast."""
    rng = np.random.default_rng(12)
    forecaster, scores = make_forecaster()
    places = walk(35, 1, 0.0, 0)[0] + np.cumsum(rng.normal(0, 1, (90, 35, 2)), axis=0)
    for minute, here in enumerate(places):
        cells, tracks = make_frame(here)
        forecaster.observe(60.0 * minute, cells, tracks)
        forecaster.forecast(tracks)

    still = scores.figures("stay")["error_um"]
    assert scores.figures("bank")["error_um"] == pytest.approx(still, rel=1e-3)


def test_a_rider_on_a_blob_is_not_measured():
    """Of tracks that share a blob, only the carrier of an unshared label is seen."""
    cells, tracks = make_frame(walk(4, 1, 0.0, 0)[0])
    label = np.array([1, 1, 3, 0], np.int32)
    merged = np.array([0, 1, 0, 0])

    seen, centre_um = measured_centres(
        cells, replace(tracks, label=label, merged_with=merged)
    )

    assert seen.tolist() == [False, False, True, False]
    assert centre_um[3].tolist() == tracks.centre_um[3].tolist()


def test_frames_long_after_the_horizon_teach_nothing():
    """An hour between frames says nothing about the next minute."""
    forecaster, scores = make_forecaster()
    for hour in range(30):
        cells, tracks = make_frame(walk(40, 1, 5.0, seed=hour)[0])
        forecaster.observe(3600.0 * hour, cells, tracks)
        forecaster.forecast(tracks)

    assert scores.figures("bank") is None
    assert (scores.factor() == 1).all()


def test_long_horizons_do_not_fill_the_memory():
    """Of fast frames only as many forecasts wait as a horizon is cut into."""
    forecaster, _ = make_forecaster(horizons_s=(60.0, 3600.0))
    cells, tracks = make_frame(walk(3, 1, 0.0, seed=1)[0])

    for frame in range(600):
        forecaster.observe(2.5 * frame, cells, tracks)
        forecaster.forecast(tracks)

    waiting = forecaster.waiting
    assert waiting[0] <= MOST_WAITING + 1
    assert 1500 / 3600 * MOST_WAITING - 2 < waiting[1] <= MOST_WAITING + 1


def test_no_tracks_give_an_empty_forecast():
    """An empty field has a forecast with no rows, also before any frame."""
    forecaster, _ = make_forecaster()
    _, tracks = make_frame(np.empty((0, 2)))

    made = forecaster.forecast(tracks)

    assert made.centre_um.shape == (0, 2, 2)
    assert made.sigma_um.shape == (0, 2)
