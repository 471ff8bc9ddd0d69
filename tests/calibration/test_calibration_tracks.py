"""Tables of tracked points are read with their units, and refused when damaged."""

import json

import numpy as np
import pytest

from acquisition.errors import BadImages
from calibration.datasets import load_tracks

TABLE = """frame,track_id,x_px,y_px,marker_area_px,inferred_parent
0,2,10.5,4,16,0
0,1,8,6,12,0
1,1,9,7,12,0
3,3,9.5,7.5,12,1
"""


def write(folder, table=TABLE, facts=None):
    """Write a table, and beside it what its set says of it."""
    path = folder / "tracks" / "a.csv"
    path.parent.mkdir()
    path.write_text(table)
    row = {"file": "tracks/a.csv", **(facts or {})}
    (folder / "MANIFEST.json").write_text(json.dumps({"files": [row]}))
    return path


def test_points_come_in_um_and_s_by_frame_and_name(tmp_path):
    """Pixels and frames become um and s by what the manifest says."""
    path = write(tmp_path, facts={"pixel_size_um": 0.5, "frame_interval_s": 300})

    tracks = load_tracks(path)

    assert tracks.track_id.tolist() == [1, 2, 1, 3]
    assert tracks.time_s.tolist() == [0, 0, 300, 900]
    assert tracks.centre_um[:2].tolist() == [[3, 4], [2, 5.25]]
    assert tracks.area_um2.tolist() == [3, 4, 3, 3]
    assert tracks.parent.tolist() == [0, 0, 0, 1]


def test_thinning_keeps_numbers_and_times(tmp_path):
    """A thinned sequence is the same sequence, seen less often."""
    tracks = load_tracks(write(tmp_path), 1.0, 60.0)

    thin = tracks.thin(3)

    assert thin.frame.tolist() == [0, 0, 3]
    assert thin.time_s.tolist() == [0, 0, 180]
    assert thin.frame_interval_s == 60


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("frame,track_id,x_px\n0,1,2\n", "no column y_px"),
        ("frame,track_id,x_px,y_px\n0,1,2,oops\n", "no table of numbers"),
        ("frame,track_id,x_px,y_px\n0,1,2,nan\n", "not finite"),
        ("frame,track_id,x_px,y_px\n0,0,2,3\n", "whole numbers from 1"),
        ("frame,track_id,x_px,y_px\n0,1,2,3\n0,1,4,5\n", "twice in frame 0"),
    ],
)
def test_damaged_tables_are_refused(tmp_path, table, words):
    """What is no table of tracks is refused with the reason."""
    path = write(tmp_path, table)

    with pytest.raises(BadImages, match=words):
        load_tracks(path, 1.0, 60.0)


def test_units_are_never_guessed(tmp_path):
    """Without manifest or option the missing unit is named."""
    path = write(tmp_path, facts={"pixel_size_um": 0.5, "frame_interval_s": None})

    with pytest.raises(BadImages, match="frame_interval_s is null"):
        load_tracks(path)


def test_real_tracks_have_the_stated_counts(real_data):
    """The tables of the real sets hold the points and tracks that are stated."""
    tracks = load_tracks(real_data / "tracks_ctc" / "PhC-C2DH-U373_01_tracks.csv")

    assert (len(tracks), np.unique(tracks.track_id).size) == (758, 8)
    assert (tracks.pixel_size_um, tracks.frame_interval_s) == (0.65, 900)
    assert "identity truth" in tracks.truth
