"""What is checked before a run directory exists and anything moves."""

import shutil
import tempfile
from pathlib import Path

from acquisition.errors import BadConfig, BadRun
from acquisition.timelapse import Timelapse
from configs.models import models_for, with_model
from configs.schema import AUTO, Experiment


def check_plan(experiment: Experiment, parent: Path) -> None:
    """Refuse an experiment that could not run to its end.

    Raises
    ------
    BadConfig, BadWorld, BadImages, BadModel, BadRun
        With the first thing that is wrong outside the experiment file itself.
    """
    _check_timelapse(experiment)
    _check_source(experiment)
    _check_model(experiment)
    _check_disk(experiment, parent)


def check_replay(experiment: Experiment, parent: Path) -> None:
    """Refuse to analyse a run again that could not be analysed to its end.

    Raises
    ------
    BadModel, BadRun
        If the model or the disk is wrong.
    """
    _check_model(experiment)
    _check_disk(experiment, parent)


def nearest_folder(path: Path) -> Path:
    """Give the path itself, or the first of its parents that exists.

    Raises
    ------
    BadRun
        If there is none: a drive that is missing, or a folder that may not be read.
    """
    folder = path.resolve()
    try:
        while not folder.exists():
            if folder == folder.parent:
                raise BadRun(f"{path}: there is no drive {folder}; give --output")
            folder = folder.parent
    except OSError as error:
        raise BadRun(f"{path} cannot be reached: {error}; give --output") from error
    return folder


def free_bytes(path: Path) -> int:
    """Give the free bytes of the disk on which a path would be made.

    Raises
    ------
    BadRun
        If nothing can be written there.
    """
    folder = nearest_folder(path)
    try:
        # Rights do not tell: root may write anywhere but not into /proc.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadRun(
            f"{path}: {folder} cannot be written ({error.strerror}); give --output"
        ) from error
    return shutil.disk_usage(folder).free


def _check_timelapse(experiment: Experiment) -> None:
    # The size of a grid's tiles is known only when the microscope is open.
    Timelapse(experiment.timelapse.replace(grid_plan=None), 0.0)


def _check_source(experiment: Experiment) -> None:
    kind = experiment.microscope.kind
    if kind == "simulated" and experiment.simulated is not None:
        from acquisition.simulated.world import World

        World.load(experiment.simulated.world)
    if kind == "sequence" and experiment.sequence is not None:
        from acquisition.replay import ImageSequence
        from acquisition.stands import steps_of

        if experiment.sequence.images is None:
            fault = "sequence.images: no images given; use --images PATH"
            raise BadConfig(experiment.run.name, [fault])
        ImageSequence.open(
            experiment.sequence.images,
            experiment.sequence.interval_s,
            experiment.microscope.pixel_size_um,
            steps_of(experiment.microscope.modality),
        )
    config_file = experiment.microscope.config_file
    real = kind == "micromanager" and config_file not in (None, "demo")
    if real and not Path(str(config_file)).is_file():
        fault = f"microscope.config_file: no such file (given: {config_file!r})"
        raise BadConfig(experiment.run.name, [fault])


def _check_model(experiment: Experiment) -> None:
    if experiment.inference.engine != "classical":
        from inference.cards import load_model

        for name in _possible_models(experiment):
            load_model(name)


def _possible_models(experiment: Experiment) -> tuple[str, ...]:
    """Give the model of a run; all that it may take where only the stand decides."""
    size_um = experiment.microscope.pixel_size_um
    if size_um is not None:
        experiment = with_model(experiment, size_um)
    model = experiment.inference.model
    if model != AUTO:
        return (model,)
    return tuple(models_for(experiment.microscope.modality))


def _check_disk(experiment: Experiment, parent: Path) -> None:
    free_gb = free_bytes(parent) / 1e9
    if free_gb < experiment.log.min_free_gb:
        folder = nearest_folder(parent)
        raise BadRun(
            f"{folder}: {free_gb:.1f} GB free, log.min_free_gb asks for "
            f"{experiment.log.min_free_gb:g}; free some space or give --output"
        )
