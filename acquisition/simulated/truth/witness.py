"""The witness beside a stand: gathers for the truth what no look at a frame tells."""

import math

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.drawing.masks import Placed, covered_masks, overlaps_px
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.truth.foresight import HORIZONS_S, Foresight
from acquisition.simulated.truth.haloed import haloed_masses_pg
from acquisition.simulated.view import Insight, VisibleCells

Light = tuple[NDArray[np.float32], NDArray[np.float32]]
"""The whole field (part, y, x), and its direct light on a coarse grid."""


class Witness:
    """Remembers and foresees what the truth tells beside one cycle.

    Parameters
    ----------
    specimen
        Is copied for the foresight, and left alone.
    """

    def __init__(self, specimen: Specimen) -> None:
        self._foresight = Foresight(specimen)
        self._contacts = ContactLog()

    def insight(
        self,
        specimen: Specimen,
        cells: VisibleCells,
        labels: NDArray[np.uint16],
        placed: Placed,
        off_um: tuple[float, float],
        light: Light | None,
    ) -> Insight:
        """Tell what is known of a look.

        ``off_um`` (y, x) is how far the specimen lies from where the stage says; it
        drifts on as the world has it. ``light`` is that of the phase module, where it
        is in the path.
        """
        haloed = np.full(len(cells.id), np.nan)
        if light is not None:
            haloed = haloed_masses_pg(labels, cells.id, *light, specimen.world)
        later = self._foresight.later_um(specimen, cells.id)
        drift_um_per_s = np.array(specimen.world.stage.drift_um_per_h) / 3600
        later -= off_um + np.array(HORIZONS_S)[:, None] * drift_um_per_s
        return Insight(
            later_um=later,
            haloed_mass_pg=haloed,
            onset_s=self._contacts.onsets_s(cells, specimen.time_s),
            overlap_px=overlaps_px(placed, cells.touching),
            masks=covered_masks(placed, labels),
            given=tuple(specimen.given),
        )


class ContactLog:
    """Since when each pair of cells has been seen touching."""

    def __init__(self) -> None:
        self._since: dict[tuple[int, int], float] = {}
        self._seen: set[int] = set()

    def onsets_s(self, cells: VisibleCells, time_s: float) -> NDArray[np.float64]:
        """Take note of a look, and give the onset of each of its pairs (pair,).

        The time of the first look that showed the pair touching; NaN where they
        touched already when one of the two came into view.
        """
        ids = set(cells.id.tolist())
        since: dict[tuple[int, int], float] = {
            pair: onset
            for pair, onset in self._since.items()
            if pair[0] not in ids or pair[1] not in ids
        }
        onsets = np.empty(len(cells.touching))
        for number, (one, two) in enumerate(cells.touching.tolist()):
            watched = one in self._seen and two in self._seen
            onset = self._since.get((one, two), time_s if watched else math.nan)
            since[one, two] = onsets[number] = onset
        self._since = since
        self._seen = ids
        return onsets
