"""InceptionV3 without its classifiers (Szegedy et al. 2016), as an encoder.

Weights have the names of published files of torch. Every convolution and pooling is
padded here, where the paper pads those within the blocks alone: the features then lie
at strides of 2 to 32 exactly, on the pixels that they describe.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

Kernel = tuple[int, int]
Path = tuple[tuple[int, Kernel], ...]
"""Channels and kernel of one convolution after the other."""
Paths = Mapping[str, Path]

_POOL = "branch_pool"
_ONE, _THREE, _FIVE = (1, 1), (3, 3), (5, 5)
_ROW, _COLUMN = (1, 7), (7, 1)


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self, inputs: int, width: int, kernel: Kernel = _THREE, stride: int = 1
    ) -> None:
        super().__init__()
        around = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(inputs, width, kernel, stride, around, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Give ``(B, width, h / stride, w / stride)``."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Several paths of convolutions side by side, joined.

    The path ``branch_pool`` begins with a mean over 3 x 3. In a block that halves the
    image the last convolution of every path does so, and the maximum over 3 x 3 is a
    path of its own. In a forked block the last two convolutions of a path stand side
    by side.
    """

    def __init__(
        self, inputs: int, paths: Paths, halves: bool = False, forked: bool = False
    ) -> None:
        super().__init__()
        self.halves, self.width = halves, inputs if halves else 0
        self.paths: dict[str, tuple[list[str], list[str]]] = {}  # in a row, at its end
        for path, layers in paths.items():
            ends = 2 if forked and len(layers) > 2 else 1
            names = _names(path, len(layers), ends)
            self.paths[path] = names[:-ends], names[-ends:]
            before = inputs
            for index, (name, (width, kernel)) in enumerate(
                zip(names, layers, strict=True)
            ):
                is_end = index >= len(layers) - ends
                stride = 2 if halves and is_end else 1
                self.add_module(name, Convolution(before, width, kernel, stride))
                if is_end:
                    self.width += width
                else:
                    before = width

    def forward(self, x: Tensor) -> Tensor:
        """Give all that the paths find, ``(B, width, h, w)`` or half of that size."""
        found: list[Tensor] = []
        for path, (row, ends) in self.paths.items():
            y = functional.avg_pool2d(x, 3, 1, 1) if path == _POOL else x
            for name in row:
                y = self.get_submodule(name)(y)
            found += [self.get_submodule(name)(y) for name in ends]
        if self.halves:
            found.append(functional.max_pool2d(x, 3, 2, 1))
        return torch.cat(found, dim=1)


def _names(path: str, layers: int, ends: int) -> list[str]:
    """Give the published names of the convolutions of a path."""
    if layers == 1:
        return [path]
    row = [f"{path}_{index}" for index in range(1, layers - ends + 2)]
    return row if ends == 1 else [*row[:-1], row[-1] + "a", row[-1] + "b"]


def _fine(pool: int) -> Paths:
    """Give the paths of a block at stride 8."""
    return {
        "branch1x1": ((64, _ONE),),
        "branch5x5": ((48, _ONE), (64, _FIVE)),
        "branch3x3dbl": ((64, _ONE), (96, _THREE), (96, _THREE)),
        _POOL: ((pool, _ONE),),
    }


def _long(inner: int) -> Paths:
    """Give the paths of a block at stride 16: rows and columns of seven."""
    there = ((inner, _ONE), (inner, _ROW), (192, _COLUMN))
    twice = ((inner, _ONE), *((inner, _COLUMN), (inner, _ROW)) * 2)
    return {
        "branch1x1": ((192, _ONE),),
        "branch7x7": there,
        "branch7x7dbl": (*twice[:-1], (192, _ROW)),
        _POOL: ((192, _ONE),),
    }


_COARSE: Paths = {
    "branch1x1": ((320, _ONE),),
    "branch3x3": ((384, _ONE), (384, (1, 3)), (384, (3, 1))),
    "branch3x3dbl": ((448, _ONE), (384, _THREE), (384, (1, 3)), (384, (3, 1))),
    _POOL: ((192, _ONE),),
}
"""At stride 32."""
_TO_16: Paths = {
    "branch3x3": ((384, _THREE),),
    "branch3x3dbl": ((64, _ONE), (96, _THREE), (96, _THREE)),
}
_TO_32: Paths = {
    "branch3x3": ((192, _ONE), (320, _THREE)),
    "branch7x7x3": ((192, _ONE), (192, _ROW), (192, _COLUMN), (192, _THREE)),
}


class InceptionV3(nn.Module):
    """Image ``(B, 1, H, W)`` to five features at strides 2 to 32."""

    widths = (64, 192, 288, 768, 2048)

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(1, 32, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32)
        self.Conv2d_2b_3x3 = Convolution(32, 64)
        self.Conv2d_3b_1x1 = Convolution(64, 80, _ONE)
        self.Conv2d_4a_3x3 = Convolution(80, 192)
        width = 192
        for name, pool in (("5b", 32), ("5c", 64), ("5d", 64)):
            width = self._add(name, Mixed(width, _fine(pool)))
        width = self._add("6a", Mixed(width, _TO_16, halves=True))
        for name, inner in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            width = self._add(name, Mixed(width, _long(inner)))
        width = self._add("7a", Mixed(width, _TO_32, halves=True))
        for name in ("7b", "7c"):
            width = self._add(name, Mixed(width, _COARSE, forked=True))

    def _add(self, name: str, mixed: Mixed) -> int:
        """Add a block; gives its channels."""
        self.add_module(f"Mixed_{name}", mixed)
        return mixed.width

    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the features, the finest first."""
        x, features = image, []
        for name, layer in self.named_children():
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                features.append(x)  # strides 2 and 4
                x = functional.max_pool2d(x, 3, 2, 1)
            elif name in ("Mixed_6a", "Mixed_7a"):
                features.append(x)  # strides 8 and 16
            x = layer(x)
        return [*features, x]
