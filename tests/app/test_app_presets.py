"""The other presets through the whole loop: the C++ core, and recorded sequences."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from acquisition.archive.reader import RunReader
from app.__main__ import main
from calibration.score import score_masks
from tests.app.conftest import Refusal
from tests.app.live_runs import result_of, vigil

pytestmark = pytest.mark.timeout(300)

T98G = ("--set", "microscope.pixel_size_um=0.87", "--set", "sequence.interval_s=300")
"""What the files of the real phase-contrast images do not say themselves."""


def test_the_demonstration_camera_runs_the_same_loop(tmp_path: Path) -> None:
    """Micro-Manager's C++ core and its demonstration devices, end to end."""
    done = vigil(
        "run", "micromanager", "--output", "run", "--duration", "5", "--json",
        "--set", "inference.engine=classical", folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert result_of(done)["frames_recorded"] >= 3
    with RunReader(tmp_path / "run") as run:
        frame = run.frame(int(run.sequences[0]))
        assert frame is not None
        assert frame.pixels.shape == (1, 512, 512)


def discs(number: int) -> Any:
    """Give the names (y, x) of the pixels of two discs that drift, 0 around them."""
    y, x = np.mgrid[:192, :192]
    named = np.zeros((192, 192), np.uint16)
    for name, (at_y, at_x) in enumerate([(60, 60 + number), (130, 120 - number)], 1):
        named[(y - at_y) ** 2 + (x - at_x) ** 2 < 15**2] = name
    return named


def make_sequence(folder: Path, count: int = 6) -> Path:
    """Write a folder of images of the two discs, rough on a smooth ground."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(count):
        image = rng.normal(2000, 20, (192, 192))
        inside = discs(number) > 0
        image[inside] += rng.normal(0, 400, inside.sum())
        tifffile.imwrite(folder / f"t{number:03d}.tif", image.astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Give the result and the directory of a replay with one image cut in half."""
    folder = tmp_path_factory.mktemp("replayed")
    images = make_sequence(folder / "images")
    path = images / "t003.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = vigil(
        "run", "replay", "--images", str(images), "--output", "run", "--json",
        "--set", "microscope.pixel_size_um=0.65", "--set", "sequence.interval_s=60",
        "--set", "inference.engine=classical", folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return result_of(done), folder / "run"


def test_every_readable_image_of_a_folder_is_analysed(replayed: Any) -> None:
    """Replay is frame by frame: nothing is replaced, time is that of the images."""
    summary, out = replayed

    with RunReader(out) as run:
        assert run.analysed_sequences.tolist() == [1, 2, 3, 5, 6]
        times = [run.info(s).time_s for s in run.sequences]
        seen = [run.tracks(s).track_id for s in run.analysed_sequences]
        cells = [len(run.cells(s).label) for s in run.analysed_sequences]
    np.testing.assert_allclose(np.diff(times), [60, 60, 120, 60])
    assert summary["tracks"] == len(np.unique(np.concatenate(seen))) > 0
    assert summary["cells_mean"] == pytest.approx(np.mean(cells), abs=0.01)


def test_a_corrupt_image_costs_one_frame(replayed: Any) -> None:
    """A file with half of its pixels is named in the log, the others are analysed."""
    _, out = replayed

    with RunReader(out) as run:
        (skip,) = run.skips()
    assert (skip.sequence, skip.stage) == (4, "camera")
    assert "t003.tif" in skip.reason


def test_a_replay_is_scored_against_a_label_stack(
    replayed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--truth gives the masks' figure and its baseline, --tracked those of names."""
    _, out = replayed
    labels = tmp_path / "labels.tif"
    tifffile.imwrite(labels, np.stack([discs(number) for number in range(6)]))
    call = ["score", str(out), "--truth", str(labels), "--json"]

    codes = main(call), main([*call, "--tracked"])

    lines = [line for line in capsys.readouterr().out.splitlines() if line[:1] == "{"]
    masks, names = (json.loads(line) for line in lines)
    assert codes == (0, 0)
    assert masks["instance_f1_50"] == masks["baseline_instance_f1_50"] == 1
    assert masks["mota"] is None  # a mask alone is nobody's name
    assert names["instance_f1_50"] == masks["instance_f1_50"]
    assert [names[key] for key in ("true_objects", "mota", "idf1")] == [10, 1, 1]


def test_a_plan_that_cannot_be_unrolled_is_refused(
    refusal: Refusal, tmp_path: Path
) -> None:
    """Time must be the outermost axis; else nothing moves, and no folder is left."""
    order = 'timelapse.axis_order="ptgcz"'

    said = refusal("run", "demo", "--output", "run", "--set", order)

    assert 'timelapse.axis_order: "ptgcz"' in said
    assert not (tmp_path / "run").exists()


def test_a_pixel_size_nobody_knows_is_asked_for(
    refusal: Refusal, tmp_path: Path
) -> None:
    """Pixel size and interval are never guessed."""
    images = make_sequence(tmp_path / "images", 2)

    said = refusal("run", "replay", "--images", str(images))

    assert "pixel_size_um" in said


@pytest.mark.slow
def test_real_fields_run_and_are_scored_with_a_baseline(
    real_data: Path, tmp_path: Path
) -> None:
    """Eight real phase-contrast fields: instance F1 beside the classical one."""
    fields = real_data / "seg_phase_usiigaci"
    done = vigil(
        "run", "replay", "--images", str(fields), "--output", "run", "--json", *T98G,
        folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    figures = score_masks(tmp_path / "run", fields)

    assert result_of(done)["frames_analysed"] == 8
    assert 0 <= figures["instance_f1_50"] <= 1
    assert 0 <= figures["baseline_instance_f1_50"] <= 1


@pytest.mark.slow
def test_a_real_sequence_runs_to_its_end(real_data: Path, tmp_path: Path) -> None:
    """The 37 frames of a real time-lapse are all analysed and tracked."""
    images = real_data / "timelapse_phase_t98g"

    done = vigil(
        "run", "replay", "--images", str(images), "--output", "run", "--json", *T98G,
        folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert result_of(done)["frames_analysed"] == 37
