"""What a calibration of a simulated stand would find."""

from acquisition.simulated.world import World
from configs.schema import Stand


def stand_of(world: World) -> Stand:
    """Give the constants of the phase module of a world."""
    optics = world.optics
    return Stand(
        wavelength_um=optics.wavelength_um,
        ring_amplitude=optics.ring_amplitude,
        step_sign=1,
        camera_offset_dn=world.camera.offset_dn,
        refraction_increment_um3_per_pg=optics.refraction_increment_um3_per_pg,
    )
