"""Splits that keep together what belongs together, made before any augmentation.

A sequence, well, video or source image lies in one split as a whole: frames of it look
alike, so that a split by frame would test on what was trained on. The split is stored
beside the training.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from acquisition.errors import BadImages, BadRun

Split = dict[str, tuple[str, ...]]
"""Groups by name of the part."""


def split_groups(
    groups: Sequence[str], shares: Mapping[str, float], seed: int
) -> Split:
    """Deal whole groups to parts, so that each gets about its share of the images.

    Groups are taken in random order, the next one by the part that lacks most.

    Parameters
    ----------
    groups
        The group of every image.
    shares
        Share of the images by part, with a sum of 1.
    seed
        Of the order.

    Raises
    ------
    BadImages
        If there are fewer groups than parts.
    ValueError
        If the shares are no shares.
    """
    if not np.isclose(sum(shares.values()), 1) or min(shares.values()) <= 0:
        raise ValueError(f"shares of a split are above 0 with a sum of 1: {shares}")
    names, images = np.unique(np.asarray(groups, dtype=np.str_), return_counts=True)
    if names.size < len(shares):
        raise BadImages(
            f"{names.size} groups (sequences, wells or source images) cannot be split "
            f"into {', '.join(shares)}; give more, or fewer parts"
        )
    parts: dict[str, list[str]] = {part: [] for part in shares}
    lacking = {part: share * len(groups) for part, share in shares.items()}
    order = np.random.default_rng(seed).permutation(names.size)
    for dealt, at in enumerate(order.tolist()):
        empty = [part for part in parts if not parts[part]]
        choice = empty if names.size - dealt <= len(empty) else list(parts)
        part = max(choice, key=lacking.__getitem__)
        parts[part].append(str(names[at]))
        lacking[part] -= int(images[at])
    return {part: tuple(sorted(chosen)) for part, chosen in parts.items()}


def fold_groups(groups: Sequence[str], folds: int, seed: int) -> list[tuple[str, ...]]:
    """Give the held-out groups of every fold; each group is held out once.

    Raises
    ------
    BadImages
        If there are fewer groups than folds.
    """
    names = sorted(set(groups))
    if len(names) < folds:
        raise BadImages(f"{len(names)} groups cannot make {folds} folds; take fewer")
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    return [
        tuple(sorted(names[at] for at in order[fold::folds])) for fold in range(folds)
    ]


def rows_of(groups: Sequence[str], part: Sequence[str]) -> list[int]:
    """Give the images whose group belongs to a part."""
    chosen = set(part)
    return [row for row, group in enumerate(groups) if group in chosen]


def save_split(path: Path, split: Split) -> None:
    """Store a split, all or nothing."""
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(split, indent=1), encoding="utf-8")
    scratch.replace(path)


def load_split(path: Path) -> Split:
    """Read a stored split.

    Raises
    ------
    BadRun
        If it cannot be read, or a group lies in two parts.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        split = {str(part): tuple(map(str, names)) for part, names in found.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadRun(f"{path}: no stored split of groups: {error}") from error
    dealt = [name for names in split.values() for name in names]
    twice = sorted({name for name in dealt if dealt.count(name) > 1})
    if twice:
        raise BadRun(
            f"{path}: {', '.join(twice[:3])} in two parts of the split; what was "
            "trained on would be tested on: split again"
        )
    return split
