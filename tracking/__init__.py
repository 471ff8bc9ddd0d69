"""Cells over time: names, forecasts, events and the wishes they lead to."""

from tracking.bank import Bank
from tracking.events import EventRules
from tracking.forecaster import Forecaster
from tracking.requests import RequestRules
from tracking.stage import TrackingStage
from tracking.tracker import Tracker

__all__ = [
    "Bank",
    "EventRules",
    "Forecaster",
    "RequestRules",
    "Tracker",
    "TrackingStage",
]
