"""The figures of a finished run, read back from its directory."""

from pathlib import Path
from typing import Any

import numpy as np

from acquisition.archive.reader import RunReader


def summarise(directory: Path) -> dict[str, Any]:
    """Count what a run recorded; every figure comes from the disk, none from memory.

    Returns
    -------
    dict
        The keys of ``vigil run --json`` that the run directory can answer.
    """
    with RunReader(directory) as run:
        causes = run.frame_table()["cause"]
        analysed = list(run.analysed_sequences)
        cells = [len(run.cells(sequence).label) for sequence in analysed]
        seen: set[int] = set()
        for sequence in analysed:
            seen.update(run.tracks(sequence).track_id.tolist())
        events = run.events()
        return {
            "frames_recorded": len(causes),
            "frames_analysed": len(analysed),
            "cells_mean": round(float(np.mean(cells)), 2) if cells else None,
            "tracks": len(seen),
            "deaths": sum(event.kind == "death" for event in events),
            "contacts": sum(event.kind == "contact" for event in events),
            "requests": len(run.requests()),
            "extra_frames": int(np.count_nonzero(causes != b"protocol")),
            "skipped": len(run.skips()),
        }
