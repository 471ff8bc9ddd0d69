"""``vigil report``: what its options say, and what is refused."""

import pytest

from app.report_commands import conditions_of
from tests.app.conftest import Refusal


def test_a_group_may_be_named_twice() -> None:
    """Its patterns are those of both."""
    said = conditions_of(["drug=r1*", "control=P2", "drug=r2*, r3c1"])

    assert said == {"drug": ("r1*", "r2*", "r3c1"), "control": ("P2",)}


@pytest.mark.parametrize("wrong", ["drug=r1*,", "drug=,r1*", "drug=", "drug", "=r1*"])
def test_an_empty_pattern_is_refused(wrong: str, refusal: Refusal) -> None:
    """It would fit every cell that lies on no well."""
    said = refusal("report", "run", "--group", wrong)

    assert "write NAME=PATTERN" in said
