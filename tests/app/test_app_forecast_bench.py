"""``vigil bench forecast`` refuses what would have no effect."""

import pytest

from tests.app.conftest import Refusal


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (("--maps", "--tracks", "a.csv"), "leave out --tracks or --maps"),
        (("--maps", "--regime", "x"), "--regime has no effect with --maps"),
        (("--maps", "--model", "bank"), "--model has no effect with --maps"),
        (("--maps", "--absolute"), "--absolute has no effect with --maps"),
        (("--maps", "--seeds", "0"), "--seeds must be at least 1 (given: 0)"),
        (("--tracks", "a.csv", "--absolute"), "--absolute has no effect with --tracks"),
        (("--tracks", "a.csv", "--seeds", "2"), "--seeds has no effect with --tracks"),
        (("--weights", "x"), "--weights has no effect without --maps or --tracks"),
        (("--interval", "5"), "it goes with --tracks"),
        (("--seeds", "-1"), "--seeds must be at least 1 (given: -1)"),
    ],
)
def test_an_option_without_effect_is_refused(
    given: tuple[str, ...], fault: str, refusal: Refusal
) -> None:
    """Nothing that was asked for is left out in silence."""
    said = refusal("bench", "forecast", *given)

    assert fault in said
    assert said.count("--seeds must") + said.count("no effect") <= 1
