"""TensorRT through ``torch_tensorrt``: the fastest engine of NVIDIA cards.

Two packages have that import name: ``torch-tensorrt`` for all cards and
``torch-tensorrt-rtx`` for GeForce and RTX cards. Only one can be installed; its own
record tells which. Written, not run: no NVIDIA card was at hand. The calls follow the
signatures of release 2.13, which a test reads from the installed package.

Engines are kept as the raw bytes that TensorRT serialises. The package's own ways are
left alone: its engine cache has neither card nor TensorRT version in its key and keeps
pickles in a shared temporary folder, and its saved programs unpickle what they load.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from inference.architectures import check_frame
from inference.cards import Model
from inference.engines.cache import (
    EngineCache,
    EngineKey,
    Hardware,
    engine_key,
    installed_version,
    notes,
)
from inference.engines.cuda_device import find_card
from inference.engines.padding import Padding, padded_shape
from inference.maps import Maps

PLAIN, RTX = "torch-tensorrt", "torch-tensorrt-rtx"

RTX_CAPABILITIES = ("sm_75", "sm_86", "sm_89", "sm_12")
"""Turing, Ampere, Ada and Blackwell cards; not the data-centre cards between them."""

ENGINE_FILE = "engine.trt"
KERNEL_FILE = "kernels.bin"
OUTPUT_NAMES = ("output0",)
"""As the package names the outputs of a graph, in their order."""

BUILD_OPTIONS: dict[str, Any] = {
    "require_full_compilation": True,
    "min_block_size": 1,
    "truncate_double": True,
    "immutable_weights": True,
    "cache_built_engines": False,
    "reuse_cached_engines": False,
    "hardware_compatible": False,
    "version_compatible": False,
}
"""Networks are typed strongly: the precision is that of the module, not an option."""


def tensorrt_package() -> str:
    """Give which of the two packages is installed.

    Raises
    ------
    BadModel
        If neither is, or both are: they overwrite each other's files.
    """
    found = [name for name in (PLAIN, RTX) if installed_version(name)]
    if not found:
        raise BadModel(
            f"neither {PLAIN} nor {RTX} is installed: GeForce and RTX cards take "
            'pip install "vigil-microscopy[tensorrt-rtx]", others [tensorrt]'
        )
    if len(found) == 2:
        raise BadModel(
            f"{PLAIN} and {RTX} are both installed and overwrite each other's files; "
            "uninstall both, then install one"
        )
    return found[0]


def check_card(package: str, card: Hardware) -> None:
    """Refuse a card that the package has no kernels for.

    Raises
    ------
    BadModel
        If TensorRT for RTX is asked to serve a card that is none.
    """
    if package == RTX and not card.capability.startswith(RTX_CAPABILITIES):
        raise BadModel(
            f"TensorRT for RTX does not serve {card.name} ({card.capability}); install "
            f"{PLAIN} in its place"
        )


def tensorrt_key(model: Model, shape: tuple[int, int]) -> EngineKey:
    """Give the key of an engine for frames of ``shape`` (y, x) on this card.

    Raises
    ------
    BadModel
        If TensorRT cannot serve here, with the reason.
    """
    package, card = tensorrt_package(), find_card()
    check_card(package, card)
    return engine_key(model, padded_shape(shape), "f16", package, card)


class TensorRtEngine:
    """Runs a model through TensorRT in float16; see :class:`inference.maps.Engine`."""

    def __init__(
        self, model: Model, shape: tuple[int, int], cache: Path | None = None
    ) -> None:
        key = tensorrt_key(model, shape)
        package = tensorrt_package()
        self.name = "tensorrt-rtx-f16" if package == RTX else "tensorrt-f16"
        self.model = model.label
        self._padding = Padding(shape)
        padded = self._padding.padded
        check_frame(model.card.architecture, padded)
        entries = EngineCache(cache)
        folder = entries.find(model, key) or entries.put(
            model, key, lambda fresh: _write_engine(model, padded, fresh)
        )
        kernels = entries.folder / f"{folder.name}-{KERNEL_FILE}"
        self._run: Any = _load(folder, kernels if package == RTX else None)

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Give the maps of a frame ``(y, x)``."""
        import torch

        raw = torch.from_numpy(self._padding.apply(frame).view(np.int16))
        with torch.inference_mode():
            counts = raw.cuda()[None, None].to(torch.int32).bitwise_and(0xFFFF)
            packed = self._run(
                counts,
                torch.tensor([round(offset)], dtype=torch.int32, device="cuda"),
                torch.tensor([scale], dtype=torch.float32, device="cuda"),
            )
            maps = packed[0].to(torch.uint8).cpu().numpy()
        return self._padding.crop(maps)

    def close(self) -> None:
        """Let go of the engine and of the memory of the card."""
        self._run = None


def _write_engine(
    model: Model, padded: tuple[int, int], folder: Path
) -> dict[str, Any]:
    """Build the engine, which takes seconds to minutes; gives its binding names."""
    import torch
    import torch_tensorrt

    from inference.engines.half import half_graph

    graph = half_graph(model, "f16").cuda()
    example = (
        torch.zeros(1, 1, *padded, dtype=torch.int32, device="cuda"),
        torch.zeros(1, dtype=torch.int32, device="cuda"),
        torch.ones(1, device="cuda"),
    )
    program = torch.export.export(graph, example)
    build = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    data = build(
        program,
        arg_inputs=list(example),
        timing_cache_path=str(folder.parent / "timing.bin"),  # not kept
        **BUILD_OPTIONS,
    )
    (folder / ENGINE_FILE).write_bytes(bytes(data))
    return {"inputs": list(program.graph_signature.user_inputs)}


def _load(folder: Path, kernels: Path | None) -> Any:
    """Give the module that runs an entry.

    ``kernels`` is where TensorRT for RTX keeps what it compiles for the card at the
    first frame. It grows with use, so it stands beside the entry and not in it.
    """
    import torch
    import torch_tensorrt
    from torch_tensorrt.runtime import RuntimeSettings, TorchTensorRTModule

    settings = torch_tensorrt.dynamo.CompilationSettings(
        device=torch_tensorrt.Device(gpu_id=torch.cuda.current_device()),
        lazy_engine_init=True,
    )
    module = TorchTensorRTModule(
        (folder / ENGINE_FILE).read_bytes(),
        list(notes(folder)["inputs"]),
        list(OUTPUT_NAMES),
        name="vigil",
        settings=settings,
    )
    if kernels is None:
        torch_tensorrt.runtime.set_cudagraphs_mode(True)
    else:
        module.runtime_settings = RuntimeSettings(
            cuda_graph_strategy="whole_graph_capture", runtime_cache=str(kernels)
        )
    # Not before: an engine takes the settings it finds, and those of the package keep
    # compiled kernels in a shared temporary folder.
    module.setup_engine()
    return module
