"""From a trained second network to the model that holds it: card, weights, NOTICE."""

from pathlib import Path

import numpy as np
import torch

from acquisition.errors import BadRun
from acquisition.simulated.world import World
from calibration.metrics.ranking import auroc
from calibration.training.classifier_fusion import LEAST_RATIO, fit_fusion
from calibration.training.classifier_learner import (
    ClassifierLearner,
    fill,
    logits_of,
)
from calibration.training.classifier_recipe import ClassifierRecipe
from calibration.training.classifier_samples import (
    FoundCells,
    Samples,
    claim_samples,
    load_found,
)
from calibration.training.devices import Device
from calibration.training.recipe import Split
from inference.cards import (
    MODELS,
    Classifier,
    Model,
    SecondNetwork,
    TrainingData,
    load_model,
    save_model,
)
from inference.model_folder import NOTICE_FILE, Tensors
from inference.nets.cell_classifier import CellClassifier

REFERENCE = Device(torch.device("cpu"), torch.float32)
GOLDEN_CELLS = 32
_SPLITS: tuple[Split, Split, Split] = ("train", "validation", "test")
_BEGINS = "The second network of this model"
_NOTICE = """{begins} looks at single cells whose
call by the maps is in doubt. Trained from {origin} on cells that the maps found
in fields of the simulated microscope of vigil (around {worlds}; training
seeds {first} to {last}). No recording of a real microscope went into this training.
BSD-3-Clause, the vigil developers.
"""


def export_classifier(
    recipe: ClassifierRecipe, run: Path, samples: Path, folder: Path
) -> Path:
    """Write the model of a recipe with the averaged network of a run; gives ``folder``.

    Network and maps are brought together on the validation cells in doubt, and P(dead)
    from the share of dead among the found ones there to that which the card assumes;
    the figures are of the found cells of the test fields.

    Raises
    ------
    BadRun
        If there is no checkpoint yet, or cells of held-out fields are missing.
    BadModel
        If the model whose maps are corrected is missing or damaged.
    """
    learner = ClassifierLearner(recipe, run)
    if not learner.load():
        raise BadRun(
            f"{run} holds no {learner.path.name}: it is no training run, or has not "
            "come to its first evaluation; name the folder of the run with --output"
        )
    model = load_model(recipe.model)
    claim_samples(recipe, model.card, samples)
    validation = load_found(recipe, samples, "validation")
    weights = kept_weights(learner.averaged)
    network = as_kept(recipe, weights)
    stated = _calibrated(recipe, model, network, validation, learner.done)
    weights["trust"] = network.trust.numpy()
    stated = with_figures(stated, network, load_found(recipe, samples, "test"))
    save_model(
        folder,
        model.card.model_copy(update={"name": recipe.name, "classifier": stated}),
        model.weights,
        model.golden,
        _notice(recipe),
        golden_cells(network, weights, validation.samples),
    )
    return folder


def kept_weights(network: torch.nn.Module) -> Tensors:
    """Give the weights as they are stored: kernels in half precision."""
    return {
        name: tensor.half().numpy() if tensor.ndim == 4 else tensor.float().numpy()
        for name, tensor in network.cpu().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def as_kept(recipe: ClassifierRecipe, weights: Tensors) -> CellClassifier:
    """Give the float32 reference: the network with its weights as they are stored."""
    return fill(CellClassifier(recipe.base), weights).eval()


def _calibrated(
    recipe: ClassifierRecipe,
    model: Model,
    network: CellClassifier,
    validation: FoundCells,
    steps: int,
) -> Classifier:
    """Give the part of the card, P(dead) made honest on the validation fields.

    The network is made to trust the maps as they deserve it there.
    """
    doubtful = validation.samples
    own = logits_of(network, doubtful, REFERENCE)
    fusion = fit_fusion(doubtful.told, own, doubtful.dead, LEAST_RATIO)
    network.trust.fill_(fusion.trust)
    assumed = model.card.training.dead_share
    share = float(validation.dead.mean())
    return Classifier(
        base=recipe.base,
        edge_px=recipe.edge_px,
        doubt=recipe.doubt,
        temperature=fusion.temperature,
        dead_offset=fusion.offset + offset_to(assumed, share),
        training=_training(recipe, model, steps),
        cells=0,
        cells_in_doubt=0,
    )


def offset_to(assumed: float | None, share: float) -> float:
    """Give what brings a logit from the share of the dead there to the assumed one.

    Of fields with their ``share`` P(dead) is right as it was fitted; elsewhere
    the odds change by the ratio of the prior odds. Without an assumption, or with one
    kind of cells alone, there is nothing to bring.
    """
    if assumed is None or not 0 < share < 1:
        return 0.0
    return float(np.log(assumed / (1 - assumed)) - np.log(share / (1 - share)))


def with_figures(
    stated: Classifier, network: CellClassifier, test: FoundCells
) -> Classifier:
    """Add how well all found cells are told apart, before and after the second look."""
    logits = test.logit.astype(np.float64)
    looked = logits_of(network, test.samples, REFERENCE)
    logits[test.in_doubt] = looked / stated.temperature + stated.dead_offset
    return stated.model_copy(
        update={
            "cells": len(test.dead),
            "cells_in_doubt": len(test.samples),
            "auroc_maps": auroc(test.logit, test.dead),
            "auroc": auroc(logits, test.dead),
        }
    )


def golden_cells(
    network: CellClassifier, weights: Tensors, validation: Samples
) -> SecondNetwork:
    """Choose cells from all over the validation fields to try engines by."""
    count = min(GOLDEN_CELLS, len(validation))
    rows = np.linspace(0, len(validation) - 1, count).astype(np.int64)
    some = validation.take(rows)
    crops = some.crops().astype(np.float16).astype(np.float32)  # as they are kept
    with torch.inference_mode():
        logits = network(torch.from_numpy(crops), torch.from_numpy(some.told)).numpy()
    return SecondNetwork(weights, crops, some.told, logits)


def _training(recipe: ClassifierRecipe, model: Model, steps: int) -> TrainingData:
    settings = recipe.fields
    worlds = [World.load(name) for name in dict.fromkeys(settings.worlds)]
    train, validation, test = (
        (settings.seeds(split)[0], settings.seeds(split)[-1]) for split in _SPLITS
    )
    return TrainingData(
        source="cells in doubt that the maps found on the simulated microscope of "
        "vigil, domain randomisation per field",
        worlds=tuple(f"{world.name} {world.hash}" for world in worlds),
        seeds=(train,),
        held_out_seeds=(validation, test),
        steps=steps,
        seed=recipe.seed,
        dead_share=model.card.training.dead_share,
        warm_start=model.label if recipe.warm_start else None,
    )


def _notice(recipe: ClassifierRecipe) -> str:
    """Give the notice of the model and, behind it, what the second network is."""
    given = MODELS.find(recipe.model) / NOTICE_FILE
    original = given.read_text(encoding="utf-8").partition(_BEGINS)[0].rstrip()
    seeds = recipe.fields.seeds("train")
    own = _NOTICE.format(
        begins=_BEGINS,
        origin="the one before" if recipe.warm_start else "random numbers",
        worlds=" and ".join(dict.fromkeys(recipe.fields.worlds)),
        first=seeds[0],
        last=seeds[-1],
    )
    return f"{original}\n\n{own}"
