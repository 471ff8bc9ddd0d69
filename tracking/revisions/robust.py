"""Courses through a contact with what only a solver of inequalities can give.

As `tracking.revisions.smoothing`, but a centre far off (the middle of a merged blob, a
mask with a piece of the neighbour) pulls with a bounded force (Huber), no cell is
faster on an axis than the fastest believable one, and none leaves its walls. A convex
problem per size, built once and solved again with other numbers (CVXPY with parameters,
OSQP).

CVXPY takes a second to import, so that happens when the first course is solved, or
when `RobustCourses.prepare` is called.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.revisions.smoothing import Places, differences

HUBER_SIGMAS = 2.0
"""A centre further off than so many of its standard deviations is held to be wrong."""
FRAMES = (8, 16, 32, 72)
"""Courses are padded to one of these lengths, so that few problems are built."""
MOST_CELLS = 4
TOLERANCE = 1e-5
UNLIMITED_UM = 1e4

Walls = tuple[float, float, float, float]
"""(y0, x0, y1, x1) in um."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a course may do."""

    lam: float
    noise_um: float  # standard deviation of a measured centre on each axis
    max_speed_um_per_s: float


@dataclass(frozen=True, slots=True)
class Contact:
    """What is to be smoothed."""

    time_s: NDArray[np.float64]  # (frame,)
    places_um: Places  # (cell, frame, yx) without gaps
    weight: NDArray[np.float64]  # (cell, frame)
    walls_um: Walls | None = None


@dataclass(slots=True)
class _Problem:
    problem: Any
    places: Any
    parameters: dict[str, Any] = field(default_factory=dict)


class RobustCourses:
    """Solves contacts of 2 to 4 cells and up to 72 frames; keeps what it has built."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._built: dict[tuple[int, int], _Problem] = {}

    def prepare(self) -> None:
        """Import the solver and build all problems, about a second; none is solved."""
        import cvxpy

        for cells in range(2, MOST_CELLS + 1):
            for frames in FRAMES:
                problem = self._problem(cells, frames)
                still = np.zeros((cells, frames, 2)), np.ones((cells, frames))
                contact = Contact(np.arange(float(frames)), *still)
                _set(problem, contact, np.zeros(2), self._rules)
                # What it is turned into is kept for the solver of the same name.
                problem.problem.get_problem_data(cvxpy.OSQP)

    def solve(self, contact: Contact) -> tuple[Places | None, str]:
        """Give the courses (cell, frame, yx), and the name of the solver.

        Without a solution there are no courses, and instead of the name the reason.
        """
        cells, frames = contact.weight.shape
        length = next((size for size in FRAMES if size >= frames), None)
        if length is None or cells > MOST_CELLS or frames < 3:
            return None, f"{cells} cells in {frames} frames are not solved for"
        problem = self._problem(cells, length)
        # Around the middle of the cells, so that numbers are small.
        middle = contact.places_um.reshape(-1, 2).mean(axis=0)
        _set(problem, contact, middle, self._rules)
        return _solve(problem, cells, frames, middle)

    def _problem(self, cells: int, frames: int) -> _Problem:
        problem = self._built.get((cells, frames))
        if problem is None:
            problem = _build(cells, frames, self._rules)
            self._built[(cells, frames)] = problem
        return problem


def _solve(
    problem: _Problem, cells: int, frames: int, middle: NDArray[np.float64]
) -> tuple[Places | None, str]:
    import cvxpy

    try:
        problem.problem.solve(
            solver=cvxpy.OSQP,
            warm_start=True,
            eps_abs=TOLERANCE,
            eps_rel=TOLERANCE,
            adaptive_rho_interval=25,  # by count, not by time: the same on every day
        )
    except cvxpy.error.SolverError as error:
        return None, f"no solution: {error}"
    if problem.problem.status not in ("optimal", "optimal_inaccurate"):
        return None, f"no solution: {problem.problem.status}"
    columns = problem.places.value[:frames]
    places = columns.reshape(frames, cells, 2).transpose(1, 0, 2) + middle
    return np.ascontiguousarray(places), "osqp"


def _build(cells: int, frames: int, rules: Rules) -> _Problem:
    import cvxpy

    shape = (frames, 2 * cells)  # y and x of the first cell, of the second, ...
    places = cvxpy.Variable(shape)
    given = {
        "weighted": cvxpy.Parameter(shape),
        "root": cvxpy.Parameter(shape, nonneg=True),
        "cap": cvxpy.Parameter((frames - 1, 1), nonneg=True),
        "low": cvxpy.Parameter((1, 2 * cells)),
        "high": cvxpy.Parameter((1, 2 * cells)),
    }
    parts = [cvxpy.Parameter((frames - 2, 1)) for _ in range(3)]
    given |= dict(zip("abc", parts, strict=True))
    bends = sum(
        cvxpy.multiply(part, places[at : frames - 2 + at])
        for at, part in enumerate(parts)
    )
    misses = cvxpy.multiply(given["root"], places) - given["weighted"]
    cost = cvxpy.sum(cvxpy.huber(misses, HUBER_SIGMAS * rules.noise_um))
    cost += rules.lam * cvxpy.sum_squares(bends)
    steps = places[1:] - places[:-1]
    limits = [
        steps <= given["cap"],
        -steps <= given["cap"],
        places >= given["low"],
        places <= given["high"],
    ]
    return _Problem(cvxpy.Problem(cvxpy.Minimize(cost), limits), places, given)


def _set(
    problem: _Problem, contact: Contact, middle: NDArray[np.float64], rules: Rules
) -> None:
    """Fill in the numbers; padding holds the last place, and nothing couples to it."""
    cells, frames = contact.weight.shape
    length = problem.places.shape[0]
    pad = ((0, length - frames), (0, 0))
    columns = (contact.places_um - middle).transpose(1, 0, 2).reshape(frames, -1)
    root = np.sqrt(np.repeat(contact.weight.T, 2, axis=1))
    terms = np.pad(differences(contact.time_s), pad)
    cap = np.full((length - 1, 1), UNLIMITED_UM)
    cap[: frames - 1, 0] = rules.max_speed_um_per_s * np.diff(contact.time_s)
    root = np.pad(root, pad, constant_values=1.0)
    box = np.array([-UNLIMITED_UM] * 2 + [UNLIMITED_UM] * 2)
    if contact.walls_um is not None:
        box = np.array(contact.walls_um) - np.tile(middle, 2)
    values = {
        "weighted": root * np.pad(columns, pad, mode="edge"),
        "root": root,
        "cap": cap,
        "low": np.tile(box[:2], cells)[None],
        "high": np.tile(box[2:], cells)[None],
        **{name: terms[:, at : at + 1] for at, name in enumerate("abc")},
    }
    for name, value in values.items():
        problem.parameters[name].value = value
