"""The whole analysis of a frame, assembled from its stages."""

import math
from collections.abc import Callable
from dataclasses import replace

from acquisition.records import Analysed, Command, Frame, Modality
from acquisition.runner import Analyse, experiment_of
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.world import World
from configs.models import with_model
from configs.schema import AUTO, Experiment, Inference, Stand
from inference.cards import Card, load_model
from inference.engines.cell_engines import select_closer_look
from inference.pixels import network_shape
from inference.prevalence import Prevalence
from inference.select import select_engine
from inference.stage import InferenceStage
from tracking.events.evidence import foreign_evidence
from tracking.stage import TrackingStage

NAMES_PER_START = 1_000_000
"""Numbers set aside for the tracks, events and requests of one analysis process."""


class Analysis:
    """From a frame to all that it leads to."""

    def __init__(
        self,
        inference: InferenceStage,
        tracking: TrackingStage,
        prevalence: Prevalence,
    ) -> None:
        self._inference = inference
        self._tracking = tracking
        self._prevalence = prevalence

    def __call__(self, frame: Frame) -> Analysed:
        """Analyse one frame.

        The filters of the tracks weigh what a frame shows, whatever the share of dead
        cells; only then are the probabilities of the frame brought to that share.
        """
        analysed = self._tracking(self._inference(frame))
        return replace(analysed, segmented=self._prevalence(analysed.segmented))

    def facts(self) -> dict[str, float]:
        """Give what the stages count, and the share of dead cells that is assumed."""
        facts = {"refused_triggers": float(self._tracking.refused)}
        facts["contacts_left_out"] = float(self._tracking.contacts_left_out)
        facts["smoothness_assumed"] = float(self._tracking.smoothness_assumed)
        facts["pairs_left_out"] = float(self._tracking.pairs_left_out)
        facts |= self._tracking.forecast_facts()
        share = self._prevalence.share
        return facts if math.isnan(share) else facts | {"dead_share": share}


def build_analysis(
    experiment: Experiment,
    shape: tuple[int, int],
    pixel_size_um: float,
    restarts: int = 0,
) -> tuple[Analyse, tuple[str, ...]]:
    """Give the function from a frame to its analysis, warmed up, and its notes.

    Parameters
    ----------
    experiment
        Settings; each stage receives its own section.
    shape
        (y, x) of the frames.
    pixel_size_um
        Of the frames; the network's own is in its card.
    restarts
        How often the analysis of this run died before; its names are not given again.
    """
    names_none = experiment.inference.model == AUTO
    experiment = with_model(experiment, pixel_size_um)
    seen = network_shape(shape, pixel_size_um, model_pixel_size(experiment.inference))
    # Only there a slow start would cost frames; elsewhere one engine serves them all.
    live = experiment.run.clock == "real"
    engine, card, notes = select_engine(experiment.inference, seen, background=live)
    closer, more = select_closer_look(experiment.inference, card, engine.name)
    inference = InferenceStage(
        engine, card, experiment.inference, stand_of_run(experiment), closer
    )
    notes = (*notes, *more)
    tracking = TrackingStage(
        experiment.tracking,
        experiment.forecast,
        experiment.events,
        experiment.triggers,
        first_id=1 + restarts * NAMES_PER_START,
        patient=experiment.run.clock == "stepped",
    )
    inference.warm_up(shape, experiment.microscope.modality, pixel_size_um)
    tracking.warm_up()
    notes = (*notes, tracking.note) if tracking.note else notes
    if card is not None:
        notes = (_choice(card, pixel_size_um), *notes) if names_none else notes
        foreign = foreign_evidence(experiment.events.death.calibration, engine.model)
        others = foreign or _other_looks(card, experiment.inference)
        notes = (*notes, others) if others else notes

    if card is not None and experiment.microscope.modality not in card.modalities:
        notes = (*notes, _warning(card, experiment.microscope.modality))
    share = None if card is None else card.training.dead_share
    prevalence = Prevalence(share, experiment.inference)
    return Analysis(inference, tracking, prevalence), notes


def _choice(card: Card, pixel_size_um: float) -> str:
    """Say which model serves a run that names none."""
    return (
        f"model {card.name}, made for {card.um_per_px:g} um a pixel, is the nearest to "
        f"these frames of {pixel_size_um:g}"
    )


def _other_looks(card: Card, settings: Inference) -> str:
    """Say that evidence was fitted to calls with another number of closer looks."""
    looks = Inference().closer_looks
    if card.classifier is None or settings.closer_looks == looks:
        return ""
    return (
        f"inference.closer_looks is {settings.closer_looks}; the evidence of death is "
        f"fitted to calls with {looks}: fit it again with vigil fit-events"
    )


def _warning(card: Card, modality: Modality) -> str:
    return (
        f"model {card.name} was made for {', '.join(card.modalities)}, these frames "
        f"are {modality}: do not trust its cells before you have scored them"
    )


def stand_of_run(experiment: Experiment) -> Stand:
    """Give the constants of the stand; the simulated one takes those of its world."""
    if experiment.microscope.kind != "simulated" or experiment.simulated is None:
        return experiment.stand
    return stand_of(World.load(experiment.simulated.world))


def model_pixel_size(settings: Inference) -> float | None:
    """Give the pixel size (um) of the model's world; None without a network."""
    if settings.engine == "classical":
        return None
    return load_model(settings.model).card.um_per_px


def analysis_builder(
    config_text: str,
) -> Callable[[Command], tuple[Analyse, tuple[str, ...]]]:
    """Give the builder that the analysis process calls once the stand is known."""
    experiment = experiment_of(config_text)

    def build(prepare: Command) -> tuple[Analyse, tuple[str, ...]]:
        facts = dict(prepare.facts)
        shape = (int(facts["rows"]), int(facts["columns"]))
        restarts = int(facts.get("restarts", 0))
        return build_analysis(experiment, shape, facts["pixel_size_um"], restarts)

    return build
