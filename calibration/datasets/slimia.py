"""Loader of SLiMIA: spheroids, one row of a table for each image."""

import csv
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from acquisition.errors import BadImages
from calibration.datasets.reading import check_sizes, part_mask, read_grey
from calibration.datasets.records import NOT_STATED, Entry, ImageSet, Sample

SOURCE = "SLiMIA, light microscopy of spheroids"


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns of the table that are needed; all others are facts."""

    image: str = "image"
    mask: str = "mask"
    group: tuple[str, ...] = ("spheroid",)
    """What tells one spheroid from another, for instance line, density and repeats."""


def load_slimia(
    table: Path,
    images: Path,
    columns: Columns | None = None,
    pixel_size_um: float | None = None,
) -> ImageSet:
    """Load the images that a table names; the spheroid is the group.

    Parameters
    ----------
    table
        CSV with a header, columns parted by comma, semicolon or tab; a spreadsheet is
        exported first.
    images
        Folder that the paths in the table start from.
    columns
        How the columns are called, as releases differ.
    pixel_size_um
        Of all images.

    Raises
    ------
    BadImages
        If the table cannot be read or lacks a column. A row without a mask is kept,
        with no labels: the set has a few such images.
    """
    names = Columns() if columns is None else columns
    entries = []
    for row in _rows(table, names):
        group = "/".join(row[column] for column in names.group)
        read = partial(_read, row, images, names, group, pixel_size_um)
        entries.append(Entry(row[names.image], group, read))
    if not entries:
        raise BadImages(f"{table}: the table has no rows")
    return ImageSet(tuple(entries))


def _rows(table: Path, names: Columns) -> list[dict[str, str]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadImages(
            f"{table}: no readable table ({error}); export it as CSV in UTF-8"
        ) from error
    header = text.split("\n", 1)[0]
    parted = max((",", ";", "\t"), key=header.count)
    reader = csv.DictReader(text.splitlines(), delimiter=parted, restval="")
    missing = {names.image, names.mask, *names.group} - set(reader.fieldnames or ())
    if missing:
        raise BadImages(
            f"{table}: no column {', '.join(sorted(missing))}; there are "
            f"{', '.join(reader.fieldnames or ())}"
        )
    return [{key: value for key, value in row.items() if key} for row in reader]


def _read(
    row: dict[str, str],
    images: Path,
    names: Columns,
    group: str,
    pixel_size_um: float | None,
) -> Sample:
    image = read_grey(_path(images, row[names.image]))
    labels = None
    if row[names.mask].strip():
        mask = _path(images, row[names.mask])
        labels = part_mask(read_grey(mask) > 0)
        check_sizes(image, labels, mask)
    needed = {names.image, names.mask}
    return Sample(
        name=row[names.image],
        image=image,
        group=group,
        source=SOURCE,
        licence=NOT_STATED,
        labels=labels,
        pixel_size_um=pixel_size_um,
        facts={key: value for key, value in row.items() if key not in needed},
    )


def _path(images: Path, written: str) -> Path:
    """Give the file that a table names, also one written on Windows."""
    return images / written.strip().replace("\\", "/")
