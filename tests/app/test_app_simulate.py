"""The command ``vigil simulate``: data sets, their truth, and wrong wishes."""

import csv
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from acquisition.errors import BadInput
from acquisition.simulated.truth.file import TruthReader
from acquisition.simulated.world import World
from app.simulate import Wishes, interruptible, simulate
from calibration.data_set import TRUTH, Plan, Shown, make_data_set
from calibration.forecast_oracle import write_oracle
from tests.app.conftest import Refusal
from tests.app.live_runs import result_of, start, vigil, wait_for

SMALL = Wishes(seed=3, frames=3, interval_s=90.0, size_px=256)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a small data set with its contact sheet."""
    folder = tmp_path_factory.mktemp("simulate") / "set"
    simulate("cho_10x", replace(SMALL, output=folder, preview=folder.parent / "s.png"))
    return folder


def test_stacks_say_pixel_size_and_interval(made: Path) -> None:
    """Four steps a frame, phase in rad, ids; OME metadata tell the scales."""
    with tifffile.TiffFile(made / "cho_10x_frames.ome.tif") as file:
        assert file.series[0].axes == "TCYX"
        assert file.series[0].shape == (3, 4, 256, 256)
        assert 'PhysicalSizeX="0.65"' in (file.ome_metadata or "")
        assert 'TimeIncrement="90.0"' in (file.ome_metadata or "")
    phase = tifffile.imread(made / "cho_10x_phase.tif")
    instances = tifffile.imread(made / "cho_10x_instances.tif")
    nuclei = tifffile.imread(made / "cho_10x_nuclei.tif")

    assert phase.dtype == np.float32
    assert phase[instances > 0].mean() > phase[instances == 0].mean() + 0.2
    assert (instances[nuclei > 0] == nuclei[nuclei > 0]).all()


def test_table_and_truth_say_the_same(made: Path) -> None:
    """Every row of the table is a cell of the truth, with its visible pixels."""
    with (made / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    truth = TruthReader(made / "truth.h5")

    last = truth.frame(3)

    mine = [row for row in rows if row["frame"] == "2"]
    assert [int(row["id"]) for row in mine] == last.id.tolist()
    assert [int(row["area_px"]) for row in mine] == last.area_px.tolist()
    assert last.time_s == 180.0
    assert (tifffile.imread(made / "cho_10x_instances.tif")[2] == last.labels).all()


def test_the_same_seed_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    """Made again from its own world file, every file of a data set is equal."""
    simulate(str(made / "world.toml"), replace(SMALL, output=tmp_path / "again"))

    for path in sorted(made.iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path


def test_the_preview_is_a_picture(made: Path) -> None:
    """The contact sheet is a PNG beside the folder."""
    assert (made.parent / "s.png").read_bytes()[:4] == b"\x89PNG"


def test_the_oracle_is_a_table_of_probabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every visible cell has its forecasts, the dead stay dead, the cost is told."""
    wishes = replace(SMALL, frames=1, size_px=128, output=tmp_path / "set", oracle=True)

    simulate("demo", wishes)

    with (tmp_path / "set/oracle.csv").open() as file:
        rows = list(csv.DictReader(file))
    last = TruthReader(tmp_path / "set/truth.h5").frame(1)
    assert [int(row["id"]) for row in rows] == last.id.tolist()
    told = [float(row["dead_3600s"]) for row in rows]
    assert all(0 <= p <= 1 for p in told)
    assert all(p == 1 for p, dead in zip(told, last.dead, strict=True) if dead)
    said = capsys.readouterr().err
    assert re.search(r"oracle: 100 futures of each of 1 frames, about \d", said)


def test_an_interrupted_oracle_leaves_no_table(made: Path, tmp_path: Path) -> None:
    """Ctrl-C leaves neither a half table nor its scratch file."""

    def interrupt(what: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_oracle(tmp_path, made / TRUTH, interrupt)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("modality", ["phase_contrast", "brightfield"])
def test_single_shots_have_no_phase(modality: str, tmp_path: Path) -> None:
    """A frame of another modality is one picture beside its truth."""
    wishes = replace(SMALL, frames=1, modality=modality, output=tmp_path / "set")

    result = simulate("sham", wishes)

    assert result["modality"] == modality
    assert tifffile.imread(tmp_path / "set/sham_frames.ome.tif").shape == (256, 256)
    assert not (tmp_path / "set/sham_phase.tif").exists()


def test_a_set_that_is_cut_short_is_complete_so_far(tmp_path: Path) -> None:
    """After the second of five frames all files hold two, and the state says so."""
    plan = Plan(World.load("cho_10x"), 1, frames=5, interval_s=60, size_px=256)

    def watch(shown: Shown) -> bool:
        return shown.number < 1

    facts = make_data_set(plan, tmp_path / "set", watch)

    assert (facts["state"], facts["frames"]) == ("interrupted", 2)
    for kind in ("frames.ome", "phase", "instances", "nuclei"):
        with tifffile.TiffFile(tmp_path / f"set/cho_10x_{kind}.tif") as file:
            assert file.series[0].shape[0] == 2
    assert len(TruthReader(tmp_path / "set/truth.h5").sequences) == 2


def test_a_killed_set_keeps_the_truth_of_its_frames(tmp_path: Path) -> None:
    """What lies on the disk while a set is made tells all but the last few frames."""
    plan = Plan(World.load("cho_10x"), 1, frames=12, interval_s=60, size_px=128)
    copied = tmp_path / "copy.h5"

    def watch(shown: Shown) -> bool:
        if shown.number == 11:
            copied.write_bytes((tmp_path / "set/truth.h5").read_bytes())
        return True

    make_data_set(plan, tmp_path / "set", watch)

    with TruthReader(copied) as truth:
        assert len(truth.sequences) >= 8


def test_the_first_interrupt_is_kept_and_the_second_ends() -> None:
    """Ctrl-C sets the event; another one raises."""
    with interruptible() as stopped:
        signal.raise_signal(signal.SIGINT)

        assert stopped.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"output": None}, "give --output DIR"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 2**40}, "--seed 1099511627776"),
        ({"frames": 0}, "--frames 0"),
        ({"size_px": 1000}, "--size 1000"),
        ({"size_px": 64}, "--size 64"),
        ({"interval_s": 0.0}, "--interval 0"),
        ({"interval_s": float("nan")}, "--interval nan"),
        ({"quick": True}, "belong to --audit"),
        ({"frames": 1_000_000, "size_px": 4096}, "GB are free"),
        ({"preview": Path("sheet.jpg")}, r"--preview sheet.jpg: give .* in \.png"),
        ({"output": Path("/proc/set")}, "/proc cannot be written"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_a_wrong_wish_is_one_clear_error(
    wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The message names the option and its value, and no folder is left."""
    wishes = replace(SMALL, output=tmp_path / "set")

    with pytest.raises(BadInput, match=message):
        simulate("cho_10x", replace(wishes, **wrong))

    assert not list(tmp_path.iterdir())


def test_a_world_from_outside_and_an_old_folder(
    tmp_path: Path, refusal: Refusal
) -> None:
    """The command takes any world file; a second run refuses the folder, exit 2."""
    world = tmp_path / "mine.toml"
    world.write_text('base = "cho_40x"\n[cells]\nn = 40\n', encoding="utf-8")
    call = ("simulate", str(world), "--size", "128", "--output", "set", "--json")

    first = vigil(*call, folder=tmp_path)
    said = refusal(*call)

    assert first.returncode == 0, first.stderr
    result = result_of(first)
    assert (result["world"], result["state"], result["frames"]) == ("mine", "ended", 1)
    assert said.count("\n") == 1
    assert "--output set: exists already" in said


def test_ctrl_c_leaves_a_readable_folder(tmp_path: Path) -> None:
    """An interrupted set ends after its frame with exit code 130."""
    call = "simulate cho_40x --size 128 --frames 9000 --interval 1 --output set"
    table = tmp_path / "set/cells.csv"
    with start(*call.split(), folder=tmp_path) as process:
        wait_for(lambda: table.exists() and table.stat().st_size > 4096, process)

        process.send_signal(signal.SIGINT)

        assert process.wait(60) == 130
    frames = tifffile.imread(tmp_path / "set/cho_40x_frames.ome.tif")
    assert len(TruthReader(tmp_path / "set/truth.h5").sequences) == len(frames) > 0
