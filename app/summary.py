"""The figures of a finished run, read back from its directory."""

from collections import Counter
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
        events, verdicts = run.events(), run.verdicts()
        kinds = Counter(event.kind for event in events)
        outcomes = Counter(verdict.outcome for verdict in verdicts)
        replies = Counter(reply.outcome for reply in run.replies())
        return {
            "frames_recorded": len(causes),
            "frames_analysed": len(cells),
            "frames_by_channel": {
                name.decode(): int(n) for name, n in zip(channels, counts, strict=True)
            },
            "cells_mean": round(float(np.mean(cells)), 2) if len(cells) else None,
            "tracks": len(run.track_ids()),
            "deaths": kinds["death"],
            "contacts": kinds["contact"],
            "events_by_kind": dict(sorted(kinds.items())),
            "events_confirmed": outcomes["confirmed"],
            "events_refuted": outcomes["refuted"],
            "requests": len(run.requests()),
            "requests_expired": replies["expired"],
            "extra_frames": int(np.count_nonzero(causes != b"protocol")),
            "skipped": len(run.skips()),
        }
