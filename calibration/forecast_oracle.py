"""What nobody can know better: the oracle of a data set, frame by frame, as a table."""

import csv
import time
from pathlib import Path

from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.truth.file import TruthReader
from acquisition.simulated.truth.foresight import HORIZONS_S
from acquisition.simulated.truth.oracle import (
    DEATH_HORIZONS_S,
    Oracle,
    forecast_deaths,
)
from acquisition.simulated.world import World
from calibration.audit.cells import Progress

ORACLE = "oracle.csv"
DRAWS = 100
"""Futures that are lived for a probability of death."""
TRIAL_DRAWS = 2
"""Futures that are lived to learn what all of them will cost."""


def seconds_a_frame(world: World, seed: int, size_px: int) -> float:
    """Give about how long the oracle of one frame takes on this machine."""
    specimen = Specimen.under_stand(world, seed, size_px)
    forecast_deaths(specimen, (60.0,), draws=1)  # loads what is compiled
    started = time.perf_counter()
    forecast_deaths(specimen, DEATH_HORIZONS_S, draws=TRIAL_DRAWS)
    return (time.perf_counter() - started) * DRAWS / TRIAL_DRAWS


def write_oracle(folder: Path, truth: Path, tell: Progress) -> None:
    """Write the forecasts of all cells of all frames of a truth, all or nothing.

    ``moved`` columns are the mean displacement, ``sd`` its standard deviation an axis,
    ``dead`` the probability that the membrane is open by then; for each horizon in s.
    """
    scratch = (folder / ORACLE).with_suffix(".part")
    try:
        with TruthReader(truth) as reader:
            _write(scratch, reader, tell)
        scratch.replace(folder / ORACLE)
    finally:
        scratch.unlink(missing_ok=True)


def _write(path: Path, truth: TruthReader, tell: Progress) -> None:
    oracle = Oracle(truth)
    sequences = truth.sequences.tolist()
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_columns())
        for done, sequence in enumerate(sequences):
            tell("oracle", done / len(sequences))
            moves = oracle.displacement(sequence)
            deaths = oracle.deaths(sequence, draws=DRAWS)
            for row, label in enumerate(moves.id.tolist()):
                mean = moves.mean_um[row].ravel()
                spread = moves.variance_um2[row] ** 0.5
                numbers = [*mean, *spread, *deaths.probability[row]]
                values = [f"{value:.4f}" for value in numbers]
                table.writerow([sequence - 1, label, *values])
    tell("oracle", 1.0)


def _columns() -> list[str]:
    moved = [f"moved_{axis}_um_{h:g}s" for h in HORIZONS_S for axis in "yx"]
    spread = [f"sd_um_{h:g}s" for h in HORIZONS_S]
    dead = [f"dead_{h:g}s" for h in DEATH_HORIZONS_S]
    return ["frame", "id", *moved, *spread, *dead]
