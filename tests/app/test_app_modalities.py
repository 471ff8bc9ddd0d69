"""Every modality goes once through the whole loop: real processes, a small specimen."""

from pathlib import Path

import pytest

from acquisition.archive.reader import RunReader
from acquisition.simulated.truth.file import TruthReader
from tests.app.conftest import Refusal
from tests.app.live_runs import SMALL, result_of, vigil

pytestmark = pytest.mark.timeout(300)

STEPPED = (*SMALL, "--set", "run.clock=stepped", "--set", "log.frames=all")

MODALITIES = [
    ("phase_contrast", "PhaseContrast", 8),
    ("brightfield", "Brightfield", 8),
    ("fluorescence", "NucBlue", 400),
]


def assert_cells_are_found(folder: Path, sequences: list[int]) -> None:
    """Look whether about as many cells are found as are there."""
    with RunReader(folder) as run, TruthReader(folder / "truth.h5") as truth:
        found = [len(run.cells(sequence).label) for sequence in sequences]
        there = [len(truth.frame(sequence).id) for sequence in sequences]
    assert all(0.4 * n <= m <= 2 * n for m, n in zip(found, there, strict=True))


@pytest.mark.parametrize(("modality", "channel", "exposure_ms"), MODALITIES)
def test_each_modality_goes_through_the_whole_loop(
    modality: str, channel: str, exposure_ms: int, tmp_path: Path
) -> None:
    """Frames are recorded, analysed and have their truth, whatever the contrast.

    SLIM does so in the run of several channels.
    """
    done = vigil(
        "run", "demo", "--headless", "--json", "--output", "run", *STEPPED,
        "--set", "timelapse.time_plan={interval=60, loops=4}",
        "--set", f"microscope.modality={modality}",
        "--set", f"microscope.exposure_ms={exposure_ms}", folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert result_of(done)["frames_by_channel"] == {channel: 4}
    with RunReader(tmp_path / "run") as run:
        assert run.analysed_sequences.tolist() == [1, 2, 3, 4]
        for frame in (run.frame(sequence) for sequence in run.sequences):
            assert frame.info.modality == modality
            assert frame.pixels.shape == (1, 256, 256)
    assert_cells_are_found(tmp_path / "run", [1, 2, 3, 4])


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
        "run", "demo", "--headless", "--json", "--output", "run", *STEPPED,
        "--set", f"timelapse={MIXED}", "--set", "triggers=[]", folder=folder,
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
        steps = 4 if frame.info.channel == "SLIM" else 1
        assert frame.pixels.shape == (steps, 256, 256)


def test_only_the_main_modality_is_analysed(mixed: Path) -> None:
    """Tracks see SLIM alone; dyes are recorded, counted, and have their truth."""
    with RunReader(mixed) as run, TruthReader(mixed / "truth.h5") as truth:
        infos = [run.info(s) for s in run.analysed_sequences]
        analysed = {(info.channel, info.modality) for info in infos}
        counted = [dict(h.facts).get("recorded_only", 0) for h in run.health()]

        assert len(run.analysed_sequences) == 9
        assert analysed == {("SLIM", "slim")}
        assert truth.sequences.tolist() == run.sequences.tolist()
        assert max(counted) == 5
        in_focus = [s for s in run.analysed_sequences if run.info(s).focus_um == 0]
    assert_cells_are_found(mixed, in_focus)


def test_planes_out_of_focus_are_measured_and_not_tracked(mixed: Path) -> None:
    """Each plane has its cells; only the one in focus has tracks."""
    with RunReader(mixed) as run:
        planes = [run.info(s) for s in run.analysed_sequences[:3]]
        cells = [len(run.cells(info.sequence).label) for info in planes]
        tracked = [len(run.tracks(s).track_id) for s in run.analysed_sequences[-3:]]

    assert [one.position for one in planes] == ["plane-0-dish", "dish", "plane-2-dish"]
    assert min(cells) > 0
    assert [count > 0 for count in tracked] == [False, True, False]


def test_a_plan_in_which_nothing_is_analysed_is_refused(
    refusal: Refusal, tmp_path: Path
) -> None:
    """A time-lapse of dyes with the modality of another channel says what to change."""
    dyes = 'timelapse.channels=[{config="NucBlue"}]'

    said = refusal("run", "demo", "--output", "run", *STEPPED, "--set", dyes)

    assert "none of NucBlue would be analysed" in said
    assert not (tmp_path / "run").exists()
