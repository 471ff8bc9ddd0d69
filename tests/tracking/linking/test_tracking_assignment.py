"""The sparse assignment is exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tracking.linking.assignment import UNMATCHED, assign

FORBIDDEN = 1e6


def sparse(cost):
    """Give the allowed entries of a dense cost table as rows (CSR)."""
    rows, columns = np.nonzero(cost < FORBIDDEN)
    first = np.searchsorted(rows, np.arange(len(cost) + 1))
    return first, columns.astype(np.int64), cost[rows, columns]


def total(cost, matched, unassigned):
    """Give the price of an assignment."""
    rows = np.flatnonzero(matched != UNMATCHED)
    return cost[rows, matched[rows]].sum() + unassigned * (len(cost) - len(rows))


def best_total(cost, unassigned):
    """Give the least price by the dense solver, one dummy column a row."""
    dummies = np.full((len(cost), len(cost)), FORBIDDEN)
    np.fill_diagonal(dummies, unassigned)
    whole = np.concatenate((cost, dummies), axis=1)
    return whole[linear_sum_assignment(whole)].sum()


@given(
    rows=st.integers(0, 12),
    columns=st.integers(0, 12),
    density=st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    tied=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=500, deadline=None)
def test_cost_equals_dense_solver(rows, columns, density, tied, seed):
    """Random, tied, empty and infeasible problems cost what the dense solver finds."""
    rng = np.random.default_rng(seed)
    cost = (
        rng.integers(-3, 4, (rows, columns))
        if tied
        else rng.normal(0, 5, (rows, columns))
    )
    cost = np.where(rng.random((rows, columns)) < density, cost, FORBIDDEN).astype(
        float
    )

    matched = assign(*sparse(cost), columns, 2.0)

    used = matched[matched != UNMATCHED]
    assert len(set(used.tolist())) == len(used)
    assert total(cost, matched, 2.0) == pytest.approx(best_total(cost, 2.0), abs=1e-9)


def test_large_block_equals_dense_solver():
    """A single connected block of 150 rows is solved exactly too."""
    rng = np.random.default_rng(3)
    cost = np.where(
        rng.random((150, 140)) < 0.1, rng.exponential(5, (150, 140)), FORBIDDEN
    )

    matched = assign(*sparse(cost), 140, 6.0)

    assert total(cost, matched, 6.0) == pytest.approx(best_total(cost, 6.0), abs=1e-9)


def test_row_stays_free_when_that_is_cheaper():
    """A candidate dearer than staying unassigned is not taken."""
    matched = assign(*sparse(np.array([[7.0]])), 1, 6.0)

    assert matched.tolist() == [UNMATCHED]
