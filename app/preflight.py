"""What is checked before a run directory exists and anything moves."""

import shutil
from pathlib import Path

from acquisition.errors import BadConfig, BadRun
from configs.schema import Experiment


def check_plan(experiment: Experiment, parent: Path) -> None:
    """Refuse an experiment that could not run to its end.

    Raises
    ------
    BadConfig, BadWorld, BadImages, BadModel, BadRun
        With the first thing that is wrong outside the experiment file itself.
    """
    _check_source(experiment)
    _check_model(experiment)
    _check_disk(experiment, parent)


def _check_source(experiment: Experiment) -> None:
    kind = experiment.microscope.kind
    if kind == "simulated" and experiment.simulated is not None:
        from acquisition.simulated.world import World

        World.load(experiment.simulated.world)
    if kind == "sequence" and experiment.sequence is not None:
        from acquisition.replay import ImageSequence

        if experiment.sequence.images is None:
            fault = "sequence.images: no images given; use --images PATH"
            raise BadConfig(experiment.run.name, [fault])
        ImageSequence.open(
            experiment.sequence.images,
            experiment.sequence.interval_s,
            experiment.microscope.pixel_size_um,
        )
    config_file = experiment.microscope.config_file
    real = kind == "micromanager" and config_file not in (None, "demo")
    if real and not Path(str(config_file)).is_file():
        fault = f"microscope.config_file: no such file (given: {config_file!r})"
        raise BadConfig(experiment.run.name, [fault])


def _check_model(experiment: Experiment) -> None:
    if experiment.inference.engine != "classical":
        from inference.cards import load_model

        load_model(experiment.inference.model)


def _check_disk(experiment: Experiment, parent: Path) -> None:
    folder = parent.resolve()
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < experiment.log.min_free_gb:
        raise BadRun(
            f"{folder}: {free_gb:.1f} GB free, log.min_free_gb asks for "
            f"{experiment.log.min_free_gb:g}; free some space or give --output"
        )
