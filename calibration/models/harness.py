"""Networks under one split, one loss and one budget, side by side.

Every network is trained by the same recipe on the same fields. Size, memory and time
are measured in a process of their own, so that one network does not pay for another.
"""

import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acquisition.errors import BadConfig, RunFailed
from calibration.models.learning import learning_figures
from calibration.training.batches import BatchMaker, Draws, Pool
from calibration.training.export import NORMALISATION
from calibration.training.fields import field_path
from calibration.training.learner import CHECKPOINT, Training
from calibration.training.recipe import Candidate, Recipe
from calibration.training.standing import HISTORY, Standing
from calibration.training.train import FIELDS, train
from inference.cards import load_card
from inference.nets.cost import network_cost
from inference.nets.graph import build_network

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

RESULT = "result.json"
_STATUS = Path("/proc/self/status")
_WARM_UP = 2
_DEADLINE_S = 3600.0

Watch = Callable[[str, Standing], bool]
"""Is told which network stands where; False ends the comparison."""


def budget(recipe: Recipe, candidate: Candidate, scale: float) -> Recipe:
    """Give the recipe of one network: only the network differs between them."""
    steps, every, train_fields = (
        max(1, round(scale * count))
        for count in (
            recipe.optimiser.steps,
            recipe.optimiser.evaluate_every,
            recipe.fields.train,
        )
    )
    longer = {"steps": steps, "evaluate_every": every}
    return recipe.model_copy(
        update={
            "name": candidate.name,
            "network": candidate.network,
            "encoder": candidate.encoder,
            "fields": recipe.fields.model_copy(update={"train": train_fields}),
            "optimiser": recipe.optimiser.model_copy(update=longer),
        }
    )


def compare_networks(
    recipe: Recipe, folder: Path, scale: float | None, watch: Watch
) -> Iterator[dict[str, Any]]:
    """Train and measure the networks of a recipe; yields a row for each, in order.

    Every network has a folder of its own. One that is finished is not trained again,
    one that was ended goes on. Ends early where ``watch`` says so.

    Raises
    ------
    BadConfig
        If the recipe names no networks.
    """
    if not recipe.compare.networks:
        raise BadConfig(
            recipe.name,
            ["compare.networks: empty; name the networks that are to be compared"],
        )
    factor = recipe.compare.scale if scale is None else scale
    for candidate in recipe.compare.networks:
        own = budget(recipe, candidate, factor)
        place = folder / f"scale-{factor:g}" / candidate.name
        kept = place / RESULT
        if kept.is_file():
            yield json.loads(kept.read_bytes())
            continue
        outcome = train(
            own,
            place,
            (place / CHECKPOINT).exists(),
            lambda standing, name=candidate.name: watch(name, standing),  # type: ignore[misc]
            folder / FIELDS,
        )
        if outcome.model is None:
            return
        row = _row(own, place, outcome.model) | _measured(own, folder / FIELDS)
        kept.write_text(json.dumps(row), encoding="utf-8")
        yield row


def _row(recipe: Recipe, place: Path, model: Path) -> dict[str, Any]:
    """Give the quality on the test fields, and what it took."""
    (figures, *_) = load_card(model).simulated
    lines = (place / HISTORY).read_text(encoding="utf-8").splitlines()
    history = [json.loads(line) for line in lines]
    live, dead = figures.object_f1_live_25, figures.object_f1_dead_25
    known = live is not None and dead is not None
    frame = (recipe.compare.frame_px, recipe.compare.frame_px)
    cost = network_cost(recipe.network, frame)
    return {
        "name": recipe.name,
        "kind": recipe.network.kind,
        "mean_object_f1": (live + dead) / 2 if known else None,  # type: ignore[operator]
        "instance_f1_50": figures.instance_f1_50,
        "auroc_dead": figures.auroc_dead,
        "ece": figures.ece,
        "parameters": cost.parameters,
        "gflop": cost.gflop,
        "steps": recipe.optimiser.steps,
        "minutes": history[-1]["minutes"],
        "n_objects": figures.objects_live + figures.objects_dead,
        **learning_figures(history),
    }


def _measured(recipe: Recipe, fields: Path) -> dict[str, Any]:
    """Measure memory and time in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_measure_quietly, args=(recipe, fields, sender), name="measure"
    )
    process.start()
    sender.close()
    try:
        if not receiver.poll(_DEADLINE_S):
            raise RunFailed(f"measuring {recipe.name} took over an hour: given up")
        result: dict[str, Any] = receiver.recv()
    except EOFError as error:
        process.join()
        raise RunFailed(
            f"measuring {recipe.name} ended with {process.exitcode}; see above"
        ) from error
    finally:
        process.terminate()
        process.join()
    return result


def _measure_quietly(recipe: Recipe, fields: Path, sender: Any) -> None:
    sender.send(measure(recipe, fields))


def measure(recipe: Recipe, fields: Path) -> dict[str, Any]:
    """Give time and memory of a network with random weights.

    Inference is eager float32, one frame after the other; the peak of memory is that
    of the process above what it held before. Training is one step of the recipe.
    """
    torch.set_num_threads(recipe.optimiser.threads or torch.get_num_threads())
    empty_mb = _peak_mb()
    edge = recipe.compare.frame_px
    network = build_network(recipe.network).eval()
    frame = torch.zeros(1, 1, edge, edge)
    times_ms = []
    with torch.inference_mode():
        for _ in range(_WARM_UP + recipe.compare.repeat):
            start = time.perf_counter()
            network(frame)
            times_ms.append(1e3 * (time.perf_counter() - start))
    inference_mb = _peak_mb()
    _train_once(recipe, fields)
    p50, p95 = np.percentile(times_ms[_WARM_UP:], [50, 95])
    grown = [
        None if peak is None or empty_mb is None else peak - empty_mb
        for peak in (inference_mb, _peak_mb())
    ]
    return {
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "inference_peak_mb": grown[0],
        "training_peak_mb": grown[1],
        "threads": torch.get_num_threads(),
    }


def _train_once(recipe: Recipe, fields: Path) -> None:
    """Take one step of the training, on one field."""
    seed = recipe.fields.seeds("train")[0]
    pool = Pool([field_path(fields, seed)])
    draws = Draws(recipe.optimiser.batch, recipe.seed)
    maker = BatchMaker(pool, recipe.augmentation, NORMALISATION, draws)
    # What an encoder begins with changes neither time nor memory.
    plain = recipe.model_copy(update={"encoder": None})
    Training(plain, fields).step(maker.make(0))


def _peak_mb() -> float | None:
    """Give the largest memory that this process has held; None on Windows.

    On Linux the peak that `getrusage` tells is handed down from the parent process.
    """
    if resource is None:
        return None
    if _STATUS.exists():
        facts = dict(
            line.split(":", 1) for line in _STATUS.read_text("utf-8").splitlines()
        )
        return float(facts["VmHWM"].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
