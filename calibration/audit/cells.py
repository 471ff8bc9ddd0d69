"""The cells of an audit: rendered fields of a world, cut up by their true masks."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter

from acquisition.records import CellState
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.fields import Field, render_field
from acquisition.simulated.light.camera import CameraModel
from acquisition.simulated.light.optics import Optics
from acquisition.simulated.specimen.population import CellKind
from acquisition.simulated.stand.assembly import CONTRAST_STEP
from acquisition.simulated.world import World
from calibration.audit.features import FEATURES, FeatureMaps
from calibration.audit.latent import (
    FEWEST_FIELDS,
    FIELD_PX,
    MIX,
    MOST_FIELDS,
    latent_columns,
)
from inference.phase import PhaseRetrieval, phase_in_rad

SMALLEST_UM2 = 16.0
"""Smaller visible parts of a cell are not judged."""
BACKGROUND_UM = 30.0
"""Smoothing of the light that a single-shot picture is divided by."""
CROP_UM = 44.0
"""Edge of the square around an adherent cell that the network sees."""
CROP_RADII = 4.0
"""The same around a cell in a well, in radii of a target."""
CROP_PX = 64

Progress = Callable[[str, float], None]
"""Is told what is being done and the share of it that is done."""


@dataclass(frozen=True, slots=True)
class AuditCells:
    """All judged cells, one row a cell."""

    field: NDArray[np.int64]  # (cell,) number of its field: the group in validation
    dead: NDArray[np.bool_]  # (cell,)
    effector: NDArray[np.bool_]  # (cell,) of the two types in nanowells
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before, NaN unknown
    features: NDArray[np.float64]  # (cell, feature)
    drawn: NDArray[np.float32]  # (cell, column) what the cell was drawn from
    crops: NDArray[np.float16]  # (cell, 2, y, x) as the network sees it, and mask
    """Empty if not asked for."""

    def living(self) -> "AuditCells":
        """Give the cells whose membrane is tight."""
        alive = ~self.dead
        return AuditCells(
            *(getattr(self, name)[alive] for name in self.__dataclass_fields__)
        )

    def first_fields(self, wanted: int) -> "AuditCells":
        """Give the cells of the first fields that hold ``wanted`` of them."""
        last = self.field[min(wanted, len(self.field)) - 1]
        rows = self.field <= last
        names = self.__dataclass_fields__
        return AuditCells(*(getattr(self, name)[rows] for name in names))


def picture_of(field: Field, world: World, seed: int) -> NDArray[np.float32]:
    """Give the picture that the product would look at in the world's modality.

    Phase in rad, or light relative to the empty field around, less 1.
    """
    optics = world.optics
    if optics.modality == "slim":
        retrieve = PhaseRetrieval(stand_of(world), field.labels.shape)
        return phase_in_rad(retrieve(field.frames))
    if optics.modality == "phase_contrast":
        counts = field.frames[CONTRAST_STEP]
    else:
        counts = brightfield_of(field, world, seed)
    light = counts.astype(np.float32) - np.float32(world.camera.offset_dn)
    empty = (field.labels == 0).astype(np.float32)
    sigma = BACKGROUND_UM / optics.pixel_um
    around = gaussian_filter(light * empty, sigma) / (
        gaussian_filter(empty, sigma) + np.float32(1e-6)
    )
    return np.asarray(light / np.maximum(around, 1) - 1, np.float32)


def brightfield_of(field: Field, world: World, seed: int) -> NDArray[np.uint16]:
    """Take the picture of a field in brightfield, which fields do not hold."""
    size = len(field.labels)
    field_um = size * world.optics.pixel_um + 2 * min(world.stage.margin_um, 40.0)
    optics = Optics(world, seed, size, field_um)
    phase = field.phase.copy()
    optics.add_scenery(phase, (0.0, 0.0), 0.0)
    electrons = np.empty_like(phase)
    optics.brightfield(phase, world.optics.defocus_um, electrons)
    counts = np.empty(phase.shape, np.uint16)
    exposure = world.camera.nominal_exposure_ms
    CameraModel(world, seed, size).expose(electrons, exposure, 0, counts)
    return counts


def collect(
    world: World, seed: int, wanted: int, tell: Progress, *, crops: bool
) -> AuditCells:
    """Render fields, from ``seed`` upwards, until ``wanted`` cells can be judged."""
    parts: list[AuditCells] = []
    count = 0
    crop_um = _crop_um(world) if crops else None
    while len(parts) < FEWEST_FIELDS or (count < wanted and len(parts) < MOST_FIELDS):
        number = len(parts)
        field = render_field(world, seed + number, FIELD_PX, MIX)
        picture = picture_of(field, world, seed + number)
        shown = picture if world.optics.modality == "slim" else amplitude_of(picture)
        parts.append(_judged(field, (picture, shown), number, crop_um))
        count += len(parts[-1].dead)
        tell("fields", min(1.0, count / wanted))
        if len(parts) == FEWEST_FIELDS and count == 0:
            break  # an empty dish stays empty
    return joined(parts)


def joined(parts: list[AuditCells]) -> AuditCells:
    """Put the cells of several fields into one table."""
    return AuditCells(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in AuditCells.__dataclass_fields__
        )
    )


def _crop_um(world: World) -> float:
    """Give the edge of the squares that the network sees."""
    if world.nanowell is None:
        return CROP_UM
    return CROP_RADII * world.nanowell.target_radius_um


def amplitude_of(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the amplitude of relative light, 0 in the empty field.

    Its shot noise is the same in bright and dark places.
    """
    return np.sqrt(np.maximum(light + 1, 0)) - 1


def _judged(
    field: Field,
    pictures: tuple[NDArray[np.float32], NDArray[np.float32]],
    number: int,
    crop_um: float | None,
) -> AuditCells:
    """Measure the cells of a field that lie inside it and are large enough.

    Of the two pictures the first is measured; with ``crop_um`` the cells are cut out of
    the second one.
    """
    picture, shown = pictures
    maps = FeatureMaps(picture, field.pixel_size_um)
    boxes = find_objects(field.labels)
    least = SMALLEST_UM2 / field.pixel_size_um**2
    rows, features, cut = [], [], []
    for row, label in enumerate(field.ids.tolist()):
        box = boxes[label - 1]
        if _is_cut(box, picture.shape):
            continue
        mask = field.labels[box] == label
        if mask.sum() < least:
            continue
        rows.append(row)
        features.append(maps.measure(box, mask))
        if crop_um is not None:
            half_px = math.ceil(crop_um / 2 / field.pixel_size_um)
            cut.append(crop_around(shown, field.labels == label, box, half_px))
    shape = (0,) if crop_um is None else (2, CROP_PX, CROP_PX)
    return AuditCells(
        field=np.full(len(rows), number),
        dead=field.state[rows] == CellState.DEAD,
        effector=field.kind[rows] == CellKind.EFFECTOR,
        minutes_since_rupture=field.minutes_since_rupture[rows],
        features=np.array(features, np.float64).reshape(len(rows), len(FEATURES)),
        drawn=latent_columns(field.looks[rows])[1],
        crops=np.array(cut, np.float16).reshape(len(rows), *shape),
    )


def _is_cut(box: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """Say whether a box reaches the border of the picture."""
    return any(
        side.start == 0 or side.stop == size
        for side, size in zip(box, shape, strict=True)
    )


def crop_around(
    picture: NDArray[np.float32],
    mask: NDArray[np.bool_],
    box: tuple[slice, slice],
    half: int,
) -> NDArray[np.float16]:
    """Cut out a square of ``2 half`` around a cell, scaled to a fixed number of pixels.

    Beyond the border the picture is 0, as is an empty field.
    """
    middle = [(side.start + side.stop) // 2 for side in box]
    low = [max(0, at - half) for at in middle]
    high = [min(size, at + half) for at, size in zip(middle, mask.shape, strict=True)]
    inner = (slice(low[0], high[0]), slice(low[1], high[1]))
    corner = [start - (at - half) for start, at in zip(low, middle, strict=True)]
    whole = np.zeros((2, 2 * half, 2 * half), np.float32)
    place = tuple(
        slice(start, start + stop - begin)
        for start, begin, stop in zip(corner, low, high, strict=True)
    )
    whole[0][place] = picture[inner]
    whole[1][place] = mask[inner]
    scaled = [
        cv2.resize(part, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA)
        for part in whole
    ]
    return np.stack(scaled).astype(np.float16)
