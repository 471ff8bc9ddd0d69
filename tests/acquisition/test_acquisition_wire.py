"""Messages: faithful for our records, harmless for everything else."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.errors import BadMessage
from acquisition.records import Command, Event, Frame, Health, StreamCount
from acquisition.wire import decode, encode
from tests.samples import make_analysed, make_info


def assert_same(first: object, second: object) -> None:
    """Compare two records field by field, arrays by value and type."""
    if isinstance(first, np.ndarray):
        assert isinstance(second, np.ndarray)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    elif dataclasses.is_dataclass(first):
        assert type(first) is type(second)
        for field in dataclasses.fields(first):
            assert_same(getattr(first, field.name), getattr(second, field.name))
    elif isinstance(first, tuple):
        assert isinstance(second, tuple)
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


@pytest.mark.parametrize("cells", [0, 1, 37])
def test_an_analysis_comes_back_as_it_was(cells: int) -> None:
    """Every column survives the journey, also with no cell at all."""
    analysed = make_analysed(cells)

    back = decode([bytes(part) for part in encode(analysed)])

    assert_same(analysed, back)


def test_arrays_arrive_read_only() -> None:
    """Nobody can write into a received frame."""
    frame = Frame(make_info(), np.ones((4, 8, 8), np.uint16))

    back = decode([bytes(part) for part in encode(frame)])

    assert not back.pixels.flags.writeable


def test_small_records_come_back() -> None:
    """Health and commands keep their nested figures."""
    count = StreamCount("analysis", 5, 3, 1, 1)
    health = Health("acquisition", "running", 1.0, 2, 0.5, 0, 0, "", (count,), ())

    assert decode(encode(health)) == health
    assert decode(encode(Command("stop"))) == Command("stop")


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_random_bytes_only_ever_raise_bad_message(parts: list[bytes]) -> None:
    """Garbage is refused by name, never by another exception."""
    with pytest.raises(BadMessage):
        decode(parts)


@given(st.data())
def test_mutated_messages_never_escape(data: st.DataObject) -> None:
    """A damaged message is either refused or still a record of the same kind."""
    parts = [bytes(part) for part in encode(make_analysed(3))]
    index = data.draw(st.integers(0, len(parts) - 1))
    at = data.draw(st.integers(0, max(0, len(parts[index]) - 1)))
    damaged = parts[index][:at] + data.draw(st.binary(max_size=4)) + parts[index][at:]
    parts[index] = damaged

    try:
        kind = type(decode(parts)).__name__
    except BadMessage:
        kind = "refused"

    assert kind in ("refused", "Analysed")


def test_a_value_of_the_wrong_type_is_named() -> None:
    """The refusal says which field is wrong."""
    event = Event(1, "death", 1.0, 1, "dish", (1,), (0.0, 0.0), 0.9, 0.95, "m")
    header = json.loads(bytes(encode(event)[0]))
    header["body"][0] = "one"

    with pytest.raises(BadMessage, match=r"Event\.event_id"):
        decode([json.dumps(header).encode()])
