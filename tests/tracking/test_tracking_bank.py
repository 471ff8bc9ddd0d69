"""Forecasts say where cells will be, and how far off that may be."""

from dataclasses import replace

import numpy as np
import pytest
from samples import make_tracks
from tracking_scenes import make_scene, walk

from acquisition.records import CellState
from configs.schema import Tracking
from tracking.bank import MOST_WAITING, Bank, forecast
from tracking.tracker import Tracker


def test_stay_puts_every_track_where_it_is():
    """The simplest forecast is the present place, less sure the further ahead."""
    tracks = make_tracks(4)

    made = forecast(tracks, Tracking(forecast_horizons_s=(60.0, 300.0)))

    assert made.centre_um.shape == (4, 2, 2)
    assert (made.centre_um == tracks.centre_um[:, None]).all()
    assert (made.sigma_um[:, 1] > made.sigma_um[:, 0]).all()


def test_constant_velocity_moves_only_the_living():
    """Live cells go on, dead cells stay."""
    state = np.array([CellState.LIVE, CellState.DEAD], np.uint8)
    velocity = np.array([[0.01, 0.0], [0.01, 0.0]])
    tracks = replace(make_tracks(2), state=state, velocity_um_per_s=velocity)
    options = Tracking(forecast="constant velocity", forecast_horizons_s=(100.0,))

    made = forecast(tracks, options)

    moved_um = made.centre_um[:, 0] - tracks.centre_um
    assert moved_um == pytest.approx(np.array([[1.0, 0.0], [0.0, 0.0]]))


def test_sigma_becomes_the_measured_error():
    """After some frames the deviation is the displacement that was found."""
    options = Tracking(forecast_horizons_s=(96.0,))
    tracker, bank = Tracker(options), Bank(options)

    for i, at in enumerate(walk(200, 60, 0.8, seed=2)):
        made = bank.update(24.0 * i, tracker.update(make_scene(at, 24.0 * i)))

    assert np.median(made.sigma_um) == pytest.approx(0.8 * 2, rel=0.15)


def test_frame_long_after_the_horizon_teaches_nothing():
    """An hour between frames says nothing about the next minute."""
    options = Tracking(forecast_horizons_s=(60.0,))
    tracker, bank = Tracker(options), Bank(options)

    for i, at in enumerate(walk(100, 5, 5.0, seed=2)):
        tracks = tracker.update(make_scene(at, 3600.0 * i))
        made = bank.update(3600.0 * i, tracks)

    assert made.sigma_um == pytest.approx(forecast(tracks, options).sigma_um)


def test_long_horizons_do_not_fill_the_memory():
    """Of fast frames only as many forecasts wait as a horizon can be cut into."""
    options = Tracking(forecast_horizons_s=(60.0, 3600.0))
    bank, tracks = Bank(options), make_tracks(3)

    for i in range(3000):
        bank.update(0.5 * i, tracks)

    waiting = bank.waiting
    assert waiting[0] <= MOST_WAITING + 1
    assert 1500 / 3600 * MOST_WAITING - 2 < waiting[1] <= MOST_WAITING + 1


def test_no_tracks_give_an_empty_forecast():
    """An empty field has a forecast with no rows."""
    made = Bank(Tracking()).update(0.0, make_tracks(0))

    assert made.centre_um.shape == (0, 2, 2)
    assert made.sigma_um.shape == (0, 2)
