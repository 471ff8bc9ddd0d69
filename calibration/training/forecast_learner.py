"""Training of the network that corrects the bank, on simulated cells alone.

Half of what it sees are made-up populations of every speed, persistence, mixture, noise
and interval; half is the specimen of the simulated microscope. Seeds are those of the
recipe; what the card states is measured on seeds that are never trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from acquisition.records import Tracks
from acquisition.simulated.world import World
from calibration.training.forecast_courses import (
    Course,
    Population,
    specimen_course,
    walk_course,
    with_gaps,
)
from configs.schema import Forecasting
from configs.section import Section
from tracking.forecasts.card import ResidualShape
from tracking.forecasts.forecaster import MODELS, Forecaster
from tracking.forecasts.rolling import Scores
from tracking.forecasts.tokens import WINDOW, Tokens
from tracking.forecasts.transformer import ResidualTransformer

FIRST_TRAINING_SEED = 1_000_000
FARTHEST = 12.0
"""Deviations; what went farther is an accident and not to be learnt from."""
TICKS_OF_FRAMES = (1, 3, 9, 15)
"""Of 20 s, between the frames in which a specimen is seen."""
AHEAD_TICKS = np.array([1, 3, 15, 60, 180])
AHEAD_FRAMES = np.array([1, 2, 3, 5, 12])
SPECIMEN_MINUTES = 100

Watch = Callable[[int, int, float | None], bool]
"""Is told steps done, of how many, and the loss; says whether to go on."""


class ForecastRecipe(Section):
    """What a training run of a forecast network needs to know."""

    kind: Literal["forecast"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    architecture: ResidualShape = ResidualShape()
    populations: int = Field(32, ge=1)
    """Made-up populations."""
    specimens: int = Field(6, ge=0)
    """Runs of the specimen."""
    worlds: tuple[str, ...] = ("cho_10x", "hela_40x")
    first_seed: int = Field(FIRST_TRAINING_SEED, ge=FIRST_TRAINING_SEED)
    samples: int = Field(2000, ge=10)
    """Taken from each of them."""
    steps: int = Field(1500, ge=1)
    batch: int = Field(512, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    seed: int = Field(1, ge=0)


@dataclass(frozen=True, slots=True)
class Samples:
    """What the network sees, and how far cells really went beyond the bank."""

    steps: NDArray[np.float32]  # (sample, step, feature)
    known: NDArray[np.bool_]  # (sample, step)
    ahead: NDArray[np.float32]  # (sample, horizon, feature)
    beyond: NDArray[np.float32]  # (sample, horizon, along across), NaN: not known


def training_courses(recipe: ForecastRecipe) -> list[Callable[[], Course]]:
    """Give what makes each course of the training, in order."""
    first = recipe.first_seed
    makers: list[Callable[[], Course]] = [
        partial(any_population, first + number) for number in range(recipe.populations)
    ]
    makers += [
        partial(
            any_specimen,
            recipe.worlds[number % len(recipe.worlds)],
            first + recipe.populations + number,
            TICKS_OF_FRAMES[number % len(TICKS_OF_FRAMES)],
        )
        for number in range(recipe.specimens)
    ]
    return makers


def any_population(seed: int) -> Course:
    """Give a population of a speed, persistence, mixture, noise and interval."""
    rng = np.random.default_rng([seed, 31])
    tick_s = float(rng.choice([20.0, 60.0, 300.0, 600.0, 1800.0]))
    persistence = tick_s / 60 * float(np.exp(rng.uniform(np.log(0.5), np.log(15))))
    step_um = float(np.exp(rng.uniform(np.log(0.3), np.log(6))))
    population = Population(
        cells=200,
        speed_um_per_min=step_um / (tick_s / 60),
        speed_spread=float(rng.uniform(0, 0.8)),
        persistence_min=persistence,
        persistence_spread=float(rng.uniform(0, 0.7)),
        resting=float(rng.choice([0, rng.uniform(0, 0.3)])),
        stopping=float(rng.choice([0, rng.uniform(0, 0.02)])),
        tremble_um=0.1 * step_um,
        noise_um=step_um * float(rng.uniform(0.05, 0.6)),
    )
    frames = np.arange(30)
    course = walk_course(population, frames, AHEAD_FRAMES, rng, tick_s)
    return with_gaps(course, float(rng.choice([0, 0.05])), rng)


def any_specimen(world: str, seed: int, every: int) -> Course:
    """Give a run of a specimen, seen at an interval of ``every`` ticks."""
    frames = np.arange(0, 3 * SPECIMEN_MINUTES, every)
    rng = np.random.default_rng([seed, 32])
    noise_um = float(rng.uniform(0.1, 0.6))
    return specimen_course(World.load(world), seed, frames, AHEAD_TICKS, noise_um)


def collect(course: Course, count: int, rng: Generator) -> Samples:
    """Show a course to the bank, and take samples of living cells from it."""
    horizons_s = np.array(course.horizons_s)
    settings = Forecasting(model="bank", horizons_s=course.horizons_s)
    forecaster = Forecaster(settings, 0.5, Scores(MODELS, horizons_s.size))
    chosen = max(1, round(1.5 * count / max(1, course.frames.size - WINDOW)))
    parts: list[tuple[Tokens, NDArray[np.float64]]] = []
    for frame, (time_s, cells, tracks) in enumerate(course.shown()):
        forecaster.observe(time_s, cells, tracks)
        fit = np.flatnonzero((tracks.age_frames >= 3) & (tracks.state == 1))
        if frame < WINDOW or not fit.size:
            continue
        row = np.sort(rng.permutation(fit)[:chosen])
        some = _rows_of(tracks, row)
        tokens, here_um, way_um, cov = forecaster.look(some, horizons_s)
        true_um = course.later_um(frame)[some.track_id - 1]
        sigma_um = np.sqrt((cov[..., 0, 0] + cov[..., 1, 1]) / 2 + 1e-6)
        beyond = (true_um - here_um[:, None] - way_um) / sigma_um[..., None]
        parts.append((tokens, _turn(beyond, tokens.along)))
    return Samples(
        np.concatenate([tokens.steps for tokens, _ in parts]),
        np.concatenate([tokens.known for tokens, _ in parts]),
        np.concatenate([tokens.ahead for tokens, _ in parts]),
        np.concatenate([beyond for _, beyond in parts]).astype(np.float32),
    )


def _rows_of(tracks: Tracks, row: NDArray[np.int64]) -> Tracks:
    columns = {field.name: getattr(tracks, field.name) for field in fields(tracks)}
    return replace(
        tracks, **{k: v[row] for k, v in columns.items() if isinstance(v, np.ndarray)}
    )


def _turn(vector: NDArray[Any], along: NDArray[Any]) -> NDArray[Any]:
    y, x = along[:, None, 0], along[:, None, 1]
    parts = (
        vector[..., 0] * y + vector[..., 1] * x,
        vector[..., 1] * y - vector[..., 0] * x,
    )
    return np.stack(parts, axis=2)


def gather(recipe: ForecastRecipe, tell: Callable[[int, int], bool]) -> Samples | None:
    """Collect all samples of a training; ``None`` when it was told to stop."""
    rng = np.random.default_rng([recipe.seed, 33])
    makers = training_courses(recipe)
    parts = []
    for number, make in enumerate(makers):
        parts.append(collect(make(), recipe.samples, rng))
        if not tell(number + 1, len(makers)):
            return None
    return Samples(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("steps", "known", "ahead", "beyond")
        )
    )


def learn(
    recipe: ForecastRecipe, samples: Samples, watch: Watch
) -> ResidualTransformer | None:
    """Train a network; ``None`` when it was told to stop.

    The loss is the negative logarithm of a round Gaussian, in deviations of the bank.
    Cells are mirrored at random across their way.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, 34])
    net = ResidualTransformer(recipe.architecture)

    def loss() -> torch.Tensor:
        at = rng.integers(0, len(samples.steps), recipe.batch)
        return _loss(net, samples, at, rng)

    whole = descend(net, loss, recipe.steps, recipe.learning_rate, watch)
    return net if whole else None


def descend(
    net: torch.nn.Module,
    loss_of_batch: Callable[[], torch.Tensor],
    steps: int,
    learning_rate: float,
    watch: Watch,
) -> bool:
    """Take the steps of a training; gives whether it came to its end.

    ``watch`` is told the running mean of the loss. The rate rises and falls once.
    """
    optimiser = torch.optim.AdamW(net.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=steps
    )
    running = None
    for step in range(steps):
        loss = loss_of_batch()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        value = float(loss.detach())
        running = value if running is None else 0.98 * running + 0.02 * value
        if not watch(step + 1, steps, running):
            return False
    net.eval()
    return True


def _loss(
    net: ResidualTransformer, samples: Samples, at: NDArray[np.int64], rng: Generator
) -> torch.Tensor:
    steps, ahead = samples.steps[at].copy(), samples.ahead[at].copy()
    beyond = samples.beyond[at].copy()
    flip = rng.choice([-1, 1], (at.size, 1)).astype(np.float32)
    for array in (steps, ahead, beyond):
        array[..., 1] *= flip
    true = torch.from_numpy(beyond)
    far = true.norm(dim=2)
    use = torch.isfinite(far) & (far < FARTHEST)
    out = net(
        torch.from_numpy(steps),
        torch.from_numpy(samples.known[at]),
        torch.from_numpy(ahead),
    )
    square = ((torch.nan_to_num(true) - out[..., :2]) ** 2).sum(dim=2)
    each = out[..., 2] + square / (2 * out[..., 2].exp())
    return (each * use).sum() / use.sum().clamp(min=1)
