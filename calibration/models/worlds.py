"""Models on simulated worlds: fresh fields, the product's path, the exact truth."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import BadModel, BadWorld
from acquisition.records import Modality
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.fields import render_field
from acquisition.simulated.world import World
from calibration.models.analyst import Analyst, Judged, judge
from calibration.models.figures import Row, figures_of, intervals_of
from calibration.shots import frame_of, shoot
from inference.cards import Card

CONTRACT = (
    "object_f1_live",
    "object_f1_dead",
    "mean_object_f1",
    "missed",
    "false",
    "instance_f1_50",
    "instance_f1_75",
    "ece",
    "auroc_dead",
    "n_objects",
)
"""What every row of a world states, if only as None."""

Tell = Callable[[str, float], None]
"""Is told what is being done and the share of it that is done."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is rendered of every world."""

    fields: int = 4
    size_px: int = 1024
    dead_share: float | None = None
    """Share of dead cells to which the dishes are made; None: that of each world."""
    crowding: float = 1.0
    """Times as many cells as each world has; 2.7: as full as a training has them."""


def find_worlds(given: Sequence[str]) -> list[World]:
    """Load worlds: names of shipped ones, world files, or folders of such files.

    Raises
    ------
    BadWorld
        If there is no such world, or a file is wrong.
    """
    worlds = []
    for one in given:
        if not Path(one).is_dir():
            worlds.append(World.load(one))
            continue
        files = sorted(Path(one).glob("*.toml"))
        if not files:
            raise BadWorld(f"{one}: a folder without world files (*.toml)")
        worlds += [World.load(file) for file in files]
    return worlds


def evaluate_worlds(
    analysts: Sequence[Analyst], worlds: Sequence[World], effort: Effort, tell: Tell
) -> list[list[Row]]:
    """Give the rows of every model, one a world; all models see the same fields.

    A world whose frames a model refuses has a row without figures and with the reason.

    Raises
    ------
    BadModel
        If a model refuses all worlds.
    """
    rows: list[list[Row]] = [[] for _ in analysts]
    for number, world in enumerate(worlds):
        for own, row in zip(
            rows, _evaluate(analysts, world, effort, tell), strict=True
        ):
            own.append(row)
        tell("worlds", (number + 1) / len(worlds))
    for own in rows:
        if all(row["reason"] for row in own):
            raise BadModel(str(own[0]["reason"]))
    return rows


def seeds_of(world: World, count: int) -> list[int]:
    """Give seeds for a world: its own first. All lie below those of trainings."""
    others = (seed for seed in itertools.count(1) if seed not in world.seeds)
    return list(itertools.islice(itertools.chain(world.seeds, others), count))


def crowded(world: World, times: float) -> World:
    """Give a world with so many times its cells; its optics and camera stay.

    Raises
    ------
    BadWorld
        If it is a chip, whose wells say how many cells there are.
    """
    if times != 1 and world.nanowell is not None:
        raise BadWorld(
            f"{world.name}: the wells of a chip say how many cells it holds; leave "
            "--crowding out, or the world"
        )
    cells = world.cells.model_copy(update={"n": round(world.cells.n * times)})
    return world.model_copy(update={"cells": cells})


def modality_for(card: Card, world: World) -> Modality:
    """Give what the world is shown in: its own modality, if the model takes it."""
    own = world.optics.modality
    return own if own in card.modalities else card.modalities[0]


def kind_of(card: Card, world: World) -> str:
    """Tell whether a model was trained around a world: "trained" or "held out"."""
    hashes = {text.rpartition(" ")[2] for text in card.training.worlds}
    return "trained" if world.hash in hashes else "held out"


def _evaluate(
    analysts: Sequence[Analyst], world: World, effort: Effort, tell: Tell
) -> list[Row]:
    seeds = seeds_of(world, effort.fields)
    dish = crowded(world, effort.crowding)
    share = effort.dead_share
    mix = None if share is None else world.mix.with_dead(share)
    judged: list[list[Judged]] = [[] for _ in analysts]
    refused: list[str | None] = [None for _ in analysts]
    prevalences = [analyst.prevalence() for analyst in analysts]
    for done, seed in enumerate(seeds):
        field = render_field(dish, seed, effort.size_px, mix)
        truth = dict(zip(field.ids.tolist(), field.state.tolist(), strict=True))
        for at, analyst in enumerate(analysts):
            if refused[at]:
                continue
            modality = modality_for(analyst.card, world)
            shot = shoot(field, world, seed, modality)
            frame = frame_of(shot, modality, field.pixel_size_um)
            try:
                found = analyst.segment(frame, stand_of(world))
            except BadModel as error:
                refused[at] = str(error)
                continue
            smallest = analyst.smallest_um2 / field.pixel_size_um**2
            judged[at].append(
                judge(
                    field.labels,
                    truth,
                    (found.labels, found.cells),
                    smallest,
                    found.phase,
                    analyst.recall(found, prevalences[at]),
                )
            )
        tell(world.name, (done + 1) / len(seeds))
    return [
        {
            "name": world.name,
            "kind": kind_of(analyst.card, world),
            "modality": modality_for(analyst.card, world),
            **(dict.fromkeys(CONTRACT) if refused[at] else figures_of(judged[at])),
            "intervals": {} if refused[at] else intervals_of(judged[at]),
            "seeds": seeds,
            "reason": refused[at],
        }
        for at, analyst in enumerate(analysts)
    ]
