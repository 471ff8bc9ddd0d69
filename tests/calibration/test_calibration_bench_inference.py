"""`vigil bench inference`: its parts are what they say, and its rows are whole."""

import json
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import BadConfig
from app.__main__ import main
from calibration.benchmarks.drawn_cells import DrawnField, Prompted, draw_field
from calibration.benchmarks.inference import Wishes, bench_inference
from calibration.benchmarks.networks import NETWORKS, network_to_time
from calibration.benchmarks.plain_cells import plain_cells, same_instance_share
from configs.schema import Inference, Stand
from inference.cards import Parting
from inference.cells import find_cells
from inference.engines.classical import ClassicalEngine
from inference.phase import phase_in_rad, retrieve_phase

SETTINGS, STAND, PARTING = Inference(), Stand(), Parting()
KEYS = {
    "engine",
    "network",
    "size",
    "wall_ms_p50",
    "cpu_ms",
    "ratio_to_torch_fp32",
    "post_ms",
    "post_ratio_to_skimage",
    "end_to_end_ms",
    "parity_cells",
    "gflop",
    "floor_ms",
    "over_floor",
}


@pytest.fixture(scope="module")
def drawn() -> DrawnField:
    """Give a small drawn field."""
    return draw_field(256, 1, STAND)


def test_the_drawn_field_has_its_cells(drawn: DrawnField) -> None:
    """The drawn frame leads to the drawn cells: their number, and their phase."""
    phase = retrieve_phase(drawn.frame.pixels, STAND)

    _, cells = find_cells(drawn.maps, drawn.frame.info, phase, SETTINGS, STAND, PARTING)

    assert len(cells.label) == drawn.cells == 36  # 500 at 1024 x 1024
    assert len(cells.touching) > 5
    rad = phase_in_rad(phase)
    assert rad[drawn.maps.classes > 0].mean() > 0.4
    assert abs(np.median(rad[drawn.maps.classes == 0])) < 0.05


def test_the_usual_way_finds_the_same_cells(drawn: DrawnField) -> None:
    """SciPy and scikit-image give the same instance on 99.5 % of the foreground."""
    info = drawn.frame.info
    phase = retrieve_phase(drawn.frame.pixels, STAND)

    labels, cells = find_cells(drawn.maps, info, phase, SETTINGS, STAND, PARTING)
    plain, table = plain_cells(drawn.maps, phase, info.pixel_size_um, PARTING)

    assert same_instance_share(labels, plain) > 0.995
    assert len(table["label"]) == len(cells.label)


def test_a_prompted_engine_runs_and_answers_as_drawn(drawn: DrawnField) -> None:
    """The answer is the drawn one; name and model are those of the engine."""
    engine = Prompted(ClassicalEngine(), drawn.maps)

    maps = engine.infer(drawn.frame.pixels[0], 0.0, 1.0)

    assert maps is drawn.maps
    assert engine.name == engine.model == "classical"


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_timed_is_shipped(name: str) -> None:
    """Every network of the bench is a trained one that comes with the package."""
    model = network_to_time(name)

    assert model.card.simulated
    assert name.startswith(model.card.architecture.kind)


def test_rows_say_all_that_was_promised(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last line is JSON with every key of the contract."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    line = "bench inference --size 128 --network stem_unet --engine torch --quick"

    code = main([*line.split(), "--repeat", "1", "--json"])

    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = result["rows"]
    assert code == 0
    assert set(row) >= KEYS
    assert row["ratio_to_torch_fp32"] == row["parity_cells"] == 1.0
    assert result["first_frame"] is None  # not in a quick one


@pytest.mark.parametrize(
    "wishes",
    [Wishes(sizes=(100,)), Wishes(repeat=0), Wishes(threads=0)],
    ids=["size", "repeat", "threads"],
)
def test_senseless_wishes_are_refused(wishes: Wishes) -> None:
    """What cannot be measured is refused by name before anything is made."""
    with pytest.raises(BadConfig, match="--"):
        bench_inference(wishes)
