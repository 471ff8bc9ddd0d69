"""Weights of an encoder from a file that the user gives, such as those of ImageNet.

Nothing is fetched, and every encoder also trains from random numbers. Published
EfficientNet and VGG16 files fit: what serves their classifier is left out, and the
kernels of the first layer are summed over the three colours, which is the same as
showing the grey image in each of them.
"""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from acquisition.errors import BadModel
from inference.nets.eunet import EUNet
from inference.nets.vgg_unet import VGGUNet


def load_encoder(network: EUNet | VGGUNet, path: Path) -> None:
    """Copy the weights of an encoder, all or none.

    Raises
    ------
    BadModel
        If the file cannot be read, or holds another encoder.
    """
    given = _read(path)
    wanted = network.encoder.state_dict()
    fitting: dict[str, Tensor] = {}
    for name, tensor in wanted.items():
        found = given.get(_published_name(network, name))
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


def _published_name(network: EUNet | VGGUNet, name: str) -> str:
    """Give the name of a weight in published files."""
    if isinstance(network, VGGUNet):
        return f"features.{name}"
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
