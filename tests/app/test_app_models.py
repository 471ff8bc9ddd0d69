"""The command ``vigil models``: what it prints, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.evaluate import Trial
from app.models import compare, network_pages
from app.tables import pages_text
from calibration.models.learning import LEARNING
from calibration.models.worlds import Effort
from inference.cards import load_model, save_model
from inference.model_folder import CARD_FILE

SMALL = Effort(fields=1, size_px=256)


def last_line(capsys: Any) -> dict[str, Any]:
    """Give the object that --json printed."""
    loaded: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return loaded


def test_the_list_names_the_shipped_model(capsys: Any) -> None:
    """One row a model, with its kind and its size."""
    assert main(["models", "list", "--json"]) == 0

    names = [row["name"] for row in last_line(capsys)["models"]]
    assert "slim" in names


def test_the_card_is_shown(capsys: Any) -> None:
    """Words for people, the card for programs."""
    assert main(["models", "show", "slim"]) == 0

    assert "not good for" in capsys.readouterr().out


def test_a_model_that_was_changed_fails_with_its_reason(
    tmp_path: Path, capsys: Any
) -> None:
    """Verifying exits 1 and says why; a model that is not there is bad input."""
    model = load_model("slim")
    save_model(
        tmp_path, model.card, model.weights, model.golden, "for a test", model.second
    )
    text = (tmp_path / CARD_FILE).read_text().replace('"slim"', '"brightfield"', 1)
    (tmp_path / CARD_FILE).write_text(text.replace(model.card.weights_sha256, "0" * 64))

    assert main(["models", "verify", str(tmp_path)]) == 1
    assert "the card says 000000000000" in capsys.readouterr().out
    assert main(["models", "verify", "nowhere"]) == 2


def test_engines_are_built_and_those_left_out_say_why(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every candidate has a row: it serves, or there is a reason."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    call = ["models", "build", "slim", "--size", "256", "--engine", "torch", "--json"]

    assert main(call) == 0

    rows = last_line(capsys)["engines"]
    assert all(row["serves"] is (row["reason"] is None) for row in rows)
    assert any(row["engine"] == "torch-f32" and row["serves"] for row in rows)


def test_a_model_is_as_good_as_itself() -> None:
    """On the same fields the same model loses nothing."""
    trial = Trial(("demo",), effort=SMALL, engine="torch")

    result = compare("slim", "slim", trial)

    known = [one for one in result["strata"] if one["difference"] is not None]
    assert all(one["difference"] == 0 for one in known)
    assert not any(one["refused"] for one in result["strata"])


def test_networks_are_shown_on_two_pages() -> None:
    """First how good and how large, then how they learned; both name the network."""
    row = {"name": "one", "instance_f1_50": 0.9} | dict.fromkeys(LEARNING, 0.25)

    (_, first), (_, second) = network_pages({"rows": [row]})

    assert list(first[0]) == ["name", "instance_f1_50"]
    assert list(second[0]) == ["name", *LEARNING]
    assert "(nothing)" in pages_text(network_pages({"rows": []}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("slim",), "two models are wanted"),
        (("slim", "slim", "--recipe", "compare"), "not both"),
        (("--recipe", "nowhere"), "no such recipe"),
        (("--recipe", "compare", "--scale", "0"), "--scale 0"),
        (("--recipe", "slim"), "compare.networks: empty"),
    ],
)
def test_a_wrong_comparison_is_bad_input(
    given: tuple[str, ...],
    message: str,
    capsys: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message says what is wanted, and nothing is trained."""
    monkeypatch.chdir(tmp_path)

    assert main(["models", "compare", *given]) == 2

    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
