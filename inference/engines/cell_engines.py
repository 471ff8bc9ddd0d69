"""Engines of the second network of a model, which looks at single cells.

It runs beside the engine of the maps, on the same hardware: OpenVINO on a processor,
torch on a graphics card, and torch on a processor as the reference. All compute in
float32: on 64 cells bfloat16 saved one of nine milliseconds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from configs.schema import Inference
from inference.cards import Card, Classifier, Model, SecondNetwork, load_model
from inference.closer_look import CellEngine, CloserLook
from inference.engines.cache import EngineCache, EngineKey, engine_key
from inference.engines.candidates import CANNOT, thread_count
from inference.engines.openvino_graph import GRAPH_FILE, load_openvino, open_graph

BATCH = 16
"""Cells that OpenVINO looks at in one go; a batch that is not full costs as much."""
MOST_OFF = 0.01
"""Largest difference of P(dead) of a golden crop to the float32 reference."""

Floats = NDArray[np.float32]


def select_closer_look(
    settings: Inference, card: Card | None, serving: str
) -> tuple[CloserLook | None, tuple[str, ...]]:
    """Give what looks closer at cells in doubt, and a sentence for every candidate.

    ``card`` is that of the model that serves, ``serving`` the name of the engine of its
    maps. None: the settings or the model ask for no closer look, or no engine can give
    the answers of the reference; then the sentences say why, and the calls are those of
    the maps.

    Raises
    ------
    BadModel
        If the model cannot be read.
    """
    if settings.closer_looks == 0 or card is None or card.classifier is None:
        return None, ()
    return closer_look_of(load_model(settings.model), settings, serving)


def closer_look_of(
    model: Model, settings: Inference, serving: str
) -> tuple[CloserLook | None, tuple[str, ...]]:
    """Give the same for a model in memory."""
    part, second = model.card.classifier, model.second
    if settings.closer_looks == 0 or part is None or second is None:
        return None, ()
    said = []
    for name, make in _candidates(settings, model, serving):
        try:
            engine = make()
            off = largest_difference(engine, part, second)
        except CANNOT as error:
            said.append(f"{name} left out for closer looks: {error}")
            continue
        if off <= MOST_OFF:
            said.append(f"{name} looks closer at up to {settings.closer_looks} cells")
            return CloserLook(part, engine, settings), tuple(said)
        engine.close()  # an answer that is no number is off, too
        said.append(
            f"{name} left out for closer looks: P(dead) of a golden crop is {off:.2f} "
            f"off the reference, at most {MOST_OFF} is allowed"
        )
    said.append("nothing looks closer at cells in doubt: calls are those of the maps")
    return None, tuple(said)


def largest_difference(
    engine: CellEngine, part: Classifier, second: SecondNetwork
) -> float:
    """Give how far P(dead) of the golden crops is from that of the reference."""
    found = engine.logits(second.crops, second.told)

    def p(logits: Floats) -> Floats:
        return 1 / (1 + np.exp(-(logits / part.temperature + part.dead_offset)))

    return float(np.abs(p(found) - p(second.logits)).max(initial=0.0))


def build_classifier(part: Classifier, second: SecondNetwork) -> Any:
    """Make the second network of a model, ready to serve.

    Raises
    ------
    BadModel
        If its weights do not fit the card.
    """
    import torch

    from inference.nets.cell_classifier import CellClassifier

    network = CellClassifier(part.base)
    wanted = network.state_dict()
    own = {name for name in wanted if not name.endswith("num_batches_tracked")}
    given = second.weights
    wrong = sorted(own ^ set(given)) or [
        name for name in own if tuple(wanted[name].shape) != given[name].shape
    ]
    if wrong:
        raise BadModel(
            f"{len(wrong)} weights of the second network do not fit the card "
            f"({wrong[0]} first); take card and weights from the same training"
        )
    for name in own:
        wanted[name].copy_(torch.from_numpy(given[name].astype(np.float32)))
    return network.eval().requires_grad_(False)


class TorchCells:
    """The second network in torch, in float32; see :class:`CellEngine`.

    On a graphics card written, not run.
    """

    def __init__(self, model: Model, device: Literal["cpu", "cuda"] = "cpu") -> None:
        self.name = "torch-f32" if device == "cpu" else "torch-cuda-f32"
        self._device = device
        self._network = build_classifier(*_parts(model)).to(device)

    def logits(self, crops: Floats, told: Floats) -> Floats:
        """Give the logits of death (cell,)."""
        import torch

        with torch.inference_mode():
            given = [torch.from_numpy(one).to(self._device) for one in (crops, told)]
            answer: Floats = self._network(*given).cpu().numpy()
        return answer

    def close(self) -> None:
        """Let go of the network."""
        self._network = None


class OpenVinoCells:
    """The second network in OpenVINO; see :class:`CellEngine`."""

    name = "openvino-f32"

    def __init__(self, model: Model, threads: int, cache: Path | None = None) -> None:
        part, _ = _parts(model)
        entries, key = EngineCache(cache), _key(model, part)
        folder = entries.find(model, key) or entries.put(
            model, key, lambda fresh: _write(model, fresh)
        )
        self._request = open_graph(folder, "f32", threads)
        self._crops = np.zeros((BATCH, 2, part.edge_px, part.edge_px), np.float32)
        self._told = np.zeros(BATCH, np.float32)

    def logits(self, crops: Floats, told: Floats) -> Floats:
        """Give the logits of death (cell,)."""
        answer = np.empty(len(told), np.float32)
        for start in range(0, len(told), BATCH):
            rows = slice(start, min(start + BATCH, len(told)))
            size = rows.stop - rows.start
            self._crops[:size], self._told[:size] = crops[rows], told[rows]
            inputs = {0: self._crops, 1: self._told}
            self._request.infer(inputs, share_inputs=True, share_outputs=True)
            answer[rows] = self._request.get_output_tensor(0).data[:size]
        return answer

    def close(self) -> None:
        """Let go of the compiled graph and its threads."""
        self._request = None


def _candidates(
    settings: Inference, model: Model, serving: str
) -> list[tuple[str, Callable[[], CellEngine]]]:
    """List what may look closer here, the fastest first.

    A processor takes OpenVINO even while torch serves the maps: with a cold cache that
    is only until OpenVINO takes over.
    """
    listed: list[tuple[str, Callable[[], CellEngine]]] = []
    threads = thread_count(settings)
    if serving.startswith(("tensorrt", "torch-cuda")):
        listed.append(("torch-cuda-f32", lambda: TorchCells(model, "cuda")))
    elif settings.engine != "torch":
        listed.append((OpenVinoCells.name, lambda: OpenVinoCells(model, threads)))
    return [*listed, ("torch-f32", lambda: TorchCells(model))]


def _key(model: Model, part: Classifier) -> EngineKey:
    edges = (part.edge_px, part.edge_px)
    return engine_key(model, edges, f"f32, {BATCH} cells", "openvino")


def _write(model: Model, folder: Path) -> None:
    """Convert the second network for full batches into a folder."""
    import torch

    openvino = load_openvino()
    part, second = _parts(model)
    crops = torch.zeros(BATCH, 2, part.edge_px, part.edge_px)
    network = build_classifier(part, second)
    graph = openvino.convert_model(network, example_input=(crops, torch.zeros(BATCH)))
    graph.reshape({0: list(crops.shape), 1: [BATCH]})
    openvino.save_model(graph, folder / GRAPH_FILE, compress_to_fp16=False)


def _parts(model: Model) -> tuple[Classifier, SecondNetwork]:
    """Give the part of the card and the weights.

    Raises
    ------
    BadModel
        If the model has no second network.
    """
    if model.card.classifier is None or model.second is None:
        raise BadModel(f"model {model.label} has no second network")
    return model.card.classifier, model.second
