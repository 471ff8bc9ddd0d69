"""Experiment files: their schema, and the presets that ship."""

from configs.loading import find_experiment, load_experiment
from configs.schema import SHIPPED, Experiment

__all__ = ["SHIPPED", "Experiment", "find_experiment", "load_experiment"]
