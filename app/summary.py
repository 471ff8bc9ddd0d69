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
        table = run.frame_table()
        causes = table["cause"]
        channels, counts = np.unique(table["channel"], return_counts=True)
        cells = np.diff(run.analysis_table()["cells"])
        events = run.events()
        return {
            "frames_recorded": len(causes),
            "frames_analysed": len(cells),
            "frames_by_channel": {
                name.decode(): int(n) for name, n in zip(channels, counts, strict=True)
            },
            "cells_mean": round(float(np.mean(cells)), 2) if len(cells) else None,
            "tracks": len(run.track_ids()),
            "deaths": sum(event.kind == "death" for event in events),
            "contacts": sum(event.kind == "contact" for event in events),
            "requests": len(run.requests()),
            "extra_frames": int(np.count_nonzero(causes != b"protocol")),
            "skipped": len(run.skips()),
        }
