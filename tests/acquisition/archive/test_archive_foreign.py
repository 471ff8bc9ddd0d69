"""A segment of unknown origin cannot make the reader touch other files or memory."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from acquisition.archive import schema
from acquisition.archive.reader import RunReader
from acquisition.archive.superblock import mend
from acquisition.errors import BadRun
from tests.acquisition.archive.archive_samples import make_frame, make_writer
from tests.samples import make_analysed

RAW = "frames/raw"


def external_link(file: h5py.File) -> None:
    """Point the pixels at another file."""
    file[RAW] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file: h5py.File) -> None:
    """Point the pixels at another place."""
    file[RAW] = h5py.SoftLink("/analysis/labels")


def external_storage(file: h5py.File) -> None:
    """Keep the pixels in another file."""
    file.create_dataset(
        RAW, (1, 4, 64, 64), "<u2", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def virtual(file: h5py.File) -> None:
    """Assemble the pixels from another file."""
    layout = h5py.VirtualLayout((1, 4, 64, 64), "<u2")
    layout[0] = h5py.VirtualSource("/etc/passwd", "x", (4, 64, 64))
    file.create_virtual_dataset(RAW, layout)


def huge(file: h5py.File) -> None:
    """Claim frames of a terabyte."""
    shape = (1, 4, 2**19, 2**19)
    file.create_dataset(RAW, shape, "<u2", chunks=(1, 1, 64, 64))


def huge_chunk(file: h5py.File) -> None:
    """Claim a chunk that fills the memory when one frame is read."""
    file.create_dataset(RAW, (1, 4, 64, 64), "<u2", chunks=True, maxshape=(None,) * 4)


def objects(file: h5py.File) -> None:
    """Hold text objects in the place of pixels."""
    file.create_dataset(RAW, (1, 4, 64, 64), h5py.string_dtype())


def group(file: h5py.File) -> None:
    """Hold a group in the place of pixels."""
    file.create_group(RAW)


def nothing(file: h5py.File) -> None:
    """Hold no pixels at all."""


@pytest.mark.parametrize(
    "forge",
    [
        external_link,
        soft_link,
        external_storage,
        virtual,
        huge,
        huge_chunk,
        objects,
        group,
        nothing,
    ],
    ids=lambda forge: forge.__name__,
)
def test_a_forged_segment_is_refused(
    tmp_path: Path, forge: Callable[[h5py.File], None]
) -> None:
    """Links, outside storage, foreign types and sizes are named and refused."""
    run = make_writer(tmp_path / "run")
    run.write_frame(make_frame(1))
    run.close("ended")
    with h5py.File(tmp_path / "run" / "seg-00000.h5", "r+") as file:
        del file[RAW]
        forge(file)

    with pytest.raises(BadRun, match=r"frames/raw .*(refused|run of ours|wrong kind)"):
        RunReader(tmp_path / "run")


def test_rows_outside_a_table_are_refused(tmp_path: Path) -> None:
    """An index that points beyond its tables is damage, not data."""
    run = make_writer(tmp_path / "run")
    run.write_analysed(make_analysed(3))
    run.close("ended")
    with h5py.File(tmp_path / "run" / "seg-00000.h5", "r+") as file:
        rows = file[schema.ANALYSIS_INDEX][:]
        rows["cells"] = [0, 2**40]
        rows["labels_row"] = 7
        file[schema.ANALYSIS_INDEX][:] = rows

    with RunReader(tmp_path / "run") as back:
        with pytest.raises(BadRun, match="asks for rows 0 to 1099511627776"):
            back.cells(1)
        with pytest.raises(BadRun, match="asks for image 7"):
            back.labels(1)


def test_a_linked_segment_is_refused(tmp_path: Path) -> None:
    """A segment that is a link to elsewhere is not followed."""
    make_writer(tmp_path / "run").close("ended")
    path = tmp_path / "run" / "seg-00000.h5"
    path.rename(tmp_path / "elsewhere.h5")
    path.symlink_to(tmp_path / "elsewhere.h5")

    with pytest.raises(BadRun, match="is a link"):
        RunReader(tmp_path / "run")


def test_a_torn_segment_leaves_the_others_readable(tmp_path: Path) -> None:
    """A segment killed in its first bytes is named, and the rest is read."""
    run = make_writer(tmp_path / "run")
    run.write_frame(make_frame(1))
    run.close("ended")
    (tmp_path / "run" / "seg-00001.h5").write_bytes(b"\x89HDF\r\n")

    with RunReader(tmp_path / "run") as back:
        assert back.damaged == ("seg-00001.h5",)
        assert back.sequences.tolist() == [1]


def test_a_segment_that_is_just_being_made_is_seen_later(tmp_path: Path) -> None:
    """Who follows a run may look in the moment in which a segment cannot be opened."""
    run = make_writer(tmp_path / "run")
    run.write_frame(make_frame(1))
    run.close("ended")
    path = tmp_path / "run" / "seg-00000.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[:8])

    with RunReader(tmp_path / "run") as back:
        early = back.sequences.tolist()
        path.write_bytes(whole)
        back.refresh()

        assert early == []
        assert back.sequences.tolist() == [1]
        assert back.damaged == ()


@pytest.mark.parametrize("damage", [0, 9, 44], ids=["name", "body", "checksum"])
def test_a_strange_superblock_is_left_alone(tmp_path: Path, damage: int) -> None:
    """The repair changes no byte of a file that it does not understand."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "x", libver=("v110", "v110")) as file:
        file["x"] = np.arange(3)
    data = bytearray(path.read_bytes())
    data[damage] ^= 0xFF
    path.write_bytes(data)

    with pytest.raises(BadRun, match=r"left as it is|not repaired"):
        mend(path)

    assert path.read_bytes() == bytes(data)


def test_damaged_pixels_cost_their_frame_only(tmp_path: Path) -> None:
    """Bytes that went bad are an error with the name of the file, never a crash."""
    run = make_writer(tmp_path / "run")
    for sequence in (1, 2, 3):
        run.write_frame(make_frame(sequence))
    run.close("ended")
    path = tmp_path / "run" / "seg-00000.h5"
    with h5py.File(path) as file:
        chunk = file[RAW].id.get_chunk_info(1)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset + 8)
        raw.write(b"U" * (chunk.size - 8))

    with RunReader(tmp_path / "run") as back:
        assert all(back.frame(sequence) is not None for sequence in (1, 3))
        with pytest.raises(BadRun, match=r"seg-00000.h5: frames/raw\[1\] is damaged"):
            back.frame(2)
