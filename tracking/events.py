"""From tracks to events: a cell died, two cells met.

An event carries the frame that decided it and, as its time, when it began: for a death
the frame from which on the evidence in sum spoke for it (the most likely change point,
Page 1954), or later the one at which the cell last held its mass; for a contact the
first frame of the touch.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from acquisition.records import Event, Segmented, Tracks
from configs.schema import Events
from tracking.contacts import Contacts
from tracking.deaths import Deaths


class EventRules:
    """Watches the tracks of one stage position.

    Parameters
    ----------
    settings
        The section ``[events]``.
    ids
        Source of event ids; share one among positions to keep them unique in a run.
    """

    def __init__(self, settings: Events, ids: Iterator[int] | None = None) -> None:
        self._ids = itertools.count(1) if ids is None else ids
        self._deaths = Deaths(settings.death)
        self._contacts = Contacts(settings.contact)
        self._time_s = -np.inf

    def update(
        self, segmented: Segmented, tracks: Tracks
    ) -> tuple[Tracks, tuple[Event, ...]]:
        """Give the tracks with their filtered state, and what happened to them.

        A frame that is not later than the last one brings no evidence and no event.
        """
        info = segmented.info
        step_s = info.time_s - self._time_s
        if step_s <= 0:
            return self._deaths.describe(tracks), ()
        self._time_s = info.time_s
        died = self._deaths.update(segmented, tracks, step_s)
        judged = self._deaths.describe(tracks)
        met = self._contacts.update(segmented, tracks)
        events = [self._death(segmented, judged, *death) for death in died]
        events += [self._contact(segmented, judged, *contact) for contact in met]
        return judged, tuple(events)

    def _death(
        self, segmented: Segmented, tracks: Tracks, row: int, since_s: float
    ) -> Event:
        info = segmented.info
        y_um, x_um = tracks.centre_um[row].tolist()
        return Event(
            event_id=next(self._ids),
            kind="death",
            time_s=since_s,
            sequence=info.sequence,
            position=info.position,
            tracks=(int(tracks.track_id[row]),),
            centre_yx_um=(y_um, x_um),
            probability=float(tracks.dead_probability[row]),
            threshold=self._deaths.rule.probability,
            model=segmented.model,
        )

    def _contact(
        self,
        segmented: Segmented,
        tracks: Tracks,
        pair: tuple[int, int],
        since_s: float,
    ) -> Event:
        # Touching masks are measured, not estimated: probability and bar are 1.
        info = segmented.info
        rows = np.searchsorted(tracks.track_id, pair)
        y_um, x_um = tracks.centre_um[rows].mean(axis=0).tolist()
        return Event(
            event_id=next(self._ids),
            kind="contact",
            time_s=since_s,
            sequence=info.sequence,
            position=info.position,
            tracks=pair,
            centre_yx_um=(y_um, x_um),
            probability=1.0,
            threshold=1.0,
            model=segmented.model,
        )
