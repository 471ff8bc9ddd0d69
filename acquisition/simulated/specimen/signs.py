"""The signs of death: many weak structural cues, none of which tells alone.

Every cell carries a standard normal amount of each sign. When its membrane opens,
each sign grows by an amount of its own, at a pace of its own, so that the living and
the dead overlap in every single sign and part only in all of them together.
"""

from enum import IntEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

HARM = 1.55
"""Mean growth of a sign at death, in standard deviations of the living."""
HARM_SPREAD = 0.5


class Sign(IntEnum):
    """What opened cells show more of; the last five concern apoptotic bodies."""

    ENVELOPE = 0  # the rim of the nucleus stands out
    NUCLEOLI = 1  # they dissolve
    NUCLEUS = 2  # it pales
    CLUMPS = 3  # fine granules give way to coarse clumps
    DISPERSAL = 4  # organelles leave the surroundings of the nucleus
    LAMELLA = 5  # the thin margin is lost, the edge is steep
    RIM = 6  # the ruffles of the leading edge cease
    VACUOLES = 7  # holes
    CRENATION = 8  # the outline becomes scalloped
    BLISTERS = 9  # hyaline blisters stand off the edge
    LENS = 10  # bodies flatten
    HOLLOW = 11  # bodies empty and show their shell
    SPILL = 12  # their content is scattered around
    SWOLLEN = 13  # bodies take up water
    FADED = 14  # the remainder of the cell pales against its bodies


SIGNS = len(Sign)

PACE_MIN = np.array([12, 15, 18, 30, 25, 15, 8, 35, 20, 12, 12, 18, 25, 12, 20.0])
"""Time constant of each sign after the rupture of the membrane."""


def draw_baseline(rng: Generator, count: int) -> NDArray[np.float64]:
    """Draw how much of each sign a living cell shows, (cell, sign)."""
    return rng.standard_normal((count, SIGNS))


def draw_harm(rng: Generator, count: int) -> NDArray[np.float64]:
    """Draw how much each sign will grow at death, (cell, sign); never negative."""
    severity = rng.uniform(0.85, 1.15, (count, 1))
    return np.maximum(severity * rng.normal(HARM, HARM_SPREAD, (count, SIGNS)), 0)


def shown(
    baseline: NDArray[np.float64],
    harm: NDArray[np.float64],
    minutes_open: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the present amount of each sign, (cell, sign).

    ``minutes_open`` is the time since the rupture of the membrane, 0 before it.
    """
    grown = 1 - np.exp(-minutes_open[:, None] / PACE_MIN)
    return baseline + harm * grown
