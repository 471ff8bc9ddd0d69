"""Loader of tables of tracked points: a CSV with a row a point, no images.

Wanted columns are ``frame``, ``track_id``, ``x_px`` and ``y_px``; ``marker_area_px``
and ``parent`` (or ``inferred_parent``) are taken where they are. What a pixel and a
frame are in um and s stands in the ``MANIFEST.json`` of the set, or is given.
"""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadImages
from calibration.datasets.manifest import MANIFEST, describe

WANTED = ("frame", "track_id", "x_px", "y_px")
PARENTS = ("parent", "inferred_parent")


@dataclass(frozen=True, slots=True)
class PointTracks:
    """Who was where in a sequence, in order of time and then of the names."""

    name: str
    frame: NDArray[np.int64]  # (point,) as numbered in the file
    time_s: NDArray[np.float64]  # (point,) from frame 0
    track_id: NDArray[np.int64]  # (point,) from 1
    centre_um: NDArray[np.float64]  # (point, yx)
    area_um2: NDArray[np.float64] | None  # (point,) of the marker, not of the cell
    parent: NDArray[np.int64]  # (point,) 0: none, or not known
    pixel_size_um: float
    frame_interval_s: float
    truth: str  # what the set says of its truth, "" where it says nothing
    licence: str  # "not stated" where the set does not say

    def __len__(self) -> int:
        return self.frame.size

    def take(self, points: NDArray[Any]) -> "PointTracks":
        """Give the chosen points, by mask or by number."""
        columns = {
            field.name: getattr(self, field.name)[points]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return replace(self, **columns)

    def thin(self, every: int) -> "PointTracks":
        """Give every so-manieth frame from the first on; numbers and times stay."""
        if every < 1:
            raise BadImages(f"{self.name}: thinned by {every}; give 1 or more")
        if self.frame.size == 0:
            return self
        return self.take((self.frame - self.frame[0]) % every == 0)


def load_tracks(
    path: Path,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
) -> PointTracks:
    """Load a table of tracked points.

    Parameters
    ----------
    path
        The CSV. ``MANIFEST.json`` is looked for beside it and one folder above.
    pixel_size_um, frame_interval_s
        In place of what the manifest says.

    Raises
    ------
    BadImages
        If the table is damaged, a track is twice in a frame, or neither manifest nor
        options say what a pixel and a frame are.
    """
    columns = _read_columns(path)
    facts = describe(path)
    size_um = _scale(path, pixel_size_um, facts, "pixel_size_um", "--pixel-size")
    step_s = _scale(path, frame_interval_s, facts, "frame_interval_s", "--interval")
    frame, track_id = (_whole(path, columns, name) for name in WANTED[:2])
    order = np.lexsort((track_id, frame))
    _check_names(path, frame[order], track_id[order])
    area_px = columns.get("marker_area_px")
    parents = [name for name in PARENTS if name in columns]
    parent = _whole(path, columns, parents[0]) if parents else np.zeros_like(frame)
    centre_px = np.stack((columns["y_px"], columns["x_px"]), axis=1)
    return PointTracks(
        name=path.stem,
        frame=frame[order],
        time_s=np.multiply(frame[order], step_s, dtype=np.float64),
        track_id=track_id[order],
        centre_um=centre_px[order] * size_um,
        area_um2=None if area_px is None else area_px[order] * size_um**2,
        parent=parent[order],
        pixel_size_um=size_um,
        frame_interval_s=step_s,
        truth=str(facts.get("ground_truth", "")),
        licence=str(facts.get("data_terms", "not stated")),
    )


def _read_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            names = [name.strip() for name in file.readline().split(",")]
            missing = [name for name in WANTED if name not in names]
            if missing:
                raise BadImages(
                    f"{path}: no column {', '.join(missing)}; a table of tracks has "
                    f"{', '.join(WANTED)} in its first line"
                )
            rows = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise BadImages(f"{path}: no table of numbers: {error}") from error
    if rows.shape[1] != len(names) or not np.isfinite(rows).all():
        raise BadImages(
            f"{path}: {rows.shape[1]} columns below {len(names)} names, or numbers "
            "that are not finite"
        )
    return dict(zip(names, rows.T, strict=True))


def _whole(
    path: Path, columns: dict[str, NDArray[np.float64]], name: str
) -> NDArray[np.int64]:
    column = columns[name]
    whole = column.astype(np.int64)
    lowest = 1 if name == "track_id" else 0
    if (whole != column).any() or (whole < lowest).any():
        raise BadImages(
            f"{path}: column {name} goes from {column.min():g} to {column.max():g}; "
            f"whole numbers from {lowest} on are wanted"
        )
    return whole


def _check_names(
    path: Path, frame: NDArray[np.int64], track_id: NDArray[np.int64]
) -> None:
    if frame.size == 0:
        raise BadImages(f"{path}: no points below the first line")
    twice = np.flatnonzero((np.diff(frame) == 0) & (np.diff(track_id) == 0))
    if twice.size:
        at = twice[0]
        raise BadImages(
            f"{path}: track {track_id[at]} is twice in frame {frame[at]}; a cell is in "
            "one place"
        )


def _scale(
    path: Path, given: float | None, facts: dict[str, Any], name: str, option: str
) -> float:
    value = facts.get(name) if given is None else given
    if not isinstance(value, int | float) or not 0 < value < np.inf:
        raise BadImages(
            f"{path}: {name} is {json.dumps(value)}; give a number above 0 with "
            f"{option}, or in the {MANIFEST} of the set"
        )
    return float(value)
