"""The inference stage: a frame in, its cells out."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import stamp_ns
from acquisition.records import (
    Frame,
    Modality,
    Segmented,
    blank_info,
    read_only,
)
from configs.schema import Inference, Stand
from inference.cards import Card, parting_of
from inference.cells import find_cells
from inference.closer_look import CloserLook
from inference.maps import Engine
from inference.phase import PhaseRetrieval
from inference.pixels import grey_level, network_shape, place_back, resample


class InferenceStage:
    """Phase retrieval, network, instances and measurements, one frame at a time.

    ``card`` is that of the weights, which says their pixel size and how their cells are
    parted; None: no network, any pixel size. Frames may change their shape from one to
    the next. ``closer`` looks again at cells in doubt; None: nothing does. Engine and
    closer look belong to the caller, who closes them.
    """

    def __init__(
        self,
        engine: Engine,
        card: Card | None,
        settings: Inference,
        stand: Stand,
        closer: CloserLook | None = None,
    ) -> None:
        self._engine = engine
        self._closer = closer
        self._card_um_per_px = None if card is None else card.um_per_px
        self._parting = parting_of(settings, card)
        self._settings = settings
        self._stand = stand
        self._retrieval: PhaseRetrieval | None = None

    def __call__(self, frame: Frame) -> Segmented:
        """Give the cells of a well-formed frame, all arrays read-only.

        Raises
        ------
        BadModel
            When the pixel size does not suit the model, or the maps hold too many
            objects.
        """
        info = frame.info
        received_ns = stamp_ns()
        phase = self._phase(frame)
        phase_ns = stamp_ns()
        shape = (phase.shape[0], phase.shape[1])
        seen = resample(
            phase, network_shape(shape, info.pixel_size_um, self._card_um_per_px)
        )
        grey = grey_level(seen, info.modality)
        maps = place_back(self._engine.infer(seen, *grey), shape)
        network_ns = stamp_ns()
        labels, cells = find_cells(
            maps, info, phase, self._settings, self._stand, self._parting
        )
        if self._closer is not None:
            cells = self._closer(seen, grey, labels, cells)
        segmented: Segmented = read_only(
            Segmented(
                info=info,
                phase=phase,
                labels=labels,
                cells=cells,
                model=self._engine.model,
                engine=self._engine.name,
                received_ns=received_ns,
                phase_ns=phase_ns,
                network_ns=network_ns,
                cells_ns=stamp_ns(),
            )
        )
        return segmented

    def warm_up(
        self, shape: tuple[int, int], modality: Modality, pixel_size_um: float
    ) -> None:
        """Compile all kernels and wake the engine with an empty frame (y, x)."""
        steps = 4 if modality == "slim" else 1
        now_ns = stamp_ns()
        info = replace(
            blank_info(modality, pixel_size_um),
            position="",
            exposure_start_ns=now_ns,
            exposure_end_ns=now_ns,
            read_ns=now_ns,
        )
        pixels = np.full((steps, *shape), 1000, np.uint16)
        pixels.setflags(write=False)
        self(Frame(info, pixels))
        if self._closer is not None:
            self._closer.warm_up()

    def _phase(self, frame: Frame) -> NDArray[np.uint16]:
        """Give the coded phase (y, x), or the pixels of a one-shot frame."""
        if frame.info.modality != "slim":
            return frame.pixels[0]
        shape = (frame.pixels.shape[1], frame.pixels.shape[2])
        if self._retrieval is None or self._retrieval.shape != shape:
            self._retrieval = PhaseRetrieval(self._stand, shape)
        return self._retrieval(frame.pixels)
