"""The engine cache gives what was asked for, whole, or nothing."""

import json
import logging
from dataclasses import fields, replace
from pathlib import Path

import pytest

from acquisition.errors import BadModel
from inference.cards import Model, load_model
from inference.engines.cache import (
    SIDE_FILE,
    EngineCache,
    EngineKey,
    Hardware,
    engine_key,
    notes,
)


@pytest.fixture(scope="module")
def model() -> Model:
    """Give the shipped model."""
    return load_model("slim")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    """Give an empty cache."""
    return EngineCache(tmp_path / "engines")


@pytest.fixture
def key(model: Model) -> EngineKey:
    """Give the key of an engine."""
    return engine_key(model, (64, 96), "f32", "openvino")


def fill(cache: EngineCache, model: Model, key: EngineKey) -> Path:
    """Put an engine of two files into the cache."""

    def write(folder: Path) -> dict[str, str]:
        (folder / "engine").write_bytes(b"raw bytes")
        (folder / "numbers").write_bytes(b"more")
        return {"note": "kept"}

    return cache.put(model, key, write)


def test_an_entry_comes_back(cache: EngineCache, model: Model, key: EngineKey) -> None:
    """What was put under a key is found under it, with its notes."""
    assert cache.find(model, key) is None

    place = fill(cache, model, key)

    assert cache.find(model, key) == place
    assert (place / "engine").read_bytes() == b"raw bytes"
    assert notes(place) == {"note": "kept"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("engine", b"raw"),
        ("engine", None),
        ("stranger", b"not ours"),
        (SIDE_FILE, b"{"),
        (SIDE_FILE, b"[]"),
        (SIDE_FILE, None),
    ],
    ids=["cut off", "missing", "added", "broken side", "odd side", "no side"],
)
def test_a_damaged_entry_is_deleted(
    cache: EngineCache, model: Model, key: EngineKey, name: str, data: bytes | None
) -> None:
    """An entry that is not what was written is deleted, not used."""
    place = fill(cache, model, key)
    (place / name).unlink() if data is None else (place / name).write_bytes(data)

    assert cache.find(model, key) is None
    assert not place.exists()


def test_a_whole_entry_stays_until_it_is_renewed(
    cache: EngineCache, model: Model, key: EngineKey
) -> None:
    """Two processes may make the same engine: the reader of the first keeps it."""

    def write(folder: Path) -> None:
        (folder / "engine").write_bytes(b"later")

    first = fill(cache, model, key)
    before = (first / "engine").read_bytes()

    cache.put(model, key, write)
    kept = (first / "engine").read_bytes()
    cache.put(model, key, write, renew=True)

    assert kept == before
    assert (first / "engine").read_bytes() == b"later"


def test_an_entry_of_another_key_is_deleted(
    cache: EngineCache,
    model: Model,
    key: EngineKey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A whole entry in the place of another one is deleted, with the reason."""
    other = replace(key, hardware=Hardware("H100", "sm_90", "13.0", "580"))
    fill(cache, model, other).replace(cache.place(model, key))

    with caplog.at_level(logging.WARNING):
        found = cache.find(model, key)

    assert found is None
    assert "made for something else" in caplog.text


def test_every_part_of_the_key_counts(key: EngineKey) -> None:
    """Another card, size, precision, version, card or driver is another engine."""
    others = [
        replace(key, **{field.name: (1, 1) if field.name == "shape" else "other"})
        for field in fields(key)
        if field.name != "hardware"
    ] + [
        replace(key, hardware=replace(key.hardware, **{field.name: "other"}))
        for field in fields(Hardware)
    ]

    digests = {other.digest for other in others}

    assert len(digests) == len(others) == 13
    assert key.digest not in digests


def test_the_side_file_names_what_it_was_made_of(
    cache: EngineCache, model: Model, key: EngineKey
) -> None:
    """The side file holds the whole key and the sha256 of every file."""
    entry = json.loads((fill(cache, model, key) / SIDE_FILE).read_bytes())

    assert entry["key"]["weights_sha256"] == model.card.weights_sha256
    assert set(entry["files"]) == {"engine", "numbers"}


def test_a_failed_build_leaves_nothing(
    cache: EngineCache, model: Model, key: EngineKey
) -> None:
    """An engine that cannot be made leaves no half entry behind."""

    def fail(folder: Path) -> None:
        (folder / "engine").write_bytes(b"half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cache.put(model, key, fail)

    assert list(cache.folder.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, model: Model, key: EngineKey
) -> None:
    """A cache folder that is a file gives one message that says what to do."""
    (tmp_path / "engines").write_text("a file")

    with pytest.raises(BadModel, match="cannot be written"):
        fill(EngineCache(tmp_path / "engines"), model, key)
