"""The networks that `vigil bench inference` times, and what the hardware could do."""

import importlib
import time
from collections.abc import Callable

import numpy as np

from acquisition.errors import BadConfig
from inference.cards import Model, load_model
from inference.engines.openvino_engine import load_openvino, supported_precisions

STEM, EUNET = "stem_unet", "eunet_b0"
SHIPPED = {STEM: "slim", EUNET: "slim_eunet_b0"}
NETWORKS = tuple(SHIPPED)

_SEED = 1
_RATE_REPEATS = 4


def network_to_time(name: str) -> Model:
    """Give the shipped model of a network.

    Raises
    ------
    BadConfig
        If there is no such network.
    """
    if name not in SHIPPED:
        raise BadConfig(
            "bench inference",
            [f"--network: one of {', '.join(NETWORKS)} (given: {name})"],
        )
    return load_model(SHIPPED[name])


def matmul_rates(threads: int, edge: int) -> dict[str, float | None]:
    """Give GFLOP per second of processor time of a large matrix product.

    By OpenVINO, and by torch in 8 bits; null: not on this processor. torch's product in
    float32 reaches less than half of it on some processors, so it bounds nothing.
    """
    import torch

    torch.set_num_threads(threads)
    supported = supported_precisions()
    products: dict[str, Callable[[], object]] = {
        precision: _product(precision, threads, edge)
        for precision in ("f32", "bf16")
        if precision in supported
    }
    if "int8" in supported and hasattr(torch, "_int_mm"):
        whole = torch.ones(edge, edge, dtype=torch.int8)
        products["int8"] = lambda: torch._int_mm(whole, whole)
    rates: dict[str, float | None] = dict.fromkeys(("f32", "bf16", "int8"))
    for precision, product in products.items():
        product()
        seconds = min(_cpu_s(product) for _ in range(_RATE_REPEATS))
        rates[precision] = 2 * edge**3 / seconds / 1e9
    return rates


def _product(precision: str, threads: int, edge: int) -> Callable[[], object]:
    """Give a call that multiplies two square matrices in OpenVINO."""
    openvino = load_openvino()
    operations = importlib.import_module("openvino.opset13")
    values = np.random.default_rng(_SEED).normal(size=(edge, edge)).astype(np.float32)
    left = operations.parameter([edge, edge], openvino.Type.f32)
    right = operations.constant(values)
    graph = openvino.Model([operations.matmul(left, right, False, True)], [left])
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
    }
    request = (
        openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
    )
    return lambda: request.infer({0: values}, share_inputs=True, share_outputs=True)


def _cpu_s(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return max(time.process_time() - start, 1e-6)
