"""``vigil simulate``: audits of simulated worlds, and synthetic data sets."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import Progress

from acquisition.errors import BadInput
from acquisition.simulated.world import World
from calibration.audit.report import QUICK, Effort, audit_world

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants of a world."""

    seed: int = 1
    audit: bool = False
    quick: bool = False


def simulate(name_or_path: str, wishes: Wishes) -> dict[str, Any]:
    """Do what is wished; the result has the keys of ``vigil simulate --json``.

    Raises
    ------
    BadInput
        If the world or a wish is wrong, or nothing is wished.
    """
    world = World.load(name_or_path)
    if not 0 <= wishes.seed <= LARGEST_SEED:
        raise BadInput(
            f"--seed {wishes.seed}: give a whole number from 0 to {LARGEST_SEED}"
        )
    if not wishes.audit:
        raise BadInput(f"nothing to do with {world.name}: give --audit")
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def tell(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=1.0)
            bar.update(tasks[what], completed=share)

        effort = QUICK if wishes.quick else Effort()
        return audit_world(world, wishes.seed, tell, effort)
