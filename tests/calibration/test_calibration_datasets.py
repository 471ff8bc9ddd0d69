"""Every layout of foreign images is read exactly, and bad files get one clear error."""

import numpy as np
import pytest
import tifffile
from image_sets import (
    IMAGE,
    SHAPE,
    TWO_CELLS,
    write_boxes,
    write_ctc,
    write_livecell,
    write_png,
    write_saut,
    write_slimia,
    write_tiff,
)

from acquisition.errors import BadImages, BadRun
from acquisition.records import CellState
from calibration.datasets import (
    Columns,
    fold_groups,
    load_ctc,
    load_folder,
    load_live_dead,
    load_livecell,
    load_saut,
    load_slimia,
    load_split,
    load_usiigaci,
    load_usiigaci_timelapse,
    read_lineage,
    rows_of,
    save_split,
    split_groups,
)
from calibration.datasets.livecell import EXCLUDED
from calibration.metrics import auroc
from calibration.training.augmentation import vary


def test_saut_folders(tmp_path):
    """Dead wins a pixel, nuclei are joined pieces, a tile is one group over time."""
    images = load_saut(write_saut(tmp_path), 0.65)

    sample = images[0]

    assert images.groups == ("c0_r3", "c1_r3") * 2
    assert np.array_equal(sample.image, IMAGE)
    assert np.array_equal(sample.labels, TWO_CELLS)
    assert sample.states.tolist() == [0, 1, 2]
    assert np.unique(sample.classes[12]).tolist() == [0, 1]  # blue alone is live
    assert sample.pixel_size_um == 0.65
    assert not sample.may_train_shipped_weights


def test_livecell_polygons(tmp_path):
    """Polygons are filled, the smaller cell on top; line and well are the group."""
    path = write_livecell(tmp_path)

    images = load_livecell(path, tmp_path)

    labels = images[0].labels
    assert images.groups == ("A172_A7", "SkBr3_E3")
    assert (labels == 1).sum() == 9
    assert (labels > 0).sum() == 8 * 6
    assert images[1].labels.max() == 0


def test_livecell_leaves_out_eight_images(tmp_path):
    """The images known to be damaged are left out by name."""
    images = load_livecell(write_livecell(tmp_path, EXCLUDED), tmp_path)

    assert len(set(EXCLUDED)) == 8
    assert len(images) == 2


def test_ctc_sequences(tmp_path):
    """Gold truth of some frames, markers of all with their own numbers, and lineage."""
    root = write_ctc(tmp_path / "PhC")

    gold, markers = (load_ctc(root, "01", truth) for truth in ("gold", "markers"))

    assert [sample.name for sample in gold] == ["PhC/01/t001"]
    assert np.array_equal(gold[0].labels, TWO_CELLS)
    assert np.unique(markers[2].labels).tolist() == [0, 40, 80]
    assert set(markers.groups) == {"PhC/01"}
    rows = read_lineage(root / "01_GT" / "TRA" / "man_track.txt")
    assert [(row.track, row.parent) for row in rows] == [(40, 0), (80, 40)]


def test_slimia_table(tmp_path):
    """Rows name image, mask and spheroid; an image without a mask has no labels."""
    images = load_slimia(write_slimia(tmp_path), tmp_path)

    assert images.groups == ("s1", "s1", "s2")
    assert images[0].image.shape == SHAPE
    assert (images[0].labels > 0).sum() == (TWO_CELLS == 2).sum()
    assert images[1].labels is None
    assert images[1].facts == {"spheroid": "s1", "hours": "24"}


def test_usiigaci_sets_and_time_lapse(tmp_path):
    """Each drawn field is a group; the frames of a time-lapse are one."""
    write_tiff(tmp_path / "train" / "set2" / "raw.tif", IMAGE)
    write_png(tmp_path / "train" / "set2" / "instances_ids.png", TWO_CELLS)
    for name, pixels in (("frames", IMAGE), ("track_ids", TWO_CELLS)):
        write_tiff(tmp_path / f"{name}.tif", np.stack([pixels] * 3))

    drawn = load_usiigaci(tmp_path, 0.87)
    lapse = load_usiigaci_timelapse(tmp_path / "frames.tif", tmp_path / "track_ids.tif")

    assert drawn.groups == ("set2",)
    assert np.array_equal(drawn[0].labels, TWO_CELLS)
    assert drawn[0].may_train_shipped_weights
    assert (len(lapse), set(lapse.groups)) == (3, {"frames"})
    assert np.array_equal(lapse[2].labels, TWO_CELLS)


def test_time_lapse_in_folders(tmp_path):
    """Frames and ids are matched in natural order."""
    for number in (1, 2, 10):
        write_tiff(tmp_path / "T98G" / f"f{number}.tif", IMAGE + number)
        write_png(tmp_path / "ids" / f"f{number}.png", TWO_CELLS * number)

    lapse = load_usiigaci_timelapse(tmp_path / "T98G", tmp_path / "ids")

    assert [int(one.image[0, 0]) for one in lapse] == [1, 2, 10]
    assert [int(one.labels.max()) for one in lapse] == [2, 4, 20]


@pytest.mark.parametrize("inside", ["img", "."])
def test_boxes_of_live_and_dead_cells(tmp_path, inside):
    """Boxes come as y before x with their class, the image beside or below."""
    root = write_boxes(tmp_path, [["live", 3, 5, 9, 8], ["dead", 0, 1, 2, 3]], inside)

    sample = load_live_dead(root)[0]

    assert sample.boxes.box_px.tolist() == [[5, 3, 8, 9], [1, 0, 3, 2]]
    assert sample.boxes.state.tolist() == [1, 2]
    assert (sample.group, sample.licence) == ("b", "MIT")
    assert sample.labels is None


def test_plain_folders(tmp_path):
    """Images find their instances or masks; a mask of one value is parted."""
    write_tiff(tmp_path / "one_phase.tif", IMAGE)
    write_tiff(tmp_path / "one_instances.tif", TWO_CELLS)
    write_png(tmp_path / "two.png", IMAGE.astype(np.uint8))
    write_png(tmp_path / "two_mask.png", (TWO_CELLS > 0).astype(np.uint8) * 255)

    images = load_folder(tmp_path, 0.5, licence="MIT")

    assert [sample.name for sample in images] == ["one", "two"]
    assert all(np.array_equal(sample.labels, TWO_CELLS) for sample in images)
    assert images[0].source == tmp_path.name


def test_pixel_size_of_a_file_is_used(tmp_path):
    """Without an option the pixel size is what the file says."""
    write_png(tmp_path / "x_mask.png", TWO_CELLS)
    facts = {"unit": "um"}
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=(4, 4), metadata=facts)

    assert load_folder(tmp_path)[0].pixel_size_um == pytest.approx(0.25)
    assert load_folder(tmp_path, 0.3)[0].pixel_size_um == 0.3


def _no_mask(root):
    write_saut(root)
    (root / "f0_t0_i0_ch0_c0_r3_z0" / "masks" / "a_Prot.png").unlink()
    return load_saut(root)[0]


def _other_size(root):
    write_tiff(root / "a_phase.tif", IMAGE)
    write_tiff(root / "a_instances.tif", TWO_CELLS[:9])
    return load_folder(root)[0]


def _damaged(root):
    write_png(root / "a_mask.png", TWO_CELLS)
    (root / "a.png").write_bytes(b"nothing")
    return load_folder(root)[0]


def _alone(root):
    write_tiff(root / "a_phase.tif", IMAGE)
    return load_folder(root)


def _float_labels(root):
    write_tiff(root / "a.tif", IMAGE)
    write_tiff(root / "a_instances.tif", TWO_CELLS.astype(np.float32))
    return load_folder(root)[0]


def _no_json(root):
    (root / "annotations.json").write_text("{nothing")
    return load_folder(root)


def _lost_image(root):
    path = write_livecell(root)
    next(root.rglob("A172*.tif")).unlink()
    return load_livecell(path, root)


def _compressed_outline(root):
    path = write_livecell(root)
    outline = '"segmentation": {"counts": "a", "size": [1, 1]}, "old": '
    path.write_text(path.read_text().replace('"segmentation": ', outline, 1))
    return load_livecell(path, root)[0]


def _huge(root):
    write_png(root / "a_mask.png", TWO_CELLS)
    write_tiff(root / "a.tif", IMAGE)
    raw = bytearray((root / "a.tif").read_bytes())
    width = raw.index(SHAPE[1].to_bytes(4, "little"))  # ImageWidth, then ImageLength
    raw[width : width + 4] = (2**30).to_bytes(4, "little")
    (root / "a.tif").write_bytes(bytes(raw))
    return load_folder(root)[0]


def _lost_corner(root):
    path = write_livecell(root)
    path.write_text(path.read_text().replace("[4.0, 4.0,", "[4.0, NaN,"))
    return load_livecell(path, root)[0]


def _bad_lineage(root):
    (root / "man_track.txt").write_text("1 0 2\n")
    return read_lineage(root / "man_track.txt")


def _other_columns(root):
    return load_slimia(write_slimia(root), root, Columns(group=("plate",)))


BAD = {
    "no mask": (_no_mask, "Prot.png: one file is wanted, found 0"),
    "other size": (_other_size, r"a_instances.tif: \(9, 32\) pixels"),
    "damaged": (_damaged, "a.png: not a readable image"),
    "alone": (_alone, "a without image or mask"),
    "float labels": (_float_labels, "label map is whole numbers"),
    "no JSON": (_no_json, "no JSON of annotations"),
    "class": (
        lambda root: load_folder(write_boxes(root, [["ill", 0, 0, 2, 2]]))[0],
        "ill",
    ),
    "row": (
        lambda root: load_folder(write_boxes(root, [["live", 0]]))[0],
        "rows of cl",
    ),
    "box": (
        lambda root: load_folder(write_boxes(root, [["dead", 5, 5, 5, 9]]))[0],
        "area",
    ),
    "lost image": (_lost_image, "A172_Phase_A7_1_00d00h00m_1.tif is not below"),
    "compressed": (_compressed_outline, "compressed masks are not read"),
    "huge": (_huge, "a.tif: .* pixels"),
    "corners": (_lost_corner, "an outline of A172.*no numbers"),
    "lineage": (_bad_lineage, "line 1 is '1 0 2'"),
    "columns": (_other_columns, "no column plate; there are image, mask"),
    "empty SAUT": (load_saut, "no folder f0_t0"),
    "empty CTC": (lambda root: load_ctc(root, "01", "gold"), "no man_seg"),
    "empty Usiigaci": (load_usiigaci, "no set.*/raw.tif"),
    "no folder": (lambda root: load_folder(root / "x"), "no such folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_get_one_clear_error(tmp_path, name):
    """What is missing or wrong is named with its file, whatever the layout."""
    act, says = BAD[name]

    with pytest.raises(BadImages, match=says):
        act(tmp_path)


def test_colours_of_every_format_are_alike(tmp_path):
    """A red image is as light from a TIFF as from a PNG."""
    red = np.zeros((*SHAPE, 3), np.uint8)
    red[..., 0] = 200
    tifffile.imwrite(tmp_path / "a.tif", red, photometric="rgb")
    write_png(tmp_path / "b.png", red[..., ::-1])
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}_mask.png", TWO_CELLS)

    first, second = load_folder(tmp_path)

    assert first.image[0, 0] == second.image[0, 0] == round(0.299 * 200)


def test_no_group_is_in_two_splits():
    """Every image is dealt, by whole groups, at about the wanted shares."""
    groups = [f"well {number % 12}" for number in range(240)]
    shares = {"train": 0.7, "validation": 0.15, "test": 0.15}

    split = split_groups(groups, shares, seed=3)

    rows = {part: rows_of(groups, names) for part, names in split.items()}
    assert sorted(row for part in rows.values() for row in part) == list(range(240))
    assert sum(len(set(names)) for names in split.values()) == 12
    assert 140 <= len(rows["train"]) <= 180
    assert split == split_groups(groups, shares, seed=3)


def test_variants_stay_on_their_side(tmp_path):
    """Sequences are split before they are augmented, so no variant leaks."""
    images = load_saut(write_saut(tmp_path))
    split = split_groups(images.groups, {"train": 0.5, "test": 0.5}, 1)

    pixels = {
        part: {
            one.image.tobytes()
            for row in rows_of(images.groups, names)
            for one in vary(_noise(row), np.full(SHAPE, 255, np.uint8), row)
        }
        for part, names in split.items()
    }

    assert set(split["train"]).isdisjoint(split["test"])
    assert pixels["train"].isdisjoint(pixels["test"])


def _noise(seed):
    return np.random.default_rng(seed).integers(0, 65536, SHAPE).astype(np.uint16)


def test_folds_hold_out_every_group_once():
    """Eight fields in four folds: two in each, every one once."""
    folds = fold_groups([f"set{number}" for number in range(8)], 4, seed=0)

    assert [len(fold) for fold in folds] == [2, 2, 2, 2]
    assert len(set().union(*folds)) == 8
    with pytest.raises(BadImages, match="take fewer"):
        fold_groups(["one"], 4, seed=0)


def test_a_stored_split_comes_back(tmp_path):
    """A split is stored as it is; one with a group on both sides is refused."""
    split = split_groups(["a", "b", "c"], {"train": 0.6, "test": 0.4}, 0)
    save_split(tmp_path / "split.json", split)
    (tmp_path / "leak.json").write_text('{"train": ["a"], "test": ["a"]}')

    assert load_split(tmp_path / "split.json") == split
    with pytest.raises(BadRun, match="a in two parts"):
        load_split(tmp_path / "leak.json")
    with pytest.raises(BadImages, match="cannot be split"):
        split_groups(["a", "a"], {"train": 0.5, "test": 0.5}, 0)


def test_real_phase_contrast(real_data):
    """The eight T98G fields are read with all their cells, and the time-lapse too."""
    images = load_folder(real_data / "seg_phase_usiigaci", 0.87, licence="MIT")
    lapse = real_data / "timelapse_phase_t98g"

    frames = load_usiigaci_timelapse(
        lapse / "frames.tif", lapse / "track_ids_silver.tif"
    )

    assert (len(images), len(frames)) == (8, 37)
    assert images[0].image.shape == images[0].labels.shape == (1022, 1024)
    assert np.unique(images[0].labels).size > 20
    assert frames[36].labels.max() > 0


def test_real_live_dead_crops(real_data):
    """All 300 crops are read, with 789 live and 260 dead cells in five groups."""
    images = load_live_dead(real_data / "livedead_ldc")

    states = np.concatenate([sample.boxes.state for sample in images])

    assert (len(images), len(set(images.groups))) == (300, 5)
    assert np.bincount(states).tolist() == [0, 789, 260]


def test_real_lineage(real_data):
    """The lineage of a real sequence is read, with the tracks of its markers."""
    folder = real_data / "ctc_conformance" / "hela01_real_tracker"

    rows = read_lineage(folder / "res_track.txt")

    assert sum(row.parent > 0 for row in rows) == 2 * 110


def test_real_baseline_of_one_number(real_data):
    """The brightness of a box alone tells dead from live, with the known AUROC."""
    score, dead = [], []
    for sample in load_live_dead(real_data / "livedead_ldc"):
        middle = np.median(sample.image)
        for y0, x0, y1, x1 in sample.boxes.box_px.astype(int):
            score.append(np.percentile(sample.image[y0:y1, x0:x1], 98) - middle)
        dead.append(sample.boxes.state == CellState.DEAD)

    area = auroc(-np.array(score), np.concatenate(dead))

    assert area == pytest.approx(0.971, abs=0.002)
