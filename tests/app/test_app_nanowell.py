"""A chip of nanowells goes through the whole loop, and its truth knows the wells."""

from pathlib import Path

import numpy as np
import pytest

from acquisition.archive.reader import RunReader
from acquisition.simulated.truth.file import TruthReader
from tests.app.live_runs import SMALL, result_of, vigil

pytestmark = pytest.mark.timeout(300)

STEPPED = (
    *SMALL,
    "--set", "run.clock=stepped",
    "--set", "simulated.size_px=512",
    "--set", "timelapse.time_plan={interval=300, loops=4}",
    "--set", "log.frames=all",
)  # fmt: skip


@pytest.mark.parametrize("modality", ["slim", "phase_contrast"])
def test_a_chip_goes_through_the_whole_loop(modality: str, tmp_path: Path) -> None:
    """Frames are recorded and analysed; truth names type and well of every cell."""
    done = vigil(
        "run", "demo", "--world", "nanowell_20x", "--headless", "--json",
        "--output", "run", *STEPPED, "--set", f"microscope.modality={modality}",
        folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert result_of(done)["frames_recorded"] == 4
    with RunReader(tmp_path / "run") as run:
        assert run.analysed_sequences.tolist() == [1, 2, 3, 4]
    with TruthReader(tmp_path / "run" / "truth.h5") as truth:
        for frame in (truth.frame(sequence) for sequence in truth.sequences):
            assert set(np.unique(frame.kind)) == {1, 2}
            assert frame.well.min() > 0
            assert np.bincount(np.unique(frame.well, return_inverse=True)[1]).max() <= 4
