"""What the look of a cell and its changes say about death: the calibrated evidence.

Small networks on the features of a history, fitted together to simulated runs by
``vigil fit-events`` and stored with their provenance in one TOML file. Together they
give the posterior of a death and of its time (`tracking.events.deaths`); how common
death was in those runs is taken out of it, so that the prior of the filter says it.
"""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from configs.faults import BadConfig
from configs.loading import describe_faults
from configs.schema import SHIPPED
from configs.section import Section
from tracking.events.histories import feature_names

AHEADS = (1, 2, 3, 6, 12)
"""Bins that must have come before a change is judged again, and better."""
FORMAT = "vigil-evidence/2"
HORIZON_PARTS_S = (1200.0, 1200.0, 1200.0)
"""Parts of the horizon of predicted deaths: together one hour."""
LARGEST = 4.0
"""Features are bounded at so many standard deviations of the fit."""
LIMIT = 15.0
"""Log odds of one bin, at most."""

Row = Annotated[tuple[float, ...], Field(max_length=1000)]


class Net(Section):
    """Log odds from features: one hidden layer, or none where ``hidden`` is empty."""

    mean: Row
    scale: Row
    hidden: tuple[Row, ...]  # (unit, feature)
    hidden_bias: Row
    output: Row  # (unit,), or (feature,) without a hidden layer
    bias: float
    prior: float = 0.0  # log odds in the fit, taken out

    @model_validator(mode="after")
    def _shapes_agree(self) -> "Net":
        count, units = len(self.mean), len(self.hidden)
        wanted = units or count
        right = len(self.scale) == count and len(self.output) == wanted
        right &= len(self.hidden_bias) == units
        if not right or any(len(row) != count for row in self.hidden):
            raise ValueError("the sizes of mean, scale, hidden and output disagree")
        return self

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], ...]:
        hidden = np.array(self.hidden).reshape(-1, len(self.mean)).T.copy()
        return (
            np.array(self.mean),
            np.array(self.scale),
            hidden,
            np.array(self.hidden_bias),
            np.array(self.output),
        )

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the log likelihood ratio (cell,) of features (cell, feature)."""
        bias = self.bias - self.prior
        return np.asarray(net_odds(np.ascontiguousarray(features), self._arrays, bias))


@njit(nogil=True, cache=True)
def net_odds(
    features: NDArray[np.float64], arrays: tuple[NDArray[np.float64], ...], bias: float
) -> NDArray[np.float64]:
    """Give the bounded log odds (cell,) of a `Net` from features (cell, feature).

    A kernel of its own, for a matrix product this small wakes threads that wait for
    busy cores longer than they work.

    Steps for each cell: features in deviations of the fit, bounded; hidden units, or
    the features themselves where there are none; their weighted sum.
    """
    mean, scale, hidden, hidden_bias, output = arrays
    cells, count = features.shape
    units = hidden.shape[1]
    odds = np.empty(cells)
    drive = np.empty(units)
    for cell in range(cells):
        total = bias
        drive[:] = hidden_bias
        for one in range(count):
            value = (features[cell, one] - mean[one]) / scale[one]
            value = min(max(value, -LARGEST), LARGEST)
            for unit in range(units):
                drive[unit] += value * hidden[one, unit]
            if units == 0:
                total += value * output[one]
        for unit in range(units):
            total += np.tanh(drive[unit]) * output[unit]
        odds[cell] = min(max(total, -LIMIT), LIMIT)
    return odds


class Nets(Section):
    """The networks for one kind of image."""

    first: Net
    """Log odds of being dead already, of a cell that is seen for the first time."""
    level: Net
    """Dead in the newest bin, against alive: what it adds to all bins before."""
    turn: Net
    """Died in a bin, against not, seen from each of `AHEADS`: see `judged_from`."""
    hazard: tuple[Net, ...] = ()
    """Log odds to die within each of `HORIZON_PARTS_S`, if alive when it begins."""


def judged_from(features: NDArray[np.float64], which: int) -> NDArray[np.float64]:
    """Give features (cell, feature) for `Nets.turn`: they end in one of `AHEADS`."""
    ahead = np.zeros((len(features), len(AHEADS)))
    ahead[:, which] = 1
    return np.concatenate((features, ahead), axis=1)


class Provenance(Section):
    """Where a calibration comes from."""

    made: str
    software: str
    model: str  # of the cells, name and hash
    runs: tuple[str, ...]  # world, seed, frames and interval of each
    deaths: int
    cell_hours: float
    command: str


class Evidence(Section):
    """A complete calibration."""

    format: Literal["vigil-evidence/2"]
    features: tuple[str, ...]
    phase: Nets
    """With dry mass and phase."""
    plain: Nets
    """Without."""
    provenance: Provenance

    @model_validator(mode="after")
    def _features_are_ours(self) -> "Evidence":
        if self.features != feature_names():
            raise ValueError("made for other features: fit it again")
        return self


def foreign_evidence(name: str, model: str) -> str:
    """Say that a calibration was made for cells of another network; empty: it was not.

    Parameters
    ----------
    name
        Of the calibration.
    model
        Name and short hash of the network that serves.
    """
    fitted = load_evidence(name).provenance.model
    if model in fitted.split(", "):
        return ""
    return (
        f"the evidence of death {name} was fitted to cells of {fitted}, "
        f"these are of {model}: fit it again with vigil fit-events"
    )


def load_evidence(name: str) -> Evidence:
    """Read a calibration: the name of a shipped one, or a path.

    Raises
    ------
    BadConfig
        If there is none, or it cannot be read.
    """
    path = Path(name)
    if not path.is_file():
        path = SHIPPED / "evidence" / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.toml"))) or "none"
        raise BadConfig(
            "events.death.calibration",
            [f"{name!r}: no such file and no shipped calibration ({known})"],
        )
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Evidence.model_validate(content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(str(path), [f"not a readable TOML file: {error}"]) from error
    except ValidationError as error:
        raise BadConfig(str(path), describe_faults(error)) from error
