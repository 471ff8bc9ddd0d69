"""A model on held-out fields by the product's own path: counts, maps, cells, states."""

import numpy as np

from acquisition.records import CellState
from calibration.metrics.confidence import calibration_error, dead_probability
from calibration.metrics.objects import (
    DEAD_SHARE,
    ObjectTable,
    instance_f1,
    join_objects,
    object_f1,
    tabulate,
)
from calibration.metrics.overlaps import find_overlaps, match_objects
from calibration.metrics.ranking import auroc
from calibration.shots import frame_of
from calibration.training.evaluation import score_objects
from calibration.training.fields import TrainingField
from configs.schema import Inference, Stand
from inference.cards import Metrics, Model
from inference.cells import find_cells
from inference.engines.torch_engine import TorchEngine
from inference.nets.graph import build_graph


def measure_model(model: Model, fields: list[TrainingField], data: str) -> Metrics:
    """Give the figures of a model on fields of one size, described by ``data``."""
    engine = TorchEngine(model, fields[0].phase.shape, threads=1)
    tables = [_match(model, engine, field) for field in fields]
    table = join_objects(tables)
    network = build_graph(model.card, model.weights).network
    scores = score_objects(network, fields, model.card.normalisation)
    card = model.card
    probability = dead_probability(scores.logit, card.temperature, card.dead_offset)
    true, found = table.true_state > 0, table.found_state > 0
    return Metrics(
        data=data,
        fields=len(fields),
        objects_live=int(np.count_nonzero(table.true_state == CellState.LIVE)),
        objects_dead=int(np.count_nonzero(table.true_state == CellState.DEAD)),
        object_f1_live=object_f1(table, CellState.LIVE),
        object_f1_dead=object_f1(table, CellState.DEAD),
        object_f1_live_25=object_f1(table, CellState.LIVE, DEAD_SHARE),
        object_f1_dead_25=object_f1(table, CellState.DEAD, DEAD_SHARE),
        instance_f1_50=instance_f1(int((true & found).sum()), true.sum(), found.sum()),
        auroc_dead=auroc(scores.logit, scores.dead),
        ece=calibration_error(probability, scores.dead) if scores.dead.size else None,
    )


def _match(model: Model, engine: TorchEngine, field: TrainingField) -> ObjectTable:
    """Find the cells of a field and pair them with the true ones."""
    normalisation = model.card.normalisation
    maps = engine.infer(field.phase, normalisation.offset, normalisation.scale)
    info = frame_of(field.phase[None], "slim", model.card.um_per_px).info
    labels, cells = find_cells(
        maps, info, field.phase, Inference(), Stand(), model.card.parting
    )
    overlaps = find_overlaps(field.labels, labels)
    rows = match_objects(overlaps)
    states = {cell: int(field.states[cell]) for cell in overlaps.true_label.tolist()}
    return tabulate(overlaps, rows, states, overlaps.found_label, cells)
