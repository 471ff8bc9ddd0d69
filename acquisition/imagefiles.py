"""Single image files: what they hold, by their headers, and one page at a time."""

import itertools
import lzma
import math
import re
import statistics
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from acquisition.errors import BadImages

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png")
"""Kinds of files that can be read."""

LABELS = re.compile(r"_(instances|masks?|labels?|ids)(_|\.|$)", re.IGNORECASE)
"""Files of a folder whose names say that they hold labels, not images."""

MICROMETRES = {
    "nm": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "mm": 1e3,
    "cm": 1e4,
}
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
"""Units that are understood; a value in any other unit counts as not said."""

UNDECODABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,  # a tag that holds text or a pair instead of a number
    ArithmeticError,  # or zero
    RuntimeError,  # of optional decoders
    struct.error,
    zlib.error,
    lzma.LZMAError,
    cv2.error,
    tifffile.TiffFileError,
    ElementTree.ParseError,
)
"""What the decoders raise when a file is damaged."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """What the header of an image file says."""

    path: Path
    shape: tuple[int, int]  # (y, x)
    dtype: str  # "uint8" or "uint16"
    images: int  # in the file, along time
    planes: int  # channels or slices that belong to one time, 1 if there are none
    pixel_size_um: float | None
    interval_s: float | None


def list_images(path: Path, *, labels: bool = False) -> list[Path]:
    """List the image files, or the label files, of a path in natural order.

    A file stands for itself; of a folder the names decide which is which.

    Raises
    ------
    BadImages
        If there is no such path, or nothing of that kind in the folder.
    """
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise BadImages(f"{path}: not one of {', '.join(SUFFIXES)}")
        return [path]
    if not path.is_dir():
        raise BadImages(f"{path}: no such file or folder")
    everything = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES]
    files = [file for file in everything if bool(LABELS.search(file.name)) == labels]
    if not files:
        kind = "label image (_instances, _mask, _labels)" if labels else "image"
        raise BadImages(
            f"{path}: no {kind} in this folder ({', '.join(SUFFIXES)}; "
            f"{len(everything)} of the other kind)"
        )
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key that reads digits as numbers."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def describe_file(path: Path) -> ImageFile:
    """Read the header of an image file.

    Raises
    ------
    BadImages
        If the file is missing, damaged, in colour, or of another type than uint8 or
        uint16; the message names the file.
    """
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as tiff:
                found = _describe_tiff(path, tiff)
        else:
            found = _describe_png(path)
    except UNDECODABLE as error:
        raise BadImages(f"{path}: not a readable image: {error}") from error
    if found.dtype not in ("uint8", "uint16"):
        raise BadImages(
            f"{path}: pixels of type {found.dtype}; convert them to 8 or 16 bit"
        )
    return found


def read_image(path: Path, number: int) -> NDArray[Any]:
    """Read one image (y, x) of a file, counted from 0 along time and planes.

    Raises
    ------
    BadImages
        If the image cannot be decoded; the message names the file.
    """
    image: NDArray[Any] | None
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            image = _read_tiff(path, number)
        else:
            image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except UNDECODABLE as error:
        raise BadImages(f"{path}: image {number + 1}: {error}") from error
    if image is None:
        raise BadImages(f"{path}: the image is damaged")
    if image.ndim == 3 and (image[..., :1] == image[..., :3]).all():
        image = image[..., 0]  # grey that was saved as colour
    if image.ndim != 2:
        raise BadImages(f"{path}: a colour image; convert it to grey")
    return image


def _describe_tiff(path: Path, tiff: Any) -> ImageFile:
    if len(tiff.series) != 1:
        sizes = ", ".join(str(series.shape) for series in tiff.series[:4])
        raise BadImages(
            f"{path}: holds {len(tiff.series)} series of images ({sizes} ...); "
            "export one position per file"
        )
    series = tiff.series[0]
    axes = dict(zip(series.axes, series.shape, strict=True))
    if "S" in axes:
        raise BadImages(f"{path}: a colour image; convert it to grey")
    planes = int(np.prod([axes.get(axis, 1) for axis in "CZ"]))
    count = int(np.prod(series.shape[:-2])) if series.ndim > 2 else 1
    pixel_size_um, interval_s = _calibration(tiff)
    return ImageFile(
        path=path,
        shape=(int(series.shape[-2]), int(series.shape[-1])),
        dtype=str(series.dtype),
        images=count,
        planes=planes,
        pixel_size_um=pixel_size_um,
        interval_s=interval_s,
    )


def _describe_png(path: Path) -> ImageFile:
    with path.open("rb") as file:
        head = file.read(26)
    if head[:8] != b"\x89PNG\r\n\x1a\n":
        raise BadImages(f"{path}: not a PNG file")
    width, height, bits = struct.unpack(">IIB", head[16:25])
    dtype = "uint16" if bits == 16 else "uint8"
    return ImageFile(path, (height, width), dtype, 1, 1, None, None)


def _read_tiff(path: Path, number: int) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        count = int(np.prod(series.shape[:-2])) if series.ndim > 2 else 1
        if len(series.pages) == count:
            page = series.pages[number]
            if page is None:
                raise BadImages(f"{path}: image {number + 1} is not in the file")
            return np.asarray(page.asarray())
    stack = tifffile.memmap(path, mode="r")  # one page that stands for the stack
    return np.array(stack.reshape(-1, *stack.shape[-2:])[number])


def _calibration(tiff: Any) -> tuple[float | None, float | None]:
    """Give micrometres per pixel and seconds per image, where the file says so."""
    if tiff.is_ome:
        return _ome_calibration(tiff.ome_metadata)
    if not tiff.is_imagej:
        return None, None
    facts = tiff.imagej_metadata or {}
    resolution = tiff.pages[0].tags.get("XResolution")
    size_um = None
    if resolution is not None and resolution.value[0]:
        pixels, per_unit = resolution.value
        size_um = _convert(per_unit / pixels, str(facts.get("unit", "")), MICROMETRES)
    interval_s = float(facts.get("finterval", 0.0))
    return size_um, _convert(interval_s, str(facts.get("tunit", "s")), SECONDS)


def _convert(value: float, unit: str, factors: dict[str, float]) -> float | None:
    """Bring a value to our unit; None where the unit is unknown or the value absurd."""
    plain = unit.replace("\\u00B5", "u").replace("\u00b5", "u").replace("\u03bc", "u")
    converted = value * factors.get(plain, math.nan)
    return converted if 0 < converted < math.inf else None


def _ome_calibration(text: str) -> tuple[float | None, float | None]:
    """Read PhysicalSizeX and TimeIncrement (or the times of the planes) of OME-XML.

    The units that may be left out are those of the OME schema: micrometre and second.
    """
    pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
    if pixels is None:
        return None, None
    size_unit = pixels.get("PhysicalSizeXUnit", "um")
    size_um = _convert(float(pixels.get("PhysicalSizeX", 0)), size_unit, MICROMETRES)
    step = pixels.get("TimeIncrement")
    if step:
        unit = pixels.get("TimeIncrementUnit", "s")
        return size_um, _convert(float(step), unit, SECONDS)
    times = {
        plane.get("TheT"): float(plane.get("DeltaT", "nan"))
        * SECONDS.get(plane.get("DeltaTUnit", "s"), math.nan)
        for plane in pixels.findall("{*}Plane")
        if plane.get("DeltaT")
    }
    ordered = sorted(times.values())
    if len(ordered) < 2 or not all(map(math.isfinite, times.values())):
        return size_um, None
    gaps = [later - first for first, later in itertools.pairwise(ordered)]
    return size_um, _convert(statistics.median(gaps), "s", SECONDS)
