"""Every kind of network can be named in a recipe, trained, and made a model."""

from pathlib import Path

import pytest
import torch

from acquisition.errors import BadConfig
from calibration.training.export import load_best, shipped_weights
from calibration.training.learner import Training
from calibration.training.recipe import Recipe, load_recipe
from inference.cards import load_model
from inference.nets.graph import build_graph

NETWORKS = {
    "eunet": 'kind = "eunet"\ndecoder = [32, 16, 16, 8, 8]\n',
    "attention_unet": (
        'kind = "attention_unet"\nstem = 2\nwidths = [8, 16]\n'
        'attention = ["window", "full"]\n'
    ),
    "unet": 'kind = "unet"\nwidths = [8, 16]\n',
    "vgg_unet": (
        'kind = "vgg_unet"\nfrozen_encoder = true\ndecoder = [16, 16, 16, 8, 8]\n'
    ),
    "gated_unet": 'kind = "gated_unet"\ndecoder = [16, 16, 8, 8]\n',
    "encoder_unet": (
        'kind = "encoder_unet"\nencoder = "mobilenet_v2"\nfrozen_encoder = true\n'
        "decoder = [16, 16, 8, 8]\n"
    ),
    "vit_unet": 'kind = "vit_unet"\nsize = "tiny"\n',
}


def recipe_of(network: str, folder: Path) -> Recipe:
    """Write a recipe, and read it."""
    path = folder / "recipe.toml"
    path.write_text(f"[network]\n{network}", encoding="utf-8")
    return load_recipe(path)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_trained_network_of_any_kind_becomes_a_model(
    kind: str, tmp_path: Path
) -> None:
    """What the training kept is read back, and its weights fit the graph."""
    recipe = recipe_of(NETWORKS[kind], tmp_path)
    training = Training(recipe, tmp_path)
    training.save()
    torch.save(training.averaged.state_dict(), tmp_path / "best.pt")
    card = load_model("slim").card.model_copy(update={"architecture": recipe.network})

    network, steps = load_best(recipe, tmp_path)
    weights = shipped_weights(network)
    graph = build_graph(card, weights)

    assert recipe.network.kind == kind
    assert steps == 0
    assert set(weights) <= set(graph.network.state_dict())


def test_an_unknown_network_lists_those_there_are(tmp_path: Path) -> None:
    """A recipe that names no network of the set is refused with the whole set."""
    with pytest.raises(BadConfig, match=r"network: kind is none of stem_unet, eunet"):
        recipe_of('kind = "resnet"\n', tmp_path)
