"""VGG16 without its classifier (Simonyan, Zisserman 2015), as an encoder."""

from torch import Tensor, nn

_LEVELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions; each row ends in a pooling."""


class VGG16(nn.Sequential):
    """Image ``(B, 1, H, W)`` to five features, numbered as published weights are.

    They are taken after the poolings, at strides 2 to 32; or before them, at strides 1
    to 16: the last is block5_conv3 then, and there is no fifth pooling.
    """

    widths = tuple(row[-1] for row in _LEVELS)

    def __init__(self, before_poolings: bool = False) -> None:
        layers: list[nn.Module] = []
        inputs = 1
        for row in _LEVELS:
            for width in row:
                layers.append(nn.Conv2d(inputs, width, kernel_size=3, padding=1))
                layers.append(nn.ReLU(inplace=True))
                inputs = width
            layers.append(nn.MaxPool2d(2))
        super().__init__(*(layers[:-1] if before_poolings else layers))
        self.before_poolings = before_poolings

    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the features, the finest first."""
        x, before, after = image, [], []
        for layer in self:
            if isinstance(layer, nn.MaxPool2d):
                before.append(x)
                x = layer(x)
                after.append(x)
            else:
                x = layer(x)
        return [*before, x] if self.before_poolings else after
