"""Names in label maps are scored as the Cell Tracking Challenge scores them."""

import json

import numpy as np
import pytest
import tifffile

from acquisition.errors import BadImages
from calibration.datasets import load_label_sequence
from calibration.metrics.sequences import score_masks_of, score_sequence


def strip(*names):
    """Give a label map of cells of four pixels side by side."""
    return np.repeat(np.array([names], np.uint16), 4, axis=1)


def score(true, found, true_parent=(), found_parent=()):
    """Score label maps, frame after frame."""
    pairs = [(frame, *maps) for frame, maps in enumerate(zip(true, found, strict=True))]
    return score_sequence(pairs, (dict(true_parent), dict(found_parent)))


def test_a_perfect_result_needs_no_edits():
    """Other numbers for the same cells cost nothing, divisions included."""
    true = [strip(1, 0), strip(1, 0), strip(2, 3)]
    found = [strip(7, 0), strip(7, 0), strip(8, 9)]

    both = score(true, found, {2: 1, 3: 1}, {8: 7, 9: 7})

    assert (both.lineage.tra, both.lineage.det, both.lineage.lnk) == (1, 1, 1)
    assert (both.tracks.mota, both.tracks.switches) == (1, 0)


def test_every_kind_of_edit_is_counted():
    """Joint, missing and superfluous nodes; cut, missing and mistaken edges."""
    true = [strip(1, 2, 3, 4, 0), strip(1, 2, 3, 4, 0)]
    found = [strip(5, 6, 0, 8, 8), strip(5, 7, 9, 9, 8)]
    found[1][0, :4] = 5

    edits = score(true, found, (), {7: 6}).lineage

    assert (edits.split, edits.missing, edits.superfluous) == (1, 1, 1)
    assert (edits.cut, edits.linked, edits.renamed) == (0, 2, 1)
    assert edits.tra == pytest.approx(1 - (5 + 10 + 1 + 3 + 1) / (80 + 6))


def test_an_only_child_is_its_mother():
    """A gap written as a mother with one daughter is no switch."""
    true = [strip(1), strip(0), strip(1)]
    found = [strip(5), strip(0), strip(6)]

    alone = score(true, found).tracks
    joined = score(true, found, (), {6: 5}).tracks

    assert (alone.switches, joined.switches) == (1, 0)
    assert joined.idf1 == 1


def test_masks_are_scored_by_their_mean_overlap():
    """A true mask that no found one covers by more than half counts as 0."""
    found = strip(9, 0)
    found[0, 3] = 0

    both = score_masks_of([(0, strip(1, 2), found)])

    assert both.seg == pytest.approx(0.75 / 2)


def test_sequences_of_other_images_are_refused():
    """Maps of another size are named with their frame."""
    with pytest.raises(BadImages, match="frame 0: the true"):
        score([strip(1)], [strip(1, 2)])


def test_a_folder_of_the_challenge_is_read(tmp_path):
    """A result folder gives its maps by frame and its lineage."""
    (tmp_path / "res_track.txt").write_text("1 0 0 0\n2 1 1 1\n")
    for frame in (0, 1):
        tifffile.imwrite(tmp_path / f"mask{frame:03}.tif", strip(frame + 1))

    found = load_label_sequence(tmp_path)

    assert found.frames == (0, 1)
    assert found.parent == {1: 0, 2: 1}
    assert found.read(1).max() == 2
    with pytest.raises(BadImages, match="no label map of frame 5"):
        found.read(5)


def test_a_lineage_in_a_circle_is_refused(tmp_path):
    """A mother begins before her daughter."""
    (tmp_path / "res_track.txt").write_text("1 0 3 2\n2 0 3 1\n")
    tifffile.imwrite(tmp_path / "mask000.tif", strip(1))

    with pytest.raises(BadImages, match="does not begin before it"):
        load_label_sequence(tmp_path)


def test_the_real_case_gives_the_stored_values(real_data):
    """DET, LNK, TRA, SEG, MOTA, IDF1 and switches of a real tracker, exactly."""
    case = real_data / "ctc_conformance" / "hela01_real_tracker"
    true = load_label_sequence(case / "gt_tra.tif", case / "man_track.txt")
    found = load_label_sequence(case / "res_masks.tif", case / "res_track.txt")
    gold = np.load(case / "gt_seg.npz")
    masks = zip(gold["frames"].tolist(), gold["masks"], strict=True)

    both = score_sequence(
        ((frame, labels, found.read(frame)) for frame, labels in true),
        (true.parent, found.parent),
    )
    seg = score_masks_of((at, mask, found.read(at)) for at, mask in masks).seg

    stored = json.loads((case / "expected.json").read_text())["metrics"]
    ours = {
        "DET": both.lineage.det,
        "LNK": both.lineage.lnk,
        "TRA": both.lineage.tra,
        "SEG": seg,
        "MOTA": both.tracks.mota,
        "IDF1": both.tracks.idf1,
        "IDSW": both.tracks.switches,
    }
    assert ours == {name: stored[name] for name in ours}
