"""A calibration of the deaths out of recorded simulated runs, as one TOML file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tomli_w
import torch

from calibration.evidence_fit import fit_nets
from calibration.evidence_samples import Samples
from tracking.evidence import AHEADS, FORMAT, Evidence, Provenance
from tracking.histories import feature_names

LEVEL_WEIGHT, TURN_WEIGHT, ONSET_LEVEL_WEIGHT = 0.2, 1.0, 0.03
"""Bins repeat one another's mistakes, changes do not; chosen on tuning seeds."""


def fit_evidence(
    parts: Sequence[dict[int, Samples]], provenance: Provenance, seed: int = 1
) -> Evidence:
    """Fit everything on the samples of several runs; the same input, the same bytes."""
    torch.set_num_threads(1)
    samples = {ahead: _join([part[ahead] for part in parts]) for ahead in AHEADS}
    return Evidence(
        format=FORMAT,
        features=feature_names(),
        level_weight=LEVEL_WEIGHT,
        turn_weight=TURN_WEIGHT,
        onset_level_weight=ONSET_LEVEL_WEIGHT,
        phase=fit_nets(samples, seed, phase=True),
        plain=fit_nets(samples, seed, phase=False),
        provenance=provenance,
    )


def write_evidence(evidence: Evidence, path: Path) -> None:
    """Write a calibration as the file that ``events.death.calibration`` names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(evidence.model_dump()), encoding="utf-8")


def _join(parts: Sequence[Samples]) -> Samples:
    """Put the samples of several runs one after the other; cells stay apart."""
    groups = [part.group + number * 1_000_000 for number, part in enumerate(parts)]
    return Samples(
        features=np.concatenate([part.features for part in parts]),
        doses=np.concatenate([part.doses for part in parts]),
        since_s=np.concatenate([part.since_s for part in parts]),
        group=np.concatenate(groups),
    )
