"""Maps of live and dead cells are forecast beside their copy; a network learns to."""

from pathlib import Path

import numpy as np
import pytest
import torch

from acquisition.errors import BadConfig
from app.train_forecast import is_forecast
from calibration.benchmarks.forecast_maps import (
    JUDGED_FRAMES,
    bench_maps,
    told_maps,
)
from calibration.mask_forecast import iou
from calibration.models.catalogue import list_models, show_model, verify_model
from calibration.training.forecast_map_learner import (
    MapRecipe,
    gather_maps,
    learn_maps,
)
from calibration.training.forecast_map_train import write_maps
from calibration.training.forecast_maps import DEAD, LIVE, MapView, map_course
from calibration.training.recipe import read_recipe
from configs.schema import SHIPPED
from inference.cards import MODELS
from inference.model_folder import CARD_FILE, WEIGHTS_FILE
from tracking.forecasts.card import FORECASTS
from tracking.forecasts.map_card import MapShape
from tracking.forecasts.map_transformer import MapTransformer

EDGE = 128
SMALL = MapRecipe(
    kind="forecast_maps",
    name="small",
    architecture=MapShape(edge=64, patch=16, width=16, layers=1),
    courses=1,
    frames=10,
    steps=3,
    batch=2,
)


@pytest.fixture(scope="module")
def course():
    """Give a small field, seen every 10 minutes."""
    return map_course(MapView("cho_10x", EDGE, 4, 600.0, 14), seed=3, ahead=(2,))


def test_maps_hold_the_cells_where_they_are(course) -> None:
    """Live and dead pixels are those of the masks, whose middle is the cell."""
    frame = 4
    at = course.course.place_um[frame] / course.pixel_um + (EDGE - 1) / 2
    inside = np.isfinite(at[:, 0]) & (np.abs(at - EDGE / 2) < EDGE / 2 - 8).all(axis=1)
    pixel = np.rint(at[inside]).astype(int)
    label = course.labels[frame][pixel[:, 0], pixel[:, 1]]

    kinds = set(np.unique(course.maps).tolist())

    assert kinds == {0, LIVE, DEAD}
    assert ((course.maps > 0) == (course.labels > 0)).all()
    assert np.mean(label == 1 + np.flatnonzero(inside)) > 0.9


def test_masks_moved_by_the_true_way_meet_the_later_map_best(course) -> None:
    """Moved by their forecast they beat the copy, and their true ways bound both."""
    found: dict[str, list[float]] = {}
    for name, told, true in told_maps(course, None):
        found.setdefault(name, []).append(iou(told == LIVE, true == LIVE) or 0.0)

    means = {name: np.mean(values) for name, values in found.items()}

    assert means["copied"] + 0.01 < means["moved masks"]
    assert means["moved masks"] + 0.05 < means["moved masks, true ways"]
    assert {len(values) for values in found.values()} == {14 - 4 - 2}


def test_an_untrained_map_network_copies_and_a_trained_one_comes_back(
    tmp_path: Path,
) -> None:
    """Twice the same bytes; read again, it stands beside the copy."""
    maps = gather_maps(SMALL, lambda *_: True)
    assert maps is not None
    for name in ("one", "two"):
        net = learn_maps(SMALL, maps, lambda *_: True)
        assert net is not None
        write_maps(SMALL, net, tmp_path / name, ())
    fresh = MapTransformer(SMALL.architecture)
    seen = torch.from_numpy(maps[:1, :5])

    told = fresh(seen).argmax(1)

    assert (told[0].numpy() == maps[0, 4]).all()
    one, two = ((tmp_path / n / "weights.safetensors") for n in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    rows = bench_maps(seeds=1, model=tmp_path / "one")["rows"]
    assert [row["model"] for row in rows][-1] == "map network"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("frames = 8\nahead_frames = 4", r"whole file\): frames 8: .*give frames 9"),
        ("architecture = { edge = 100 }", "architecture: edge 100 .* such as 96"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused(
    said: str, message: str, tmp_path: Path
) -> None:
    """Too few maps of a specimen, and patches that leave a rest: before the hours."""
    path = tmp_path / "mine.toml"
    path.write_text(f'kind = "forecast_maps"\nname = "mine"\n{said}\n')

    with pytest.raises(BadConfig, match=message):
        read_recipe(path, MapRecipe)


def test_a_network_is_judged_as_it_was_trained(tmp_path: Path) -> None:
    """One that sees three maps, and far ahead, is judged as often as any other."""
    shape = MapShape(edge=64, patch=16, width=16, layers=1, frames=3)
    recipe = MapRecipe(
        kind="forecast_maps", name="far", architecture=shape, ahead_frames=30, frames=33
    )
    write_maps(recipe, MapTransformer(shape).eval(), tmp_path / "far", ())

    rows = bench_maps(seeds=1, model=tmp_path / "far")["rows"]

    assert {row["maps"] for row in rows} == {JUDGED_FRAMES}
    assert rows[-1]["ahead_s"] == 30 * recipe.interval_s


def test_a_map_network_is_known_among_the_models(tmp_path: Path) -> None:
    """It is listed, told in words and verified; nobody takes it for one of cells."""
    folder = tmp_path / "small"
    write_maps(SMALL, MapTransformer(SMALL.architecture), folder, ())

    assert list_models([folder])[-1]["kind"] == "map_transformer"
    assert "it finds no cells" in show_model(str(folder))["text"]
    assert verify_model(str(folder))["whole"]
    for shelf in (MODELS, FORECASTS):
        assert shelf.look(str(folder)) is None
    card = (folder / CARD_FILE).read_text()
    (folder / CARD_FILE).write_text(card.replace('"width": 16', '"width": 8'))
    assert "do not fit" in verify_model(str(folder))["reason"]
    (folder / WEIGHTS_FILE).write_bytes(b"")
    assert "damaged" in verify_model(str(folder))["reason"]


def test_the_shipped_map_recipe_is_that_of_a_forecast() -> None:
    """It is told from those of segmentation, and training can be stopped."""
    path = SHIPPED / "training" / "forecast_maps.toml"

    assert is_forecast(path)
    assert read_recipe(path, MapRecipe).architecture == MapShape()
    assert gather_maps(SMALL, lambda *_: False) is None
