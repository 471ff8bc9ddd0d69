"""What nobody can know better: the oracle of a data set, frame by frame, as a table."""

import csv
from pathlib import Path

from acquisition.simulated.truth.file import TruthReader
from acquisition.simulated.truth.foresight import HORIZONS_S
from acquisition.simulated.truth.oracle import DEATH_HORIZONS_S, Oracle
from calibration.audit.cells import Progress

ORACLE = "oracle.csv"
DRAWS = 100
"""Futures that are lived for a probability of death."""


def write_oracle(folder: Path, truth: Path, tell: Progress) -> None:
    """Write the forecasts of all cells of all frames of a truth into a folder.

    ``moved`` columns are the mean displacement, ``sd`` its standard deviation an axis,
    ``dead`` the probability that the membrane is open by then; for each horizon in s.
    """
    with (
        TruthReader(truth) as reader,
        (folder / ORACLE).open("w", encoding="utf-8", newline="") as file,
    ):
        oracle = Oracle(reader)
        sequences = reader.sequences.tolist()
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_columns())
        for done, sequence in enumerate(sequences, start=1):
            moves = oracle.displacement(sequence)
            deaths = oracle.deaths(sequence, draws=DRAWS)
            for row, label in enumerate(moves.id.tolist()):
                mean = moves.mean_um[row].ravel()
                spread = moves.variance_um2[row] ** 0.5
                numbers = [*mean, *spread, *deaths.probability[row]]
                values = [f"{value:.4f}" for value in numbers]
                table.writerow([sequence - 1, label, *values])
            tell("oracle", done / len(sequences))


def _columns() -> list[str]:
    moved = [f"moved_{axis}_um_{h:g}s" for h in HORIZONS_S for axis in "yx"]
    spread = [f"sd_um_{h:g}s" for h in HORIZONS_S]
    dead = [f"dead_{h:g}s" for h in DEATH_HORIZONS_S]
    return ["frame", "id", *moved, *spread, *dead]
