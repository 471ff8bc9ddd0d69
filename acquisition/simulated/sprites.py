"""Drawing single cells: one phase sprite each, exact in dry mass."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.population import (
    LOBES,
    RUFFLES,
    TEXTURE_SAMPLES,
    LifeState,
)

OUTLINE_SAMPLES = 128
TEXTURE_UM = 0.30
"""Edge of a texture sample."""
TILE_STREAM = 7

NUCLEUS = 128
"""Bit of the rank that marks the nucleus."""

MITOSIS = int(LifeState.MITOSIS)

_MASK = TEXTURE_SAMPLES - 1


def granule_tile(low: float, high: float, number: int) -> NDArray[np.float32]:
    """Make a periodic tile of band-passed noise with unit variance."""
    rng = np.random.default_rng([number, TILE_STREAM])
    spectrum = np.fft.rfft2(rng.standard_normal((TEXTURE_SAMPLES, TEXTURE_SAMPLES)))
    across = np.fft.rfftfreq(TEXTURE_SAMPLES)[None]
    frequency = np.hypot(np.fft.fftfreq(TEXTURE_SAMPLES)[:, None], across)
    spectrum *= np.exp(-((frequency / high) ** 2)) - np.exp(-((frequency / low) ** 2))
    tile = np.fft.irfft2(spectrum, s=(TEXTURE_SAMPLES, TEXTURE_SAMPLES))
    return np.asarray(tile / tile.std(), np.float32)


@njit(nogil=True, cache=True, fastmath=True)
def trace_outline(look: Any, radius: NDArray[np.float32]) -> tuple[float, float, float]:
    """Fill the outline of a cell; give its largest radius and its centroid in um.

    The centroid (along, across) lies off the origin of the outline, and is put at the
    place of the cell when it is drawn.

    Steps: ellipse of the aspect ratio; plus lobes (von Mises bumps, broad ones are
    lamellae, sharp ones tails); plus ruffles (harmonics falling off with their order);
    scaled to the wanted area.
    """
    long = math.sqrt(look.aspect)
    total = 0.0
    for k in range(OUTLINE_SAMPLES):
        angle = 2 * math.pi * k / OUTLINE_SAMPLES
        c = math.cos(angle) / long
        s = math.sin(angle) * long
        bump = 0.0
        for j in range(LOBES):
            away = math.cos(angle - look.lobe_angle[j]) - 1
            bump += look.lobe_size[j] * math.exp(look.lobe_sharpness[j] * away)
        for m in range(RUFFLES):
            order = m + 3
            turn = math.cos(order * angle + look.ruffle_angle[m])
            bump += 0.10 * look.ruffle[m] * turn / order**1.1
        r = max(0.35, 1 + look.irregularity * bump) / math.sqrt(c * c + s * s)
        radius[k] = r
        total += r * r
    scale = look.radius_um / math.sqrt(total / OUTLINE_SAMPLES)
    largest = 0.0
    square = 0.0
    along = 0.0
    across = 0.0
    for k in range(OUTLINE_SAMPLES):
        # A soft ceiling keeps the longest tails inside the sprite.
        r = radius[k] * scale
        r = r if r < 20 else 20 + 8 * math.tanh((r - 20) / 8)
        radius[k] = r
        largest = max(largest, r)
        angle = 2 * math.pi * k / OUTLINE_SAMPLES
        square += r * r
        along += r * r * r * math.cos(angle)
        across += r * r * r * math.sin(angle)
    return largest, along / square / 1.5, across / square / 1.5


@njit(nogil=True, cache=True, fastmath=True)
def reach_um(look: Any) -> float:
    """Give the distance from the centre beyond which no bleb or body is drawn."""
    reach = 0.0
    for k in range(look.bodies):
        y, x = look.body_um[k, 0], look.body_um[k, 1]
        reach = max(reach, math.sqrt(y * y + x * x) + look.body_radius_um[k])
    return reach


@njit(nogil=True, cache=True, fastmath=True)
def _height(look: Any, x: float, y: float, q2: float) -> float:
    """Give the relative height at a normalised radius squared, without details."""
    gx = x - 0.8 * look.nucleus_um[0]
    gy = y - 0.8 * look.nucleus_um[1]
    wide = 1.7 * look.nucleus_radius_um
    hump = look.hump * math.exp(-(gx * gx + gy * gy) / (2 * wide * wide))
    spread = (hump + 0.26) * (1 - q2) + 0.12
    # A collapsed cell is level: it falls off late.
    level = 0.40 * (1 - q2 * q2)
    spread += 0.2 * look.flatness * (level - spread)
    ball = 1.18 * math.sqrt(1 - q2)
    return spread * (1 - look.roundness) + ball * look.roundness


@njit(nogil=True, cache=True, fastmath=True)
def _grain(look: Any, x: float, y: float, tiles: NDArray[np.float32]) -> float:
    """Give the relative contrast of the granules, bound to the frame of the cell."""
    column = int(x / TEXTURE_UM + look.texture_at[1]) & _MASK
    row = int(y / TEXTURE_UM + look.texture_at[0]) & _MASK
    fine = max(np.float32(0.0), tiles[1, row, column])
    return look.granules * (0.6 * tiles[0, row, column] + 0.9 * fine)


@njit(nogil=True, cache=True, fastmath=True)
def _nucleus(look: Any, x: float, y: float) -> tuple[float, float]:
    """Give how far a point is inside the nucleus (0 to 1), and its extra height."""
    dx = x - look.nucleus_um[0]
    dy = y - look.nucleus_um[1]
    radius = max(look.nucleus_radius_um, np.float32(0.5))
    u = (look.nucleus_turn[0] * dx + look.nucleus_turn[1] * dy) / look.nucleus_aspect
    v = (look.nucleus_turn[0] * dy - look.nucleus_turn[1] * dx) * look.nucleus_aspect
    r = math.sqrt(u * u + v * v) / radius
    if r >= 1.4:
        return 0.0, 0.0
    inside = 1 / (1 + math.exp((r - 1) * radius / 0.30))
    height = 0.24 + 0.12 * math.sqrt(max(0.0, 1 - r * r))
    for k in range(look.nucleoli):
        nu = u - look.nucleolus_at[k, 0] * radius
        nv = v - look.nucleolus_at[k, 1] * radius
        size = 0.70 + 0.12 * k
        spot = math.exp(-(nu * nu + nv * nv) / (2 * size * size))
        height += 0.26 * (0.6 + 0.13 * k) * spot
    fading = (1 - 0.3 * look.roundness) * (1 - 0.8 * look.fragmentation)
    return inside, inside * height * look.nucleus_contrast * fading


@njit(nogil=True, cache=True, fastmath=True)
def _chromosomes(look: Any, x: float, y: float) -> float:
    """Give the height of the chromosome plate, which parts in anaphase."""
    apart = min(4.5, max(0.0, (look.age_min - 25) * 0.6))
    height = 0.0
    for side in (-1.0, 1.0):
        dx = x - side * apart
        height += math.exp(-dx * dx / 2.42 - y * y / 20.5)
    return 0.17 * look.roundness * height


@njit(nogil=True, cache=True, fastmath=True)
def _bodies(look: Any, x: float, y: float) -> tuple[float, float]:
    """Give the height of blebs and bodies at a point, and its normalised radius."""
    height = 0.0
    nearest = 2.0
    for k in range(look.bodies):
        dx = x - look.body_um[k, 1]
        dy = y - look.body_um[k, 0]
        size = look.body_radius_um[k]
        d2 = (dx * dx + dy * dy) / (size * size)
        if d2 < 1:
            nearest = min(nearest, 0.3 + 0.6 * math.sqrt(d2))
            ball = math.sqrt(1 - d2)
            lens = 0.62 * (1 - d2)
            height += look.body_height[k] * (ball + look.flatness * (lens - ball))
    return height, nearest


@njit(nogil=True, cache=True, fastmath=True)
def draw_cell(  # noqa: PLR0915 (one pass over the pixels, steps in the docstring)
    look: Any,
    scales: tuple[float, float],
    place: tuple[float, float, float, float, float],
    tiles: NDArray[np.float32],
    outline: NDArray[np.float32],
    target: tuple[NDArray[np.float32], NDArray[np.uint8]],
) -> None:
    """Draw one cell into a sprite and mark its mask.

    Parameters
    ----------
    look
        A row of `LOOK`.
    scales
        Phase of 1 pg / um^2 in rad; pixel in um.
    place
        Centre within its pixel (y, x in px); centroid of the outline (along, across)
        and its largest radius (um).
    tiles, outline
        Granules (2, y, x); radii of the outline in um.
    target
        Phase (rad), and rank: 0 outside, else 1 + 125 x the normalised radius, with
        `NUCLEUS` added inside the nucleus; the cell with the lowest rank owns a pixel.

    Notes
    -----
    Steps for each pixel: normalised radius from the outline; height of the cell,
    granules, nucleus or chromosomes; soft edge; blebs or bodies. Last the phase is
    normalised so that its sum is the dry mass.
    """
    sprite, rank = target
    edge = len(sprite)
    half = (edge - 1) // 2
    scale, pixel_um = scales
    ca = math.cos(look.angle)
    sa = math.sin(look.angle)
    frag = look.fragmentation
    shrink = 1 - 0.35 * frag
    body_height = (1 - 0.6 * frag) * (1 - 0.35 * look.flatness * frag)
    per_radian = OUTLINE_SAMPLES / (2 * math.pi)
    total = 0.0
    for iy in range(edge):
        for ix in range(edge):
            ey = (iy - half - place[0]) * pixel_um
            ex = (ix - half - place[1]) * pixel_um
            x = ca * ex + sa * ey + place[2]
            y = -sa * ex + ca * ey + place[3]
            r = math.sqrt(x * x + y * y)
            value, nearest = _bodies(look, x, y)
            is_nuclear = False
            if r < place[4] * shrink:
                turn = math.atan2(y, x) * per_radian
                turn += OUTLINE_SAMPLES * (turn < 0)
                k0 = int(turn)
                w = turn - k0
                k0 &= OUTLINE_SAMPLES - 1
                k1 = (k0 + 1) & (OUTLINE_SAMPLES - 1)
                limit = (outline[k0] * (1 - w) + outline[k1] * w) * shrink
                q = r / limit
                if q < 1:
                    nearest = min(nearest, q)
                    height = _height(look, x, y, q * q)
                    grain = _grain(look, x, y, tiles) * (1 - 0.4 * look.roundness)
                    if look.state == MITOSIS:
                        bump = _chromosomes(look, x, y)
                        is_nuclear = bump > 0.25 * 0.17 * look.roundness
                    else:
                        inside, bump = _nucleus(look, x, y)
                        is_nuclear = inside > 0.5
                        grain *= 1 - 0.8 * inside
                    height = max(0.0, height * (1 + grain) + bump)
                    soft = min(1.0, (limit - r) / look.edge_um)
                    value += height * soft * body_height
            sprite[iy, ix] = value
            total += value
            rank[iy, ix] = 0
            if nearest <= 1:
                rank[iy, ix] = 1 + int(125 * nearest) + NUCLEUS * is_nuclear
    if total > 0:
        gain = look.mass_pg * scale / (total * pixel_um * pixel_um)
        for iy in range(edge):
            for ix in range(edge):
                sprite[iy, ix] *= gain
