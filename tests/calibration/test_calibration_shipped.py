"""The shipped weights hold their quality on fields that nobody trained on."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from samples import make_info

from acquisition.records import CellState, Frame, read_only
from acquisition.simulated.fields import render_field
from acquisition.simulated.world import World
from calibration.metrics import find_overlaps, instance_f1, match_objects
from configs.schema import Inference, Stand
from inference.engines.cell_engines import select_closer_look
from inference.select import select_engine
from inference.stage import InferenceStage

SEEDS = (4242, 4243, 4244, 4245)
SIZE_PX = 1024
DEAD_SHARE = 0.25


@dataclass(frozen=True)
class Found:
    """What was found in all fields."""

    f1: float
    true: NDArray[np.uint8]  # (matched cell,) CellState
    called: NDArray[np.uint8]  # (matched cell,) CellState


@pytest.fixture(scope="module", params=[("demo", "slim"), ("hela_40x", "slim_40x")])
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Found:
    """Render the fields, and analyse them as a run does with whatever serves."""
    name, model = request.param
    world, settings = World.load(name), Inference(model=model, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        engine, card, _ = select_engine(settings, (SIZE_PX, SIZE_PX))
        closer, _ = select_closer_look(settings, card, engine.name)
    assert card is not None
    stand = Stand(
        wavelength_um=world.optics.wavelength_um,
        ring_amplitude=world.optics.ring_amplitude,
    )
    assert (closer is not None) == (model == "slim")
    stage = InferenceStage(engine, card, settings, stand, closer)
    parts = [_analyse(stage, world, seed) for seed in SEEDS]
    engine.close()
    counts = np.sum([part[0] for part in parts], axis=0)
    return Found(
        f1=instance_f1(*counts) or 0.0,
        true=np.concatenate([part[1] for part in parts]),
        called=np.concatenate([part[2] for part in parts]),
    )


def _analyse(
    stage: InferenceStage, world: World, seed: int
) -> tuple[tuple[int, int, int], NDArray[np.uint8], NDArray[np.uint8]]:
    """Give the counts (matched, true, found), and both states of matched cells."""
    mix = world.mix.with_dead(DEAD_SHARE)
    field = render_field(world, seed, SIZE_PX, mix)
    info = replace(make_info(), pixel_size_um=field.pixel_size_um)
    segmented = stage(read_only(Frame(info, field.frames)))
    overlaps = find_overlaps(field.labels, segmented.labels)
    rows = match_objects(overlaps)
    state = np.zeros(int(field.ids.max()) + 1, np.uint8)
    state[field.ids] = field.state
    counts = (rows.size, overlaps.true_label.size, overlaps.found_label.size)
    called = segmented.cells.state[overlaps.found[rows] - 1]
    return counts, state[overlaps.true[rows]], called


def test_cells_are_found(found: Found) -> None:
    """Nine of ten cells are found as one cell, and hardly any besides."""
    assert found.f1 >= 0.9


@pytest.mark.parametrize(
    ("state", "least"), [(CellState.LIVE, 0.85), (CellState.DEAD, 0.65)]
)
def test_cells_are_called_what_they_are(
    found: Found, state: CellState, least: float
) -> None:
    """Live cells are called live and dead cells dead, in a single frame."""
    own = found.called[found.true == state]

    assert own.size > 50
    assert (own == state).mean() >= least
