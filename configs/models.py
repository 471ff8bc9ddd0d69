"""Which shipped model a run takes where its file names none.

The frames decide: what they show, and how large their pixels are. The latter is known
when the stand is; until then the name is `AUTO`.
"""

import math

from configs.schema import AUTO, Experiment

CHOSEN_MODELS: dict[str, dict[str, float]] = {
    "slim": {"slim": 0.65, "slim_40x": 0.325},
    "phase_contrast": {"phase": 0.87},
    "brightfield": {"brightfield": 0.8},
}
"""Of every modality the models to choose from, each with the pixel size (um) on its
card. Frames of another modality are left to those for SLIM."""


def models_for(modality: str) -> dict[str, float]:
    """Give the models to choose from for a modality, with their pixel sizes (um)."""
    return CHOSEN_MODELS.get(modality, CHOSEN_MODELS["slim"])


def model_for(modality: str, pixel_size_um: float) -> str:
    """Give the model whose pixels are nearest, by ratio: least is resampled."""
    known = models_for(modality)
    return min(known, key=lambda one: abs(math.log(known[one] / pixel_size_um)))


def with_model(experiment: Experiment, pixel_size_um: float) -> Experiment:
    """Name the model for frames of a pixel size, if the experiment names none."""
    if experiment.inference.model != AUTO:
        return experiment
    return naming(experiment, model_for(experiment.microscope.modality, pixel_size_um))


def naming(experiment: Experiment, model: str) -> Experiment:
    """Give the experiment with this model."""
    inference = experiment.inference.model_copy(update={"model": model})
    return experiment.model_copy(update={"inference": inference})
