"""From a trained network to a model folder: card, weights, golden frame, NOTICE."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import BadRun
from acquisition.simulated.world import World
from calibration.metrics.confidence import fit_temperature
from calibration.metrics.objects import DEAD_SHARE
from calibration.training.end_to_end import measure_model
from calibration.training.evaluation import score_objects
from calibration.training.fields import (
    TrainingField,
    field_path,
    load_field,
    make_world_field,
    newest_seed,
)
from calibration.training.real_figures import fold_figures, measure_held_out
from calibration.training.recipe import Fields, Images, Recipe, Split
from inference.cards import (
    Card,
    Golden,
    GoldenFrame,
    Model,
    Normalisation,
    TrainingData,
    load_model,
    save_model,
)
from inference.engines.torch_engine import TorchEngine
from inference.nets.graph import Network, build_network
from inference.pixels import slim_grey_level
from inference.probe import tiled

_OFFSET, _SCALE = slim_grey_level()
NORMALISATION = Normalisation(offset=_OFFSET, scale=_SCALE)
"""The network sees phase as it does in the live path, empty background at 0."""

ENCODER = "encoder.sha256"
"""In the folder of a run: hash of the file that the encoder began with, which may be
gone when the run ends."""

_GOLDEN_PX, _GOLDEN_UM = 256, 160.0
"""Least edge of the golden frame. In a frame of fewer micrometres are so few cells that
the borders of one decide whether an engine agrees."""
_UNKNOWN = "0" * 64
_HELD_OUT: tuple[Split, Split] = ("validation", "test")
_HELD_OUT_WORLD_SEEDS = (1, 8)
_NOTICE = """{name}: weights of a network of vigil.

Trained from {origin} on fields of the simulated microscope of vigil (around
{worlds}; training seeds {first} to {last}). {images}
BSD-3-Clause, the vigil developers.
"""
_NO_IMAGES = "No recording of a real\nmicroscope went into this training."
_WITH_IMAGES = "Trained also on these images:"
_ORIGINS = {True: "random numbers", False: "the weights of the model {}"}
_NEVER_TESTED = "recordings of real microscopes: never tested on any"
_ALWAYS = (
    "cells that float out of focus, or grow in several layers",
    "telling late apoptosis from secondary necrosis in a single frame",
)
_CONTRASTS = {
    "slim": "other contrasts than SLIM phase",
    "phase_contrast": "other contrasts than positive phase contrast",
    "brightfield": "other contrasts than brightfield a few um out of focus",
}


def export_model(
    recipe: Recipe, run: Path, folder: Path, fields: Path | None = None
) -> Path:
    """Write the best network of a training run as a model; gives its folder.

    The temperature is fitted on the validation fields, and P(dead) brought from their
    share of dead cells to 25 %; the figures of the card come from the test fields and
    the held-out worlds, through the product's own path from counts to cells.

    Raises
    ------
    BadRun
        If a validation or test field of the recipe is missing.
    """
    directory = fields or run / "fields"
    recipe = _as_trained(recipe, directory)
    settings = recipe.fields
    validation, test = (_load_split(settings, directory, split) for split in _HELD_OUT)
    network, steps = load_best(recipe, run)
    scores = score_objects(network, validation, NORMALISATION)
    weights = shipped_weights(network)
    temperature = fit_temperature(scores.logit, scores.dead)
    card = _draft(recipe, run, steps, temperature)
    share = float(scores.dead.mean())
    if 0 < share < 1:
        card = _at_headline_share(card, share)
    golden = golden_frame(card, weights, validation)
    model = Model(card, weights, golden)
    drawn = f"{' and '.join(settings.worlds)}, random worlds and mixes"
    figures = [measure_model(model, test, drawn)]
    first, last = _HELD_OUT_WORLD_SEEDS
    for name in settings.held_out_worlds:
        unseen = [
            make_world_field(settings, name, seed) for seed in range(first, last + 1)
        ]
        figures.append(measure_model(model, unseen, f"{name}, world as it stands"))
    card = card.model_copy(update={"simulated": tuple(figures)})
    card = save_model(folder, card, weights, golden, notice(recipe, run))
    if recipe.images:  # these are measured by the path that needs the folder
        real = (*fold_figures(recipe, run), *measure_held_out(recipe, folder))
        card = card.model_copy(update={"real": real})
        save_model(folder, card, weights, golden, notice(recipe, run))
    return folder


def _as_trained(recipe: Recipe, directory: Path) -> Recipe:
    """Give the recipe with the fields that were drawn, every world named once."""
    settings = recipe.fields
    newest = newest_seed(settings, directory)
    drawn: dict[str, Any] = {"worlds": tuple(dict.fromkeys(settings.worlds))}
    if settings.kept is not None and newest is not None:
        drawn["train"] = newest - settings.first_seed + 1
    return recipe.model_copy(update={"fields": settings.model_copy(update=drawn)})


def notice(recipe: Recipe, run: Path) -> str:
    """Give the text that travels with the weights: origin, licences, notices."""
    seeds = recipe.fields.seeds("train")
    images = [
        f"- {one.source}: {one.licence}, {one.copyright}" for one in recipe.images
    ]
    return _NOTICE.format(
        name=recipe.name,
        worlds=" and ".join(recipe.fields.worlds),
        origin=_ORIGINS[recipe.warm_start is None].format(recipe.warm_start)
        + _encoder_in_words(recipe, run),
        first=seeds[0],
        last=seeds[-1],
        images="\n".join([_WITH_IMAGES, *images]) if images else _NO_IMAGES,
    )


def _load_split(settings: Fields, directory: Path, split: Split) -> list[TrainingField]:
    """Load all fields of a split: figures on a part of them would name the whole."""
    seeds = settings.seeds(split)
    missing = [seed for seed in seeds if not field_path(directory, seed).is_file()]
    if missing:
        raise BadRun(
            f"{directory}: {len(missing)} of {len(seeds)} {split} fields are missing "
            f"(the first is {missing[0]}.npz); resume the training with --resume, "
            "which makes them"
        )
    return [load_field(field_path(directory, seed)) for seed in seeds]


def load_best(recipe: Recipe, run: Path) -> tuple[Network, int]:
    """Load the best averaged network of a run, and the steps the run has taken.

    Raises
    ------
    BadRun
        If the run has not been evaluated yet.
    """
    network = build_network(recipe.network)
    network.load_state_dict(_read(run / "best.pt"))
    state = _read(run / "checkpoint.pt")
    return network.eval(), int(state["progress"]["step"])


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BadRun(
            f"{path.parent} holds no {path.name}: it is no training run, or has not "
            "come to its first evaluation; name the folder of the run with --output"
        )
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state


def shipped_weights(network: Network) -> dict[str, NDArray[np.generic]]:
    """Give the weights as they are stored: kernels in half precision."""
    return {
        name: tensor.half().numpy() if tensor.ndim == 4 else tensor.float().numpy()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def golden_frame(
    card: Card, weights: Mapping[str, NDArray[np.generic]], fields: list[TrainingField]
) -> GoldenFrame:
    """Cut a frame from a typical held-out field, and run the float32 reference on it.

    It is that of the median number of cells: the fullest may be so crowded that an
    engine which suits all others fails on it, and the emptiest says nothing.
    """
    wanted = max(_GOLDEN_PX, 32 * math.ceil(_GOLDEN_UM / card.um_per_px / 32))
    edge = min(wanted, *fields[0].phase.shape)
    middle = (fields[0].phase.shape[0] - edge) // 2
    cut = np.s_[middle : middle + edge, middle : middle + edge]
    by_cells = sorted(fields, key=lambda field: np.unique(field.labels[cut]).size)
    frame = np.ascontiguousarray(by_cells[len(fields) // 2].phase[cut])
    shape = (4 * edge, 4 * edge)
    blank = GoldenFrame(frame, np.zeros((3, *frame.shape), np.uint8))
    engine = TorchEngine(Model(card, weights, blank), shape, torch.get_num_threads())
    maps = engine.infer(tiled(frame, shape), NORMALISATION.offset, NORMALISATION.scale)
    planes = np.stack([maps.classes, maps.dead, maps.separation])
    return GoldenFrame(frame, planes[:, :edge, :edge].copy())


def _identity(name: str | None) -> str | None:
    """Name a model that a training began with, so that it is found again."""
    if name is None:
        return None
    return f"{name} {load_model(name).card.weights_sha256[:16]}"


def _encoder_in_words(recipe: Recipe, run: Path) -> str:
    """Name the file that the encoder began with, as card and notice do."""
    if recipe.encoder is None:
        return ""
    digest = (run / ENCODER).read_text(encoding="utf-8")[:16]
    return (
        f", the encoder from {recipe.encoder.source} ({recipe.encoder.licence}, "
        f"{recipe.encoder.copyright}, sha256 {digest}...)"
    )


def _in_words(images: Images) -> str:
    """Name a set of images as the card does."""
    held_out = ", ".join(images.held_out)
    return "; ".join(
        part
        for part in (
            f"{images.source}, {images.licence}",
            f"{images.um_per_px:g} um a pixel",
            f"{images.share:.0%} of the crops",
            f"never trained on: {held_out}" if held_out else "",
            images.note,
        )
        if part
    )


def _at_headline_share(card: Card, share: float) -> Card:
    """Let P(dead) assume the share of dead cells at which figures are stated.

    Of the fields with their ``share`` it is right by the temperature alone; elsewhere
    the odds change by the ratio of the prior odds.
    """
    odds, wanted = share / (1 - share), DEAD_SHARE / (1 - DEAD_SHARE)
    training = card.training.model_copy(update={"dead_share": DEAD_SHARE})
    return card.model_copy(
        update={"dead_offset": float(np.log(wanted / odds)), "training": training}
    )


def _draft(recipe: Recipe, run: Path, steps: int, temperature: float) -> Card:
    """Give the card without figures and hashes, which come last."""
    settings = recipe.fields
    worlds = [World.load(name) for name in settings.worlds]
    spans = {
        split: (settings.seeds(split)[0], settings.seeds(split)[-1])
        for split in ("train", "validation", "test")
    }
    return Card(
        name=recipe.name,
        architecture=recipe.network,
        modalities=(settings.modality,),
        um_per_px=settings.pixel_um(),
        normalisation=NORMALISATION,
        classes=("background", "live", "dead"),
        temperature=temperature,
        parting=recipe.parting,
        training=TrainingData(
            source="simulated microscope of vigil, domain randomisation per field"
            + (", and real images" if recipe.images else "")
            + _encoder_in_words(recipe, run),
            worlds=(
                *(f"{world.name} {world.hash}" for world in worlds),
                *map(_in_words, recipe.images),
            ),
            seeds=(spans["train"],),
            held_out_seeds=(
                _HELD_OUT_WORLD_SEEDS,
                spans["validation"],
                spans["test"],
            ),
            steps=steps,
            seed=recipe.seed,
            warm_start=_identity(recipe.warm_start),
        ),
        simulated=(),
        real=(),
        not_good_for=(
            *recipe.limits,
            *(() if recipe.images else (_NEVER_TESTED,)),
            _CONTRASTS[settings.modality],
            *_ALWAYS,
        ),
        licence="BSD-3-Clause",
        weights_sha256=_UNKNOWN,
        golden=Golden(frame_sha256=_UNKNOWN, maps_sha256=_UNKNOWN),
    )
