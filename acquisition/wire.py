"""Records as messages: one JSON header of plain types, then raw array buffers.

Nothing that comes in is executed or trusted: the kinds of record are a closed set,
every value is checked against the type of its field, and an array must have the dtype
of its field and exactly the bytes that its shape says. No pickle anywhere.
"""

import json
import math
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

import numpy as np

from acquisition import records
from acquisition.errors import BadMessage

VERSION = 1
"""Version of the message layout; another one is refused."""

MOST_DIMENSIONS = 4
MOST_BYTES = 1 << 30

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        records.Analysed,
        records.Command,
        records.Event,
        records.Frame,
        records.Health,
        records.Ready,
        records.Reply,
        records.Request,
        records.Segmented,
        records.Skip,
    )
}
"""The records that may travel on their own."""

Buffer = bytes | memoryview
_Decode = Callable[[Any, Sequence[Buffer], str], Any]


def encode(record: Any) -> list[Buffer]:
    """Give the parts of a message; array memory is shared, not copied."""
    kind = type(record).__name__
    if KINDS.get(kind) is not type(record):
        raise TypeError(f"{kind} is not a record that travels")
    buffers: list[Buffer] = []
    body = _plain(record, buffers)
    header = json.dumps({"v": VERSION, "kind": kind, "body": body})
    return [header.encode(), *buffers]


def decode(parts: Sequence[Buffer]) -> Any:
    """Rebuild a record; arrays are read-only views of the received buffers.

    Raises
    ------
    BadMessage
        Naming the field that is wrong. No other exception comes from any input.
    """
    if not parts:
        raise BadMessage("empty message")
    try:
        header = json.loads(bytes(parts[0]))
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"header is no JSON: {error}") from error
    if not isinstance(header, dict) or header.get("v") != VERSION:
        raise BadMessage(f"not a message of version {VERSION}")
    kind = KINDS.get(str(header.get("kind")))
    if kind is None:
        raise BadMessage(f"unknown kind {str(header.get('kind'))[:40]!r}")
    return _decoder(kind)(header.get("body"), parts[1:], kind.__name__)


def size_of(parts: Sequence[Buffer]) -> int:
    """Bytes of an encoded message."""
    return sum(
        part.nbytes if isinstance(part, memoryview) else len(part) for part in parts
    )


def _plain(value: Any, buffers: list[Buffer]) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        buffers.append(array.data.cast("B") if array.size else b"")
        return [len(buffers) - 1, list(array.shape)]
    if is_dataclass(value):
        return [_plain(getattr(value, f.name), buffers) for f in fields(value)]
    if isinstance(value, tuple):
        return [_plain(item, buffers) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


@cache
def _decoder(kind: Any) -> _Decode:
    """Build the checked decoder of a type once."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _record_decoder(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is np.ndarray:
        return _array_decoder(np.dtype(get_args(arguments[1])[0]))
    if origin is tuple:
        return _tuple_decoder(arguments)
    if origin is Literal:
        return _literal_decoder(arguments)
    if origin in (types.UnionType, typing.Union):
        (inner,) = [item for item in arguments if item is not type(None)]
        decode_inner = _decoder(inner)
        return lambda v, b, at: None if v is None else decode_inner(v, b, at)
    return _scalar_decoder(kind)


def _record_decoder(kind: type) -> _Decode:
    hints = typing.get_type_hints(kind)
    steps = [(f.name, _decoder(hints[f.name])) for f in fields(kind)]

    def decode_record(value: Any, buffers: Sequence[Buffer], at: str) -> Any:
        if not isinstance(value, list) or len(value) != len(steps):
            raise BadMessage(f"{at}: expected {len(steps)} fields")
        return kind(
            *(
                step(item, buffers, f"{at}.{name}")
                for (name, step), item in zip(steps, value, strict=True)
            )
        )

    return decode_record


def _array_decoder(dtype: np.dtype[Any]) -> _Decode:
    def decode_array(value: Any, buffers: Sequence[Buffer], at: str) -> Any:
        if not isinstance(value, list) or len(value) != 2:
            raise BadMessage(f"{at}: expected [buffer, shape]")
        index, shape = value
        if type(index) is not int or not 0 <= index < len(buffers):
            raise BadMessage(f"{at}: no buffer {index!r}")
        if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS:
            raise BadMessage(f"{at}: bad shape")
        if any(type(n) is not int or not 0 <= n <= MOST_BYTES for n in shape):
            raise BadMessage(f"{at}: bad shape {shape}")
        expected = math.prod(shape) * dtype.itemsize
        buffer = buffers[index]
        if expected > MOST_BYTES or size_of([buffer]) != expected:
            raise BadMessage(f"{at}: {shape} of {dtype} needs {expected} bytes")
        array = np.frombuffer(buffer, dtype).reshape(shape)
        array.setflags(write=False)
        return array

    return decode_array


def _tuple_decoder(arguments: tuple[Any, ...]) -> _Decode:
    many = len(arguments) == 2 and arguments[1] is Ellipsis
    steps = [_decoder(item) for item in arguments if item is not Ellipsis]

    def decode_tuple(value: Any, buffers: Sequence[Buffer], at: str) -> Any:
        if not isinstance(value, list) or not (many or len(value) == len(steps)):
            raise BadMessage(f"{at}: expected a list")
        used = steps * len(value) if many else steps
        return tuple(
            step(item, buffers, f"{at}[{i}]")
            for i, (step, item) in enumerate(zip(used, value, strict=True))
        )

    return decode_tuple


def _literal_decoder(allowed: tuple[Any, ...]) -> _Decode:
    def decode_literal(value: Any, _buffers: Sequence[Buffer], at: str) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise BadMessage(f"{at}: {str(value)[:40]!r} is none of {allowed}")
        return value

    return decode_literal


def _scalar_decoder(kind: Any) -> _Decode:
    accepted = {float: (float, int), int: (int,), str: (str,), bool: (bool,)}[kind]

    def decode_scalar(value: Any, _buffers: Sequence[Buffer], at: str) -> Any:
        if type(value) not in accepted:
            raise BadMessage(f"{at}: expected {kind.__name__}")
        try:
            return kind(value)
        except OverflowError as error:
            raise BadMessage(f"{at}: out of range") from error

    return decode_scalar
