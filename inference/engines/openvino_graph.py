"""The graph of a model as OpenVINO keeps it, in float32 or calibrated to 8 bits."""

import contextlib
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from inference.cards import Model
from inference.engines.padding import MULTIPLE_PX, Padding

Precision = Literal["f32", "bf16", "int8"]

GRAPH_FILE = "graph.xml"

CALIBRATION = "the seven turned and mirrored forms of the golden frame"
"""What the ranges of an 8-bit engine are taken from; the probe uses the eighth form."""


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports to the network.

    Its start-up code tries to import ``openvino_telemetry``; an entry of None in the
    table of modules makes that fail, which OpenVINO and NNCF accept quietly.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def open_graph(folder: Path, precision: Precision, threads: int) -> Any:
    """Compile the graph of a folder for the processor; gives a request to infer by.

    ``precision`` is that of the layers which are not in 8 bits by themselves.
    """
    compiled = (
        load_openvino()
        .Core()
        .compile_model(
            folder / GRAPH_FILE,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": threads,
            },
        )
    )
    return compiled.create_infer_request()


def write_graph(
    model: Model, padded: tuple[int, int], precision: Precision, folder: Path
) -> dict[str, Any]:
    """Convert a model for frames of ``padded`` (y, x) into a folder; gives notes.

    Raises
    ------
    BadModel
        If 8 bits are asked for and NNCF is not installed.
    """
    openvino = load_openvino()
    if precision != "int8":
        graph = _convert(model, padded)
        openvino.save_model(graph, folder / GRAPH_FILE, compress_to_fp16=False)
        return {}
    if find_spec("nncf") is None:
        raise BadModel(
            "8 bits are calibrated by NNCF, which is not installed: "
            'pip install "vigil-microscopy[quant]"'
        )
    forms = _calibration_forms(model)
    graph = _quantise(_convert(model, _shape(forms[0])), model, forms)
    graph.reshape({0: [1, 1, *padded], 1: [1], 2: [1]})
    openvino.save_model(graph, folder / GRAPH_FILE, compress_to_fp16=False)
    return {"calibrated_on": CALIBRATION, "calibration_frames": len(forms)}


def _convert(model: Model, padded: tuple[int, int]) -> Any:
    """Convert the torch graph: uint16 frame and two scalars in, uint8 maps out."""
    import torch

    from inference.nets.graph import build_graph

    openvino = load_openvino()
    side = 8 * MULTIPLE_PX  # any will do; the shape is set below
    example = torch.zeros(1, 1, side, side, dtype=torch.int32)
    graph = openvino.convert_model(
        build_graph(model.card, model.weights),
        example_input=(example, torch.zeros(1, dtype=torch.int32), torch.ones(1)),
    )
    graph.reshape({0: [1, 1, *padded], 1: [1], 2: [1]})
    ends = openvino.preprocess.PrePostProcessor(graph)
    ends.input(0).tensor().set_element_type(openvino.Type.u16)
    ends.output(0).tensor().set_element_type(openvino.Type.u8)
    return ends.build()


def _calibration_forms(model: Model) -> list[NDArray[np.uint16]]:
    """Give the golden frame turned and mirrored, but not as it stands."""
    frame = model.golden.frame
    forms = [
        np.rot90(side, turns) for side in (frame, frame[:, ::-1]) for turns in range(4)
    ][1:]
    square = min(frame.shape)  # a quarter turn of an oblong would change its size
    cut = [np.ascontiguousarray(form[:square, :square]) for form in forms]
    return [Padding(_shape(form)).apply(form) for form in cut]


def _shape(frame: NDArray[np.uint16]) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]


def _quantise(graph: Any, model: Model, forms: list[NDArray[np.uint16]]) -> Any:
    """Give the graph with 8-bit convolutions, their ranges taken from ``forms``."""
    import nncf

    normalisation = model.card.normalisation
    offset = np.array([round(normalisation.offset)], np.int32)
    scale = np.array([normalisation.scale], np.float32)
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # Its progress bars go to stdout, where the last line of --json must stand alone.
    with contextlib.redirect_stdout(sys.stderr):
        return nncf.quantize(
            graph,
            nncf.Dataset(forms, lambda form: [form[None, None], offset, scale]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(forms),
            # Both keep pixels from being called otherwise: the first layer sees the
            # whole range of counts, the finest ones draw the last border.
            ignored_scope=nncf.IgnoredScope(names=kept_in_float(graph)),
            fast_bias_correction=False,
        )


def kept_in_float(graph: Any) -> list[str]:
    """Name the convolutions that an 8-bit engine keeps in float.

    They are the first of the network and those of its finest resolution.
    """
    convolutions = [
        layer
        for layer in graph.get_ordered_ops()
        if layer.get_type_name() == "Convolution"
    ]
    rows = [layer.output(0).get_shape()[2] for layer in convolutions]
    return [
        layer.get_friendly_name()
        for number, layer in enumerate(convolutions)
        if number == 0 or rows[number] == max(rows)
    ]
