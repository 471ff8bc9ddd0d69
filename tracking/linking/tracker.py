"""Online tracking: every cell keeps its name from frame to frame.

The state is a struct of arrays, one row a track, and a frame is one compiled step
(`tracking.linking.step`). Names are deterministic: they depend neither on the order of
the cells nor on their labels.

What cannot be tracked is passed over by rule: cells whose centre is not a number or
that have no area, and of cells with the same label all but the first. A frame that is
not later than the last one updates nothing: the present tracks come back, all unseen.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from acquisition.records import FrameInfo, Segmented, Tracks
from configs.schema import Tracking
from tracking.linking.costs import Rules
from tracking.linking.found import take_cells
from tracking.linking.masks import Masks, lay_masks, no_masks
from tracking.linking.motion import lay_out
from tracking.linking.shown import find_ready, show_tracks
from tracking.linking.step import step
from tracking.linking.table import (
    CARRIER,
    LABEL,
    LOG_AREA,
    MOTHER,
    NOBODY,
    PARENT,
    TRACK_ID,
    Found,
    Learnt,
    grow,
    make_table,
)
from tracking.linking.wells import lay_out_wells

LOOK_SIGMA = (0.2, 0.2, 0.1, 0.2)
"""Assumed deviations of a descriptor from sighting to sighting."""
LEAST_SPREAD = 0.05
"""Cells differ by so much at least, in the logarithm of the area."""
TO_SIGMA = 1.4826
"""From the median absolute deviation to the standard deviation of a normal law."""
TINY = 1e-6


class Tracker:
    """Follows the cells of one stage position.

    Parameters
    ----------
    settings
        The section ``[tracking]``.
    ids
        Source of new names; share one among positions to keep names unique in a run.
    """

    def __init__(self, settings: Tracking, ids: Iterator[int] | None = None) -> None:
        self._settings = settings
        self._ids = itertools.count(1) if ids is None else ids
        self._time_s: float | None = None
        self._fastest_um_per_s = settings.max_speed_um_per_min / 60
        self._walks = lay_out(self._fastest_um_per_s, 1.0)
        self._power = self._walks.power()
        self._steps: dict[float, NDArray[np.float32]] = {}
        self._usual_s: float | None = None
        self._wells = lay_out_wells(settings.chip)
        self._rows = 0
        self._table = make_table(64)
        self._learnt = Learnt(
            prior=self._walks.even(),
            look=np.square(LOOK_SIGMA),
            size=np.full(2, np.nan),
            sized=np.zeros(1, np.bool_),
            born=np.zeros(1, np.int64),
        )
        self._last: Segmented | None = None
        self._swapped = np.zeros((64, 2), np.int64)
        self._swaps = 0

    @property
    def swapped(self) -> tuple[tuple[int, int], ...]:
        """Pairs of names that the latest frame exchanged, for a contact had mixed them.

        From this frame on; the frames since the contact stand as they were.
        """
        pairs = self._swapped[: self._swaps].tolist()
        return tuple((one, other) for one, other in pairs)

    def update(self, segmented: Segmented) -> Tracks:
        """Take one frame and give the tracks that are alive after it."""
        time_s = float(segmented.info.time_s)
        first = self._time_s is None
        step_s = 0.0 if self._time_s is None else time_s - self._time_s
        if not (np.isfinite(time_s) and (first or step_s > 0)):
            self._table.number[LABEL, : self._rows] = 0
            self._table.number[CARRIER, : self._rows] = NOBODY
            self._swaps = 0
            return self.present()
        if self._usual_s is None and not first:
            # The first interval is taken as the usual one; the speeds stay the same.
            self._usual_s = step_s
            self._walks = lay_out(self._fastest_um_per_s, step_s)
        found = take_cells(segmented.cells, self._settings.chip, self._wells)
        self._size_up(found)
        self._advance(found, segmented, step_s)
        self._confirm(1 if first else self._settings.confirm_frames)
        self._time_s, self._last = time_s, segmented
        return self.present()

    def present(self) -> Tracks:
        """Give the tracks that are alive now, by id."""
        return show_tracks(self._table, self._rows, self._settings.lag_frames)

    def _size_up(self, found: Found) -> None:
        if not self._learnt.sized[0] and found.label.size:
            self._learnt.sized[0] = np.ptp(found.look[:, LOG_AREA]) > 0
        # What is typical is taken from the first cells, and followed from then on.
        if np.isnan(self._learnt.size[0]) and found.label.size:
            log_area = found.look[:, LOG_AREA]
            typical = np.median(log_area)
            spread = TO_SIGMA * np.median(np.abs(log_area - typical))
            self._learnt.size[:] = typical, max(spread, LEAST_SPREAD)

    def _advance(self, found: Found, segmented: Segmented, step_s: float) -> None:
        room = self._rows + 2 * found.label.size
        if room > len(self._table.state):
            self._table = grow(self._table, 2 * room)
        self._rows, self._swaps = step(
            self._table,
            self._rows,
            found,
            self._masks(segmented),
            self._learnt,
            self._rules(step_s),
            (self._step(max(step_s, TINY)), self._power),
            _field(segmented.info, segmented.labels.shape),
            self._wells,
            self._swapped,
        )

    def _masks(self, segmented: Segmented) -> Masks:
        if self._last is None or segmented.labels.shape != self._last.labels.shape:
            return no_masks(segmented.labels)
        return lay_masks(self._last, segmented)

    def _rules(self, step_s: float) -> Rules:
        return Rules(
            noise_um2=self._settings.localisation_um**2,
            step_s=step_s,
            speed_um_per_s=self._fastest_um_per_s,
            size_weight=self._settings.size_weight,
            contact_weight=self._settings.contact_weight,
            area_sigma=float(np.sqrt(self._learnt.look[LOG_AREA])),
            memory=self._settings.memory_frames,
            confirm=self._settings.confirm_frames,
            lag=self._settings.lag_frames,
        )

    def _step(self, step_s: float) -> NDArray[np.float32]:
        # Most steps of a run are alike.
        if step_s not in self._steps:
            self._steps = {step_s: self._walks.step(step_s)}
        return self._steps[step_s]

    def _confirm(self, frames: int) -> None:
        number = self._table.number[:, : self._rows]
        ready = find_ready(self._table, self._rows, frames)
        if not number[MOTHER, ready].any():
            names = list(itertools.islice(self._ids, ready.size))
            number[TRACK_ID, ready] = names
            return
        for row in ready.tolist():
            if number[MOTHER, row]:
                self._divide(row)
            number[TRACK_ID, row] = next(self._ids)

    def _divide(self, row: int) -> None:
        # Believed only now: the parts were seen for as long as any new cell must be.
        number = self._table.number[:, : self._rows]
        mother = number[MOTHER, row]
        number[MOTHER, row] = 0
        for sister in np.flatnonzero(number[TRACK_ID] == mother):
            number[PARENT, row] = number[PARENT, sister] = mother
            number[TRACK_ID, sister] = next(self._ids)


def _field(info: FrameInfo, shape: tuple[int, ...]) -> NDArray[np.float64]:
    half_y, half_x = (size * info.pixel_size_um / 2 for size in shape)
    y, x = info.stage_yx_um
    return np.array(((y - half_y, x - half_x), (y + half_y, x + half_x)))
