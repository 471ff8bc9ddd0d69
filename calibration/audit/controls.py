"""Negative controls: places where nothing may be found.

Shuffled labels tell nothing, a sham kills nobody beyond what dies by itself; the
product finds no cell in an empty dish, and no event in a specimen that stands still.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import Clock
from acquisition.records import Analysed, Frame, blank_info
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.sections import Mix, Protocol
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.population import LifeState
from acquisition.simulated.stand.assembly import SimulatedStand
from acquisition.simulated.world import World
from calibration.audit.cells import AuditCells, Progress
from calibration.audit.classifiers import auroc, forest, held_out, linear
from calibration.audit.features import FIRST_ORDER
from configs.events import Events
from configs.models import model_for
from configs.schema import (
    SIMULATED_CHANNELS,
    Forecasting,
    Inference,
    Tracking,
)
from inference.cards import MODELS, load_card
from inference.engines.cell_engines import select_closer_look
from inference.pixels import network_shape
from inference.select import select_engine
from inference.stage import InferenceStage
from tracking.stage import TrackingStage

CHANCE = 0.05
"""AUROC may lie so far from 0.5 on shuffled labels."""
VIEW_PX = 512
FRAMES = 24
SHAM_HOURS = 12.0
SHAM_UM = 1000.0
SIGMAS = 4.0
DYING = (LifeState.EARLY_APOPTOSIS, LifeState.SWELLING)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the product reported of some frames."""

    objects: int
    deaths: int
    contacts: int


def shuffled_labels(cells: AuditCells, tell: Progress) -> dict[str, Any]:
    """Give what the classifiers make of labels that mean nothing."""
    dead = np.random.default_rng(0).permutation(cells.dead)
    six = cells.features[:, : len(FIRST_ORDER)]
    tell("shuffled labels", 0.0)
    line = held_out(linear(), six, dead, cells.field)
    trees = held_out(forest(60), cells.features, dead, cells.field)
    tell("shuffled labels", 1.0)
    return {
        "shuffled_auroc_linear6": auroc(dead, line),
        "shuffled_auroc_forest21": auroc(dead, trees),
    }


def sham_deaths(world: World, seed: int, tell: Progress) -> dict[str, Any]:
    """Count who begins to die in a dish to which nothing is done, and who should."""
    protocol = Protocol(interval_s=world.protocol.interval_s)
    quiet = world.model_copy(update={"protocol": protocol, "nanowell": None})
    specimen = Specimen(quiet, seed, SHAM_UM, Mix())
    hazard = world.death.spontaneous_per_h * world.death.stain_factor
    begun: set[int] = set()
    hours_at_risk = 0.0
    steps = round(SHAM_HOURS * 6)
    for step in range(steps):
        state = specimen.cells["state"]
        hours_at_risk += np.count_nonzero(state == LifeState.INTERPHASE) / 6
        specimen.advance(600)
        dying = np.isin(specimen.cells["state"], DYING)
        begun |= set(specimen.cells["id"][dying].tolist())
        tell("sham", (step + 1) / steps)
    return {
        "sham_deaths": len(begun),
        "sham_deaths_expected": hazard * hours_at_risk,
        "sham_cell_hours": hours_at_risk,
    }


def empty_dish(world: World, seed: int, tell: Progress) -> Counts:
    """Let the product look for cells where there are none, over two hours."""
    update = {"cells": world.cells.model_copy(update={"n": 0}), "nanowell": None}
    return _watch(world.model_copy(update=update), seed, "empty dish", tell)


def frozen_specimen(world: World, seed: int, tell: Progress) -> Counts:
    """Let the product look for events in a specimen that stands still."""
    return _watch(world, seed, "frozen specimen", tell, frozen=True)


def _watch(
    world: World, seed: int, name: str, tell: Progress, *, frozen: bool = False
) -> Counts:
    """Run the stages of the product over frames, one every five minutes."""
    analyse = Pipeline(world, VIEW_PX)
    clock = Clock("stepped")
    modality = world.optics.modality
    channels = {kind: channel for channel, kind in SIMULATED_CHANNELS.items()}
    stand = SimulatedStand(world, seed, VIEW_PX, clock, channels=[channels[modality]])
    stand.start()
    objects = deaths = contacts = 0
    for number in range(FRAMES):
        time_s = number * 300.0
        clock.step_to(0.0 if frozen else time_s)
        cycle = stand.begin_cycle()
        pixels = np.empty(cycle.frames.shape, np.uint16)
        for step in range(len(pixels)):
            exposure = number * len(pixels) + step
            stand.expose(
                cycle,
                step,
                world.camera.nominal_exposure_ms,
                exposure,
                pixels[step],
            )
        analysed = analyse(pixels, number, time_s)
        objects += len(analysed.segmented.cells.label)
        deaths += sum(event.kind == "death" for event in analysed.events)
        contacts += sum(event.kind == "contact" for event in analysed.events)
        tell(name, (number + 1) / FRAMES)
    stand.close()
    return Counts(objects, deaths, contacts)


class Pipeline:
    """The stages of the product, one after the other, without processes.

    Where there are no weights for such frames, the engine without a network serves.
    """

    def __init__(self, world: World, size_px: int) -> None:
        self._world = world
        modality, pixel_um = world.optics.modality, world.optics.pixel_um
        settings = Inference(model=model_for(modality, pixel_um))
        card = load_card(MODELS.find(settings.model))
        card_um: float | None = card.um_per_px
        shape = (size_px, size_px)
        if modality not in card.modalities:
            settings, card_um = Inference(engine="classical"), None
        seen = network_shape(shape, pixel_um, card_um)
        engine, served, _ = select_engine(settings, seen)
        closer, _ = select_closer_look(settings, served, engine.name)
        self._inference = InferenceStage(
            engine, served, settings, stand_of(world), closer
        )
        self._tracking = TrackingStage(Tracking(), Forecasting(), Events(), ())

    def __call__(
        self, pixels: NDArray[np.uint16], number: int, time_s: float
    ) -> Analysed:
        """Analyse a frame (step, y, x)."""
        world = self._world
        info = replace(
            blank_info(world.optics.modality, world.optics.pixel_um),
            sequence=number + 1,
            time_s=time_s,
            exposure_ms=world.camera.nominal_exposure_ms,
            position="control",
        )
        pixels.setflags(write=False)
        return self._tracking(self._inference(Frame(info, pixels)))


def control_faults(figures: dict[str, Any]) -> list[str]:
    """Say in words which controls found something."""
    faults = [
        f"shuffled labels tell something: {key} {figures[key]:.3f}, at most {limit:g}"
        for key in ("shuffled_auroc_linear6", "shuffled_auroc_forest21")
        if figures.get(key, 0.5) > (limit := 0.5 + CHANCE)
    ]
    if "sham_deaths" in figures:
        expected = figures["sham_deaths_expected"]
        off = abs(figures["sham_deaths"] - expected)
        if off > SIGMAS * math.sqrt(expected) + 0.1 * expected + 1:
            faults.append(
                f"a sham does not kill as the world says: {figures['sham_deaths']} "
                f"began to die, {expected:.1f} were expected"
            )
    nothing = {
        "empty_objects": "cells were found in an empty dish",
        "empty_events": "events were reported of an empty dish",
        "frozen_events": "events were reported of a specimen that stands still",
    }
    faults += [
        f"{why}: {key} {figures[key]}, none may be"
        for key, why in nothing.items()
        if figures.get(key)
    ]
    return faults


def product_controls(world: World, seed: int, tell: Progress) -> dict[str, Any]:
    """Give what the product reports where there is nothing to report."""
    empty = empty_dish(world, seed, tell)
    frozen = frozen_specimen(world, seed, tell)
    return {
        "empty_objects": empty.objects,
        "empty_events": empty.deaths + empty.contacts,
        "frozen_deaths": frozen.deaths,
        "frozen_contacts": frozen.contacts,
        "frozen_events": frozen.deaths + frozen.contacts,
        "control_frames": FRAMES,
    }
