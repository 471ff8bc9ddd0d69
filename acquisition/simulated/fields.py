"""Single fields with their truth, for training, audits and pictures."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from acquisition.records import CellState
from acquisition.simulated.drawing.looks import look_at
from acquisition.simulated.drawing.render import Renderer
from acquisition.simulated.light.camera import CameraModel
from acquisition.simulated.light.optics import Optics
from acquisition.simulated.sections import Mix
from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.world import World

RELAX_MIN = 8
"""Minutes the cells are given to part from each other before the picture."""
_CONFLUENT = 0.2
"""Share of the drawn cultures that cover most of the dish."""


@dataclass(frozen=True, slots=True)
class Field:
    """One four-step frame of a specimen, and what is in it."""

    frames: NDArray[np.uint16]  # (step, y, x) counts
    labels: NDArray[np.uint16]  # (y, x) cell ids, 0 background
    nuclei: NDArray[np.uint16]  # (y, x) the same ids, only inside the nuclei
    phase: NDArray[np.float32]  # (y, x) rad, before optics: the specimen itself
    ids: NDArray[np.uint32]  # (cell,) ids of the visible cells, ascending
    kind: NDArray[np.uint8]  # (cell,) CellKind
    well: NDArray[np.uint32]  # (cell,) 0 in an open dish
    state: NDArray[np.uint8]  # (cell,) CellState
    specimen_state: NDArray[np.uint8]  # (cell,) LifeState
    minutes_since_rupture: NDArray[np.float64]  # (cell,) negative before, NaN unknown
    mass_pg: NDArray[np.float64]  # (cell,) true dry mass
    visible_share: NDArray[np.float64]  # (cell,) of its own sprite that is its label
    looks: NDArray[np.void]  # (cell,) rows of LOOK: all that the drawing is made from
    pixel_size_um: float


def render_field(
    world: World, seed: int, size_px: int = 1024, mix: Mix | None = None
) -> Field:
    """Make one field.

    Parameters
    ----------
    world, seed
        Fix every pixel.
    size_px
        Edge, a multiple of 32.
    mix
        States of the cells; ``None`` takes those of the world.
    """
    pixel = world.optics.pixel_um
    field_um = size_px * pixel + 2 * min(world.stage.margin_um, 40.0)
    specimen = Specimen(world, seed, field_um, mix)
    renderer = Renderer(world, size_px)
    optics = Optics(world, seed, size_px, field_um)
    camera = CameraModel(world, seed, size_px)
    specimen.settle(RELAX_MIN)
    phase = np.empty((size_px, size_px), np.float32)
    labels = np.empty((size_px, size_px), np.uint16)
    nuclei = np.empty((size_px, size_px), np.uint16)
    renderer.render(specimen, (0.0, 0.0), phase, labels, nuclei)
    truth = phase.copy()
    optics.add_scenery(phase, (0.0, 0.0), specimen.minutes)
    electrons = np.empty((4, size_px, size_px), np.float32)
    optics.frames(phase, world.optics.defocus_um, electrons)
    frames = np.empty((4, size_px, size_px), np.uint16)
    for step in range(4):
        camera.expose(
            electrons[step], world.camera.nominal_exposure_ms, step, frames[step]
        )
    return _field(specimen, frames, (labels, nuclei), truth, renderer)


def _field(
    specimen: Specimen,
    frames: NDArray[np.uint16],
    maps: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    phase: NDArray[np.float32],
    renderer: Renderer,
) -> Field:
    labels, nuclei = maps
    cells = specimen.columns()
    area_px = np.bincount(labels.ravel(), minlength=int(cells.id.max(initial=0)) + 1)
    seen = area_px[cells.id] > 0
    order = np.flatnonzero(seen)[np.argsort(cells.id[seen])]
    ids = cells.id[order]
    whole = np.maximum(renderer.sprite_areas(ids), 1)
    return Field(
        frames=frames,
        labels=labels,
        nuclei=nuclei,
        phase=phase,
        ids=ids,
        kind=cells.kind[order],
        well=cells.well[order],
        state=np.where(cells.dead[order], CellState.DEAD, CellState.LIVE).astype(
            np.uint8
        ),
        specimen_state=cells.state[order],
        minutes_since_rupture=cells.minutes_since_rupture[order],
        mass_pg=cells.mass_pg[order],
        visible_share=area_px[ids] / whole,
        looks=look_at(specimen.cells[order], specimen.minutes, renderer.world),
        pixel_size_um=renderer.world.optics.pixel_um,
    )


def randomise(world: World, rng: Generator) -> World:
    """Draw a variant of a world for training, wider than any stand should be."""
    camera = {
        "background_e": _factor(rng, 800, 4000),
        "read_e": float(rng.uniform(1.0, 2.5)),
        "flicker": float(rng.uniform(0.0, 0.008)),
    }
    variant = world.model_copy(
        update={
            "optics": world.optics.model_copy(update=_draw_optics(world, rng)),
            "camera": world.camera.model_copy(update=camera),
            "cells": world.cells.model_copy(update=_draw_culture(world, rng)),
        }
    )
    if world.nanowell is None:
        return variant
    chip = {
        "turn_deg": float(rng.uniform(-4, 4)),
        "wall_rad": world.nanowell.wall_rad * _factor(rng, 0.5, 2),
    }
    chips = world.nanowell.model_copy(update=chip)
    return variant.model_copy(update={"nanowell": chips})


def _draw_optics(world: World, rng: Generator) -> dict[str, Any]:
    optics = world.optics
    return {
        "halo_um": _factor(rng, 25, 150),
        "ring_amplitude": float(rng.uniform(0.4, 0.8)),
        "defocus_um": float(np.clip(rng.normal(0, 1.5), -4, 4)),
        "step_error_rad": tuple(rng.normal(0, 0.02, 4).clip(-0.1, 0.1).tolist()),
        "vignetting": float(rng.uniform(0.0, 0.28)),
        "tilt_rad": float(rng.uniform(0.0, 0.15)),
        "speckle_mrad": _factor(rng, 3, 20),
        "dust": int(rng.integers(0, 15)),
        "debris_per_mm2": optics.debris_per_mm2 * float(rng.uniform(0, 2.2)),
        "floaters_per_mm2": optics.floaters_per_mm2 * float(rng.uniform(0, 3)),
    }


def _draw_culture(world: World, rng: Generator) -> dict[str, Any]:
    cells = world.cells
    density = (450, 900) if rng.random() < _CONFLUENT else (120, 450)
    mass = {
        "median": cells.mass_pg.median * _factor(rng, 0.7, 2.0),
        "sigma": float(rng.uniform(0.22, 0.33)),
    }
    return {
        "n": round(cells.n * float(rng.uniform(*density)) / 320),
        "mass_pg": cells.mass_pg.model_copy(update=mass),
        "area_scale": cells.area_scale * _factor(rng, 0.75, 1.4),
        "irregularity": cells.irregularity * _factor(rng, 0.7, 1.4),
        "granules": cells.granules * _factor(rng, 0.6, 1.6),
        "floating_fraction": float(rng.uniform(0.0, 0.03)),
        "nucleus_contrast_sigma": float(rng.uniform(0.22, 0.38)),
    }


def _factor(rng: Generator, low: float, high: float) -> float:
    """Draw evenly on a logarithmic scale."""
    return math.exp(float(rng.uniform(math.log(low), math.log(high))))
