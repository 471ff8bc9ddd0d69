"""Every modality goes once through the whole loop: real processes, a small specimen."""

from pathlib import Path

import pytest

from acquisition.archive.reader import RunReader
from acquisition.simulated.truth.file import TruthReader
from tests.app.live_runs import result_of, vigil

pytestmark = pytest.mark.timeout(300)

STEPPED = (
    "--set", "run.clock=stepped",
    "--set", "simulated.size_px=256",
    "--set", "inference.engine=classical",
    "--set", "timelapse.time_plan={interval=60, loops=4}",
    "--set", "log.frames=all",
)  # fmt: skip

MODALITIES = [
    ("slim", "SLIM", 8),
    ("phase_contrast", "PhaseContrast", 8),
    ("brightfield", "Brightfield", 8),
    ("fluorescence", "NucBlue", 400),
]


@pytest.mark.parametrize(("modality", "channel", "exposure_ms"), MODALITIES)
def test_each_modality_goes_through_the_whole_loop(
    modality: str, channel: str, exposure_ms: int, tmp_path: Path
) -> None:
    """Frames are recorded, analysed and have their truth, whatever the contrast."""
    done = vigil(
        "run", "demo", "--headless", "--json", "--output", "run", *STEPPED,
        "--set", f"microscope.modality={modality}",
        "--set", f"microscope.exposure_ms={exposure_ms}", folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert result_of(done)["frames_by_channel"] == {channel: 4}
    with RunReader(tmp_path / "run") as run:
        assert run.analysed_sequences.tolist() == [1, 2, 3, 4]
        for frame in (run.frame(sequence) for sequence in run.sequences):
            assert frame.info.modality == modality
            assert frame.pixels.shape == (4 if modality == "slim" else 1, 256, 256)
        found = [len(run.cells(sequence).label) for sequence in run.sequences]
    with TruthReader(tmp_path / "run" / "truth.h5") as truth:
        there = [len(truth.frame(sequence).id) for sequence in truth.sequences]
    assert all(0.4 * n <= m <= 2 * n for m, n in zip(found, there, strict=True))


MIXED = (
    "{z_plan={range=4, step=2}, time_plan={interval=60, loops=3}, channels=["
    '{config="SLIM"}, {config="NucGreen", exposure=400, do_stack=false}, '
    '{config="NucBlue", exposure=400, do_stack=false, acquire_every=2}], '
    'stage_positions=[{x=0, y=0, name="dish"}]}'
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a run in which SLIM in three planes takes turns with two dyes."""
    folder = tmp_path_factory.mktemp("mixed")
    done = vigil(
        "run", "demo", "--headless", "--json", "--output", "run", *STEPPED[:6],
        "--set", f"timelapse={MIXED}", "--set", "log.frames=all",
        "--set", "triggers=[]", folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = result_of(done)
    counts = {"SLIM": 9, "NucGreen": 3, "NucBlue": 2}
    assert (result["frames_by_channel"], result["skipped"]) == (counts, 0)
    return folder / "run"


def test_channels_take_turns_each_with_its_exposure(mixed: Path) -> None:
    """Planes, exposures and steps are those of the plan, channel by channel."""
    with RunReader(mixed) as run:
        frames = [run.frame(sequence) for sequence in run.sequences]

    first = [(f.info.channel, f.info.focus_um, f.info.exposure_ms) for f in frames[:5]]
    planes = [("SLIM", -2, 8), ("SLIM", 0, 8), ("SLIM", 2, 8)]
    assert first == [*planes, ("NucGreen", 0, 400), ("NucBlue", 0, 400)]
    for frame in frames:
        assert len(frame.pixels) == (4 if frame.info.channel == "SLIM" else 1)


def test_only_the_main_modality_is_analysed(mixed: Path) -> None:
    """Tracks see SLIM alone; dyes are recorded, counted, and have their truth."""
    with RunReader(mixed) as run, TruthReader(mixed / "truth.h5") as truth:
        analysed = {run.info(s).channel for s in run.analysed_sequences}
        counted = [dict(h.facts).get("recorded_only", 0) for h in run.health()]

        assert len(run.analysed_sequences) == 9
        assert analysed == {"SLIM"}
        assert truth.sequences.tolist() == run.sequences.tolist()
        assert max(counted) == 5


def test_a_plan_in_which_nothing_is_analysed_is_refused(tmp_path: Path) -> None:
    """A time-lapse of dyes with the modality of another channel says what to change."""
    done = vigil(
        "run", "demo", "--headless", "--output", "run", *STEPPED,
        "--set", 'timelapse.channels=[{config="NucBlue"}]', folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 2
    assert "none of NucBlue would be analysed" in done.stderr
    assert not (tmp_path / "run").exists()
