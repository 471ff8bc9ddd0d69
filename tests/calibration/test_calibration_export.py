"""Exported tracks are the tracks of the run, in the rules of the format."""

import numpy as np
import pytest
from scored_runs import record_run

from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from acquisition.records import Revision
from calibration.datasets import load_label_sequence, read_lineage
from calibration.export import export_run
from calibration.export_ctc import Presence, cut_parts
from calibration.metrics.sequences import score_sequence
from tracking.revisions.revised import RevisedNames


def test_a_run_comes_back_as_it_was(tmp_path):
    """Reading the exported folder gives the label maps and tracks of the run."""
    run = record_run(tmp_path / "run", frames=6)

    written = export_run(run, "ctc", tmp_path / "out")

    back = load_label_sequence(tmp_path / "out" / "01_RES")
    assert (written["positions"], written["frames"]) == (1, 6)
    assert back.frames == tuple(range(6))
    with RunReader(run) as reader:
        pairs = []
        for frame in back.frames:
            tracks, labels = reader.tracks(frame + 1), reader.labels(frame + 1)
            names = np.zeros(labels.max() + 1, np.uint16)
            names[tracks.label] = tracks.track_id
            pairs.append((frame, names[labels], back.read(frame)))
    both = score_sequence(pairs, ({}, back.parent))
    assert (both.lineage.tra, both.tracks.idf1, both.tracks.switches) == (1, 1, 0)
    assert written["tracks"] == len(back.parent)


def seen(names, parents=()):
    """Give a frame in which some tracks have an outline."""
    parent = dict(parents)
    name = np.array(names, np.int64)
    mothers = np.array([parent.get(one, 0) for one in names], np.int64)
    return Presence(np.arange(1, name.size + 1), name, mothers)


def rows(frames):
    """Give the lines of the table of parts."""
    return [
        (p.row.track, p.row.first_frame, p.row.last_frame, p.row.parent)
        for p in cut_parts(frames)
    ]


def test_a_gap_makes_a_part_whose_parent_is_the_part_before():
    """Tracks have no gaps; what comes after one names what was before."""
    frames = [seen([7, 9]), seen([7]), seen([7, 9])]

    assert rows(frames) == [(1, 0, 2, 0), (2, 0, 0, 0), (3, 2, 2, 2)]


def test_a_mother_ends_where_her_daughters_begin():
    """Daughters name the last part before them; a mother that goes on is cut."""
    frames = [seen([4]), seen([4, 5], {5: 4}), seen([4, 5], {5: 4})]

    assert rows(frames) == [(1, 0, 0, 0), (2, 1, 2, 1), (3, 1, 2, 1)]


def test_a_folder_is_never_overwritten(tmp_path):
    """An existing folder is refused before anything is read."""
    with pytest.raises(BadRun, match="exists already"):
        export_run(tmp_path / "run", "ctc", tmp_path)


def exchange(names, since, decided):
    """Give the revisions that exchange names from a frame on."""
    return [
        Revision(
            1, "name", decided, 0.0, "a", track, name, (since,), (), (), 20.0, "osqp"
        )
        for track, name in names.items()
    ]


def test_revised_names_hold_from_their_frame_on():
    """Exchanges add up: a later one speaks of the tracks as they were recorded."""
    revisions = exchange({1: 2, 2: 1}, 10, 15) + exchange({1: 3, 3: 1}, 20, 25)

    names = RevisedNames(revisions)

    ids = np.array([1, 2, 3])
    assert names(ids, 9).tolist() == [1, 2, 3]
    assert names(ids, 10).tolist() == [2, 1, 3]
    assert names(ids, 20).tolist() == [3, 1, 2]


def test_the_lineage_obeys_the_format(tmp_path):
    """Labels count from 1, and every track lies within the sequence."""
    export_run(record_run(tmp_path / "run", frames=4), "ctc", tmp_path / "out")

    table = read_lineage(tmp_path / "out" / "01_RES" / "res_track.txt")
    assert [row.track for row in table] == list(range(1, len(table) + 1))
    assert all(0 <= row.first_frame <= row.last_frame < 4 for row in table)


def test_a_failed_export_leaves_nothing(tmp_path):
    """A run without tracks, or a place that cannot be written, is told; no folder."""
    run = record_run(tmp_path / "run", frames=2)
    (tmp_path / "file").write_text("")

    with pytest.raises(BadRun, match="cannot be written"):
        export_run(run, "ctc", tmp_path / "file" / "out")
    (run / "seg-00000.h5").write_bytes(b"garbage")
    with pytest.raises(BadRun, match="there are no tracks"):
        export_run(run, "ctc", tmp_path / "out")

    left = {path.name for path in tmp_path.iterdir()}
    assert not {"out", "out.part"} & left
