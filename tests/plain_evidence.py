"""Evidence without a calibration: what looks dead is dead, what turns so dies."""

import numpy as np

from tracking.events.evidence import AHEADS, FORMAT, Evidence, Net, Nets, Provenance
from tracking.events.histories import feature_names


def linear(weights: dict[str, float], bias: float = 0.0, more: int = 0) -> Net:
    """Give a net without a hidden layer that weighs the named features, no others."""
    names = feature_names()
    count = len(names) + more
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
    nets = Nets(
        first=linear({"logit before": 1.0}, bias=-1.0),
        level=linear({"logit level 0..3": 0.3}),
        turn=linear({"logit 0..3": 1.5}, bias=-2.0, more=len(AHEADS)),
        hazard=(linear({}, hazard, more=3),) * 3,
    )
    provenance = Provenance(
        made="", software="", model="", runs=(), deaths=0, cell_hours=0.0, command=""
    )
    return Evidence(
        format=FORMAT,
        features=feature_names(),
        phase=nets,
        plain=nets,
        provenance=provenance,
    )
