"""What the drawing of a cell is made from, as columns for a classifier.

The oracle sees these numbers instead of the picture: what it cannot tell from them, no
network can tell from the picture, which is drawn from nothing else.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.drawing.looks import look_at
from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.population import IS_DEAD, CellKind
from acquisition.simulated.world import World

FIELD_PX = 1024
FEWEST_FIELDS, MOST_FIELDS = 4, 400
"""At least as many as are held out by turns."""
DEAD_SHARE = 0.25
ALIKE_SHARE = 0.25
"""Living cells in the states that look most like death: as many as dead ones."""
MIX = Mix.of(dead=DEAD_SHARE, alike=ALIKE_SHARE)

ANSWERS = ("state", "age_min")
"""Columns that hold the answer itself and are not drawn."""
PLACES = ("centre_um", "texture_at")
"""Where a cell lies, and where it cuts its texture from."""
TURNS = ("angle", "turn")
"""Columns with such an ending turn a cell or a part of it."""
COUNTED_BY = {"body_": "bodies", "nucleolus_": "nucleoli"}
"""Of the parts with this beginning only so many are drawn."""


@dataclass(frozen=True, slots=True)
class LatentCells:
    """Cells as they would be drawn, one row a cell."""

    field: NDArray[np.int64]  # (cell,) number of its specimen
    dead: NDArray[np.bool_]  # (cell,)
    effector: NDArray[np.bool_]  # (cell,) of the two types in nanowells
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before, NaN unknown
    names: tuple[str, ...]
    columns: NDArray[np.float32]  # (cell, column)


def collect_latent(world: World, seed: int, wanted: int, mix: Mix = MIX) -> LatentCells:
    """Make specimens, from ``seed`` upwards, until there are ``wanted`` cells.

    Nothing is rendered.
    """
    field_um = FIELD_PX * world.optics.pixel_um
    looks, since, kind, field = [], [], [], []
    count = 0
    for number in range(MOST_FIELDS):
        specimen = Specimen(world, seed + number, field_um, mix)
        looks.append(look_at(specimen.cells, specimen.minutes, world))
        truth = specimen.columns()
        since.append(truth.minutes_since_rupture)
        kind.append(truth.kind)
        field.append(np.full(len(since[-1]), number))
        count += len(since[-1])
        enough = count >= wanted or count == 0
        if enough and number + 1 >= FEWEST_FIELDS:
            break
    table = np.concatenate(looks)
    names, columns = latent_columns(table)
    return LatentCells(
        field=np.concatenate(field),
        dead=IS_DEAD[table["state"]],
        effector=np.concatenate(kind) == CellKind.EFFECTOR,
        minutes_since_rupture=np.concatenate(since),
        names=names,
        columns=columns,
    )


def latent_columns(
    looks: NDArray[np.void],
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Give all that is drawn as named columns, without places, turns and answers.

    Lengths stand a second time relative to the radius of the cell, and the mass
    relative to its area, so that no tree has to find a ratio by itself.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for name in looks.dtype.names or ():
        if name not in (*ANSWERS, *PLACES) and not name.endswith(TURNS):
            found.update(_flattened(looks, name))
    radius = np.maximum(looks["radius_um"].astype(np.float64), 1e-6)
    for name in list(found):
        if "_um" in name and name != "radius_um":
            found[f"{name}/radius"] = found[name] / radius
    found["mass_pg/area"] = looks["mass_pg"] / radius**2
    return tuple(found), np.stack(list(found.values()), axis=1).astype(np.float32)


def _flattened(looks: NDArray[np.void], name: str) -> dict[str, NDArray[np.float64]]:
    """Give a number as it is; of a list its extent, mean and spread."""
    values = looks[name].astype(np.float64)
    if values.ndim == 1:
        return {name: values}
    if values.ndim == 3:  # (cell, part, yx): how far out the parts lie
        values = np.hypot(values[..., 0], values[..., 1])
    for beginning, counter in COUNTED_BY.items():
        if name.startswith(beginning):
            drawn = np.arange(values.shape[1]) < looks[counter][:, None]
            values = np.where(drawn, values, 0.0)
    return {
        f"{name}.min": values.min(axis=1),
        f"{name}.mean": values.mean(axis=1),
        f"{name}.max": values.max(axis=1),
        f"{name}.std": values.std(axis=1),
    }
