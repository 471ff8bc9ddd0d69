"""Recorded images played through the loop as if a camera took them now."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymmcore_plus.experimental.unicore import CameraDevice

from acquisition.errors import BadImages, FrameMissing
from acquisition.imagefiles import (
    ImageFile,
    describe_file,
    list_images,
    read_image,
)
from acquisition.simulated.stand.devices import PhaseModulator

logger = logging.getLogger(__name__)

SCALE_OF_8_BIT = 257
"""255 counts of an 8-bit image become 65535, the full range of the frames."""


@dataclass(frozen=True, slots=True)
class ImageSequence:
    """Images of one size, in order, read one at a time.

    A TIFF stack, an OME-TIFF or ImageJ stack, a single image, or a folder of .tif and
    .png files in natural order (img2 before img10); label images are left out.
    """

    files: tuple[ImageFile, ...]
    shape: tuple[int, int]  # (y, x)
    count: int
    scale: int  # factor that brings the pixels to uint16: 257 for 8 bit, else 1
    pixel_size_um: float | None
    interval_s: float | None  # between frames

    @classmethod
    def open(
        cls,
        path: str | Path,
        interval_s: float | None = None,
        pixel_size_um: float | None = None,
        steps: int = 1,
    ) -> "ImageSequence":
        """Look at every header, and read no pixels yet.

        Parameters
        ----------
        path
            File or folder.
        interval_s, pixel_size_um
            They go before what the file says; both may stay unknown here.
        steps
            Images that make one frame: 4 phase steps, or 1.

        Raises
        ------
        BadImages
            If nothing can be played: missing, damaged, of mixed sizes or types, in
            colour, or with channels that are no phase steps. The file is named.
        """
        files = tuple(describe_file(file) for file in list_images(Path(path)))
        first = files[0]
        for file in files:
            if (file.shape, file.dtype) != (first.shape, first.dtype):
                raise BadImages(
                    f"{file.path}: {file.shape} {file.dtype}, but {first.path.name} is "
                    f"{first.shape} {first.dtype}; all images must be alike"
                )
            if file.planes not in (1, steps):
                raise BadImages(
                    f"{file.path}: {file.planes} channels or slices per time, wanted "
                    f"{steps}; export one channel"
                )
        count = sum(file.images for file in files)
        if count % steps:
            raise BadImages(f"{path}: {count} images are no multiple of {steps} steps")
        return cls(
            files=files,
            shape=first.shape,
            count=count,
            scale=SCALE_OF_8_BIT if first.dtype == "uint8" else 1,
            pixel_size_um=pixel_size_um or first.pixel_size_um,
            interval_s=interval_s or first.interval_s,
        )

    def read(self, number: int) -> NDArray[np.uint16]:
        """Read an image (y, x), counted from 0.

        Raises
        ------
        FrameMissing
            If this image is damaged; the others can still be read.
        """
        file, inside = self._find(number)
        try:
            image = read_image(file.path, inside)
        except BadImages as error:
            raise FrameMissing(f"{error}; the image is left out") from error
        if image.shape != self.shape:
            raise FrameMissing(f"{file.path}: {image.shape} instead of {self.shape}")
        if self.scale == 1:
            return image.astype(np.uint16, copy=False)
        return image.astype(np.uint16) * np.uint16(self.scale)

    def _find(self, number: int) -> tuple[ImageFile, int]:
        inside = number
        for file in self.files:
            if inside < file.images:
                return file, inside
            inside -= file.images
        raise FrameMissing(f"image {number + 1} of {self.count}: beyond the end")


class SequenceCamera(CameraDevice):
    """A camera that gives the next recorded image at every snap.

    A frame that was broken off leaves some of its steps behind; they are passed over,
    so that the first step of the next frame is again a first step of the recording.

    Parameters
    ----------
    images
        What to play.
    modulator
        Its state 0 begins a frame.
    steps
        Images that make one frame.
    repeat
        Begin again at the end.
    is_paced
        Let every exposure take its time.
    """

    def __init__(
        self,
        images: ImageSequence,
        modulator: PhaseModulator,
        *,
        steps: int = 1,
        repeat: bool = False,
        is_paced: bool = False,
    ) -> None:
        super().__init__()
        self._images = images
        self._modulator = modulator
        self._steps = steps
        self._repeat = repeat
        self._is_paced = is_paced
        self._exposure_ms = 1.0
        self._next = 0

    def is_exhausted(self) -> bool:
        """Say, between two frames, whether there is none left."""
        return not self._repeat and self._whole_frame() >= self._images.count

    def get_exposure(self) -> float:
        """Exposure in milliseconds."""
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        """Set the exposure in milliseconds; the pixels do not depend on it."""
        self._exposure_ms = exposure

    def shape(self) -> tuple[int, int]:
        """Give (y, x) of the images."""
        return self._images.shape

    def dtype(self) -> Any:
        """Give the type of the pixels."""
        return np.uint16

    def start_sequence(
        self,
        n: int | None,
        get_buffer: Callable[[Sequence[int], Any], NDArray[np.uint16]],
    ) -> Iterator[Mapping[str, Any]]:
        """Give images until told otherwise; a damaged one raises `FrameMissing`."""
        given = 0
        while n is None or given < n:
            begin = time.monotonic()
            if self._modulator.state == 0:
                self._next = self._whole_frame()
            number = self._next % self._images.count if self._repeat else self._next
            self._next += 1  # whatever becomes of it, the next snap is the next image
            image = self._images.read(number)
            get_buffer(self._images.shape, np.uint16)[:] = image
            if self._is_paced:
                time.sleep(max(0.0, begin + self._exposure_ms / 1e3 - time.monotonic()))
            given += 1
            yield {}

    def _whole_frame(self) -> int:
        """Give the number of the next image that begins a frame."""
        return -(-self._next // self._steps) * self._steps
