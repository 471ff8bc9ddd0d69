"""Six published image classifiers as encoders, without their classifiers.

Each takes an image ``(B, 1, H, W)`` and gives five features, the finest first, at
strides 2, 4, 8, 16 and 32, with the channels that ``widths`` says. Weights are random:
nothing is fetched. Three are those of MONAI, which takes two seconds to import and is
imported where it is needed.
"""

from typing import Any

from torch import Tensor, nn

from inference.architectures import EncoderName
from inference.nets.inception import InceptionV3
from inference.nets.mobilenet import MobileNetV2
from inference.nets.vgg16 import VGG16


class DenseNet121(nn.Module):
    """Growth 32, blocks of 6, 12, 24 and 16 layers (Huang et al. 2017)."""

    widths = (64, 256, 512, 1024, 1024)

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import DenseNet121 as Classifier

        self.features: Any = Classifier(2, in_channels=1, out_channels=1).features

    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the features, the finest first."""
        x, features = image, []
        for name, layer in self.features.named_children():
            if name == "pool0" or name.startswith("transition"):
                features.append(x)
            x = layer(x)
        return [*features, x.relu()]


class ResNet50(nn.Module):
    """Bottlenecks of 3, 4, 6 and 3 (He et al. 2016)."""

    widths = (64, 256, 512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import ResNetFeatures

        self.network: Any = ResNetFeatures("resnet50", pretrained=False, spatial_dims=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the features, the finest first."""
        features: list[Tensor] = self.network(image)
        return features


class EfficientNetB0(nn.Module):
    """Of Tan and Le (2019), read after its last convolution, as it is published.

    `inference.nets.eunet` leaves that convolution out; with it the coarsest features
    are 1280 channels, as those of MobileNetV2 are.
    """

    widths = (16, 24, 40, 112, 1280)

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import EfficientNetBNFeatures

        self.network: Any = EfficientNetBNFeatures(
            "efficientnet-b0", pretrained=False, in_channels=1
        )
        # The memory-saving activation is a function of its own that no engine knows.
        self.network.set_swish(memory_efficient=False)
        for name in ("_dropout", "_fc"):  # of the classifier
            setattr(self.network, name, nn.Identity())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the features, the finest first."""
        *features, x = self.network(image)
        x = self.network._bn1(self.network._conv_head(x))
        return [*features, self.network._swish(x)]


Encoder = DenseNet121 | InceptionV3 | VGG16 | MobileNetV2 | ResNet50 | EfficientNetB0


def build_encoder(name: EncoderName) -> Encoder:
    """Make an encoder with random weights."""
    match name:
        case "densenet121":
            return DenseNet121()
        case "inception_v3":
            return InceptionV3()
        case "vgg16":
            return VGG16()
        case "mobilenet_v2":
            return MobileNetV2()
        case "resnet50":
            return ResNet50()
        case "efficientnet_b0":
            return EfficientNetB0()
