"""Batches of augmented crops; the crop of a step depends on seed and step alone."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.records import PHASE_RAD_PER_COUNT, CellState
from calibration.training.appearance import APPEARANCES
from calibration.training.fields import TrainingField, load_field
from calibration.training.geometry import MOVES, draw_through
from calibration.training.losses import Targets
from calibration.training.mining import draw
from calibration.training.recipe import Augmentation
from inference.cards import Normalisation

_AHEAD = 2
"""Batches made before they are wanted."""
_SEEN = (-1.0, 4.0)
"""What a network sees, from black to white, for changes that ask for grey levels."""

Weights = NDArray[np.float64]
Plane = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Crop:
    """An augmented piece of a field; all ``(y, x)`` of the crop size."""

    image: NDArray[np.float32]  # as the network sees it
    labels: NDArray[np.uint16]
    separation: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Images ``(B, 1, H, W)`` and their truth."""

    images: torch.Tensor
    targets: Targets
    fields: tuple[int, ...]  # (B,) numbers of the fields that the crops are from


class Pool:
    """The fields on disk; those that appear while training runs join in.

    With all fields on disk beforehand a training run is reproducible; while they are
    still being made, the draws follow what exists. With ``kept``, only that many of the
    newest are held, and files of older ones may be gone.
    """

    def __init__(self, paths: list[Path], kept: int | None = None) -> None:
        self._waiting = deque(paths)
        self._kept = kept
        self.fields: list[TrainingField] = []
        self.refresh()

    def refresh(self) -> None:
        """Load the fields that have appeared, in order."""
        if self._kept is not None and self._waiting:
            self._skip_deleted()
        arrived: list[TrainingField] = []
        while self._waiting and self._waiting[0].exists():
            arrived.append(load_field(self._waiting.popleft()))
        if arrived:  # a new list: batches are made in another thread
            self.fields = [*self.fields, *arrived][-(self._kept or 0) :]

    def _skip_deleted(self) -> None:
        """Go on at the oldest field that will stay long enough to be read."""
        present = {path.name for path in self._waiting[0].parent.glob("*.npz")}
        there = [path for path in self._waiting if path.name in present]
        staying = there[-(self._kept or 0) * 3 // 4 :]
        while staying and self._waiting[0] != staying[0]:
            self._waiting.popleft()


def draw_crop(
    field: TrainingField,
    settings: Augmentation,
    normalisation: Normalisation,
    rng: np.random.Generator,
) -> Crop:
    """Cut, scale, turn and disturb a piece of a field."""
    size = settings.crop_px
    low, high = np.log(settings.scale)
    factor = float(np.exp(rng.uniform(low, high)))
    side = min(round(size / factor), *field.labels.shape)
    cut = _cut_at_any_angle if settings.turns == "free" else _cut_on_the_grid
    phase, labels, separation = cut(field, side, size, rng)
    image = ((phase - normalisation.offset) * normalisation.scale).astype(np.float32)
    if settings.variants != "plain":
        if settings.variants == "twenty_one":
            image = _recoloured(image, rng)
        image, labels, separation = _moved(image, labels, separation, rng)
    image = _disturbed(image, settings, normalisation, rng)
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    return Crop(
        image=_turned(image, turns, mirrored),
        labels=_turned(labels, turns, mirrored),
        separation=_turned(separation, turns, mirrored).astype(np.float32) / 255.0,
    )


def _cut_on_the_grid(
    field: TrainingField, side: int, size: int, rng: np.random.Generator
) -> tuple[Plane, Plane, Plane]:
    """Cut phase, labels and separation of a random square, brought to ``size``."""
    top, left = (
        int(rng.integers(0, extent - side + 1)) for extent in field.labels.shape
    )
    window = np.s_[top : top + side, left : left + side]
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR

    def scaled(plane: Plane, way: int) -> Plane:
        return np.asarray(cv2.resize(plane, (size, size), None, 0, 0, way))

    return (
        scaled(field.phase[window].astype(np.float32), way),
        scaled(field.joined[window], cv2.INTER_NEAREST),
        scaled(field.separation[window], way),
    )


def _cut_at_any_angle(
    field: TrainingField, side: int, size: int, rng: np.random.Generator
) -> tuple[Plane, Plane, Plane]:
    """Do the same with a square that is turned; all of it lies inside if it can."""
    angle = float(rng.uniform(0, 2 * np.pi))
    reach = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle)))
    y, x = (
        float(rng.uniform(min(reach, extent / 2), max(extent - reach, extent / 2)))
        for extent in field.labels.shape
    )
    middle = (x - 0.5, y - 0.5)  # pixel centres
    turn = cv2.getRotationMatrix2D(middle, np.degrees(angle), size / side)
    turn[:, 2] += (size - 1) / 2 - np.array(middle)

    def turned(plane: Plane, way: int) -> Plane:
        beyond = cv2.BORDER_REFLECT_101
        return np.asarray(
            cv2.warpAffine(plane, turn, (size, size), flags=way, borderMode=beyond)
        )

    return (
        turned(field.phase.astype(np.float32), cv2.INTER_LINEAR),
        turned(field.joined, cv2.INTER_NEAREST),
        turned(field.separation, cv2.INTER_LINEAR),
    )


def assemble(
    crops: list[Crop], fields: list[TrainingField], numbers: tuple[int, ...]
) -> Batch:
    """Make tensors, with the cells of all crops numbered through."""
    objects = np.zeros((len(crops), *crops[0].labels.shape), np.int64)
    classes = np.zeros_like(objects)
    dead: list[NDArray[np.bool_]] = []
    count = 0
    for index, (crop, field) in enumerate(zip(crops, fields, strict=True)):
        present = np.unique(crop.labels)
        present = present[present > 0]
        present = present[field.states[present] <= CellState.DEAD]  # the told ones
        number = np.zeros(len(field.states), np.int64)
        number[present] = np.arange(count + 1, count + 1 + len(present))
        objects[index] = number[crop.labels]
        classes[index] = field.states[crop.labels]
        dead.append(field.states[present] == CellState.DEAD)
        count += len(present)
    images = np.stack([crop.image for crop in crops])[:, None]
    separation = np.stack([crop.separation for crop in crops])
    targets = Targets(
        classes=torch.from_numpy(classes),
        separation=torch.from_numpy(separation),
        objects=torch.from_numpy(objects),
        dead=torch.from_numpy(np.concatenate(dead).astype(np.float32)),
    )
    return Batch(torch.from_numpy(images), targets, numbers)


@dataclass(frozen=True, slots=True)
class Draws:
    """What the draws of a process depend on, beside the step."""

    batch: int
    seed: int
    rank: int = 0
    processes: int = 1

    def generator(self, step: int) -> np.random.Generator:
        """Give the generator of a step: another one in every process."""
        others = [self.rank, self.processes] if self.processes > 1 else []
        return np.random.default_rng([self.seed, step, *others])


class BatchMaker:
    """Makes the batch of any step.

    Parameters
    ----------
    weigh
        Gives the weight (field,) of every field on disk, or None where all are alike.
        It is asked in the thread that trains, so that it follows from the steps done.
    real
        Gives a real image in place of a field, or None: `RealImages.draw`.
    """

    def __init__(
        self,
        pool: Pool,
        settings: Augmentation,
        normalisation: Normalisation,
        draws: Draws,
        weigh: Callable[[], Weights | None] = lambda: None,
        real: Callable[[np.random.Generator], TrainingField | None] = lambda _: None,
    ) -> None:
        self.pool = pool
        self.settings = settings
        self.normalisation = normalisation
        self.draws = draws
        self.weigh = weigh
        self.real = real

    def make(self, step: int, weights: Weights | None = None) -> Batch:
        """Make the batch of a step from seed, step and weights alone."""
        rng = self.draws.generator(step)
        fields = self.pool.fields
        if weights is None:
            chosen = [int(rng.integers(len(fields))) for _ in range(self.draws.batch)]
        else:
            chosen = draw(weights, self.draws.batch, rng).tolist()
        sources = [self.real(rng) or fields[one] for one in chosen]
        crops = [
            draw_crop(field, self.settings, self.normalisation, rng)
            for field in sources
        ]
        return assemble(crops, sources, tuple(chosen))

    def ahead(self, first: int, last: int) -> Generator[Batch, None, None]:
        """Yield the batches of the steps below ``last``, made one thread ahead.

        What goes wrong in a batch is raised where that batch would be yielded.
        """
        waiting: deque[Future[Batch]] = deque()
        worker = ThreadPoolExecutor(1, thread_name_prefix="batches")
        try:
            for step in range(first, last):
                waiting.append(worker.submit(self.make, step, self.weigh()))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            worker.shutdown(cancel_futures=True)


def _recoloured(
    image: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Change the appearance as one variant of the 21-fold set does."""
    black, white = _SEEN
    grey = ((image - black) / (white - black)).clip(0, 1).astype(np.float32)
    change = APPEARANCES[int(rng.integers(len(APPEARANCES)))]
    return np.asarray(change(grey, rng) * (white - black) + black, np.float32)


def _moved(
    image: NDArray[np.float32],
    labels: NDArray[np.uint16],
    separation: NDArray[np.uint8],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint16], NDArray[np.uint8]]:
    """Change the place of things as one variant of the 21-fold set does."""
    move = MOVES[int(rng.integers(len(MOVES)))]
    places = move((image.shape[0], image.shape[1]), rng)
    return (
        np.asarray(draw_through(image, places, nearest=False), np.float32),
        draw_through(labels, places, nearest=True).astype(np.uint16),
        draw_through(separation, places, nearest=False).astype(np.uint8),
    )


def _disturbed(
    image: NDArray[np.float32],
    settings: Augmentation,
    normalisation: Normalisation,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Change gain and offset, and add noise, within the limits of the settings."""
    per_rad = normalisation.scale / PHASE_RAD_PER_COUNT
    gain = 1.0 + rng.uniform(-settings.gain, settings.gain)
    offset = per_rad * rng.uniform(-settings.offset_rad, settings.offset_rad)
    sigma = per_rad * rng.uniform(0.0, settings.noise_rad)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma)
    return image * np.float32(gain) + np.float32(offset) + noise


def _turned(array: NDArray[np.generic], turns: int, mirrored: bool) -> NDArray:  # type: ignore[type-arg]
    turned = np.rot90(array, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)
