"""Cells over time: names, forecasts, events and the wishes they lead to."""

from tracking.events.rules import EventRules
from tracking.forecasts.bank import Bank
from tracking.forecasts.forecaster import Forecaster
from tracking.linking.tracker import Tracker
from tracking.requests import RequestRules
from tracking.stage import TrackingStage

__all__ = [
    "Bank",
    "EventRules",
    "Forecaster",
    "RequestRules",
    "Tracker",
    "TrackingStage",
]
