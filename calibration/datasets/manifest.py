"""What the ``MANIFEST.json`` of a set of data says of its files."""

from pathlib import Path
from typing import Any

from acquisition.errors import BadImages
from calibration.datasets.reading import read_json

MANIFEST = "MANIFEST.json"


def describe(path: Path) -> dict[str, Any]:
    """Give what the manifest beside a file, or one folder above, says of it.

    Nothing where there is no manifest, or it does not name the file.

    Raises
    ------
    BadImages
        If the manifest is damaged.
    """
    for folder in path.resolve().parents[:2]:
        manifest = folder / MANIFEST
        if not manifest.is_file():
            continue
        name = path.resolve().relative_to(folder).as_posix()
        try:
            rows = read_json(manifest)["files"]
            return next((row for row in rows if row["file"] == name), {})
        except (KeyError, TypeError) as error:
            raise BadImages(
                f"{manifest}: no list of files with their facts: {error}"
            ) from error
    return {}
