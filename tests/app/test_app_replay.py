"""``vigil replay``: a recorded run is analysed again, and compared with itself."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from acquisition.archive.compare import compare_runs
from acquisition.archive.reader import RunReader
from acquisition.archive.writer import RunWriter
from acquisition.records import Tracks
from app.__main__ import main
from app.analysis import NAMES_PER_START
from configs.models import CHOSEN_MODELS
from configs.schema import Log
from tests.app.conftest import Refusal
from tests.app.live_runs import SMALL, vigil

pytestmark = pytest.mark.timeout(300)

FRAMES = 10
WORLD = 'schema = 1\nname = "mine"\nbase = "demo"\nseeds = [1]\n'

Replay = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a run with time standing still, in a world of a file; frames are kept."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "mine.toml").write_text(WORLD)
    done = vigil(
        "run", "demo", "--headless", "--output", "run", "--world", "mine.toml", *SMALL,
        "--set", "run.clock=stepped", "--set", "log.frames=all",
        "--set", f"timelapse.time_plan={{interval=60, loops={FRAMES}}}",
        "--set", 'triggers=[{event="contact"}]', folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def replay(
    recorded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Replay:
    """Give a function that replays a run into a new folder, from another place."""
    shutil.copy(recorded.parent / "mine.toml", tmp_path / "moved.toml")
    monkeypatch.chdir(tmp_path)

    def again(run: Path, output: str, *more: str) -> dict[str, Any]:
        there = ("--set", "simulated.world=moved.toml")
        call = ("replay", str(run), "--output", output, *there, "--json", *more)
        assert main(call) == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return result

    return again


def test_a_replay_takes_the_model_that_served(
    replay: Replay, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though another would be chosen today; who asks for the choice anew gets that."""
    monkeypatch.setitem(CHOSEN_MODELS, "slim", {"slim_eunet_b0": 0.65})

    kept = replay(recorded, "kept")
    anew = replay(recorded, "anew", "--set", "inference.model=auto")

    assert kept["identical"]
    for output, model in (("kept", "slim"), ("anew", "slim_eunet_b0")):
        with RunReader(Path(output)) as new:
            assert new.facts.models == (model, "classical")
    assert anew["identical"]  # the classical engine has served both


def test_a_run_analysed_again_says_the_same(recorded: Path, replay: Replay) -> None:
    """Masks, cells, tracks, forecasts and events agree; nothing is sent."""
    result = replay(recorded, "again")

    assert (result["identical"], result["reason"]) == (True, None)
    assert result["differences"] == []
    assert result["frames_analysed"] >= FRAMES
    with RunReader(recorded) as old, RunReader(Path("again")) as new:
        assert new.facts.replay_of == old.facts.run_id != new.facts.run_id
        assert new.facts.models == old.facts.models == ("slim", "classical")
        assert new.state == "ended"
        assert new.truth_path is not None
        asked = [request.event_id for request in new.requests()]
        assert asked == [request.event_id for request in old.requests()]
        assert all(request.dry_run for request in new.requests())


class Moved(RunReader):
    """A run whose tracks lie a little beside where they were recorded."""

    by_um = 0.0

    def tracks(self, sequence: int) -> Tracks:
        """Give the tracks of a frame, moved."""
        tracks = super().tracks(sequence)
        return replace(tracks, centre_um=tracks.centre_um + self.by_um)


@pytest.mark.parametrize(("by_um", "differ"), [(1e-7, 0), (1e-2, FRAMES)])
def test_rounding_is_no_difference(recorded: Path, by_um: float, differ: int) -> None:
    """A ten-millionth of a micrometre is none, a hundredth is one in every frame."""
    with RunReader(recorded) as old, Moved(recorded) as new:
        new.by_um = by_um

        found = compare_runs(old, new).differences

    assert {one.what: one.count for one in found} == (
        {"tracks": differ} if differ else {}
    )


def test_other_settings_say_something_else(recorded: Path, replay: Replay) -> None:
    """Then runs are no repetition of each other; what differs is counted."""
    wish = ("--set", "inference.min_area_um2=300")

    result = replay(recorded, "again", *wish)

    assert result["identical"] is None
    assert result["reason"] == "other settings: inference"
    counts = {one["what"]: one["count"] for one in result["differences"]}
    assert counts["cells"] == result["frames_analysed"]


def test_frames_that_were_not_kept_cannot_be_analysed_again(
    recorded: Path, replay: Replay
) -> None:
    """They are named one by one, and nobody claims that the rest is the same."""
    replay(recorded, "thin", "--set", "log.frames=every", "--set", "log.every=5")

    result = replay(Path("thin"), "again")

    lost = result["skipped"]
    assert 0 < lost < result["frames_analysed"] + lost
    assert result["identical"] is None
    assert f"{lost} of " in result["reason"]
    with RunReader(Path("again")) as run:
        assert {skip.reason for skip in run.skips()} == {"its pixels were not kept"}


def damage(run: Path, name: str, rows: slice) -> None:
    """Overwrite the compressed bytes of some images of a run."""
    for path in run.glob("seg-*.h5"):
        with h5py.File(path) as file:
            ids = file[name].id
            found = [ids.get_chunk_info(k) for k in range(ids.get_num_chunks())]
        with path.open("r+b") as bytes_of:
            for chunk in found[rows]:
                bytes_of.seek(chunk.byte_offset)
                bytes_of.write(b"\xff" * chunk.size)


def test_what_cannot_be_compared_is_said(recorded: Path, replay: Replay) -> None:
    """A damaged mask, masks that are not kept and new names after a restart."""
    shutil.copytree(recorded, "hurt")
    damage(Path("hurt"), "analysis/labels", slice(2, 3))
    for path in Path("hurt").glob("seg-*.h5"):
        with h5py.File(path, "r+") as file:
            rows = file["analysis/tracks"][:]
            rows["track_id"] += NAMES_PER_START
            file["analysis/tracks"][:] = rows

    result = replay(Path("hurt"), "again", "--set", "log.labels=false")

    assert result["identical"] is None
    restarted, unkept, damaged = result["reason"].split("; ", 2)
    assert restarted == "the analysis of that run was restarted"
    assert unkept == f"masks of {result['frames_analysed'] - 1} frames were not kept"
    assert damaged.startswith("1 results cannot be read (labels of frame ")


def test_a_replay_of_nothing_but_damage_fails(
    recorded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No frame could be analysed: the first reason is told, and the exit says so."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(recorded, "hurt")
    for name in ("frames/raw", "frames/single"):
        damage(Path("hurt"), name, slice(None))
    world = f"simulated.world={recorded.parent / 'mine.toml'}"

    code = main(("replay", "hurt", "--output", "again", "--set", world))

    assert code == 1
    said = capsys.readouterr().err
    assert "frames could be analysed; of frame 1 it is said: " in said


def copy_frames(run_dir: Path, name: str, log: Log) -> Path:
    """Give a run with some frames of another, none of them analysed."""
    copied = Path(name)
    copied.mkdir()
    with RunReader(run_dir) as run:
        writer = RunWriter(copied, run.config_text, log, run.facts)
        for sequence in run.sequences[:4].tolist():
            frame = run.frame(sequence)
            assert frame is not None
            writer.write_frame(frame)
        writer.close("ended")
    return copied


def test_frames_that_the_run_had_no_time_for(recorded: Path, replay: Replay) -> None:
    """They are analysed too where that is asked for; nothing is there to compare."""
    result = replay(copy_frames(recorded, "bare", Log()), "again", "--all")

    assert (result["frames_recorded"], result["frames_analysed"]) == (4, 4)
    assert result["identical"] is None
    assert "no time" in result["reason"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "run.seed=3"), "run: settled when the frames were taken"),
        (("--set", "simulated.size_px=512"), "simulated: settled"),
        (("--set", "tracking.nothing=3"), "tracking.nothing: unknown key"),
        (("--set", "log.min_free_gb=1e9"), "log.min_free_gb asks for 1e+09"),
        (("--output", "."), "exists already"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_replayed_is_refused(
    more: tuple[str, ...], message: str, recorded: Path, refusal: Refusal
) -> None:
    """The message names what is wrong, and no folder is made."""
    world = recorded.parent / "mine.toml"

    said = refusal("replay", str(recorded), "--set", f"simulated.world={world}", *more)

    assert message in said
    assert not Path("runs").exists()


def test_a_run_without_pixels_is_refused(recorded: Path, refusal: Refusal) -> None:
    """Of a run that kept no pixels there is nothing to analyse."""
    copy_frames(recorded, "blind", Log(frames="none"))

    assert "the pixels of no frame were kept" in refusal("replay", "blind")
