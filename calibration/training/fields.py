"""Training fields: simulated four-step frames, their phase, and the exact truth.

A field is a draw of the optics, camera and culture around a world (domain
randomisation: Tobin et al. 2017) with its own seed. Fields are kept on disk, so that a
training run can be resumed and several can share them.
"""

import hashlib
import logging
import math
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

import acquisition.simulated
from acquisition.errors import BadRun
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.fields import Field as SimulatedField
from acquisition.simulated.fields import randomise, render_field
from acquisition.simulated.sections import Mix
from acquisition.simulated.world import World
from calibration import shots
from calibration.audit import cells
from calibration.shots import shoot
from calibration.training.recipe import Contrast, Fields, Split
from inference import phase, phase_kernels, pixels
from inference.phase import PhaseRetrieval
from inference.pixels import grey_level, resample, slim_grey_level

logger = logging.getLogger(__name__)

_LOOK = (phase, phase_kernels, pixels, shots, cells)
"""Modules that, beside the simulator and this one, decide what a field looks like."""
_WORLD_STREAM = 77
_RENDER_STEP_PX = 32
_GAP_PX = 5
"""Fragments of one cell that lie closer than this are joined."""


@dataclass(frozen=True, slots=True)
class TrainingField:
    """One field as the network is trained on it."""

    phase: NDArray[np.uint16]  # (y, x) coded phase, or the like of a single shot
    labels: NDArray[np.uint16]  # (y, x) true instance map, 0 background
    joined: NDArray[np.uint16]  # (y, x) the same with gaps within a cell closed
    separation: NDArray[np.uint8]  # (y, x) 255 times the distance, 1 at the middle
    states: NDArray[np.uint8]  # (label,) CellState by label; absent ones are 0


def make_field(settings: Fields, seed: int) -> TrainingField:
    """Render the field of a seed; the same seed gives the same field."""
    rng = np.random.default_rng([seed, _WORLD_STREAM])
    world = randomise(settings.world_of(seed), rng)
    mix = None if rng.random() < settings.natural else draw_mix(settings, rng)
    return _render(settings, world, seed, mix)


def make_world_field(settings: Fields, name: str, seed: int) -> TrainingField:
    """Render a field of a world as it stands, for tests on unseen worlds."""
    return _render(settings, World.load(name), seed, None)


def _render(
    settings: Fields, world: World, seed: int, mix: Mix | None
) -> TrainingField:
    """Render as much of a world as fills a field at the pixel size of the recipe."""
    ratio = settings.pixel_um() / world.optics.pixel_um
    size_px = math.ceil(settings.size_px * ratio / _RENDER_STEP_PX) * _RENDER_STEP_PX
    field = render_field(world, seed, size_px, mix)
    image = look(field, world, seed, settings.modality)
    edge = max(round(size_px / ratio), settings.size_px)
    return from_simulated(field, image, (edge, settings.size_px), settings.modality)


def draw_mix(settings: Fields, rng: np.random.Generator) -> Mix:
    """Draw how many cells of the field are dead, and how many only look like it."""
    dead = rng.uniform(*settings.dead)
    alike = rng.uniform(*settings.look_alikes)
    return Mix.of(dead=dead, alike=alike)


def look(
    field: SimulatedField, world: World, seed: int, modality: Contrast
) -> NDArray[np.uint16]:
    """Give the coded phase (y, x), retrieved as in the live path, or a single shot."""
    shot = shoot(field, world, seed, modality)
    if modality == "slim":
        return PhaseRetrieval(stand_of(world), field.labels.shape)(shot)
    return np.asarray(shot[0])


def in_phase_counts(
    image: NDArray[np.uint16], modality: Contrast
) -> NDArray[np.uint16]:
    """Bring the grey level of a single shot (y, x) to counts of coded phase.

    So all that follows treats the modalities alike. The shot is at the pixel size of
    the network by then, as in the live path: averaged noise spans less.
    """
    if modality == "slim":
        return image
    offset, scale = grey_level(image, modality)
    zero, per_count = slim_grey_level()
    counts = (image.astype(np.float32) - offset) * (scale / per_count) + zero
    return np.asarray(np.rint(counts.clip(0, 65_535)), np.uint16)


def from_simulated(
    field: SimulatedField,
    image: NDArray[np.uint16],
    edges_px: tuple[int, int],
    modality: Contrast,
) -> TrainingField:
    """Bring a field to the first edge, cut the second of it, and derive the targets."""
    edge_px, size_px = edges_px
    states = np.zeros(int(field.ids.max(initial=0)) + 1, np.uint8)
    states[field.ids] = field.state
    labels = field.labels
    if edge_px != labels.shape[0]:
        grid = (edge_px, edge_px)
        labels = cv2.resize(labels, grid, interpolation=cv2.INTER_NEAREST_EXACT)
        image = resample(image, grid)
    image = in_phase_counts(image, modality)
    cut = np.s_[:size_px, :size_px]
    labels, image = (np.ascontiguousarray(plane[cut]) for plane in (labels, image))
    joined = join_fragments(labels)
    return TrainingField(
        phase=image,
        labels=labels,
        joined=joined,
        separation=separation_target(joined),
        states=states,
    )


def join_fragments(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Close the gaps between the fragments of a cell, onto background only.

    One dying cell breaks into several bodies. A network that sees them as one patch
    lets the instance step keep them as one cell.
    """
    joined = labels.copy()
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_GAP_PX, _GAP_PX))
    for label, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            own = np.pad((labels[box] == label).astype(np.uint8), _GAP_PX)
            closed = cv2.morphologyEx(own, cv2.MORPH_CLOSE, disc)
            inner = closed[_GAP_PX:-_GAP_PX, _GAP_PX:-_GAP_PX] > 0
            joined[box][inner & (labels[box] == 0)] = label
    return joined


def separation_target(labels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Give 255 times the distance to the border of the own cell, 1 at its middle."""
    inside = (labels > 0).astype(np.uint8)
    for axis in (0, 1):  # carve the seam between touching cells, on both sides
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        seam = labels[tuple(first)] != labels[tuple(second)]
        inside[tuple(first)][seam] = 0
        inside[tuple(second)][seam] = 0
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    distance[labels > 0] += 0.5  # the carved pixels are cell, half a pixel deep
    peak = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(peak, labels.ravel(), distance.ravel())
    peak[peak == 0] = 1.0
    return np.asarray(np.rint(255.0 * distance / peak[labels]), dtype=np.uint8)


def object_classes(field: TrainingField) -> NDArray[np.uint8]:
    """Give the CellState code of every pixel ``(y, x)``."""
    return field.states[field.labels]


def field_path(directory: Path, seed: int) -> Path:
    """Give the file of a field."""
    return directory / f"{seed}.npz"


def save_field(path: Path, field: TrainingField) -> None:
    """Write a field, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    with scratch.open("wb") as file:
        np.savez(
            file,
            phase=field.phase,
            labels=field.labels,
            joined=field.joined,
            separation=field.separation,
            states=field.states,
        )
    scratch.replace(path)


def load_field(path: Path) -> TrainingField:
    """Read a field back."""
    with np.load(path, allow_pickle=False) as file:
        return TrainingField(
            phase=file["phase"],
            labels=file["labels"],
            joined=file["joined"],
            separation=file["separation"],
            states=file["states"],
        )


def claim_folder(settings: Fields, directory: Path) -> None:
    """Make sure that a folder of fields was, or will be, made by what is used now.

    Raises
    ------
    BadRun
        If the fields in it come from another recipe, world or state of the code.
    """
    origin = directory / "origin.txt"
    expected = _origin(settings)
    if origin.exists() and origin.read_text(encoding="utf-8") != expected:
        raise BadRun(
            f"{directory} holds fields of another recipe, world or simulator; delete "
            "them, or choose another output folder"
        )
    directory.mkdir(parents=True, exist_ok=True)
    origin.write_text(expected, encoding="utf-8")


def _origin(settings: Fields) -> str:
    """Hash all that decides what a field looks like but the number of fields."""
    counts = {"train", "kept", "validation", "test", "held_out_worlds"}
    digest = hashlib.sha256(settings.model_dump_json(exclude=counts).encode())
    for name in settings.worlds:
        digest.update(World.load(name).hash.encode())
    simulator = Path(str(acquisition.simulated.__file__)).parent
    looks = (Path(str(module.__file__)) for module in _LOOK)
    for path in (*sorted(simulator.rglob("*.py")), *looks, Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def generate(settings: Fields, directory: Path, splits: tuple[Split, ...]) -> None:
    """Render every field of the splits that is not on disk yet.

    Where fields are kept for a while only, the drawing goes on after the newest one.
    A process that renders for a training ends with it, also when that was killed.
    """
    parent = multiprocessing.parent_process()
    for split in splits:
        kept = settings.kept if split == "train" else None
        seeds = settings.seeds(split)
        if kept is not None and (newest := newest_seed(settings, directory)):
            seeds = range(newest + 1, seeds.stop)
        for seed in seeds:
            if parent is not None and not parent.is_alive():
                return
            path = field_path(directory, seed)
            if not path.exists():
                save_field(path, make_field(settings, seed))
            if kept is not None:
                field_path(directory, seed - kept).unlink(missing_ok=True)
        logger.info("%s fields are complete", split)


def newest_seed(settings: Fields, directory: Path) -> int | None:
    """Give the seed of the training field that was drawn last; None without any."""
    seeds = settings.seeds("train")
    drawn = (int(path.stem) for path in directory.glob("*.npz"))
    return max((seed for seed in drawn if seed in seeds), default=None)
