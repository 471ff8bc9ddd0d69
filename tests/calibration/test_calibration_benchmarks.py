"""The benchmarks: the plain versions compute the same, and the rows say it all."""

import json

import numpy as np
import pytest

from acquisition.errors import BadConfig
from acquisition.simulated.light.camera import CameraModel
from acquisition.simulated.view import touching_pairs
from acquisition.simulated.world import World
from app.__main__ import main
from calibration.benchmarks import plain_optics
from calibration.benchmarks.simulate import DEFOCUS_UM, Scene, bench_simulate

SIZE = 256


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Give a stand after one cycle."""
    scene = Scene.of(World.load("cho_10x"), 1, SIZE)
    for step in scene.steps(0).values():
        step()
    return scene


def test_plain_optics_give_the_same_frames(scene: Scene) -> None:
    """Our frames are the plain ones within 0.2 % of the light (rms), 3 % at most."""
    settings, optics = scene.world.optics, scene.optics
    soft = plain_optics.blurred(scene.phase, settings, DEFOCUS_UM)

    plain = plain_optics.four_frames(
        soft, optics.background, optics.lamp, settings, DEFOCUS_UM
    )

    off = (scene.electrons - plain) / scene.world.camera.background_e
    assert np.abs(off).max() < 0.03
    assert np.sqrt((off**2).mean()) < 2e-3


def test_the_plain_camera_counts_alike() -> None:
    """Counts of an even field have the same mean and the same noise."""
    world = World.load("cho_10x")
    camera = world.camera.model_copy(
        update={"flicker": 0.0, "response_spread": 0.0, "offset_spread_dn": 0.0}
    )
    even = np.full((SIZE, SIZE), 1800, np.float32)
    maps = (np.ones_like(even), np.full_like(even, camera.offset_dn))
    ours = np.empty(even.shape, np.uint16)
    world = world.model_copy(update={"camera": camera})

    CameraModel(world, 1, SIZE).expose(even, 8.0, 1, ours)
    plain = plain_optics.exposed(even, maps, camera, np.random.default_rng(1))

    assert ours.mean() == pytest.approx(plain.mean(), rel=1e-3)
    assert ours.std() == pytest.approx(plain.std(), rel=0.02)


def test_plain_truth_is_the_same(scene: Scene) -> None:
    """Both versions find the same pairs of touching cells."""
    _, pairs = plain_optics.areas_and_pairs(scene.labels)

    assert np.array_equal(pairs, touching_pairs(scene.labels))
    assert len(pairs) > 0


def test_every_step_is_a_row() -> None:
    """The rows name all steps with times, and the optics are faster than NumPy."""
    rows = bench_simulate(SIZE, repeat=3, physics_h=0.2)["rows"]

    named = {row["what"]: row for row in rows}
    assert {"cycle 256", "camera-only cycle 256", "specimen + sprites"} < set(named)
    assert {"compose", "PSF", "direct light + frames", "truth of a frame"} < set(named)
    assert "0.2 h of physics" in named
    assert all(row["cpu_ms"] > 0 and row["wall_ms_p50"] > 0 for row in rows)
    assert named["direct light + frames"]["ratio"] > 1


@pytest.mark.parametrize("given", [{"size": 1000}, {"size": 64}, {"repeat": 0}])
def test_impossible_wishes_are_refused(given: dict[str, int]) -> None:
    """A size that no stand has, or no repeat, is refused with the value."""
    with pytest.raises(BadConfig, match=str(next(iter(given.values())))):
        bench_simulate(**given)


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`vigil bench simulate --json` ends with one object of rows."""
    code = main(["bench", "simulate", "--size", "128", "--repeat", "2", "--json"])

    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert code == 0
    assert rows[-1]["what"] == "18 h of physics"
    assert {"what", "cpu_ms", "wall_ms_p50", "ratio", "floor_ms"} < set(rows[0])
