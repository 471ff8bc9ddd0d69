"""The network and the graph around it."""

import numpy as np
import pytest
import torch

from acquisition.errors import BadModel
from inference.cards import load_model
from inference.nets.graph import Graph, build_graph
from inference.nets.stem_unet import PLANES, StemUNet


@pytest.mark.parametrize("size", [(64, 64), (96, 160)], ids=["square", "oblong"])
def test_planes_have_the_size_of_the_image(size: tuple[int, int]) -> None:
    """Every size that is a multiple of 32 comes back as it went in."""
    network = StemUNet(base=8, levels=3).eval()

    planes = network(torch.zeros(2, 1, *size))

    assert planes.shape == (2, PLANES, *size)


def test_graph_decides_as_the_planes_say() -> None:
    """Deciding before the pixels are unfolded gives the same maps as after."""
    torch.manual_seed(0)
    network = StemUNet(base=8, levels=1).eval()
    frame = torch.randint(16_000, 16_500, (1, 1, 64, 64), dtype=torch.int32)

    with torch.no_grad():
        graph = Graph(network, 2.0, 0.7)
        maps = graph(frame, torch.tensor([16_000]), torch.tensor([0.01]))
        planes = network((frame - 16_000).float() * 0.01)[0]
    probability = torch.sigmoid((planes[2] - planes[1]) / 2.0 + 0.7)

    torch.testing.assert_close(maps[0, 0], planes[:3].argmax(0).float())
    torch.testing.assert_close(maps[0, 1], torch.round(255 * probability))
    torch.testing.assert_close(maps[0, 2], torch.round(255 * planes[3].clamp(0, 1)))


def test_ties_go_to_background_and_to_live() -> None:
    """Where two classes are level, the graph calls neither a cell nor a death."""
    network = StemUNet(base=8, levels=1).eval()
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)

    maps = Graph(network, 1.0)(torch.zeros(1, 1, 32, 32), torch.zeros(1), torch.ones(1))

    assert not maps[0, 0].any()
    assert torch.all(maps[0, 1] == 128)


def test_foreign_weights_are_refused() -> None:
    """Weights of another architecture give one clear error."""
    model = load_model("slim")
    name = next(iter(model.weights))
    foreign = dict(model.weights) | {name: np.zeros((1, 1, 1, 1), np.float16)}

    with pytest.raises(BadModel, match="do not fit the architecture"):
        build_graph(model.card, foreign)
