"""Weights of an encoder from a file that the user gives, such as those of ImageNet.

Nothing is fetched, and every encoder also trains from random numbers. Published files
of torch fit: what serves their classifier is left out, and the kernels of the first
layer are summed over the three colours, which is the same as showing the grey image in
each of them.
"""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from acquisition.errors import BadModel
from inference.nets.encoder_unet import EncoderUNet
from inference.nets.encoders import DenseNet121, EfficientNetB0, ResNet50
from inference.nets.eunet import EUNet
from inference.nets.gated_unet import GatedUNet
from inference.nets.vgg16 import VGG16
from inference.nets.vgg_unet import VGGUNet

Encoded = EUNet | VGGUNet | GatedUNet | EncoderUNet
"""Networks whose encoder is a published one."""

_OLD_NUMBER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


def load_encoder(network: Encoded, path: Path) -> None:
    """Copy the weights of an encoder, all or none.

    Raises
    ------
    BadModel
        If the file cannot be read, or holds another encoder.
    """
    # Old files of DenseNet write norm.1 where newer ones write norm1.
    given = {_OLD_NUMBER.sub(r"\1\2.", name): t for name, t in _read(path).items()}
    wanted = network.encoder.state_dict()
    fitting: dict[str, Tensor] = {}
    for name, tensor in wanted.items():
        found = given.get(published_name(network.encoder, name))
        if found is None:
            continue
        if found.ndim == 4 and found.shape[1] == 3 and tensor.shape[1] == 1:
            found = found.sum(dim=1, keepdim=True)
        if found.shape == tensor.shape:
            fitting[name] = found
    missing = [
        name
        for name in wanted
        if name not in fitting and not name.endswith("num_batches_tracked")
    ]
    if missing:
        raise BadModel(
            f"{path}: {len(missing)} of {len(wanted)} weights of the encoder are "
            f"missing or of another shape ({missing[0]} first); take the file of the "
            "encoder that the recipe names"
        )
    network.encoder.load_state_dict({**wanted, **fitting})


def published_name(encoder: nn.Module, name: str) -> str:
    """Give the name that a weight of an encoder has in published files."""
    match encoder:
        case VGG16():
            return f"features.{name}"
        case DenseNet121():
            return name.replace(".layers.", ".")
        case ResNet50() | EfficientNetB0():
            name = name.removeprefix("network.")
    return re.sub(r"^_blocks\.\d+\.", "_blocks.", name)  # blocks are not in stages


def _read(path: Path) -> dict[str, Any]:
    """Read tensors; code in a file is never run."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadModel(f"{path}: cannot be read ({reason})") from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError) as error:
        raise BadModel(
            f"{path}: neither a safetensors file nor plain tensors of torch "
            f"({str(error).splitlines()[0]}); take another file"
        ) from error
