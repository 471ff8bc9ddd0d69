"""The network corrects the bank, whatever the unit and the direction, or leaves it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from samples import make_cells, make_tracks

from acquisition.errors import BadModel
from configs.schema import Forecasting
from tests.tracking.tracking_scenes import walk
from tracking.forecasts.card import FORECASTS, load_forecast, save_forecast
from tracking.forecasts.forecaster import (
    BANK,
    MODELS,
    TRANSFORMER,
    Forecaster,
    build_corrector,
)
from tracking.forecasts.rolling import Scores
from tracking.forecasts.tokens import make_tokens, turned_back

HORIZONS_S = (60.0, 180.0)


def past_of(places):
    """Give sightings (track, sighting, column) at every minute, traits unknown."""
    past = np.full((len(places), 6, 6), np.nan)
    past[:, :, 0] = 60.0 * np.arange(6)
    past[:, :, 1:3] = places
    return past


def tokens_of(places, unit=1.0):
    """Give the tokens of cells whose expected way is their last step."""
    way = np.repeat(np.diff(places, axis=1)[:, -1:], 2, axis=1) * [[[1.0], [3.0]]]
    noise = np.full(len(places), 0.01 * unit**2)
    variance = np.repeat((way[:, :1, 0] ** 2 + way[:, :1, 1] ** 2), 2, axis=1)
    return make_tokens(past_of(places), noise, way, variance, np.array(HORIZONS_S))


def test_tokens_know_no_unit_and_no_direction():
    """Cells seen in nanometres, turned and elsewhere, look the same to the network."""
    places = np.cumsum(np.random.default_rng(2).normal(size=(7, 6, 2)), axis=1)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])

    plain, other = tokens_of(places), tokens_of(1000 * places @ turn + 5e5, 1000.0)

    assert plain.steps == pytest.approx(other.steps, abs=1e-3)
    assert plain.ahead == pytest.approx(other.ahead, abs=1e-3)


def test_parts_along_and_across_turn_back():
    """What was turned into the way of a cell comes back as it was."""
    places = np.cumsum(np.random.default_rng(3).normal(size=(5, 6, 2)), axis=1)
    along = tokens_of(places).along

    back = turned_back(np.array([[[2.0, 0.0]]] * 5), along)

    assert back[:, 0] == pytest.approx(2 * along)


def test_an_untrained_network_is_the_bank():
    """Before any training every shift is nothing, and every factor one."""
    from tracking.forecasts.card import ResidualShape
    from tracking.forecasts.transformer import (
        AbsoluteTransformer,
        ResidualTransformer,
        torch,
    )

    tokens = tokens_of(np.random.default_rng(4).normal(size=(3, 6, 2)))
    net = ResidualTransformer(ResidualShape())

    out = net(*map(torch.from_numpy, (tokens.steps, tokens.known, tokens.ahead)))

    assert out.shape == (3, 2, 3)
    assert (out == 0).all()
    assert AbsoluteTransformer()(torch.zeros(4, 5, 2)).shape == (4, 5, 2)


def test_the_network_computes_in_the_calling_thread_alone():
    """However many threads torch may use: they would wait for one another."""
    from tracking.forecasts.transformer import torch

    correct, _ = build_corrector(Forecasting(model="transformer"))
    tokens = tokens_of(np.random.default_rng(4).normal(size=(3, 6, 2)))
    seen = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda *_: seen.append(torch.get_num_threads())
    )
    before = torch.get_num_threads()

    torch.set_num_threads(2)
    correct(tokens)
    after = torch.get_num_threads()

    hook.remove()
    torch.set_num_threads(before)
    assert set(seen) == {1}
    assert after == 2


def follow(model):
    """Show 40 wandering cells; give the last forecast, the scores and the tracks."""
    settings = Forecasting(model=model, horizons_s=HORIZONS_S)
    scores = Scores(MODELS, 2)
    correct, _ = build_corrector(settings)
    forecaster = Forecaster(settings, 0.5, scores, correct)
    for minute, here in enumerate(walk(40, 20, 1.0, seed=5)):
        tracks = replace(make_tracks(40), centre_um=here)
        cells = replace(make_cells(40), centre_um=here)
        forecaster.observe(60.0 * minute, cells, tracks)
        made = forecaster.forecast(tracks)
    return made, scores, forecaster


def test_both_models_are_scored_and_the_record_says_who_serves():
    """With auto both have figures; the better one of this run serves."""
    made, scores, forecaster = follow("auto")

    bank, network = scores.figures(BANK), scores.figures(TRANSFORMER)
    better = network["error_um"] < bank["error_um"] and network["nll"] < bank["nll"]
    assert bank != network
    assert made.model == forecaster.serving == (TRANSFORMER if better else BANK)
    assert follow("transformer")[0].model == TRANSFORMER
    assert follow("bank")[0].model == BANK


def test_the_same_run_gives_the_same_forecast():
    """Two runs over the same frames agree to the last bit."""
    first, second = follow("transformer")[0], follow("transformer")[0]

    assert (first.centre_um == second.centre_um).all()
    assert (first.sigma_um == second.sigma_um).all()


def test_a_changed_network_is_refused(tmp_path):
    """Weights that are not those of the card are named; auto goes on with the bank."""
    folder = tmp_path / "changed"
    shutil.copytree(FORECASTS.shipped / "forecast", folder)
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(bytes(data))

    with pytest.raises(BadModel, match="not the weights of this card"):
        build_corrector(Forecasting(model="transformer", weights=str(folder)))
    correct, note = build_corrector(Forecasting(weights=str(folder)))

    assert correct is None
    assert "the bank of walks forecasts alone" in note


def test_a_network_survives_its_folder(tmp_path):
    """What was saved comes back, number for number, with its own hash."""
    model = load_forecast("forecast")

    card = save_forecast(
        tmp_path / "copy", model.card, model.weights, model.golden, "as vigil"
    )

    again = load_forecast(str(tmp_path / "copy"))
    assert again.card == card
    assert all(
        (again.weights[name] == model.weights[name]).all() for name in again.weights
    )
