"""Images of others with their truth: one loader a layout, one record for all.

Nothing is shipped or downloaded; the licence of a set is noted in every sample.
"""

from calibration.datasets.ctc import LineageRow, load_ctc, read_lineage
from calibration.datasets.folders import load_folder, load_live_dead
from calibration.datasets.label_sequences import LabelSequence, load_label_sequence
from calibration.datasets.livecell import load_livecell
from calibration.datasets.records import Boxes, Entry, ImageSet, Sample
from calibration.datasets.saut import load_saut
from calibration.datasets.slimia import Columns, load_slimia
from calibration.datasets.splits import (
    fold_groups,
    load_split,
    rows_of,
    save_split,
    split_groups,
)
from calibration.datasets.tracks import PointTracks, load_tracks
from calibration.datasets.usiigaci import load_usiigaci, load_usiigaci_timelapse

__all__ = [
    "Boxes",
    "Columns",
    "Entry",
    "ImageSet",
    "LabelSequence",
    "LineageRow",
    "PointTracks",
    "Sample",
    "fold_groups",
    "load_ctc",
    "load_folder",
    "load_label_sequence",
    "load_live_dead",
    "load_livecell",
    "load_saut",
    "load_slimia",
    "load_split",
    "load_tracks",
    "load_usiigaci",
    "load_usiigaci_timelapse",
    "read_lineage",
    "rows_of",
    "save_split",
    "split_groups",
]
