"""Loader of the Cell Tracking Challenge: a folder a sequence, truth in folders beside.

``01/t000.tif`` with ``01_GT/SEG/man_seg000.tif`` (gold, some frames),
``01_ST/SEG/man_seg000.tif`` (silver) or ``01_GT/TRA/man_track000.tif`` (markers, with
``man_track.txt``). Two-dimensional sets only.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from acquisition.errors import BadImages
from calibration.datasets.reading import check_sizes, read_grey, read_labels
from calibration.datasets.records import Entry, ImageSet, Sample

Truth = Literal["gold", "silver", "markers"]

FOLDERS: dict[Truth, tuple[str, str]] = {
    "gold": ("{}_GT/SEG", "man_seg"),
    "silver": ("{}_ST/SEG", "man_seg"),
    "markers": ("{}_GT/TRA", "man_track"),
}
SOURCE = "Cell Tracking Challenge (Maska et al. 2023, Ulman et al. 2017), {}"
LICENCE = "Cell Tracking Challenge terms: research use"


@dataclass(frozen=True, slots=True)
class LineageRow:
    """A track of ``man_track.txt``."""

    track: int
    first_frame: int
    last_frame: int
    parent: int  # 0: none


def load_ctc(
    root: Path, sequence: str, truth: Truth, pixel_size_um: float | None = None
) -> ImageSet:
    """Load the frames of a sequence that have a truth; the sequence is the group.

    Labels keep their numbers: those of markers are the tracks of `read_lineage`.

    Raises
    ------
    BadImages
        If there is no such truth, or (when read) a frame of it is missing.
    """
    folder, prefix = FOLDERS[truth]
    masks = root / folder.format(sequence)
    group = f"{root.name}/{sequence}"
    entries = []
    for mask in sorted(masks.glob(f"{prefix}*.tif")):
        number = mask.stem.removeprefix(prefix)
        if not number.isdigit():
            raise BadImages(
                f"{mask}: a mask of one slice of a volume; only two-dimensional sets "
                "are read"
            )
        image = root / sequence / f"t{number}.tif"
        read = partial(_read, image, mask, group, root.name, pixel_size_um)
        entries.append(Entry(f"{group}/t{number}", group, read))
    if not entries:
        raise BadImages(f"{masks}: no {prefix}*.tif; give the folder above {sequence}")
    return ImageSet(tuple(entries))


def _read(
    image: Path, mask: Path, group: str, set_name: str, pixel_size_um: float | None
) -> Sample:
    pixels, labels = read_grey(image), read_labels(mask)
    check_sizes(pixels, labels, mask)
    return Sample(
        name=f"{group}/{image.stem}",
        image=pixels,
        group=group,
        source=SOURCE.format(set_name),
        licence=LICENCE,
        labels=labels,
        pixel_size_um=pixel_size_um,
    )


def read_lineage(path: Path) -> list[LineageRow]:
    """Read ``man_track.txt``: label, first frame, last frame, parent.

    Raises
    ------
    BadImages
        If a line is not four whole numbers in order, or a parent is unknown.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadImages(f"{path}: cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not re.fullmatch(r"\s*\d+(\s+\d+){3}\s*", line):
            raise BadImages(
                f"{path}: line {number} is {line!r}; label, first frame, last frame "
                "and parent are wanted"
            )
        rows.append(LineageRow(*(int(word) for word in line.split())))
    begins = {row.track: row.first_frame for row in rows} | {0: -1}
    for row in rows:
        mother = begins.get(row.parent, row.first_frame)
        if row.last_frame < row.first_frame or mother >= row.first_frame:
            raise BadImages(
                f"{path}: track {row.track} ends before it begins, or its parent "
                f"{row.parent} is not in the file or does not begin before it"
            )
    return rows
