"""The product's own path from a frame to its cells, with any one model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from acquisition.records import Cells, CellState, Frame, Segmented
from calibration.metrics.instances import CLOSE_IOU, f1_among
from calibration.metrics.objects import ObjectTable, tabulate
from calibration.metrics.overlaps import find_overlaps, match_objects
from calibration.metrics.strata import (
    edge_labels,
    gradient_energy,
    low_quantile,
    touching_labels,
)
from calibration.shots import frame_of
from configs.schema import Inference, Stand
from inference.cards import MODELS, Card, Parting, load_card, parting_of
from inference.cells import find_cells
from inference.closer_look import CloserLook
from inference.engines.cell_engines import select_closer_look
from inference.maps import Engine
from inference.pixels import (
    grey_level,
    network_shape,
    place_back,
    resample,
)
from inference.prevalence import Prevalence, shift_frame
from inference.select import select_engine
from inference.stage import InferenceStage

BLURRED = 0.1
"""This share of the true cells of a field, those of the least gradient energy, counts
as out of focus."""

Labels = NDArray[np.uint16]
Shape = tuple[int, int]


class Analyst:
    """Finds the cells of frames of any size with one model; closed by its user.

    Parameters
    ----------
    settings
        Name the model and the engine.

    Raises
    ------
    BadModel
        If there is no such model.
    """

    def __init__(self, settings: Inference) -> None:
        self.card: Card = load_card(MODELS.find(settings.model))
        if settings.engine == "classical":  # these are no maps of those weights
            self.card = self.card.model_copy(update={"parting": Parting()})
        self._settings = settings
        self._engines: dict[Shape, Engine] = {}
        self._closer: list[CloserLook | None] = []  # empty: not chosen yet

    def __enter__(self) -> "Analyst":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for one in (*self._engines.values(), *self._closer):
            if one is not None:
                one.close()

    @property
    def smallest_um2(self) -> float:
        """The smallest area that counts as a cell."""
        return self._settings.min_area_um2

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines that served."""
        return tuple(sorted({engine.name for engine in self._engines.values()}))

    def prevalence(self) -> Prevalence:
        """Give what corrects the probabilities of the frames of one run."""
        return Prevalence(self.card.training.dead_share, self._settings)

    def recall(self, seen: Segmented, prevalence: Prevalence) -> "Recalled":
        """Call the cells of a frame of a run again for other shares of dead ones."""
        natural = prevalence(seen).cells
        share = self.card.training.dead_share
        if share is None:
            return Recalled(natural, None)
        shift = float(np.log((1 - share) / share))
        even = shift_frame(seen, shift, self._settings.unsure_band)
        return Recalled(natural, even.cells)

    def find(self, frame: Frame, stand: Stand) -> tuple[Labels, Cells]:
        """Give label map and cells of a frame, as the live path does.

        Raises
        ------
        BadModel
            If the pixel size does not suit the model, or no engine can serve it.
        """
        segmented = self.segment(frame, stand)
        return segmented.labels, segmented.cells

    def segment(self, frame: Frame, stand: Stand) -> Segmented:
        """Give the whole record of a frame, as the live path does.

        Raises
        ------
        BadModel
            If the pixel size does not suit the model, or no engine can serve it.
        """
        engine = self._engine(frame.pixels.shape[1:], frame.info.pixel_size_um)
        closer = self._closer_look(engine)
        stage = InferenceStage(engine, self.card, self._settings, stand, closer)
        return stage(frame)

    def find_in_phase(
        self, phase: NDArray[np.uint16], pixel_size_um: float
    ) -> tuple[Labels, Cells]:
        """Give the same of coded phase (y, x), where nothing is to be retrieved."""
        shape = (phase.shape[0], phase.shape[1])
        engine = self._engine(shape, pixel_size_um)
        info = frame_of(phase[None], "slim", pixel_size_um).info
        grid = network_shape(shape, pixel_size_um, self.card.um_per_px)
        seen, grey = resample(phase, grid), grey_level(phase, "slim")
        maps = place_back(engine.infer(seen, *grey), shape)
        parting = parting_of(self._settings, self.card)
        labels, cells = find_cells(maps, info, phase, self._settings, Stand(), parting)
        closer = self._closer_look(engine)
        return labels, cells if closer is None else closer(seen, grey, labels, cells)

    def _closer_look(self, engine: Engine) -> CloserLook | None:
        """Give what looks closer at cells in doubt; it is chosen once.

        Raises
        ------
        BadModel
            If the model has a second network that cannot serve: figures without it
            would be those of another model.
        """
        if not self._closer:
            card = None if self._settings.engine == "classical" else self.card
            closer, said = select_closer_look(self._settings, card, engine.name)
            if said and closer is None:
                raise BadModel(f"model {self.card.name}: {'; '.join(said)}")
            self._closer.append(closer)
        return self._closer[0]

    def _engine(self, shape: tuple[int, ...], pixel_size_um: float) -> Engine:
        """Give the engine for frames of a size; it is chosen once."""
        frame = (shape[0], shape[1])
        grid = network_shape(frame, pixel_size_um, self.card.um_per_px)
        if grid not in self._engines:
            self._engines[grid] = select_engine(self._settings, grid)[0]
        return self._engines[grid]


@dataclass(frozen=True, slots=True)
class Recalled:
    """Found cells with the probabilities and calls of other shares of dead cells."""

    natural: Cells  # of the share of the run, as the product corrects to it
    even: Cells | None  # of a half; None: nobody knows of which share the found are


@dataclass(frozen=True, slots=True)
class Judged:
    """One field or image: what was there, what was found, which were the same."""

    objects: ObjectTable  # called as the model is calibrated
    natural: ObjectTable  # called for the share of dead cells that is there
    even: ObjectTable | None  # called for as many dead as living
    on_edge: NDArray[np.bool_]  # (row of the table) true cells cut by the border
    touching: NDArray[np.bool_]  # (row of the table) true cells that touch another
    blurred: NDArray[np.bool_]  # (row of the table) true cells out of focus
    touching_f1: float | None  # instance F1 of these
    true: int
    found: int
    matched: int  # at half IoU
    matched_closely: int  # at three quarters


def judge(
    truth: Labels,
    states: Mapping[int, int],
    found: tuple[Labels, Cells],
    smallest_px: float,
    image: NDArray[np.generic] | None = None,
    recalled: Recalled | None = None,
) -> Judged:
    """Compare what was found in a field with its truth.

    True cells that show less than ``smallest_px`` are left out, with what matches them.

    Parameters
    ----------
    truth
        (y, x) true labels.
    states
        CellState of every true label; one that is missing counts as live.
    found
        Label map and cells.
    smallest_px
        Smallest area of a cell.
    image
        (y, x) phase or grey levels that tell who is out of focus; absent: nobody.
    recalled
        The found cells called for other shares of dead ones; absent: the run has the
        share of the training, and nothing is called for even odds.
    """
    labels, cells = found
    overlaps = find_overlaps(truth, labels)
    small = overlaps.true_label[overlaps.true_pixels < smallest_px]
    rows = match_objects(overlaps)
    on_small = np.isin(overlaps.true[rows], small)
    ignored = overlaps.found[rows[on_small]]
    rows = rows[~on_small]
    true_label = overlaps.true_label[~np.isin(overlaps.true_label, small)]
    kept = overlaps.found_label[~np.isin(overlaps.found_label, ignored)]
    state = {one: states.get(one, CellState.LIVE) for one in true_label.tolist()}
    recalled = recalled or Recalled(natural=cells, even=None)
    tabulated = partial(tabulate, overlaps, rows, state, kept)
    table, even = tabulated(cells), recalled.even
    touching = np.intersect1d(touching_labels(truth), true_label)
    return Judged(
        objects=table,
        natural=tabulated(recalled.natural),
        even=None if even is None else tabulated(even),
        on_edge=_mark(true_label, edge_labels(truth), table),
        touching=_mark(true_label, touching, table),
        blurred=_mark(true_label, _blurred(truth, true_label, image), table),
        touching_f1=f1_among(overlaps, touching) if touching.size else None,
        true=true_label.size,
        found=kept.size,
        matched=rows.size,
        matched_closely=int((overlaps.iou[rows] >= CLOSE_IOU).sum()),
    )


def _blurred(
    truth: Labels, true_label: NDArray[np.int64], image: NDArray[np.generic] | None
) -> NDArray[np.int64]:
    """Give the labels of the cells that look out of focus beside the others."""
    if image is None:
        return true_label[:0]
    energy = gradient_energy(image, truth)
    values = np.array([energy[one] for one in true_label.tolist()])
    return true_label[low_quantile(values, BLURRED)]


def _mark(
    true_label: NDArray[np.int64], chosen: NDArray[np.int64], table: ObjectTable
) -> NDArray[np.bool_]:
    """Mark the rows of the chosen true cells; what was made up follows, unmarked."""
    marked = np.zeros(table.true_state.size, np.bool_)
    marked[: true_label.size] = np.isin(true_label, chosen)
    return marked
