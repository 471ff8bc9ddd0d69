"""Evidence without a calibration: what looks dead is dead, what turns so dies."""

import numpy as np

from tracking.events.evidence import FORMAT, Evidence, Net, Nets, Provenance
from tracking.events.histories import feature_names


def linear(weights: dict[str, float], bias: float = 0.0, doses: int = 0) -> Net:
    """Give a net without a hidden layer that weighs the named features."""
    names = feature_names()
    count = len(names) + doses
    output = np.zeros(count)
    for name, weight in weights.items():
        output[names.index(name)] = weight
    return Net(
        mean=(0.0,) * count,
        scale=(1.0,) * count,
        hidden=(),
        hidden_bias=(),
        output=tuple(output.tolist()),
        bias=bias,
    )


def make_evidence(hazard: float = -9.0) -> Evidence:
    """Give evidence of the log odds alone; ``hazard``: log odds to die in a part."""
    turn = linear({"logit 0..3": 1.5}, bias=-2.0)
    nets = Nets(
        level=linear({"logit level 0..3": 1.0}),
        turns=(turn, turn, turn),
        hazard=(linear({}, hazard, doses=3),) * 3,
    )
    provenance = Provenance(
        made="", software="", model="", runs=(), deaths=0, cell_hours=0.0, command=""
    )
    return Evidence(
        format=FORMAT,
        features=feature_names(),
        level_weight=0.3,
        turn_weight=1.0,
        onset_level_weight=0.1,
        phase=nets,
        plain=nets,
        provenance=provenance,
    )
