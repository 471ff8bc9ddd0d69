"""Trying an engine: it must lead to the cells of the reference, and is timed.

The golden frame of the model runs through it at the size of the run; its three maps
must lead to the same cells, called alike, as those of the float32 reference.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from configs.schema import Inference
from inference.cards import Model
from inference.cells import part
from inference.engines.torch_engine import TorchEngine
from inference.maps import Engine, Maps
from inference.measure import measure
from inference.pixels import plain

MIN_AGREEMENT = 0.995
"""Least share of equal classes on the pixels that either side calls cell."""
MIN_AGREEMENT_INT8 = 0.99
"""The same for engines in 8 bits. Their cells are held to the same rule."""

MOST_CALLED_OTHERWISE = 0.005
"""Largest share of cells with another call; of few cells, one may differ."""
MOST_MISCOUNTED = 0.02
"""Largest relative difference in the number of cells; it may be one."""

_TIMED_FRAMES = 3
_MIN_AREA_UM2 = Inference().min_area_um2
"""Of the cells an engine is tried by, so that the settings of a run fail none."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How a candidate did on the golden frame."""

    agreement: float  # share of equal classes where either side sees cell
    cells_wanted: int  # by the reference
    cells_found: int
    called_otherwise: int  # cells of the reference called live for dead, or dead
    empty: tuple[str, ...]  # maps that are zero where those of the reference are not
    frame_ms: float  # fastest of a few frames
    needed: float = MIN_AGREEMENT

    @property
    def fault(self) -> str | None:
        """Why the candidate cannot serve; None: it can."""
        if self.agreement < self.needed:
            return (
                f"{self.agreement:.2%} of cell pixels as the reference, "
                f"{self.needed:.1%} are needed"
            )
        if self.empty:
            return f"the {' and '.join(self.empty)} map is empty"
        cells = self.cells_wanted
        if self.called_otherwise > max(1, MOST_CALLED_OTHERWISE * cells):
            return (
                f"{self.called_otherwise} of {cells} cells called otherwise than by "
                "the reference"
            )
        if abs(self.cells_found - cells) > max(1, MOST_MISCOUNTED * cells):
            return f"{self.cells_found} cells found, the reference finds {cells}"
        return None


def probe_engine(
    engine: Engine,
    model: Model,
    shape: tuple[int, int],
    needed: float = MIN_AGREEMENT,
) -> Probe:
    """Run the golden frame, tiled to ``shape``, and compare with the reference.

    ``needed`` is the least agreement with which it may serve.

    Raises
    ------
    BadModel
        If the golden frame has no cell by the reference: it could not tell engines
        apart.
    """
    frame, wanted = _golden(model, shape)
    normalisation = model.card.normalisation
    best_ms = float("inf")
    for _ in range(_TIMED_FRAMES):
        start = time.perf_counter()
        maps = engine.infer(frame, normalisation.offset, normalisation.scale)
        best_ms = min(best_ms, 1e3 * (time.perf_counter() - start))
    height, width = wanted.classes.shape
    corner = np.s_[:height, :width]
    found = Maps(maps.classes[corner], maps.dead[corner], maps.separation[corner])
    um_per_px = model.card.um_per_px
    labels, count = part(wanted, um_per_px, _MIN_AREA_UM2, model.card.parting)
    if count == 0:
        raise BadModel(
            f"the golden frame of {model.label} has no cell by the reference, so no "
            "engine can be tried on it; export the model again"
        )
    return Probe(
        agreement=class_agreement(found.classes, wanted.classes),
        cells_wanted=count,
        cells_found=part(found, um_per_px, _MIN_AREA_UM2, model.card.parting)[1],
        called_otherwise=int(
            np.count_nonzero(
                _called_dead(labels, found, count)
                != _called_dead(labels, wanted, count)
            )
        ),
        empty=tuple(
            name
            for name in ("dead", "separation")
            if getattr(wanted, name).any() and not getattr(found, name).any()
        ),
        frame_ms=best_ms,
        needed=needed,
    )


def _golden(model: Model, shape: tuple[int, int]) -> tuple[NDArray[np.uint16], Maps]:
    """Give the frame of ``shape`` (y, x), and the reference of its first block."""
    golden = model.golden
    height, width = golden.frame.shape
    if shape[0] >= 2 * height and shape[1] >= 2 * width:
        planes = (np.ascontiguousarray(plane) for plane in golden.maps)
        return tiled(golden.frame, shape), Maps(*planes)
    # The tiles would be cut where the stored answer looks: the reference looks again,
    # with a cell in the middle, since in the corner of a small frame may be none.
    middle = np.unravel_index(np.argmax(golden.maps[2]), golden.frame.shape)
    shift = [whole // 2 - int(at) for whole, at in zip(shape, middle, strict=True)]
    frame = tiled(np.roll(golden.frame, shift, axis=(0, 1)), shape)
    normalisation = model.card.normalisation
    reference = TorchEngine(model, shape, threads=1)
    return frame, reference.infer(frame, normalisation.offset, normalisation.scale)


def _called_dead(
    labels: NDArray[np.uint16], maps: Maps, count: int
) -> NDArray[np.bool_]:
    """Tell which cells (cell,) the dead map calls dead, by the mean logit."""
    dead = plain(maps.dead)
    logit: NDArray[np.float64] = measure(labels, plain(labels), dead, count)[1]
    return logit > 0


def class_agreement(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Give the share of equal classes on pixels that either side calls cell.

    Raises
    ------
    BadModel
        If neither side has any: no share could be stated.
    """
    either = (found > 0) | (wanted > 0)
    cell_px = int(np.count_nonzero(either))
    if cell_px == 0:
        raise BadModel(
            "no cell in the frame by either engine, so nothing can be compared; "
            "take a frame with cells"
        )
    return int(np.count_nonzero((found == wanted) & either)) / cell_px


def tiled(frame: NDArray[np.uint16], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Repeat a frame ``(y, x)`` over a plane of ``shape``, from the top left corner."""
    copies = [-(-whole // side) for whole, side in zip(shape, frame.shape, strict=True)]
    return np.ascontiguousarray(np.tile(frame, copies)[: shape[0], : shape[1]])
