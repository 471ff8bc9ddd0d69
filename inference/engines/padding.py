"""Frames of any size on a network whose sizes are multiples of 32."""

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from inference.maps import Maps

MULTIPLE_PX = 32


def padded_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Give the next size ``(y, x)`` whose sides are multiples of 32."""
    height, width = (-(-side // MULTIPLE_PX) * MULTIPLE_PX for side in shape)
    return height, width


class Padding:
    """Brings frames of one size to the size of the network, and the maps back.

    The frame is continued by reflection, so that the border shows specimen instead of
    a dark edge that looks like nothing the network knows.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.padded = padded_shape(shape)
        self._after = tuple(
            (0, whole - side) for whole, side in zip(self.padded, shape, strict=True)
        )

    def apply(self, frame: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Give the frame at the size of the network, contiguous.

        Raises
        ------
        BadModel
            If the frame has another size than the engine was built for.
        """
        if frame.shape != self.shape:
            raise BadModel(
                f"frame of {frame.shape} px on an engine built for {self.shape} px; "
                "choose an engine for this size"
            )
        if self.shape == self.padded:
            return np.ascontiguousarray(frame)
        return np.pad(frame, self._after, mode="symmetric")

    def crop(self, packed: NDArray[np.uint8]) -> Maps:
        """Copy the maps out of the packed ones ``(3, y, x)`` of the network."""
        height, width = self.shape
        classes, dead, separation = (
            packed[plane, :height, :width].copy() for plane in range(3)
        )
        return Maps(classes, dead, separation)
