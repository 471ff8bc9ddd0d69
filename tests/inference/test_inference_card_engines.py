"""Engines of graphics cards: what can be tried without one, and the rest with one."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import BadModel
from inference.cards import Model, load_model
from inference.engines.cache import Hardware
from inference.engines.cuda_device import driver_version, find_card
from inference.engines.cuda_graph_engine import CudaGraphEngine
from inference.engines.tensorrt_engine import (
    BUILD_OPTIONS,
    PLAIN,
    RTX,
    TensorRtEngine,
    check_card,
    tensorrt_package,
)
from inference.engines.torch_engine import TorchEngine
from inference.maps import Maps
from inference.probe import class_agreement, probe_engine

needs_card = pytest.mark.skipif(driver_version() is None, reason="no NVIDIA driver")


@pytest.fixture(scope="module")
def model() -> Model:
    """Give the shipped model."""
    return load_model("slim")


def test_half_precision_agrees_with_the_reference(model: Model) -> None:
    """The graph of the cards, run on the processor, calls the same cells."""
    import torch

    from inference.engines.half import CountsGraph, half_graph

    graph = CountsGraph(half_graph(model, "bf16")).eval()
    frame, given = model.golden.frame, model.card.normalisation
    with torch.inference_mode():
        packed = graph(
            torch.from_numpy(frame.view(np.int16))[None, None],
            torch.tensor([round(given.offset)], dtype=torch.int32),
            torch.tensor([given.scale], dtype=torch.float32),
        ).numpy()

    reference = TorchEngine(model, frame.shape, 1)
    wanted = reference.infer(frame, given.offset, given.scale)
    assert class_agreement(Maps(*packed).classes, wanted.classes) >= 0.995


def test_counts_above_32767_survive_the_way_to_the_card() -> None:
    """The 16 bits of a count arrive as they were, above half of the range too."""
    import torch

    from inference.engines.half import CountsGraph

    class Halves(torch.nn.Module):
        def forward(self, counts: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return (counts // 256).float()

    frame = np.array([[0, 32767, 32768, 65535]], np.uint16)
    raw = torch.from_numpy(frame.view(np.int16))[None, None]

    assert CountsGraph(Halves())(raw, raw, raw)[0].tolist() == [[0, 127, 128, 255]]


def test_the_half_graph_can_be_exported(model: Model) -> None:
    """TensorRT reads an exported program: exporting works, and names three inputs."""
    import torch

    from inference.engines.half import half_graph

    example = (
        torch.zeros(1, 1, 64, 64, dtype=torch.int32),
        torch.zeros(1, dtype=torch.int32),
        torch.ones(1),
    )
    program = torch.export.export(half_graph(model, "f16"), example)

    assert list(program.graph_signature.user_inputs) == ["frame", "offset", "scale"]


def test_a_card_that_rtx_does_not_serve_is_refused() -> None:
    """A data-centre card is refused by TensorRT for RTX and told what to install."""
    data_centre = Hardware("H100", "sm_90", "13.0", "580")

    check_card(PLAIN, data_centre)
    check_card(RTX, Hardware("RTX 5090", "sm_120", "13.0", "580"))
    with pytest.raises(BadModel, match="does not serve H100"):
        check_card(RTX, data_centre)


@pytest.mark.skipif(driver_version() is not None, reason="there is an NVIDIA driver")
def test_without_a_card_each_engine_says_why(model: Model) -> None:
    """Neither engine of the cards breaks on a PC without one: each gives a reason."""
    with pytest.raises(BadModel, match="no NVIDIA driver"):
        CudaGraphEngine(model, (64, 64), "f16")
    with pytest.raises(BadModel, match=r"no NVIDIA driver|is installed"):
        TensorRtEngine(model, (64, 64))


@dataclass(frozen=True)
class Call:
    """A function of the package, and the names of ours that it must take."""

    file: str
    function: str
    names: tuple[str, ...]


CALLS = [
    Call(
        "dynamo/_compiler.py",
        "convert_exported_program_to_serialized_trt_engine",
        ("arg_inputs", "timing_cache_path", *BUILD_OPTIONS),
    ),
    Call(
        "dynamo/runtime/_TorchTensorRTModule.py",
        "__init__",
        (
            "serialized_engine",
            "input_binding_names",
            "output_binding_names",
            "name",
            "settings",
        ),
    ),
    Call("dynamo/runtime/_TorchTensorRTModule.py", "setup_engine", ()),
    Call("dynamo/runtime/_TorchTensorRTModule.py", "runtime_settings", ()),
    Call("runtime/_cudagraphs.py", "set_cudagraphs_mode", ()),
    Call("_Device.py", "__init__", ("self", "kwargs")),
]


def tensorrt_sources() -> Path:
    """Give the folder of the installed package, or skip with the reason."""
    found = importlib.util.find_spec("torch_tensorrt")
    if found is None or found.origin is None:
        pytest.skip(f"neither {PLAIN} nor {RTX} is installed: no signatures to read")
    return Path(found.origin).parent


def parameters(source: str, function: str) -> Iterator[set[str]]:
    """Give the parameter names of every function of a name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            spec = node.args
            named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
            rest = [arg for arg in (spec.vararg, spec.kwarg) if arg]
            yield {arg.arg for arg in [*named, *rest]}


@pytest.mark.parametrize("call", CALLS, ids=lambda c: f"{c.file} {c.function}")
def test_calls_fit_the_signatures_of_tensorrt(call: Call) -> None:
    """What we pass to the installed package is what its functions take."""
    source = (tensorrt_sources() / call.file).read_text(encoding="utf-8")

    taken = list(parameters(source, call.function))

    assert any(set(call.names) <= names for names in taken), taken


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("runtime/_runtime_config.py", "cuda_graph_strategy: str"),
        ("runtime/_runtime_config.py", "runtime_cache: Optional["),
        ("runtime/_runtime_config.py", '"whole_graph_capture"'),
        ("dynamo/_settings.py", "lazy_engine_init: bool"),
        ("dynamo/conversion/_TRTInterpreter.py", 'name = f"output{i}"'),
        ("dynamo/__init__.py", "convert_exported_program_to_serialized_trt_engine"),
    ],
)
def test_what_is_relied_on_is_there(file: str, text: str) -> None:
    """Fields, names of outputs and public names are those that we rely on."""
    assert text in (tensorrt_sources() / file).read_text(encoding="utf-8")


@pytest.mark.gpu
@needs_card
def test_a_captured_graph_agrees_with_the_reference(model: Model) -> None:
    """On a card, the replayed graph leads to the cells of the reference."""
    engine = CudaGraphEngine(model, (512, 512), "f16")

    assert probe_engine(engine, model, (512, 512)).fault is None


@pytest.mark.gpu
@needs_card
def test_tensorrt_agrees_with_the_reference(model: Model, tmp_path: Path) -> None:
    """On a card, an engine that was built and read again leads to the same cells."""
    try:
        check_card(tensorrt_package(), find_card())
    except BadModel as error:
        pytest.skip(str(error))
    TensorRtEngine(model, (512, 512), tmp_path).close()

    engine = TensorRtEngine(model, (512, 512), tmp_path)

    assert probe_engine(engine, model, (512, 512)).fault is None
    assert "torch_tensorrt" in sys.modules
