"""Which frames are kept; the index names all of them all the same."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from acquisition.archive.policy import FramePolicy
from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from acquisition.records import Frame
from configs.schema import Log
from tests.acquisition.archive.archive_samples import (
    assert_same,
    make_frame,
    make_writer,
)
from tests.samples import make_analysed


@dataclass(frozen=True)
class Case:
    """A policy, and which of the frames 1 to 9 it keeps; frame 5 is an extra one."""

    name: str
    log: Log
    kept: list[int]


CASES = [
    Case("all", Log(frames="all"), list(range(1, 10))),
    Case("every third", Log(frames="every", every=3), [1, 4, 5, 7]),
    Case("events", Log(frames="events", window_s=2), [3, 4, 5, 6, 7]),
    Case("none", Log(frames="none"), []),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_policy_keeps_its_frames(tmp_path: Path, case: Case) -> None:
    """Pixels by the policy, index rows for every frame, extra frames always."""
    run = make_writer(tmp_path / "run", case.log)
    for sequence in range(1, 10):
        cause = "request:1" if sequence == 5 else "protocol"
        run.write_frame(make_frame(sequence, cause=cause))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.sequences.tolist() == list(range(1, 10))
        assert back.kept_sequences.tolist() == case.kept
        for sequence in case.kept:
            pixels = make_frame(sequence).pixels
            assert_same(back.frame(sequence).pixels, pixels)
        assert all(
            back.frame(sequence) is None
            for sequence in set(range(1, 10)) - set(case.kept)
        )


def test_an_event_keeps_the_past_and_the_future(tmp_path: Path) -> None:
    """Frames within the window before and after the event are written, once."""
    run = make_writer(tmp_path / "run", Log(frames="events", window_s=3))
    for sequence in range(1, 21):
        run.write_frame(make_frame(sequence))
        if sequence == 10:
            run.write_analysed(make_analysed(2, 9, 9.0))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.kept_sequences.tolist() == list(range(7, 13))


def at(frame: Frame, position: str) -> Frame:
    """Give the frame at another position."""
    return replace(frame, info=replace(frame.info, position=position))


def test_an_event_concerns_its_position_only() -> None:
    """What other positions showed stays in memory for their own events."""
    policy = FramePolicy(Log(frames="events", window_s=100))
    for sequence in range(1, 7):
        policy.take(at(make_frame(sequence), "ab"[sequence % 2]))

    kept = policy.event("a", 6.0)

    assert [frame.info.sequence for frame in kept] == [2, 4, 6]
    assert len(policy.event("b", 6.0)) == 3


def test_the_memory_for_the_past_is_bounded() -> None:
    """However long the window, no more than the allowed bytes are held."""
    frame = make_frame(1)
    policy = FramePolicy(Log(frames="events", window_s=1e6, window_mb=16))
    for sequence in range(1, 1000):
        policy.take(replace(frame, info=replace(frame.info, sequence=sequence)))

    kept = policy.event("dish", 0.0)

    assert sum(one.pixels.nbytes for one in kept) <= 16e6
    assert kept[-1].info.sequence == 999


def test_a_frame_of_another_shape_is_refused(tmp_path: Path) -> None:
    """The refusal names the frame and both shapes; the run goes on."""
    run = make_writer(tmp_path / "run")
    frame = make_frame(3)

    with pytest.raises(BadRun, match=r"frame 3 is uint16 \(4, 32, 64\)"):
        run.write_frame(replace(frame, pixels=frame.pixels[:, :32]))
    run.write_frame(make_frame(4))
    run.close("ended")

    assert not run.failed
    with RunReader(tmp_path / "run") as back:
        assert back.sequences.tolist() == [4]


def test_masks_and_phase_are_left_out_on_request(tmp_path: Path) -> None:
    """Without masks the tables are still there."""
    run = make_writer(tmp_path / "run", Log(labels=False, phase=False))
    run.write_analysed(make_analysed(3))
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert (back.labels(1), back.phase(1)) == (None, None)
        assert len(back.cells(1).label) == 3


def test_single_shots_lie_beside_frames_with_steps(tmp_path: Path) -> None:
    """Each channel keeps its n-th frames, whatever their steps, and reads them back."""
    run = make_writer(tmp_path / "run", Log(frames="every", every=2))
    frames = []
    for sequence in range(1, 9):
        frame = make_frame(sequence)
        if sequence % 2 == 0:
            info = replace(frame.info, channel="NucBlue", modality="fluorescence")
            frame = Frame(info, frame.pixels[:1])
        frames.append(frame)
        run.write_frame(frame)
    run.close("ended")

    with RunReader(tmp_path / "run") as back:
        assert back.kept_sequences.tolist() == [1, 2, 5, 6]
        for sequence in back.kept_sequences:
            assert_same(back.frame(sequence), frames[sequence - 1])
