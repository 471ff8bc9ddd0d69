"""Models at rest: what is accepted, and how the rest is refused."""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import BadModel
from inference.cards import MODELS, Model, load_model, save_model
from inference.model_folder import CARD_FILE, WEIGHTS_FILE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a copy of the shipped model."""
    model = load_model("slim")
    save_model(
        tmp_path, model.card, model.weights, model.golden, "for a test", model.second
    )
    return tmp_path


def test_shipped_model_is_whole() -> None:
    """The shipped weights are those of their card, and say what they are."""
    model = load_model("slim")

    assert model.label.startswith("slim-")
    assert model.card.modalities == ("slim",)
    assert model.card.real == ()
    assert (MODELS.shipped / "slim" / "NOTICE").is_file()
    assert (MODELS.shipped / "slim" / WEIGHTS_FILE).stat().st_size < 9_000_000


def test_saved_model_comes_back(folder: Path) -> None:
    """A path is as good as a name, and nothing is lost on the way."""
    first, second = load_model("slim"), load_model(str(folder))

    assert isinstance(second, Model)
    assert second.card == first.card
    for name, value in first.weights.items():
        np.testing.assert_array_equal(second.weights[name], value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature", 1.5), ("um_per_px", 0.5), ("modalities", ["slim", "brightfield"])],
)
def test_an_edited_card_has_another_label(
    folder: Path, key: str, value: object
) -> None:
    """Records of the model as it was and of the edited one cannot be mixed up."""
    before = load_model(str(folder)).label

    _edit_card(key, value)(folder)

    assert load_model(str(folder)).label != before


def test_held_out_seeds_were_not_trained_on() -> None:
    """No held-out range of the shipped card meets a training range."""
    training = load_model("slim").card.training

    for first, last in training.seeds:
        for begin, end in training.held_out_seeds:
            assert end < first or begin > last


@dataclass(frozen=True)
class Damage:
    """A way to spoil a model folder, and what the error must say."""

    name: str
    spoil: Callable[[Path], object]
    message: str


def _edit_card(key: str, value: object) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        path = folder / CARD_FILE
        card = json.loads(path.read_text())
        path.write_text(json.dumps(card | {key: value}))

    return edit


def _edit_part(part: str, key: str, value: object) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        card = json.loads((folder / CARD_FILE).read_text())
        _edit_card(part, card[part] | {key: value})(folder)

    return edit


def _pickled(folder: Path) -> None:
    data = pickle.dumps({"weight": [1.0, 2.0]})
    (folder / WEIGHTS_FILE).write_bytes(data)
    from inference.model_folder import sha256

    _edit_card("weights_sha256", sha256(data))(folder)


DAMAGES = [
    Damage(
        "one changed byte",
        lambda f: (f / WEIGHTS_FILE).write_bytes(
            (f / WEIGHTS_FILE).read_bytes()[:-1] + b"\x7f"
        ),
        "sha256",
    ),
    Damage(
        "truncated",
        lambda f: (f / WEIGHTS_FILE).write_bytes(
            (f / WEIGHTS_FILE).read_bytes()[:5000]
        ),
        "sha256",
    ),
    Damage("pickled", _pickled, "not a safetensors file"),
    Damage("no weights", lambda f: (f / WEIGHTS_FILE).unlink(), "cannot be read"),
    Damage("no card", lambda f: (f / CARD_FILE).unlink(), "no folder with a card.json"),
    Damage(
        "foreign architecture",
        _edit_card("architecture", {"kind": "my_net", "layers": 3}),
        "architecture",
    ),
    Damage("unknown key", _edit_card("hook", "os.system"), "hook"),
    Damage("no number", _edit_card("temperature", -1), "temperature"),
    Damage(
        "another golden frame",
        _edit_part("golden", "frame_sha256", "0" * 64),
        "golden frame",
    ),
    Damage(
        "other golden maps",
        _edit_part("golden", "maps_sha256", "0" * 64),
        "golden maps",
    ),
    Damage(
        "another grey scale",
        _edit_part("normalisation", "scale", 0.001),
        "normalisation",
    ),
    Damage(
        "another grey offset",
        _edit_part("normalisation", "offset", 0.0),
        "normalisation",
    ),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.name)
def test_damaged_models_are_refused(folder: Path, damage: Damage) -> None:
    """A model that is not what its card says is refused with a reason."""
    damage.spoil(folder)

    with pytest.raises(BadModel, match=damage.message):
        load_model(str(folder))


def test_unknown_name_lists_the_shipped_models() -> None:
    """A typing mistake in the name shows what there is."""
    with pytest.raises(BadModel, match="slim"):
        load_model("slimm")
