"""Cells in doubt as a second network learns from them, cut out of simulated fields.

Every field is analysed by the product's own path. The cells of up to `SHARD_FIELDS`
fields in a row lie in one file, ``SPLIT_LAST.npz``, where LAST is the seed of its last
field: ``train_7100049.npz`` holds the fields 7100000 to 7100049 of a recipe that begins
there. Its arrays are

=====  ==============================================================================
``p``  (cell, edge, edge) uint16: counts around a cell in doubt, empty ground beyond
       the field
``m``  (cell, edge, edge / 8) uint8: its mask, eight pixels a byte
``l``  (cell,) float32: logit of P(dead) by the maps
``d``  (cell,) bool: whether it is dead
``n``  number of all cells that were found and are true ones
``a``  (found,) float32: the logits of all these (held-out fields)
``t``  (found,) bool: whether they are dead (held-out fields)
``k``  (found,) bool: which of them are in doubt (held-out fields)
=====  ==============================================================================
"""

import hashlib
import logging
import multiprocessing
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadRun
from acquisition.records import CellState
from calibration.metrics.overlaps import find_overlaps, match_objects
from calibration.models.analyst import Analyst
from calibration.training.classifier_recipe import SPLITS, ClassifierRecipe
from calibration.training.export import NORMALISATION
from calibration.training.fields import claim_folder, make_field
from calibration.training.recipe import Split
from configs.schema import Inference
from inference import cells, closer_look, cut, flood, measure
from inference.cards import Card
from inference.closer_look import told_logit

logger = logging.getLogger(__name__)

SHARD_FIELDS = 50
ORIGIN = "maps.txt"
_LOOK = (cells, closer_look, cut, flood, measure)
"""Modules that decide which cells are found, and what is cut out of a field."""
_UNREADABLE = (OSError, ValueError, KeyError, EOFError)


@dataclass(frozen=True, slots=True)
class Samples:
    """Cells in doubt."""

    counts: NDArray[np.uint16]  # (cell, y, x)
    masks: NDArray[np.uint8]  # (cell, y, x / 8) eight pixels a byte
    told: NDArray[np.float32]  # (cell,) logit of the maps
    dead: NDArray[np.bool_]  # (cell,)

    def __len__(self) -> int:
        return len(self.dead)

    def take(self, rows: NDArray[np.int64]) -> "Samples":
        """Give some of them."""
        columns = (getattr(self, column.name)[rows] for column in fields(self))
        return Samples(*columns)

    def crops(self) -> NDArray[np.float32]:
        """Give grey level and mask (cell, 2, y, x), as the live path cuts them."""
        offset = np.float32(NORMALISATION.offset)
        scale = np.float32(NORMALISATION.scale)
        level = ((self.counts.astype(np.float32) - offset) * scale).clip(-4, 8)
        mask = np.unpackbits(self.masks, axis=-1).astype(np.float32)
        return np.stack((level, mask), axis=1)


@dataclass(frozen=True, slots=True)
class FoundCells:
    """All cells of some fields that were found and are true ones."""

    logit: NDArray[np.float32]  # (found,) of P(dead) by the maps
    dead: NDArray[np.bool_]  # (found,)
    in_doubt: NDArray[np.bool_]  # (found,)
    samples: Samples  # those in doubt, in this order


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of samples."""

    path: Path
    seeds: range  # of its fields


def shards(recipe: ClassifierRecipe, directory: Path, split: Split) -> list[Shard]:
    """Give the files of a split, whether they are there or not."""
    seeds = recipe.fields.seeds(split)
    parts = (
        seeds[start : start + SHARD_FIELDS]
        for start in range(0, len(seeds), SHARD_FIELDS)
    )
    return [Shard(directory / f"{split}_{one[-1]}.npz", one) for one in parts]


def claim_samples(recipe: ClassifierRecipe, card: Card, directory: Path) -> None:
    """Make sure that samples were, or will be, made by what is used now.

    Raises
    ------
    BadRun
        If they come from other fields, maps, crops or another state of the code.
    """
    claim_folder(recipe.fields, directory)
    parts = {"architecture", "um_per_px", "temperature", "dead_offset", "parting"}
    maps = card.model_dump_json(include=parts | {"golden"})
    digest = hashlib.sha256(maps.encode())
    digest.update(recipe.model_dump_json(include={"edge_px", "doubt"}).encode())
    for module in _LOOK:
        digest.update(Path(str(module.__file__)).read_bytes())
    origin = directory / ORIGIN
    known = origin.read_text(encoding="utf-8") if origin.exists() else None
    if known != digest.hexdigest() and (known or any(directory.glob("*.npz"))):
        raise BadRun(
            f"{directory} holds cells of other maps, another doubt or other crops; "
            "delete them, or choose another output folder"
        )
    origin.write_text(digest.hexdigest(), encoding="utf-8")


def generate_samples(
    recipe: ClassifierRecipe, directory: Path, turn: int = 0, of: int = 1
) -> None:
    """Find the cells of all fields that are not on disk yet; every ``of``-th file.

    A process that does so for a training ends with it, also when that was killed.
    """
    parent = multiprocessing.parent_process()
    wanted = [one for split in SPLITS for one in shards(recipe, directory, split)]
    # The maps alone: the model may have a second network already.
    settings = Inference(model=recipe.model, threads=1, closer_looks=0)
    with Analyst(settings) as analyst:
        for shard in wanted[turn::of]:
            if shard.path.exists():
                continue
            found = []
            for seed in shard.seeds:
                if parent is not None and not parent.is_alive():
                    return
                found.append(find_samples(recipe, analyst, seed))
            save_shard(shard.path, join_found(found))


def find_samples(recipe: ClassifierRecipe, analyst: Analyst, seed: int) -> FoundCells:
    """Find the cells of the field of a seed, and cut out those in doubt."""
    field = make_field(recipe.fields, seed)
    labels, seen = analyst.find_in_phase(field.phase, recipe.fields.pixel_um())
    overlaps = find_overlaps(field.labels, labels)
    rows = match_objects(overlaps)
    at = np.searchsorted(seen.label, overlaps.found[rows])
    dead = field.states[overlaps.true[rows]] == CellState.DEAD
    probability = seen.dead_probability[at]
    logit = told_logit(probability).astype(np.float32)
    in_doubt = (probability > recipe.doubt[0]) & (probability < recipe.doubt[1])
    label = seen.label[at[in_doubt]].astype(np.int64)
    wanted = np.column_stack((label, cut.middles(seen.box_px[at[in_doubt]])))
    crops = np.empty((len(wanted), 2, recipe.edge_px, recipe.edge_px), np.float32)
    grey_level = (NORMALISATION.offset, NORMALISATION.scale)
    cut.cut(field.phase, labels, wanted, grey_level, crops)
    counts = np.rint(crops[:, 0] / NORMALISATION.scale + NORMALISATION.offset)
    samples = Samples(
        counts.astype(np.uint16),
        np.packbits(crops[:, 1] > 0, axis=-1),
        logit[in_doubt],
        dead[in_doubt],
    )
    return FoundCells(logit, dead, in_doubt, samples)


def join_samples(parts: list[Samples]) -> Samples:
    """Put samples one behind the other."""
    columns = (
        np.concatenate([getattr(part, column.name) for part in parts])
        for column in fields(Samples)
    )
    return Samples(*columns)


def join_found(parts: list[FoundCells]) -> FoundCells:
    """Put the cells of fields one behind the other."""
    return FoundCells(
        np.concatenate([part.logit for part in parts]),
        np.concatenate([part.dead for part in parts]),
        np.concatenate([part.in_doubt for part in parts]),
        join_samples([part.samples for part in parts]),
    )


def save_shard(path: Path, found: FoundCells) -> None:
    """Write a file of samples, all or nothing."""
    samples = found.samples
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    with scratch.open("wb") as file:
        np.savez(
            file,
            p=samples.counts,
            m=samples.masks,
            l=samples.told,
            d=samples.dead,
            n=np.int64(len(found.dead)),
            a=found.logit,
            t=found.dead,
            k=found.in_doubt,
        )
    scratch.replace(path)


def load_samples(recipe: ClassifierRecipe, directory: Path) -> Samples:
    """Read the cells that are trained on.

    Raises
    ------
    BadRun
        If a file is missing, damaged, or of crops of another size; if there is no cell.
    """
    parts = [_read(one.path, recipe) for one in shards(recipe, directory, "train")]
    return _some(join_samples(parts), "train", recipe)


def load_found(recipe: ClassifierRecipe, directory: Path, split: Split) -> FoundCells:
    """Read all cells that were found in the fields of a held-out split.

    Raises
    ------
    BadRun
        As `load_samples`, and if a file holds the cells in doubt alone.
    """
    parts = []
    for one in shards(recipe, directory, split):
        samples = _read(one.path, recipe)
        try:
            with np.load(one.path, allow_pickle=False) as file:
                parts.append(FoundCells(file["a"], file["t"], file["k"], samples))
        except KeyError as error:
            raise BadRun(
                f"{one.path}: without the logits of all found cells ({error}); delete "
                "it, and resume the training with --resume"
            ) from error
    found = join_found(parts)
    _some(found.samples, split, recipe)
    return found


def _read(path: Path, recipe: ClassifierRecipe) -> Samples:
    """Read the cells in doubt of one file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            samples = Samples(file["p"], file["m"], file["l"], file["d"])
    except _UNREADABLE as error:
        raise BadRun(
            f"{path}: no samples can be read ({error}); delete it, and resume the "
            "training with --resume, which makes it"
        ) from error
    if samples.counts.shape[1:] != (recipe.edge_px, recipe.edge_px):
        raise BadRun(
            f"{path}: crops of {samples.counts.shape[1]} px, the recipe has edge_px "
            f"{recipe.edge_px}: choose another output folder"
        )
    return samples


def _some(samples: Samples, split: Split, recipe: ClassifierRecipe) -> Samples:
    if not len(samples):
        raise BadRun(
            f"no cell of the {split} fields is in doubt, that is of P(dead) between "
            f"{recipe.doubt[0]:g} and {recipe.doubt[1]:g}: take more fields or a wider "
            "doubt"
        )
    return samples
