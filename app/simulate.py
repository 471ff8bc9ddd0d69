"""``vigil simulate``: synthetic data sets of a world, and audits of it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from acquisition.errors import BadInput
from acquisition.simulated.world import World
from app.contact_sheet import ContactSheet
from app.preflight import free_bytes
from calibration.data_set import TRUTH, Plan, Shown, make_data_set
from calibration.forecast_oracle import DRAWS, seconds_a_frame, write_oracle

LARGEST_SEED = 2**31 - 1
LARGEST_SET = 1_000_000
SMALLEST_PX, LARGEST_PX, STEP_PX = 128, 4096, 32


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants of a world."""

    seed: int = 1
    modality: str | None = None
    """``None``: that of the world."""
    frames: int = 1
    interval_s: float | None = None
    """``None``: that of the world."""
    size_px: int = 1024
    output: Path | None = None
    preview: Path | None = None
    oracle: bool = False
    audit: bool = False
    quick: bool = False
    controls: bool = False


def simulate(name_or_path: str, wishes: Wishes) -> dict[str, Any]:
    """Do what is wished; the result has the keys of ``vigil simulate --json``.

    Raises
    ------
    BadInput
        If the world or a wish is wrong, or nothing is wished.
    """
    world = World.load(name_or_path)
    _check(world, wishes)
    if wishes.modality is not None:
        optics = world.optics.model_copy(update={"modality": wishes.modality})
        world = world.model_copy(update={"optics": optics})
    result: dict[str, Any] = {
        "world": world.name,
        "world_hash": world.hash,
        "modality": world.optics.modality,
        "seed": wishes.seed,
    }
    if wishes.output is not None:
        plan = _plan(world, wishes)
        if wishes.oracle:
            _announce_oracle(plan)
        result |= _make(plan, wishes.output, wishes.preview)
        if wishes.oracle and result["state"] == "ended":
            with progress_bar() as bar:
                truth = wishes.output / TRUTH
                write_oracle(wishes.output, truth, Tasks(bar).tell)
    if wishes.audit and result.get("state") != "interrupted":
        with progress_bar() as bar:
            # Only here forest and network are wanted, which take seconds to load.
            from calibration.audit.report import QUICK, Effort, audit_world

            effort = QUICK if wishes.quick else Effort()
            effort = replace(effort, product=wishes.controls)
            result |= audit_world(world, wishes.seed, Tasks(bar).tell, effort)
    return result


def _check(world: World, wishes: Wishes) -> None:
    """Refuse a wish that cannot be fulfilled, before anything is made."""
    if wishes.output is None and not wishes.audit:
        raise BadInput(
            f"nothing to do with world {world.name}: give --output DIR to make a data "
            "set, or --audit to judge the world"
        )
    if wishes.output is not None and wishes.output.exists():
        raise BadInput(f"--output {wishes.output}: exists already; name a new folder")
    if wishes.preview is not None and wishes.output is None:
        raise BadInput(
            f"--preview {wishes.preview}: it shows a data set, give --output"
        )
    if wishes.preview is not None and wishes.preview.suffix.lower() != ".png":
        raise BadInput(f"--preview {wishes.preview}: give a name that ends in .png")
    if wishes.oracle and wishes.output is None:
        raise BadInput("--oracle belongs to a data set: give --output DIR")
    if (wishes.quick or wishes.controls) and not wishes.audit:
        raise BadInput("--quick and --controls belong to --audit")
    _check_numbers(wishes)


def _check_numbers(wishes: Wishes) -> None:
    if not 0 <= wishes.seed <= LARGEST_SEED:
        raise BadInput(
            f"--seed {wishes.seed}: give a whole number from 0 to {LARGEST_SEED}"
        )
    if not 1 <= wishes.frames <= LARGEST_SET:
        raise BadInput(f"--frames {wishes.frames}: give 1 to {LARGEST_SET}")
    size = wishes.size_px
    if not SMALLEST_PX <= size <= LARGEST_PX or size % STEP_PX:
        raise BadInput(
            f"--size {size}: give a multiple of {STEP_PX} from {SMALLEST_PX} to "
            f"{LARGEST_PX}"
        )
    interval = wishes.interval_s
    if interval is not None and not 0 < interval <= 1_000_000:
        raise BadInput(f"--interval {interval:g}: give 0 to 1000000 seconds, not 0")


def _plan(world: World, wishes: Wishes) -> Plan:
    """Give the plan of the data set; refuse one that the disk cannot hold."""
    interval_s = wishes.interval_s
    plan = Plan(
        world=world,
        seed=wishes.seed,
        frames=wishes.frames,
        interval_s=world.protocol.interval_s if interval_s is None else interval_s,
        size_px=wishes.size_px,
    )
    assert wishes.output is not None
    free = free_bytes(wishes.output)
    if plan.bytes > free:
        raise BadInput(
            f"{wishes.output}: {plan.frames} frames need about "
            f"{plan.bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; ask for "
            "fewer frames or name another disk"
        )
    return plan


def _announce_oracle(plan: Plan) -> None:
    """Say on stderr what the oracle will cost, for it can be hours."""
    minutes = plan.frames * seconds_a_frame(plan.world, plan.seed, plan.size_px) / 60
    Console(stderr=True, soft_wrap=True).print(
        f"oracle: {DRAWS} futures of each of {plan.frames} frames, about "
        f"{max(minutes, 0.1):.1f} min on this machine after the frames"
    )


def _make(plan: Plan, output: Path, preview: Path | None) -> dict[str, Any]:
    """Make the data set, with its progress on stderr and its contact sheet."""
    sheet = ContactSheet(plan.frames, plan.world.optics.modality)
    with progress_bar() as bar, interruptible() as stopped:
        tasks = Tasks(bar)

        def watch(shown: Shown) -> bool:
            tasks.tell("frames", (shown.number + 1) / plan.frames)
            if preview is not None:
                sheet.add(shown)
            return not stopped.is_set()

        facts = make_data_set(plan, output, watch)
    if preview is not None:
        sheet.save(preview)
        facts["preview"] = str(preview)
    return facts


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a set event; a second one ends at once."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            signal.default_int_handler(number, frame)
        stopped.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopped  # only the main thread hears signals
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def progress_bar() -> Progress:
    """Give a progress bar on stderr; silent where nobody would see it move."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class Tasks:
    """Lines of a progress bar, one a kind of work."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, Any] = {}

    def tell(self, what: str, share: float) -> None:
        """Show that this share of the work is done."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=1.0)
        self._bar.update(self._tasks[what], completed=share)
