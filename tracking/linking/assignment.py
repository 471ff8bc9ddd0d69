"""Exact assignment of tracks to detections on a sparse table of candidates.

Successive shortest augmenting paths with potentials (Jonker and Volgenant, "A shortest
augmenting path algorithm for dense and sparse linear assignment problems", 1987). Every
row has a dummy column of its own with a fixed cost, which is never stored. A search
stays inside the connected block of its row, so the blocks need no splitting.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNMATCHED = -1


def assign(
    first: NDArray[np.int64],
    column: NDArray[np.int64],
    cost: NDArray[np.float64],
    columns: int,
    unassigned: float,
) -> NDArray[np.int64]:
    """Match rows to columns at the least total cost.

    Parameters
    ----------
    first
        (row + 1,) start of every row in ``column`` and ``cost`` (CSR).
    column, cost
        (candidate,) column and finite cost of the candidates; costs may be negative.
    columns
        Number of columns.
    unassigned
        Cost of a row that stays without a column.

    Returns
    -------
    (row,) the column of every row, `UNMATCHED` for none.
    """
    return solve(first, column, cost, columns, unassigned)


@njit(nogil=True, cache=True, error_model="numpy")
def solve(  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912, PLR0915 - one kernel
    first, column, cost, columns, unassigned
):
    """Match as `assign` does, for use inside other kernels."""
    # Steps, for each row in turn: (1) Dijkstra over reduced costs from the row, through
    # matched columns to their rows, until a free column or a cheaper dummy ends it;
    # (2) lower the potentials of the columns passed; (3) swap along the path.
    rows = first.size - 1
    column_of = np.full(rows, UNMATCHED, np.int64)
    matched_cost = np.zeros(rows)
    row_of = np.full(columns, UNMATCHED, np.int64)
    potential = np.zeros(columns)
    distance = np.full(columns, np.inf)
    before = np.full(columns, UNMATCHED, np.int64)
    before_cost = np.zeros(columns)
    done = np.zeros(columns, np.bool_)
    reached = np.empty(columns, np.int64)

    for start in range(rows):
        row, offset, count = start, 0.0, 0
        best, end_column, end_row = unassigned, UNMATCHED, start
        while True:
            for at in range(first[row], first[row + 1]):
                to = column[at]
                if done[to]:
                    continue
                candidate = offset + cost[at] - potential[to]
                if candidate < distance[to]:
                    if distance[to] == np.inf:
                        reached[count] = to
                        count += 1
                    distance[to] = candidate
                    before[to] = row
                    before_cost[to] = cost[at]
            nearest, shortest = UNMATCHED, best
            for at in range(count):
                to = reached[at]
                if not done[to] and distance[to] < shortest:
                    nearest, shortest = to, distance[to]
            if nearest == UNMATCHED:
                break
            done[nearest] = True
            row = row_of[nearest]
            if row == UNMATCHED:
                best, end_column = shortest, nearest
                break
            offset = shortest - (matched_cost[row] - potential[nearest])
            if offset + unassigned < best:
                best, end_row = offset + unassigned, row

        for at in range(count):
            to = reached[at]
            if done[to] and distance[to] < best:
                potential[to] += distance[to] - best

        if end_column == UNMATCHED and end_row != start:
            end_column = column_of[end_row]
            column_of[end_row] = UNMATCHED
        while end_column != UNMATCHED:
            row = before[end_column]
            row_of[end_column] = row
            end_column, column_of[row] = column_of[row], end_column
            matched_cost[row] = before_cost[column_of[row]]
            if row == start:
                break

        for at in range(count):
            to = reached[at]
            distance[to] = np.inf
            done[to] = False
    return column_of
