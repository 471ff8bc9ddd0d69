"""`vigil bench tracking`: names through time, beside other trackers on the same scenes.

Everything runs in one thread. ``ms_per_frame`` is processor time: of vigil the median
of a step, of a peer the whole call over its frames. Quality is the mean over seeds with
its interval over them. vigil is told no motion: only the gate and the memory that all
others have too.

A slow peer gets the first frames of a scene of thousands of cells only; its row says
how many, and what vigil has reached on the same. A peer that has spent its budget of
processor time on a row begins no further seed, and the answer says so.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from acquisition.errors import BadConfig, RunFailed
from calibration.benchmarks.tracking_figures import Tracked, score, track
from calibration.benchmarks.tracking_peers import ABSENT, MEMORY, PEERS, Peer
from calibration.benchmarks.tracking_scenes import (
    CROSSING_MERGED,
    DISHES,
    FRAME_S,
    WELL_EDGE,
    Scene,
    make_crossings,
    make_dish,
    make_well,
)
from calibration.benchmarks.tracking_stage import time_stage
from calibration.metrics.intervals import mean_interval
from configs.schema import Chip, Tracking
from tracking.metrics import TrackScore

FRAMES = {50: 100, 500: 40, 5000: 8}
"""Frames of a scene by its number of cells."""
MANY = 1000
"""From so many cells on a slow peer gets fewer frames."""
GATE, NEAR = 20.0, 8.0
"""Gate of all trackers on the dishes, and how near a match lies."""
APART_FRAMES = 3
"""So long after two cells parted their names are looked at."""
WELL_GATE, WELL_NEAR = 25.0, 6.0
WELLS, PER_ROW, PITCH = 60, 10, 100.0
WELL_CELLS = (2, 3, 4)
FIRST_SEED = 3
"""With it plain Hungarian linking has MOTA 0.877 and trackpy 0.909 on A, N = 50."""
FEWEST_PEERS = 3
QUALITY = ("mota", "idf1", "switches_per_1000")
SHOWN = ("tracker", "scene", "n", "frames", "seeds", "ms_per_frame", *QUALITY, "slower")

Tell = Callable[[str, float], None]
"""What is being done, and what share of it is done."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to measure."""

    scenes: tuple[str, ...] = ("A", "B", "wells")
    cells: tuple[int, ...] = tuple(FRAMES)
    seeds: int = 5
    budget_s: float = 60.0
    """Processor time of a peer for a row, after which it begins no further seed."""

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises
        ------
        BadConfig
            With every fault.
        """
        known = (*DISHES, "wells")
        faults = [
            f"--scene: {name} is unknown; there are {', '.join(known)}"
            for name in self.scenes
            if name not in known
        ]
        faults += [
            f"--cells: {count} is not one of {', '.join(map(str, FRAMES))}"
            for count in self.cells
            if count not in FRAMES
        ]
        if not 1 <= self.seeds <= 100:
            faults.append(f"--seeds: give 1 to 100 (given: {self.seeds})")
        if not self.budget_s > 0:
            faults.append(f"--budget: give seconds above 0 (given: {self.budget_s:g})")
        if faults:
            raise BadConfig("bench tracking", faults)


@dataclass(frozen=True, slots=True)
class Trial:
    """A scene of one seed, and how it is read."""

    scene: str
    n: int
    seed: int
    made: Scene
    settings: Tracking
    gate: float
    near: float


def installed_peers() -> tuple[Peer, ...]:
    """Give the peers that are there.

    Raises
    ------
    RunFailed
        If they are too few for a comparison.
    """
    here = tuple(peer for peer in PEERS if peer.version is not None)
    if len(here) < FEWEST_PEERS:
        missing = ", ".join(peer.package for peer in PEERS if peer.version is None)
        raise RunFailed(
            f"only {len(here)} of the peers are installed (missing: {missing}); a "
            f"comparison takes {FEWEST_PEERS}: pip install 'vigil-microscopy[peers]'"
        )
    return here


def bench_tracking(wishes: Wishes, tell: Tell = lambda *_: None) -> dict[str, Any]:
    """Follow the cells of all scenes with vigil and every peer.

    Returns
    -------
    dict
        ``rows``, the versions of the ``peers``, who is ``absent`` and what was
        ``left_out``, why, and who went ``over_budget``; ``crossings``: names mixed up
        with and without the contact term; ``masks_ms_per_frame`` of a step at 500 cells
        with their masks;
        ``stage``: milliseconds a frame of the whole stage, by number of cells.

    Raises
    ------
    BadConfig, RunFailed
        For wishes out of range; for fewer than three peers.
    """
    wishes.check()
    peers = installed_peers()
    _warm_up(peers)
    kinds = list(_kinds(wishes))
    rows: list[dict[str, Any]] = []
    for done, (scene, n) in enumerate(kinds):
        tell(f"scene {scene}, {n} cells", done / len(kinds))
        trials = [make_trial(scene, n, seed) for seed in _seeds(wishes)]
        rows += compare(trials, peers, wishes.budget_s)
    return {
        "rows": rows,
        "peers": {peer.name: peer.version for peer in peers},
        "absent": [*ABSENT, *(peer.name for peer in PEERS if peer not in peers)],
        "left_out": [f"{name}: {why}" for name, why in ABSENT.items()],
        "budget_s": wishes.budget_s,
        "over_budget": [
            _overrun(row) for row in rows if row["cpu_s"] > wishes.budget_s
        ],
        "crossings": _crossings(wishes),
        "masks_ms_per_frame": _with_masks(),
        "stage": [_stage(n) for scene, n in kinds if scene == "A"],
    }


def _stage(n: int) -> dict[str, Any]:
    trial = make_trial("A", n, FIRST_SEED)
    return {"n": n, **time_stage(trial.made, trial.settings, FRAME_S)}


def _seeds(wishes: Wishes) -> range:
    return range(FIRST_SEED, FIRST_SEED + wishes.seeds)


def _kinds(wishes: Wishes) -> Iterator[tuple[str, int]]:
    for scene in wishes.scenes:
        for n in WELL_CELLS if scene == "wells" else wishes.cells:
            yield scene, n


def make_trial(scene: str, n: int, seed: int) -> Trial:
    """Give a scene by name, number of cells and seed, and how it is read."""
    if scene == "wells":
        options = Tracking(
            max_speed_um_per_min=WELL_GATE,
            memory_frames=MEMORY,
            chip=Chip(
                first_yx_um=(WELL_EDGE / 2, WELL_EDGE / 2),
                rows=WELLS // PER_ROW,
                columns=PER_ROW,
                pitch_um=PITCH,
                well_um=WELL_EDGE,
                block=PER_ROW,
            ),
        )
        made = _make_chip(n, seed)
        return Trial(scene, n, seed, made, options, WELL_GATE, WELL_NEAR)
    options = Tracking(max_speed_um_per_min=GATE, memory_frames=MEMORY)
    made = make_dish(DISHES[scene], n, FRAMES[n], seed)
    return Trial(scene, n, seed, made, options, GATE, NEAR)


def _make_chip(cells: int, seed: int) -> Scene:
    """Give all wells of a chip as one scene."""
    wells = [make_well(cells, 1000 * seed + number) for number in range(WELLS)]
    shift = PITCH * np.stack(np.divmod(np.arange(WELLS), PER_ROW), axis=1)
    truth = [well.truth + away for well, away in zip(wells, shift, strict=True)]
    found = [
        np.concatenate([_moved(objects, away) for objects, away in every])
        for every in (
            zip(frame, shift, strict=True)
            for frame in zip(*(well.found for well in wells), strict=True)
        )
    ]
    return Scene(np.concatenate(truth, axis=1), tuple(found))


def _moved(
    objects: NDArray[np.float64], away: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.column_stack((objects[:, :2] + away, objects[:, 2]))


def compare(
    trials: list[Trial], peers: tuple[Peer, ...], budget_s: float
) -> list[dict[str, Any]]:
    """Give the rows of vigil and of every peer on the scenes of some seeds.

    A row of a peer says how many frames and seeds it is of; where they are fewer,
    ``vigil_there`` is what vigil reached on the same.
    """
    ours = [_ours(trial) for trial in trials]
    rows = [_row("vigil", trials, ours)]
    for peer in peers:
        done = _in_budget(peer, trials, budget_s)
        row = _row(peer.name, trials[: len(done)], done)
        row["slower"] = round(row["ms_per_frame"] / rows[0]["ms_per_frame"], 1)
        row["cpu_s"] = round(_cpu_s(done), 1)
        if (row["frames"], row["seeds"]) != (rows[0]["frames"], rows[0]["seeds"]):
            same = [_cut(one, row["frames"]) for one in ours[: len(done)]]
            there = _row("vigil", trials[: len(done)], same)
            row["vigil_there"] = {key: there[key] for key in QUALITY}
        rows.append(row)
    if trials[0].scene == "wells":
        later = [Tracked(one.filled, one.ms_per_frame, one.filled) for one in ours]
        rows.insert(1, _row("vigil after the lag", trials, later))
    return rows


def _ours(trial: Trial) -> Tracked:
    return track(trial.made.found, trial.settings, FRAME_S)


def _in_budget(peer: Peer, trials: list[Trial], budget_s: float) -> list[Tracked]:
    """Give what a peer made of the scenes, until its budget is spent."""
    done: list[Tracked] = []
    for trial in trials:
        if _cpu_s(done) <= budget_s:
            done.append(_theirs(peer, trial))
    return done


def _theirs(peer: Peer, trial: Trial) -> Tracked:
    found = trial.made.found
    if trial.scene in DISHES and trial.n >= MANY:
        found = found[: peer.frames]
    began = time.process_time()
    shown = peer.track(found, trial.gate)
    spent = time.process_time() - began
    return Tracked(shown, 1e3 * spent / len(found), shown)


def _cut(one: Tracked, frames: int) -> Tracked:
    return Tracked(one.shown[:frames], one.ms_per_frame, one.filled[:frames])


def _cpu_s(done: list[Tracked]) -> float:
    return sum(1e-3 * one.ms_per_frame * len(one.shown) for one in done)


def _overrun(row: dict[str, Any]) -> str:
    return (
        f"{row['tracker']}, scene {row['scene']}, {row['n']} cells: {row['cpu_s']} s "
        f"of processor time for {row['seeds']} seeds of {row['frames']} frames, which "
        "is over the budget; no further seed was begun"
    )


def _row(name: str, trials: list[Trial], done: list[Tracked]) -> dict[str, Any]:
    scores = [
        score(trial.made.truth[: len(tracked.shown)], tracked.shown, trial.near)
        for trial, tracked in zip(trials, done, strict=True)
    ]
    row: dict[str, Any] = {
        "tracker": name,
        "scene": trials[0].scene,
        "n": trials[0].n,
        "frames": len(done[0].shown),
        "seeds": len(trials),
        "ms_per_frame": round(float(np.median([one.ms_per_frame for one in done])), 4),
        "slower": None,
        "cpu_s": 0.0,
        "vigil_there": None,
        "intervals": {},
    }
    for key in QUALITY:
        values = [float(getattr(one, key) or 0.0) for one in scores]
        found = mean_interval(values, [str(trial.seed) for trial in trials])
        row[key] = round(found.estimate, 4)
        known = not np.isnan(found.low)
        row["intervals"][key] = [round(found.low, 4), round(found.high, 4)] * known
    if trials[0].scene == "wells":
        row["switches_per_well"] = _per_well(scores)
    return row


def _per_well(scores: list[TrackScore]) -> float:
    return round(sum(one.switches for one in scores) / (WELLS * len(scores)), 3)


def _warm_up(peers: tuple[Peer, ...]) -> None:
    trial = make_trial("A", 50, 0)
    few = Trial(
        "A", 50, 0, Scene(trial.made.truth[:4], trial.made.found[:4]), *_reading(trial)
    )
    _ours(few)
    for peer in peers:
        _theirs(peer, few)


def _reading(trial: Trial) -> tuple[Tracking, float, float]:
    return trial.settings, trial.gate, trial.near


def _crossings(wishes: Wishes) -> dict[str, int]:
    """Count mixed-up pairs of unlike cells that met, with and without the term."""
    mixed = {"pairs": 0, "with_term": 0, "without_term": 0}
    for seed in _seeds(wishes):
        made = make_crossings(seed)
        mixed["pairs"] += made.truth.shape[1] // 2
        for key, weight in (("with_term", 1.0), ("without_term", 0.0)):
            mixed[key] += count_mixed_up(made, weight)
    return mixed


def count_mixed_up(made: Scene, weight: float) -> int:
    """Give the pairs with other names than before, once apart for `APART_FRAMES`."""
    options = Tracking(
        max_speed_um_per_min=GATE, memory_frames=MEMORY, contact_weight=weight
    )
    shown = track(made.found, options, FRAME_S).shown
    names = []
    for frame in (0, CROSSING_MERGED[-1] + APART_FRAMES):
        away, at = cKDTree(shown[frame][1]).query(made.truth[frame])
        names.append(np.where(away < NEAR, shown[frame][0][at], 0))
    return int((names[0] != names[1]).reshape(-1, 2).any(axis=1).sum())


def _with_masks() -> float:
    """Give the time of a step at 500 cells of scene A with their label maps."""
    trial = make_trial("A", 500, FIRST_SEED)
    labels = [_drawn(objects) for objects in trial.made.found]
    return round(
        track(trial.made.found, trial.settings, FRAME_S, labels).ms_per_frame, 4
    )


def _drawn(objects: NDArray[np.float64]) -> NDArray[np.uint16]:
    edge = int(DISHES["A"].spacing * np.sqrt(500)) + 2
    plane = np.zeros((edge, edge), np.uint16)
    for number, (y, x, radius) in enumerate(objects, start=1):
        rows = np.arange(max(int(y - radius), 0), min(int(y + radius) + 2, edge))
        columns = np.arange(max(int(x - radius), 0), min(int(x + radius) + 2, edge))
        disc = (rows[:, None] - y) ** 2 + (columns - x) ** 2 <= radius**2
        if rows.size and columns.size:
            part = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            part[disc] = number
    return plane
