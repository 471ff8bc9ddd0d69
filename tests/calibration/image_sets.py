"""Tiny hand-made folders in the layouts of foreign image sets."""

import json
from pathlib import Path

import cv2
import numpy as np
import tifffile

SHAPE = (24, 32)
IMAGE = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(SHAPE)
TWO_CELLS = np.zeros(SHAPE, np.uint16)
TWO_CELLS[2:8, 2:10], TWO_CELLS[12:20, 14:24] = 1, 2


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def write_tiff(path: Path, pixels: np.ndarray) -> None:
    """Write a TIFF, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack")


def write_saut(root: Path, times: int = 2) -> Path:
    """Write two tiles over some times: a live nucleus and one that is both dyes."""
    for time in range(times):
        for column in range(2):
            folder = root / f"f0_t0_i{time}_ch0_c{column}_r3_z0"
            write_png(folder / "images" / "a_mSLIM.png", IMAGE)
            write_png(folder / "masks" / "a_DAPI.png", (TWO_CELLS > 0).astype(np.uint8))
            dead = np.where(TWO_CELLS == 2, 255, 0).astype(np.uint8)
            dead[12] = 0  # the green is a little smaller
            write_png(folder / "masks" / "a_Prot.png", dead)
    return root


def write_livecell(root: Path, extra: tuple[str, ...] = ()) -> Path:
    """Write a COCO file and its images; gives the file."""
    names = ("A172_Phase_A7_1_00d00h00m_1", "SkBr3_Phase_E3_2_01d00h00m_2", *extra)
    square = [[2.0, 2.0, 9.0, 2.0, 9.0, 7.0, 2.0, 7.0]]
    inner = [[4.0, 4.0, 6.0, 4.0, 6.0, 6.0, 4.0, 6.0]]
    images = [
        {"id": 7 + at, "file_name": f"{name}.tif"} for at, name in enumerate(names)
    ]
    annotations = [
        {"id": 1, "image_id": 7, "segmentation": inner},
        {"id": 2, "image_id": 7, "segmentation": square},
    ]
    for name in names:
        write_tiff(root / "images" / name.split("_")[0] / f"{name}.tif", IMAGE)
    path = root / "livecell_coco_train.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def write_ctc(root: Path) -> Path:
    """Write a sequence of three frames with gold truth of one and all markers."""
    for frame in range(3):
        write_tiff(root / "01" / f"t{frame:03}.tif", IMAGE)
        write_tiff(root / "01_GT" / "TRA" / f"man_track{frame:03}.tif", TWO_CELLS * 40)
    write_tiff(root / "01_GT" / "SEG" / "man_seg001.tif", TWO_CELLS)
    (root / "01_GT" / "TRA" / "man_track.txt").write_text("40 0 2 0\n80 1 2 40\n")
    return root


def write_slimia(root: Path) -> Path:
    """Write a table of three images of two spheroids, one without a mask."""
    for number in range(3):
        write_png(root / f"{number}.png", np.dstack([IMAGE.astype(np.uint8)] * 3))
        write_png(root / f"{number}_m.png", (TWO_CELLS == 2).astype(np.uint8) * 255)
    rows = ["image;mask;spheroid;hours", "0.png;0_m.png;s1;4", "1.png;;s1;24"]
    path = root / "table.csv"
    path.write_text("\n".join([*rows, "2.png;2_m.png;s2;4"]) + "\n")
    return path


def write_boxes(root: Path, boxes: list, inside: str = "img") -> Path:
    """Write an image with boxes."""
    write_png(root / inside / "b_1.png", IMAGE.astype(np.uint8))
    facts = {"b_1.png": {"boxes": boxes, "group": "b", "source": "b (1).png"}}
    (root / "annotations.json").write_text(json.dumps(facts))
    return root
