"""Adapters of public generalists, held to their contract with stand-ins."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from acquisition.errors import BadInput
from app.__main__ import main
from calibration.datasets.folders import load_folder
from calibration.models.generalists import (
    GENERALISTS,
    checked,
    evaluate_generalist,
    stretched,
)
from tests.calibration.image_sets import IMAGE, TWO_CELLS, write_tiff


class Cellpose:
    """The part of the CellposeModel of release 4.2 that is used."""

    def __init__(self, gpu: bool = False) -> None:
        self.gpu = gpu

    def eval(self, x: np.ndarray) -> tuple[Any, ...]:
        """Give masks, flows and styles."""
        return TWO_CELLS.astype(np.int32) * (x.ndim == 2), [], []


class StarDist:
    """The part of the StarDist2D of release 0.9 that is used."""

    @classmethod
    def from_pretrained(cls, name: str) -> "StarDist":
        """Give the model of a name."""
        assert name == "2D_versatile_fluo"
        return cls()

    def predict_instances(self, img: np.ndarray) -> tuple[Any, ...]:
        """Give labels and details."""
        return TWO_CELLS.astype(np.int32) * (img.ndim == 2), {}


class InstanSeg:
    """The part of the InstanSeg of release 0.1 that is used."""

    def __init__(self, model_type: str, verbosity: int = 1) -> None:
        assert (model_type, verbosity) == ("fluorescence_nuclei_and_cells", 0)

    def eval_small_image(
        self,
        image: np.ndarray,
        pixel_size: float | None = None,
        return_image_tensor: bool = True,
        target: str = "all_outputs",
    ) -> torch.Tensor:
        """Give labels (batch, target, y, x)."""
        assert (image.shape[0], pixel_size, target) == (1, 0.5, "cells")
        assert not return_image_tensor
        return torch.from_numpy(TWO_CELLS.astype(np.float32))[None, None]


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put stand-ins in the place of the packages."""
    for name, parts in {
        "cellpose": {},
        "cellpose.models": {"CellposeModel": Cellpose},
        "stardist": {},
        "stardist.models": {"StarDist2D": StarDist},
        "instanseg": {"InstanSeg": InstanSeg},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(parts)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Give a folder of one image with a mask."""
    write_tiff(tmp_path / "x_phase.tif", IMAGE)
    write_tiff(tmp_path / "x_instances.tif", TWO_CELLS)
    return tmp_path


@pytest.mark.parametrize("name", GENERALISTS)
@pytest.mark.usefixtures("stand_ins")
def test_every_generalist_keeps_the_contract(name: str, images: Path) -> None:
    """An image goes in with its pixel size, and its labels are scored."""
    segment = GENERALISTS[name]()

    (row,) = evaluate_generalist(segment, load_folder(images, 0.5), lambda *_: None)

    assert (row["name"], row["instance_f1_75"], row["n_objects"]) == ("x", 1.0, 2)


@pytest.mark.parametrize("name", GENERALISTS)
def test_a_package_that_is_missing_is_named(
    name: str, images: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and the message says what to install."""
    for module in (name, f"{name}.models"):
        monkeypatch.setitem(sys.modules, module, None)

    code = main(["evaluate", name, "--images", str(images), "--pixel-size", "0.5"])

    assert code == 2
    assert f"{name} cannot be imported" in capsys.readouterr().err
    assert main(["evaluate", name, "--worlds", "demo"]) == 2


@pytest.mark.parametrize(
    "answer",
    [np.zeros((3, 3), int), np.full(IMAGE.shape, 0.5), np.full(IMAGE.shape, -1)],
    ids=["shape", "fractions", "negative"],
)
def test_an_answer_that_is_no_label_map_is_refused(answer: np.ndarray) -> None:
    """The message names the image and what came back."""
    with pytest.raises(BadInput, match="x: the answer"):
        checked(answer, IMAGE.shape, "x")


def test_images_are_stretched_to_their_percentiles() -> None:
    """Dark becomes 0 and bright 1, whatever the exposure; a flat image stays finite."""
    plain = stretched(IMAGE)

    np.testing.assert_allclose(stretched(IMAGE * 20), plain, atol=1e-3)
    assert abs(plain.min()) < 0.02
    assert abs(plain.max() - 1) < 0.02
    assert np.isfinite(stretched(np.full((4, 4), 7, np.uint16))).all()
