"""What is checked before a run begins: nothing moves on a stand that is not right."""

from pymmcore_plus import CMMCorePlus, DeviceType

from acquisition.simulated.stand.devices import CHANNEL_GROUP
from acquisition.stands import (
    PHASE_STEPS,
    Stand,
    planned_channels,
    requested_channels,
)
from configs import schema

SMALLEST_FRAME_PX = 64

EXPOSURE_TOLERANCE = 0.05
"""Largest accepted relative difference between asked and read-back exposure."""

PIXEL_SIZE_TOLERANCE = 0.01
"""Largest accepted relative difference between a setting and the simulated optics."""


def prepare_stand(experiment: schema.Experiment, stand: Stand) -> list[str]:
    """Apply the settings, check everything, and give all faults with their paths."""
    settings, core = experiment.microscope, stand.core
    if not core.getCameraDevice():
        return ["microscope.config_file: the configuration names no camera"]
    return [
        *_apply_settings(core, settings),
        *_missing_roles(core, experiment),
        *_channel_faults(experiment),
        *_modulator_faults(core, experiment, stand.modulator),
        *_image_faults(core),
        *_calibration_faults(settings, stand),
    ]


def _apply_settings(core: CMMCorePlus, settings: schema.Microscope) -> list[str]:
    """Set device properties and exposure, and read them back."""
    faults = []
    for device, properties in settings.camera_settings.items():
        for name, value in properties.items():
            path = f"microscope.camera_settings.{device}.{name}"
            try:
                core.setProperty(device, name, value)
                core.waitForDevice(device)
                found = core.getProperty(device, name)
            except (RuntimeError, ValueError, LookupError) as error:
                faults.append(f"{path}: refused: {error} (given: {value!r})")
                continue
            if not _same(found, value):
                faults.append(f"{path}: set to {value!r}, found {found!r}")
    if settings.channel is not None:
        faults += _set_channel(core, settings.channel)
    try:
        core.setExposure(settings.exposure_ms)
        found_ms = core.getExposure()
    except RuntimeError as error:
        return [*faults, f"microscope.exposure_ms: refused: {error}"]
    if abs(found_ms - settings.exposure_ms) > EXPOSURE_TOLERANCE * settings.exposure_ms:
        asked = f"(given: {settings.exposure_ms:g})"
        faults.append(f"microscope.exposure_ms: the camera took {found_ms:g} {asked}")
    return faults


def _set_channel(core: CMMCorePlus, channel: str) -> list[str]:
    """Put the light path of the run in place, for events that name no channel."""
    group = core.getChannelGroup() or CHANNEL_GROUP
    if not core.isConfigDefined(group, channel):
        known = ", ".join(core.getAvailableConfigs(group)) or "none"
        return [f"microscope.channel: no preset {channel!r} in {group!r} ({known})"]
    try:
        core.setConfig(group, channel)
        core.waitForConfig(group, channel)
    except RuntimeError as error:
        return [f"microscope.channel: refused: {error}"]
    return []


def _missing_roles(core: CMMCorePlus, experiment: schema.Experiment) -> list[str]:
    """Name the devices that the time-lapse needs and the stand lacks."""
    plan = experiment.timelapse
    faults = []
    moves = plan.grid_plan is not None or any(
        position.x is not None or position.y is not None
        for position in plan.stage_positions
    )
    recentres = any(trigger.recentre for trigger in experiment.triggers)
    if (moves or recentres) and not core.getXYStageDevice():
        wish = "timelapse.stage_positions" if moves else "triggers.recentre"
        faults.append(f"{wish}: the stand has no XY stage")
    focuses = plan.z_plan is not None or any(
        position.z is not None for position in plan.stage_positions
    )
    if focuses and not core.getFocusDevice():
        faults.append("timelapse: moves the focus, but the stand has no focus drive")
    unknown = [
        f"timelapse.channels: no preset {channel.config!r} in group {channel.group!r}"
        for channel in plan.channels
        if not core.isConfigDefined(channel.group, channel.config)
    ]
    return faults + unknown + _request_faults(core, experiment)


def _request_faults(core: CMMCorePlus, experiment: schema.Experiment) -> list[str]:
    """Name what triggers ask for and the stand has not."""
    group = next((one.group for one in experiment.timelapse.channels), "Channel")
    faults = [
        f"triggers.channel: no preset {name!r} in group {group!r}"
        for name in requested_channels(experiment)
        if not core.isConfigDefined(group, name)
    ]
    stacks = any(trigger.kind == "stack" for trigger in experiment.triggers)
    if stacks and not core.getFocusDevice():
        faults.append('triggers.kind "stack": the stand has no focus drive')
    return faults


def _channel_faults(experiment: schema.Experiment) -> list[str]:
    """Check that something of what is imaged is analysed as well."""
    channels, settings = planned_channels(experiment), experiment.microscope
    if any(settings.analyses(channel) for channel in channels):
        return []
    named = ", ".join(str(channel) for channel in channels)
    wanted = settings.main_channel or settings.modality
    return [
        f"timelapse.channels: none of {named} would be analysed, which "
        f"microscope.modality and microscope.channel ask of {wanted}: add it, or "
        "change these"
    ]


def _modulator_faults(
    core: CMMCorePlus, experiment: schema.Experiment, label: str | None
) -> list[str]:
    """Check that four-step phase has a modulator with four states."""
    settings = experiment.microscope
    shown = {settings.modality_of(name) for name in planned_channels(experiment)}
    if "slim" not in shown:
        return []
    if label is None:
        return ["microscope.modulator: slim needs the device that steps the phase"]
    if label not in core.getLoadedDevices():
        known = ", ".join(core.getLoadedDevices())
        return [f"microscope.modulator: no device {label!r} (loaded: {known})"]
    if core.getDeviceType(label) != DeviceType.State:
        return [f"microscope.modulator: {label!r} is no device with states"]
    states = core.getNumberOfStates(label)
    if states < PHASE_STEPS:
        return [f"microscope.modulator: {label!r} has {states} states, 4 are needed"]
    return []


def _image_faults(core: CMMCorePlus) -> list[str]:
    faults = []
    size = core.getImageHeight(), core.getImageWidth()
    if min(size) < SMALLEST_FRAME_PX:
        smallest = f"{SMALLEST_FRAME_PX} x {SMALLEST_FRAME_PX}"
        faults.append(f"camera: images of {size} pixels; at least {smallest}")
    if core.getNumberOfComponents() != 1:
        faults.append("camera: colour images; set it to 8 or 16 bit grey")
    if core.getNumberOfCameraChannels() > 1:
        count = core.getNumberOfCameraChannels()
        faults.append(f"camera: gives {count} images at once; choose one camera")
    if core.getBytesPerPixel() > 2:
        faults.append(f"camera: {core.getBytesPerPixel()} bytes a pixel, at most 2")
    return faults


def _same(found: str, wanted: str) -> bool:
    try:
        return abs(float(found) - float(wanted)) <= 1e-6 * max(1.0, abs(float(wanted)))
    except ValueError:
        return str(found) == wanted


def _calibration_faults(settings: schema.Microscope, stand: Stand) -> list[str]:
    """Check that size and time of what is seen are known, never guessed."""
    faults = []
    asked_um, found_um = settings.pixel_size_um, stand.pixel_size_um
    if asked_um is None and found_um is None:
        faults.append(
            "microscope.pixel_size_um: neither this setting nor the stand or file "
            "says it; measure it and write it here"
        )
    if stand.simulated is not None and asked_um is not None and found_um is not None:
        off = abs(asked_um / found_um - 1)
        if off > PIXEL_SIZE_TOLERANCE:
            faults.append(
                f"microscope.pixel_size_um: {asked_um:g}, but the simulated optics "
                f"have {found_um:g}; leave it out"
            )
    if stand.images is not None and stand.images.interval_s is None:
        faults.append(
            "sequence.interval_s: the file does not say the time between the images; "
            "write it here"
        )
    return faults
