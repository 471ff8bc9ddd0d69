"""The learning curves of a training run as a picture."""

import json
import logging
from pathlib import Path

logger = logging.getLogger(__name__)

Panels = tuple[tuple[str, tuple[str, ...]], ...]
"""Title of every panel, and the figures that it shows."""

PANELS: Panels = (
    ("loss", ("loss", "classes", "separation", "objects")),
    ("whole cells, validation", ("auroc_dead", "f1_live", "f1_dead")),
    ("foreground IoU, validation", ("foreground_iou",)),
)


def draw_curves(history: Path, picture: Path, panels: Panels = PANELS) -> None:
    """Draw the rows of a history file; without matplotlib nothing is drawn."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        logger.info('no curves: install the extra "train" for matplotlib')
        return
    lines = history.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (title, names) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        for name in names:
            axes.plot(steps, [row[name] for row in rows], label=name)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.legend()
    figure.savefig(picture, dpi=100)
