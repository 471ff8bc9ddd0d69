"""Names as they are held to be now: the revisions of a run, applied in order."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Revision


class RevisedNames:
    """The names of the tracks of a run after its revisions.

    Every revision speaks of tracks as they were recorded, so the latest is applied
    first: it says which track, as it was called before, goes on under the name.
    """

    def __init__(self, revisions: Sequence[Revision]) -> None:
        self._exchanges: dict[tuple[int, int], dict[int, int]] = {}
        for revision in revisions:
            if revision.kind == "name":
                when = (revision.frames[0], revision.sequence)
                names = self._exchanges.setdefault(when, {})
                names[revision.track] = revision.name

    def __call__(self, track_id: NDArray[np.int64], sequence: int) -> NDArray[np.int64]:
        """Give the names (track,) in a frame."""
        names = track_id.copy()
        for since, decided in sorted(self._exchanges, reverse=True):
            if since > sequence:
                continue
            before = names.copy()
            for track, name in self._exchanges[(since, decided)].items():
                names[before == track] = name
        return names
