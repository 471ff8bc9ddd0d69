"""Attention: it runs, it matters, and it is the formula of the paper."""

from typing import Any

import pytest
import torch
from torch import Tensor

from acquisition.errors import BadModel
from inference.architectures import Attention, AttentionUNetShape, UNetShape
from inference.nets.attention_unet import AttentionUNet, SelfAttention
from inference.nets.unet import UNet

MODES: tuple[Attention, ...] = ("window", "pooled", "full")
WIDTHS = (8, 16, 32)


def seeded(shape: AttentionUNetShape) -> AttentionUNet:
    """Make a network, always the same."""
    torch.manual_seed(0)
    return AttentionUNet(shape).eval()


def blocks(network: torch.nn.Module) -> list[SelfAttention]:
    """Give the attention blocks of a network."""
    return [part for part in network.modules() if isinstance(part, SelfAttention)]


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_attention_is_executed_and_changes_the_planes(mode: Attention) -> None:
    """Each block runs once a frame, and with any of them silent the planes differ."""
    network = seeded(AttentionUNetShape(widths=WIDTHS, attention=(mode,) * 3))
    image, runs = torch.randn(1, 1, 32, 32), []
    for part in blocks(network):
        part.register_forward_hook(lambda m, _i, _o: runs.append(m))

    planes = network(image)

    assert len(runs) == len(set(runs)) == len(blocks(network)) == 5
    for part in blocks(network):
        silent = part.join.register_forward_hook(lambda _m, _i, out: 0 * out)
        assert (network(image) - planes).abs().max() > 1e-3
        silent.remove()


@torch.no_grad()
def test_attention_is_softmax_of_queries_and_keys() -> None:
    """Full attention gives softmax(Q K' / sqrt(d)) V of four heads, joined."""
    torch.manual_seed(0)
    part, x = SelfAttention(16, "full").eval(), torch.randn(1, 16, 6, 5)
    tokens = part.before(x.permute(0, 2, 3, 1)).reshape(30, 16)
    query, (key, value) = part.query(tokens), part.key_value(tokens).chunk(2, dim=1)

    heads = []
    for head in range(4):
        q, k, v = (a[:, 4 * head : 4 * head + 4] for a in (query, key, value))
        heads.append(torch.softmax(q @ k.T / 2.0, dim=1) @ v)  # sqrt(4) = 2
    wanted = x.permute(0, 2, 3, 1) + part.join(torch.cat(heads, 1)).reshape(1, 6, 5, 16)
    wanted = wanted + part.feed_forward(part.between(wanted))

    torch.testing.assert_close(part(x).permute(0, 2, 3, 1), wanted)


def reach(part: SelfAttention, place: tuple[int, int], side: int = 40) -> Tensor:
    """Give what changes ``(side, side)`` when the features at one place change."""
    torch.manual_seed(0)
    x = torch.randn(1, 16, side, side)
    other = x.clone()
    other[0, :, place[0], place[1]] += torch.randn(16)
    with torch.no_grad():
        return (part(x) - part(other))[0].abs().amax(0) > 1e-7


@pytest.mark.parametrize(
    ("shift", "rows", "columns"),
    [(0, slice(16, 32), slice(0, 16)), (8, slice(8, 24), slice(8, 24))],
    ids=["plain", "shifted"],
)
def test_windows_keep_to_themselves(shift: int, rows: slice, columns: slice) -> None:
    """A token is seen in its own window alone; a shift moves the borders by half."""
    wanted = torch.zeros(40, 40, dtype=torch.bool)
    wanted[rows, columns] = True

    seen = reach(SelfAttention(16, "window", shift), (17, 10))

    assert torch.equal(seen, wanted)


@pytest.mark.parametrize("shift", [0, 8])
@torch.no_grad()
def test_tokens_beyond_the_border_are_not_seen(shift: int) -> None:
    """A window that a map does not fill attends to what is there, and to no zeros."""
    torch.manual_seed(0)
    part, x = SelfAttention(16, "window", shift), torch.randn(2, 16, 8, 8)
    full = SelfAttention(16, "full")
    full.load_state_dict(part.state_dict())

    torch.testing.assert_close(part(x), full(x))


@pytest.mark.parametrize("mode", ["full", "pooled"])
def test_attention_reaches_the_whole_field(mode: Attention) -> None:
    """Full and pooled attention carry a change to every corner."""
    assert reach(SelfAttention(16, mode), (17, 10)).all()


@torch.no_grad()
def test_pooled_attention_of_a_small_map_is_full() -> None:
    """Where the map has 16 x 16 tokens, its grid of means is the map itself."""
    torch.manual_seed(0)
    pooled, full = SelfAttention(16, "pooled"), SelfAttention(16, "full")
    full.load_state_dict(pooled.state_dict())
    x = torch.randn(1, 16, 16, 16)

    torch.testing.assert_close(pooled(x), full(x))


@torch.no_grad()
def test_full_attention_over_a_large_map_is_refused() -> None:
    """Beyond 64 x 64 tokens the network says what to take instead."""
    network = seeded(AttentionUNetShape(widths=(8, 16), attention=("full", "none")))

    with pytest.raises(BadModel, match=r"72 x 64 tokens.*pooled or window"):
        network(torch.zeros(1, 1, 72, 64))


@pytest.mark.parametrize("attention", [("none",) * 3, ("window", "pooled", "full")])
@torch.no_grad()
def test_a_plain_network_is_a_start(attention: tuple[Any, ...]) -> None:
    """Every weight of a plain U-Net of the same widths has its place."""
    plain = UNet(UNetShape(widths=WIDTHS)).state_dict()
    network = seeded(AttentionUNetShape(widths=WIDTHS, attention=attention))

    left = network.load_state_dict(plain, strict=False)

    assert left.unexpected_keys == []
    assert all(name.startswith("attend_") for name in left.missing_keys)
    assert bool(left.missing_keys) == any(a != "none" for a in attention)


def test_every_attention_block_learns() -> None:
    """A loss on the planes reaches every weight of every block."""
    network = seeded(AttentionUNetShape(widths=WIDTHS, attention=MODES)).train()

    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    silent = [
        name
        for name, weight in network.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]

    assert silent == []
