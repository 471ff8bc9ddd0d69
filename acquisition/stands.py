"""The three kinds of stands: simulated, recorded, and real; one core for each."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pymmcore_plus import CMMCorePlus

from acquisition.clock import Clock
from acquisition.errors import BadConfig
from acquisition.replay import ImageSequence, SequenceCamera
from acquisition.simulated.stand.devices import (
    CHANNEL_GROUP,
    Devices,
    FilterWheel,
    LampShutter,
    PhaseModulator,
    load_devices,
)
from acquisition.simulated.stand.stages import Mechanics, SimulatedFocus, SimulatedStage
from configs import schema

if TYPE_CHECKING:
    from acquisition.simulated.stand.assembly import SimulatedStand

PHASE_STEPS = 4

DEMO_CONFIG = "MMConfig_demo.cfg"
"""Comes with the test adapters, which the core finds by itself."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A core with its devices, not yet checked."""

    core: CMMCorePlus
    modulator: str | None = None
    simulated: "SimulatedStand | None" = None
    devices: Devices | None = None
    images: ImageSequence | None = None
    pixel_size_um: float | None = None  # as the stand itself says
    notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Stop the simulation and let go of all devices; the lamp closes."""
        if self.simulated is not None:
            self.simulated.close()
        self.core.unloadAllDevices()


def open_stand(experiment: schema.Experiment, clock: Clock) -> Stand:
    """Build the core of an experiment with its devices.

    Raises
    ------
    BadConfig, BadWorld, BadImages
        If the devices, the world or the images cannot be had.
    """
    # NOTE: without this a Qt that someone imported would receive the core's signals.
    os.environ.setdefault("PYMM_SIGNALS_BACKEND", "psygnal")
    _quieten()
    if experiment.microscope.kind == "simulated":
        return _open_simulated(experiment, clock)
    if experiment.microscope.kind == "sequence":
        return _open_sequence(experiment, clock)
    return _open_micromanager(experiment.microscope)


def steps_of(modality: schema.Modality) -> int:
    """Give the images that make a frame."""
    return PHASE_STEPS if modality == "slim" else 1


def planned_channels(experiment: schema.Experiment) -> list[str | None]:
    """Give the presets that the time-lapse goes through; None: it names none."""
    plan = experiment.timelapse
    inner = [position.sequence for position in plan.stage_positions]
    plans = [plan, *(sequence for sequence in inner if sequence is not None)]
    named = [channel.config for one in plans for channel in one.channels]
    return list(dict.fromkeys(named)) or [None]


def requested_channels(experiment: schema.Experiment) -> tuple[str, ...]:
    """Give the presets in which triggers may ask for extra frames."""
    named = [trigger.channel for trigger in experiment.triggers]
    return tuple(dict.fromkeys(name for name in named if name is not None))


def _open_simulated(experiment: schema.Experiment, clock: Clock) -> Stand:
    # NOTE: here, since only this kind needs the specimen and its compiled kernels.
    from acquisition.simulated.stand.assembly import SimulatedStand
    from acquisition.simulated.stand.exposures import SimulatedCamera
    from acquisition.simulated.world import World

    settings = experiment.simulated or schema.Simulated()
    world = World.load(settings.world)
    seed, is_paced = experiment.run.seed, clock.mode != "stepped"
    main = experiment.microscope.main_channel or "SLIM"
    planned = [name for name in planned_channels(experiment) if name is not None]
    named = dict.fromkeys((*planned, *requested_channels(experiment)))
    simulated = SimulatedStand(
        world,
        seed,
        settings.size_px,
        clock,
        source=settings.source,
        channels=[main, *(name for name in named if name in schema.SIMULATED_CHANNELS)],
    )
    settle_ms = world.stage.settle_ms
    mechanics = Mechanics(
        settle_ms if is_paced else 0.0, world.stage.repeatability_um, seed
    )
    stage = SimulatedStage(simulated.move_to, mechanics)
    lamp, modulator = LampShutter(), PhaseModulator()
    camera = SimulatedCamera(simulated, lamp, modulator, stage, is_paced=is_paced)
    camera.faults.update(settings.faults)
    focus = SimulatedFocus(simulated.set_focus, mechanics)
    wheel = FilterWheel(schema.SIMULATED_CHANNELS, simulated.set_channel)
    devices = Devices(camera, stage, focus, lamp, modulator, wheel)
    label = experiment.microscope.modulator or "Modulator"
    core = load_devices(devices, label, settle_ms)
    core.setConfig(CHANNEL_GROUP, main)
    return Stand(
        core=core,
        modulator=label,
        simulated=simulated,
        devices=devices,
        pixel_size_um=world.optics.pixel_um,
        notes=(f'simulated microscope, world "{settings.world}"',),
    )


def _open_sequence(experiment: schema.Experiment, clock: Clock) -> Stand:
    settings = experiment.sequence or schema.Sequence()
    if settings.images is None:
        fault = "sequence.images: say what to play, here or with --images PATH"
        raise BadConfig("microscope", [fault])
    steps = steps_of(experiment.microscope.modality)
    images = ImageSequence.open(
        settings.images,
        settings.interval_s,
        experiment.microscope.pixel_size_um,
        steps,
    )
    modulator = PhaseModulator()
    camera = SequenceCamera(
        images,
        modulator,
        steps=steps,
        repeat=settings.repeat,
        is_paced=clock.mode != "stepped",
    )
    devices = Devices(camera, modulator=modulator)
    label = experiment.microscope.modulator or "Modulator"
    notes = [f"{images.count} recorded images of {settings.images}"]
    if images.scale != 1:
        notes.append(f"8-bit images, multiplied by {images.scale}")
    return Stand(
        core=load_devices(devices, label),
        modulator=label,
        devices=devices,
        images=images,
        pixel_size_um=images.pixel_size_um,
        notes=tuple(notes),
    )


def _open_micromanager(settings: schema.Microscope) -> Stand:
    name = settings.config_file or "demo"
    if name != "demo" and not Path(name).is_file():
        fault = f"microscope.config_file: no such file (given: {name!r})"
        raise BadConfig("microscope", [fault])
    core = CMMCorePlus()
    try:
        core.loadSystemConfiguration(DEMO_CONFIG if name == "demo" else name)
    except (RuntimeError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        interface = core.getAPIVersionInfo()
        core.unloadAllDevices()
        raise BadConfig(
            "microscope",
            [
                f"microscope.config_file: {name} cannot be loaded: {reason} (this "
                f"installation has {interface}; the adapters must have the same)"
            ],
        ) from error
    size_um = core.getPixelSizeUm()
    return Stand(
        core=core,
        modulator=settings.modulator,
        pixel_size_um=size_um if size_um > 0 else None,
        notes=(f"Micro-Manager configuration {name}", core.getAPIVersionInfo()),
    )


def _quieten() -> None:
    """Let the core's library speak through our log only, and only from warnings on."""
    library = logging.getLogger("pymmcore-plus")
    for handler in list(library.handlers):
        library.removeHandler(handler)
        handler.close()
    library.setLevel(logging.WARNING)
