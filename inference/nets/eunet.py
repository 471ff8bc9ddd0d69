"""E-U-Net: a U-Net whose encoder is an EfficientNet (Hu et al. 2022; Tan, Le 2019).

Encoder and decoder are those of MONAI. Its features at strides 2, 4, 8 and 16 are
joined on the way up, those at 32 are the bridge. The decoder has five steps of nearest
neighbour, convolutions, batch normalisation and ReLU.
"""

from typing import Any

from torch import Tensor, nn

from inference.architectures import EUNetShape
from inference.nets.stem_unet import PLANES


class EUNet(nn.Module):
    """Normalised image ``(B, 1, H, W)`` to planes ``(B, planes, H, W)``.

    H and W are multiples of 32. Weights are random: nothing is fetched.
    """

    def __init__(self, shape: EUNetShape, planes: int = PLANES) -> None:
        super().__init__()
        # MONAI takes two seconds to import, and only this network needs it.
        from monai.networks.nets import FlexibleUNet

        self.network: Any = FlexibleUNet(
            in_channels=1,
            out_channels=planes,
            backbone=f"efficientnet-{shape.encoder}",
            pretrained=False,
            decoder_channels=shape.decoder,
            is_pad=False,  # sides are multiples of 32; TensorRT takes no other form
        )
        # The memory-saving activation is a function of its own that no engine knows.
        self.encoder.set_swish(memory_efficient=False)
        # What follows the last features serves a classifier. Unused weights would
        # still be shipped, and training on several cards stops at them.
        for name in ("_conv_head", "_bn1", "_dropout", "_fc"):
            setattr(self.encoder, name, nn.Identity())

    @property
    def encoder(self) -> Any:
        """The EfficientNet without its classifier."""
        return self.network.encoder

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes."""
        return self.network(image)
