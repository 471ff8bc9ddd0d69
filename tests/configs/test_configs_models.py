"""Which shipped model a run takes where its file names none."""

import pytest

from configs import load_experiment
from configs.models import CHOSEN_MODELS, with_model
from inference.cards import MODELS, load_card, load_model
from tracking.events.evidence import foreign_evidence


@pytest.mark.parametrize(
    ("overrides", "pixel_size_um", "model"),
    [
        (["microscope.modality=slim"], 0.65, "slim"),
        (["microscope.modality=slim"], 1.3, "slim"),
        (["microscope.modality=slim"], 0.325, "slim_40x"),
        (["microscope.modality=slim"], 0.1625, "slim_40x"),
        (["microscope.modality=fluorescence"], 0.65, "slim"),
        (["microscope.modality=phase_contrast"], 0.65, "phase"),
        (["microscope.modality=brightfield"], 0.325, "brightfield"),
        (["inference.model=slim"], 0.325, "slim"),
        (["microscope.modality=phase_contrast", "inference.model=mine"], 0.65, "mine"),
    ],
)
def test_a_run_takes_the_model_of_its_frames(
    overrides: list[str], pixel_size_um: float, model: str
) -> None:
    """Who names no model gets that of the contrast whose pixels are most alike."""
    experiment = load_experiment("demo", overrides)

    assert with_model(experiment, pixel_size_um).inference.model == model


def test_shipped_models_are_chosen_by_what_their_cards_say() -> None:
    """The table of the settings and the cards name the same contrasts and pixels."""
    for modality, known in CHOSEN_MODELS.items():
        for name, um_per_px in known.items():
            card = load_card(MODELS.find(name))
            assert modality in card.modalities
            assert card.um_per_px == um_per_px


@pytest.mark.parametrize("model", CHOSEN_MODELS["slim"])
def test_the_evidence_of_death_suits_every_model_for_slim(model: str) -> None:
    """A run that names nothing is judged by evidence of the network that serves it."""
    calibration = load_experiment("demo").events.death.calibration

    assert foreign_evidence(calibration, load_model(model).label) == ""
