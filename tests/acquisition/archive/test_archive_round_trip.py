"""Everything that is written comes back as it was."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from acquisition.records import (
    Analysed,
    Forecast,
    Health,
    Reply,
    Skip,
    StreamCount,
)
from configs.schema import Log
from tests.acquisition.archive.archive_samples import (
    assert_same,
    make_facts,
    make_frame,
    make_writer,
    writing_process,
)
from tests.samples import make_analysed


def write_one(directory: Path, analysed: Analysed, log: Log | None = None) -> None:
    """Record one frame and its analysis, and seal the run."""
    run = make_writer(directory, log)
    run.write_frame(make_frame(analysed.segmented.info.sequence))
    run.write_analysed(analysed)
    run.close("ended")


@pytest.mark.parametrize("count", [0, 1, 37])
def test_an_analysis_comes_back_as_it_was(tmp_path: Path, count: int) -> None:
    """Cells, tracks, forecast, masks and phase survive, also without any cell."""
    made = make_analysed(count, 5, 5.0)
    analysed = replace(made, segmented=replace(made.segmented, prior_shift=-0.5))

    write_one(tmp_path / "run", analysed, Log(phase=True))

    with RunReader(tmp_path / "run") as run:
        assert_same(run.cells(5), analysed.segmented.cells)
        assert_same(run.tracks(5), analysed.tracks)
        assert_same(run.forecast(5), analysed.forecast)
        assert_same(run.labels(5), analysed.segmented.labels)
        assert_same(run.phase(5), analysed.segmented.phase)
        assert run.model_and_engine(5) == ("slim-0123abcd", "classical")
        assert run.analysis_table()["prior_shift"].tolist() == [-0.5]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=6), seed=st.integers(0))
def test_frames_keep_their_own_rows(
    tmp_path: Path, counts: list[int], seed: int
) -> None:
    """With any numbers of cells in a row each frame gets exactly its own back."""
    directory = tmp_path / str(len(list(tmp_path.iterdir())))
    run = make_writer(directory)
    written = [make_analysed(n, k + 1, float(seed % 99)) for k, n in enumerate(counts)]
    for analysed in written:
        run.write_analysed(analysed)
    run.close("ended")

    with RunReader(directory) as back:
        for sequence in back.analysed_sequences:
            expected = written[int(sequence) - 1]
            assert_same(back.cells(int(sequence)), expected.segmented.cells)
            assert_same(back.tracks(int(sequence)), expected.tracks)


def test_a_forecast_without_horizons_is_empty(tmp_path: Path) -> None:
    """Where nothing was forecast, an empty forecast comes back."""
    analysed = make_analysed(3)
    none = Forecast(
        analysed.tracks.track_id,
        np.zeros(0),
        np.zeros((3, 0, 2)),
        np.zeros((3, 0)),
        "x",
    )

    write_one(tmp_path / "run", dataclasses.replace(analysed, forecast=none))

    with RunReader(tmp_path / "run") as run:
        assert run.forecast(1).centre_um.shape == (0, 0, 2)


def test_a_frame_comes_back_as_it_was(tmp_path: Path) -> None:
    """Pixels and every field of the header survive, text beyond ASCII too."""
    frame = make_frame(3)
    info = dataclasses.replace(
        frame.info, position="Schälchen µ", stage_yx_um=(1.5, -2.5), beam_open=True
    )
    frame = dataclasses.replace(frame, info=info)
    run = make_writer(tmp_path / "run")

    run.write_frame(frame)
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert_same(back.frame(3), frame)


def test_long_text_is_cut_between_characters(tmp_path: Path) -> None:
    """A name longer than its field is shortened, never broken."""
    frame = make_frame(1)
    info = dataclasses.replace(frame.info, position="µ" * 40 + "x")
    run = make_writer(tmp_path / "run")

    run.write_frame(dataclasses.replace(frame, info=info))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.info(1).position == "µ" * 32


def test_the_small_records_come_back(tmp_path: Path) -> None:
    """Events, requests, replies, skips and health survive in their order."""
    analysed = make_analysed(2)
    reply = Reply(1, 2.0, "refused", "too late")
    skip = Skip(4, 4.0, "transport", "replaced by a newer frame")
    health = Health(
        "recorder", "running", 1.0, 2, 3.5, 4, 5, "", (StreamCount("a", 3, 1, 1, 1),),
        (("disk_free_gb", 12.5),),
    )  # fmt: skip
    run = make_writer(tmp_path / "run")

    run.write_analysed(analysed)
    run.write_reply(reply)
    run.write_skip(skip)
    run.write_health(health)
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.events() == list(analysed.events)
        assert back.requests() == list(analysed.requests)
        assert (back.replies(), back.skips(), back.health()) == (
            [reply],
            [skip],
            [health],
        )


def test_the_facts_of_the_run_come_back(tmp_path: Path) -> None:
    """Facts, settings text and final state are those of the run."""
    write_one(tmp_path / "run", make_analysed(1))

    with RunReader(tmp_path / "run") as run:
        assert run.facts == make_facts()
        assert (run.config_text, run.state) == ('name = "x"\n', "ended")
        assert run.truth_path is None


def test_stamps_name_every_recorded_frame(tmp_path: Path) -> None:
    """A frame that was never analysed stands in the stamps with zeros."""
    run = make_writer(tmp_path / "run")
    for sequence in (1, 2):
        run.write_frame(make_frame(sequence))
    run.write_analysed(make_analysed(1, 2))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        stamps = back.stamps()

    assert stamps["sequence"].tolist() == [1, 2]
    assert stamps["exposure_end_ns"].tolist() == [2_000, 2_000]
    assert stamps["decision_ns"].tolist() == [0, 10_000]


def test_an_analysis_may_come_in_a_later_segment(tmp_path: Path) -> None:
    """Segments roll by size or age, and no frame notices."""
    run = make_writer(tmp_path / "run", Log(segment_gb=1e-9))
    for sequence in range(1, 41):
        run.write_frame(make_frame(sequence))
        if sequence > 20:
            run.write_analysed(make_analysed(3, sequence - 20))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert len(back.manifest.segments) > 2
        assert back.sequences.tolist() == list(range(1, 41))
        assert back.analysed_sequences.tolist() == list(range(1, 21))
        assert_same(back.frame(40), make_frame(40))


def test_sealed_segments_are_hashed(tmp_path: Path) -> None:
    """At the end the manifest knows size and SHA-256 of every segment."""
    write_one(tmp_path / "run", make_analysed(1))

    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())

    (segment,) = manifest["segments"]
    assert segment["state"] == "sealed"
    assert segment["size_bytes"] == (tmp_path / "run" / segment["name"]).stat().st_size
    assert len(segment["sha256"]) == 64


def test_a_running_run_can_be_read(tmp_path: Path) -> None:
    """A reader follows a living writer and never runs ahead of its commits."""
    run = make_writer(tmp_path / "run")
    with RunReader(tmp_path / "run") as back:
        assert (back.state, len(back.sequences)) == ("recording", 0)

        for sequence in range(1, 31):
            run.write_frame(make_frame(sequence))
        back.refresh()

        assert back.sequences.tolist() == list(range(1, 31))
        assert_same(back.frame(30), make_frame(30))
    run.close("ended")


def test_what_is_sent_twice_counts_once(tmp_path: Path) -> None:
    """Frames, analyses and events that a stream repeats appear once."""
    run = make_writer(tmp_path / "run")
    for _ in range(2):
        run.write_frame(make_frame(1))
        run.write_analysed(make_analysed(2))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.sequences.tolist() == back.analysed_sequences.tolist() == [1]
        assert (len(back.events()), len(back.requests())) == (1, 1)


def test_another_process_can_be_followed(tmp_path: Path) -> None:
    """A reader sees the run of a busy writer grow, across its segments."""
    with writing_process(tmp_path / "run", tmp_path / "notes") as notes:
        with RunReader(tmp_path / "run") as back:
            seen = [len(back.sequences)]
            while seen[-1] < 80:
                back.refresh()
                seen.append(len(back.sequences))
                last = int(back.sequences[-1]) if seen[-1] else 1
                assert seen[-1] == 0 or back.frame(last) is not None

            assert back.state == "recording"
            assert seen == sorted(seen)
            assert len(back.manifest.segments) > 1
        assert int(notes.read_text().splitlines()[-1].split()[1]) >= 80


def test_the_frame_table_holds_every_frame(tmp_path: Path) -> None:
    """One table gives time and dose of all frames at once."""
    run = make_writer(tmp_path / "run")
    for sequence in (2, 1):
        run.write_frame(make_frame(sequence))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.frame_table()["time_s"].tolist() == [1.0, 2.0]


def test_a_frame_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Asking for an unknown frame says which, and how many there are."""
    write_one(tmp_path / "run", make_analysed(1))

    with (
        RunReader(tmp_path / "run") as run,
        pytest.raises(BadRun, match=r"frame 9 was not recorded; 1 frames were"),
    ):
        run.frame(9)


def test_plain_h5py_reads_the_tables(tmp_path: Path) -> None:
    """Any HDF5 program sees the documented names, columns and attributes."""
    write_one(tmp_path / "run", make_analysed(3, 1))

    with h5py.File(tmp_path / "run" / "seg-00000.h5") as file:
        assert file.attrs["format"] == b"vigil-run/3"
        assert file["frames/raw"].shape == (1, 4, 64, 64)
        assert file["analysis/cells"]["label"].tolist() == [1, 2, 3]
        assert file["analysis/index"]["cells"].tolist() == [[0, 3]]
        assert file["analysis/events"]["tracks"].tolist() == [[1, 0, 0]]
