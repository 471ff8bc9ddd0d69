"""The command ``vigil evaluate``: what it prints, and how it refuses."""

from pathlib import Path
from typing import Any

import pytest

from acquisition.errors import BadInput
from app.__main__ import main
from app.evaluate import Trial, evaluate, pages
from app.tables import pages_text, rows_text
from calibration.models.worlds import CONTRACT, Effort

SMALL = Effort(fields=1, size_px=256)


def test_worlds_and_images_never_share_a_mean(tmp_path: Path) -> None:
    """Each has its own rows and its own median and worst; all are printed."""
    world = tmp_path / "mine.toml"
    world.write_text('base = "demo"\n')

    result = evaluate("slim", Trial((str(world),), effort=SMALL, engine="torch"))

    (row,) = result["worlds"]
    assert (row["name"], set(CONTRACT) <= set(row)) == ("mine", True)
    assert "images" not in result
    text = pages_text(pages(result))
    assert "simulated worlds: median and worst" in text
    assert "mine" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "nothing to evaluate on"),
        (("--worlds", "nowhere"), "nowhere: no such world"),
        (("--worlds", "demo", "--size", "100"), "--size 100"),
        (("--worlds", "demo", "--fields", "0"), "--fields 0"),
        (("--worlds", "demo", "--dead-share", "1"), "--dead-share 1"),
        (("--worlds", "demo", "--crowding", "9"), "--crowding 9"),
        (("--images", "nowhere"), "nowhere: no such folder"),
        (("--images", ".", "--pixel-size", "-1"), "--pixel-size -1"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_exit_code_2(
    given: tuple[str, ...], message: str, capsys: Any
) -> None:
    """The message names the option and its value, and nothing is traced."""
    code = main(["evaluate", "slim", "--engine", "torch", *given])

    said = capsys.readouterr().err
    assert code == 2
    assert message in said
    assert said.count("\n") == 1


def test_a_model_that_is_not_there_is_refused() -> None:
    """The shipped names are listed."""
    with pytest.raises(BadInput, match=r"one of: .*slim"):
        evaluate("none", Trial(("demo",)))


def test_tables_align_and_show_what_is_not_known() -> None:
    """Numbers stand to the right, a figure that cannot be stated is a dash."""
    text = rows_text([{"name": "a", "f1": 0.5}, {"name": "long", "f1": None}])

    assert text.splitlines() == ["name   f1", "a     0.5", "long    -"]
    assert rows_text([]) == "(nothing)"
