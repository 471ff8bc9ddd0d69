"""Cells over time: names, forecasts, events and the wishes they lead to."""

from tracking.bank import Bank, forecast
from tracking.events import EventRules
from tracking.requests import RequestRules
from tracking.stage import TrackingStage
from tracking.tracker import Tracker

__all__ = [
    "Bank",
    "EventRules",
    "RequestRules",
    "Tracker",
    "TrackingStage",
    "forecast",
]
