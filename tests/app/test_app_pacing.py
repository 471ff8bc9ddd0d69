"""How often the window draws."""

from app.pacing import SLOWEST_HZ, Pace


def test_slow_painting_halves_the_rate_and_says_so() -> None:
    """Five slow pictures in a row halve the rate; one alone does not."""
    pace = Pace(30.0)

    changes = [pace.note(80.0) for _ in range(5)]

    assert changes == [False] * 4 + [True]
    assert pace.rate_hz == 15.0
    assert pace.remark == "slow painting: view at 15 of 30 Hz"


def test_the_rate_has_a_floor() -> None:
    """However slow painting is, the view does not stand still."""
    pace = Pace(30.0)

    for _ in range(100):
        pace.note(500.0)

    assert pace.rate_hz == SLOWEST_HZ


def test_the_rate_recovers() -> None:
    """Quick painting brings the wanted rate back, and no more than that."""
    pace = Pace(30.0)
    for _ in range(5):
        pace.note(80.0)

    for _ in range(200):
        pace.note(5.0)

    assert pace.rate_hz == 30.0
    assert pace.remark == ""
