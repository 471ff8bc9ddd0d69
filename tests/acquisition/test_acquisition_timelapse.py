"""Plans of a time-lapse: what cannot be unrolled, or mixes up fields, is refused."""

import pytest
import useq

from acquisition.errors import BadConfig
from acquisition.timelapse import Timelapse


def test_time_must_be_the_outermost_axis() -> None:
    """A plan that visits one position for ever before the next is refused."""
    places = [{"x": 50 * k, "y": 0, "name": "ab"[k]} for k in range(2)]
    plan = useq.MDASequence(
        time_plan={"interval": 10, "loops": 3},
        stage_positions=places,
        axis_order="ptgcz",
    )

    with pytest.raises(BadConfig, match="axis_order"):
        Timelapse(plan, 0.0)


@pytest.mark.parametrize("name", ["request-1", "plane-a"])
def test_a_position_may_not_hide_its_frames(name: str) -> None:
    """A name kept for frames beside the plan is refused: nobody tracks them."""
    plan = useq.MDASequence(stage_positions=[{"x": 0, "y": 0, "name": name}])

    with pytest.raises(BadConfig, match=rf"stage_positions.0.name: '{name}'.*choose"):
        Timelapse(plan, 0.0)


@pytest.mark.parametrize("names", [["a", "b", "a"], ["a", "p2", None], ["", "b", "p0"]])
def test_two_positions_may_not_share_a_name(names: list[str | None]) -> None:
    """Their cells would be tracked as one field; a name left open counts as given."""
    places = [{"x": 50 * k, "y": 0, "name": name} for k, name in enumerate(names)]

    with pytest.raises(BadConfig, match=r"positions.2.name: '(a|p2|p0)'.*of its own"):
        Timelapse(useq.MDASequence(stage_positions=places), 0.0)


def test_positions_without_a_name_are_told_apart() -> None:
    """Each is given a name of its own."""
    places = [{"x": 50 * k, "y": 0} for k in range(3)]

    plan = Timelapse(useq.MDASequence(stage_positions=places), 0.0)

    assert list(plan.positions) == ["p0", "p1", "p2"]
