"""A run has a directory of its own, one writer, and a manifest that is checked."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acquisition.archive.directory import (
    LOCK,
    create_exact_directory,
    create_run_directory,
    load_manifest,
)
from acquisition.archive.memory import keep_image_buffers
from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from tests.acquisition.archive.archive_samples import make_frame, make_writer

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_two_runs_of_one_second_get_two_directories(tmp_path: Path) -> None:
    """The name carries the start, and a number where it is taken."""
    names = [create_run_directory(tmp_path, "demo", STARTED).name for _ in range(3)]

    assert names == [
        "demo-20260102-030405",
        "demo-20260102-030405-2",
        "demo-20260102-030405-3",
    ]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc", "a\\b", ".hidden", "a b", "x" * 65]
)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """No run name leaves the folder of the runs."""
    with pytest.raises(BadRun, match="is not allowed"):
        create_run_directory(tmp_path, name, STARTED)

    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_exists_is_refused(tmp_path: Path) -> None:
    """A run never writes into a directory that was there before."""
    create_exact_directory(tmp_path / "mine")

    with pytest.raises(BadRun, match="exists already"):
        create_exact_directory(tmp_path / "mine")


def test_a_directory_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """A file in the way is reported with its path."""
    (tmp_path / "file").write_text("")

    with pytest.raises(BadRun, match="cannot create"):
        create_run_directory(tmp_path / "file", "demo", STARTED)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """The refusal names the process that writes."""
    run = make_writer(tmp_path / "run")

    with pytest.raises(BadRun, match=f"by process {os.getpid()}"):
        make_writer(tmp_path / "run")
    run.write_frame(make_frame(1))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.sequences.tolist() == [1]
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_folder_without_manifest_is_no_run(tmp_path: Path) -> None:
    """The message names the folder and what it misses."""
    with pytest.raises(BadRun, match="holds no manifest"):
        RunReader(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "has format None"),
        ('{"format": "vigil-run/9"}', "reads 'vigil-run/3'"),
        ('{"format": "vigil-run/3"}', "is damaged: state"),
    ],
    ids=["torn", "foreign", "newer", "incomplete"],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Whatever is wrong with a manifest is said in one line."""
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(BadRun, match=message):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    "shape", [[4, 64], [4, 0, 64], [4, 10**9, 10**9], [400, 64, 64], "huge"]
)
def test_the_frame_shape_of_a_manifest_is_capped(tmp_path: Path, shape: object) -> None:
    """No manifest makes the reader reserve absurd memory."""
    make_writer(tmp_path / "run").close("ended")
    path = tmp_path / "run" / "manifest.json"
    data = json.loads(path.read_text())
    data["facts"]["shape"] = shape
    path.write_text(json.dumps(data))

    with pytest.raises(BadRun, match=r"damaged: facts\.shape"):
        RunReader(tmp_path / "run")


def test_the_allocator_takes_the_setting() -> None:
    """Where the C library is glibc, it keeps the buffers of images."""
    is_glibc = platform.libc_ver()[0] == "glibc"

    assert keep_image_buffers() == is_glibc
