"""Drawing single cells: one phase sprite each, exact in dry mass."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.drawing.looks import SCALLOPS
from acquisition.simulated.specimen.population import (
    FIBRES,
    LOBES,
    RUFFLES,
    TEXTURE_SAMPLES,
    LifeState,
)

OUTLINE_SAMPLES = 128
FIRST_SCALLOP = 9
"""Order of the lowest harmonic of the scallops."""
TEXTURE_UM = 0.30
"""Edge of a texture sample."""
TILE_STREAM = 7
FINE, CLUMPED, DROPLETS, HOLES = range(4)
"""Textures that every cell cuts its own share from."""

NUCLEUS = 128
"""Bit of the rank that marks the nucleus."""

EDGE_UM = 0.7
"""Softness of the outline."""
LONGEST_FIBRE_UM = 12.0
SPILL_REACH = 1.35
"""Content of bodies is scattered this far, in radii."""

MITOSIS = int(LifeState.MITOSIS)

_MASK = TEXTURE_SAMPLES - 1


def texture_tiles() -> NDArray[np.float32]:
    """Make the four periodic textures, (texture, y, x): two of granules, two of discs.

    Granules have unit variance; droplets and holes rise from 0 to 1.
    """
    tiles = [
        _granules(0.07, 0.22, 1),
        _granules(0.018, 0.075, 2),
        _discs(radius_um=(0.35, 0.75), per_um2=0.035, number=3),
        _discs(radius_um=(0.7, 1.9), per_um2=0.022, number=4),
    ]
    return np.stack(tiles)


def _granules(low: float, high: float, number: int) -> NDArray[np.float32]:
    """Band-passed noise between two frequencies in cycles a sample."""
    rng = np.random.default_rng([number, TILE_STREAM])
    spectrum = np.fft.rfft2(rng.standard_normal((TEXTURE_SAMPLES, TEXTURE_SAMPLES)))
    across = np.fft.rfftfreq(TEXTURE_SAMPLES)[None]
    frequency = np.hypot(np.fft.fftfreq(TEXTURE_SAMPLES)[:, None], across)
    spectrum *= np.exp(-((frequency / high) ** 2)) - np.exp(-((frequency / low) ** 2))
    tile = np.fft.irfft2(spectrum, s=(TEXTURE_SAMPLES, TEXTURE_SAMPLES))
    return np.asarray(tile / tile.std(), np.float32)


def _discs(
    radius_um: tuple[float, float], per_um2: float, number: int
) -> NDArray[np.float32]:
    """Soft discs of height 1, scattered evenly."""
    rng = np.random.default_rng([number, TILE_STREAM])
    size = TEXTURE_SAMPLES
    tile = np.zeros((size, size), np.float32)
    for _ in range(round(per_um2 * (size * TEXTURE_UM) ** 2)):
        radius = rng.uniform(*radius_um) / TEXTURE_UM
        reach = math.ceil(1.6 * radius)
        at = rng.uniform(0, size, 2)
        near = np.arange(-reach, reach + 1)
        rows, columns = (np.rint(at)[:, None].astype(int) + near) % size
        away = np.hypot(
            *np.meshgrid(*((near + np.rint(a) - a) for a in at), indexing="ij")
        )
        disc = 1 / (1 + np.exp((away / radius - 1) * 5))
        patch = np.ix_(rows, columns)
        tile[patch] = np.maximum(tile[patch], disc)
    return tile


@njit(nogil=True, cache=True, fastmath=True)
def trace_outline(look: Any, radius: NDArray[np.float32]) -> tuple[float, float, float]:
    """Fill the outline of a cell; give its largest radius and its centroid in um.

    The centroid (along, across) lies off the origin of the outline, and is put at the
    place of the cell when it is drawn.

    Steps: ellipse of the aspect ratio; plus lobes (von Mises bumps, broad ones are
    lamellae, sharp ones tails); plus ruffles (harmonics falling off with their order);
    plus scallops (higher harmonics); scaled to the wanted area.
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
        bump *= look.irregularity
        for m in range(SCALLOPS):
            turn = math.cos((FIRST_SCALLOP + m) * angle + look.scallop[m, 1])
            bump += look.crenation * look.scallop[m, 0] * turn
        r = max(0.35, 1 + bump) / math.sqrt(c * c + s * s)
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
    if look.spill > 0:
        reach = SPILL_REACH * look.radius_um
    for k in range(look.bodies):
        y, x = look.body_um[k, 0], look.body_um[k, 1]
        reach = max(reach, math.sqrt(y * y + x * x) + look.body_radius_um[k])
    return reach


@njit(nogil=True, cache=True, fastmath=True)
def _height(look: Any, x: float, y: float, q2: float) -> float:
    """Give the relative height at a normalised radius squared, without details.

    Steps: a lens whose margin is a thin lamella (steepness -1) or a steep edge (1);
    the hump over the nucleus; ruffles along the leading edge; mixed with a sphere.
    """
    gx = x - 0.8 * look.nucleus_um[0]
    gy = y - 0.8 * look.nucleus_um[1]
    wide = 1.7 * look.nucleus_radius_um
    hump = look.hump * math.exp(-(gx * gx + gy * gy) / (2 * wide * wide))
    lens = 1 - q2
    margin = lens * (1 + look.steepness * q2)
    spread = 0.30 * margin + hump * lens + 0.08 + 0.05 * look.steepness
    away = (q2 - 0.84) * 9
    if look.rim > 0 and away * away < 1:
        lead = max(0.0, x / (look.radius_um * 1.2))
        ruffle = (1 - away * away) * (0.25 + 0.75 * min(1.0, lead))
        spread += look.rim * ruffle * ruffle
    ball = 1.18 * math.sqrt(1 - q2)
    return spread * (1 - look.roundness) + ball * look.roundness


@njit(nogil=True, cache=True, fastmath=True)
def _texture(look: Any, x: float, y: float, tiles: NDArray[np.float32]) -> float:
    """Give the factor on the height from granules, droplets and holes.

    All are bound to the frame of the cell; granules and droplets gather around the
    nucleus, more or less.
    """
    column = int(x / TEXTURE_UM + look.texture_at[1] + 2048) & _MASK
    row = int(y / TEXTURE_UM + look.texture_at[0] + 2048) & _MASK
    fine = tiles[FINE, row, column]
    coarse = tiles[CLUMPED, row, column]
    grain = (1 - look.clumps) * (fine + 0.9 * max(np.float32(0.0), fine))
    grain += look.clumps * 1.15 * (coarse + 0.4 * max(np.float32(0.0), coarse))
    dx = x - look.nucleus_um[0]
    dy = y - look.nucleus_um[1]
    far = math.sqrt(dx * dx + dy * dy) / max(look.nucleus_radius_um, np.float32(0.5))
    ring = (far - 1.35) * 1.6
    around = 1.9 / (1 + ring * ring)
    share = (1 - look.gathering) * 0.85 + look.gathering * around
    detail = 0.62 * look.granules * grain * share
    detail += look.droplets * share * tiles[DROPLETS, row, column]
    return (1 + detail) * (1 - look.vacuoles * tiles[HOLES, column, row])


@njit(nogil=True, cache=True, fastmath=True)
def _nucleus(look: Any, x: float, y: float) -> tuple[float, float]:
    """Give how far a point is inside the nucleus (0 to 1), and its extra height."""
    dx = x - look.nucleus_um[0]
    dy = y - look.nucleus_um[1]
    radius = max(look.nucleus_radius_um, np.float32(0.5))
    u = (look.nucleus_turn[0] * dx + look.nucleus_turn[1] * dy) / look.nucleus_aspect
    v = (look.nucleus_turn[0] * dy - look.nucleus_turn[1] * dx) * look.nucleus_aspect
    r = math.sqrt(u * u + v * v) / radius
    if r >= 1.5:
        return 0.0, 0.0
    inside = 1 / (1 + math.exp((r - 1) * radius / 0.30))
    height = 0.22 + 0.12 * math.sqrt(max(0.0, 1 - r * r))
    spots = 0.0
    for k in range(look.nucleoli):
        nu = u - look.nucleolus_at[k, 0] * radius
        nv = v - look.nucleolus_at[k, 1] * radius
        size = 0.75 + 0.12 * k
        spot = math.exp(-(nu * nu + nv * nv) / (2 * size * size))
        spots += 0.26 * (0.6 + 0.13 * k) * spot
    height = height * look.nucleus_contrast + spots * look.nucleolus_contrast
    fading = (1 - 0.3 * look.roundness) * (1 - 0.8 * look.fragmentation)
    # The product of inside and outside peaks on the border.
    rim = 4 * inside * (1 - inside) * look.envelope * (1 - 0.3 * look.roundness)
    return inside, inside * height * fading + rim


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
            lens = 0.75 * (1 - d2)
            solid = ball + look.lens * (lens - ball)
            shell = (0.30 + 1.3 * d2 * d2) * ball
            height += look.body_height[k] * (solid + look.hollow * (shell - solid))
    return height, nearest


@njit(nogil=True, cache=True, fastmath=True)
def _fibres(look: Any, x: float, y: float, r: float, limit: float) -> float:
    """Give the height of the retraction fibres beyond the outline."""
    height = 0.0
    for k in range(FIBRES):
        c = math.cos(look.fibre_angle[k])
        s = math.sin(look.fibre_angle[k])
        along = c * x + s * y
        if along <= 0 or r > limit + look.fibre_um[k]:
            continue
        across = (c * y - s * x) / 0.45
        taper = 1 - (r - limit) / max(look.fibre_um[k], np.float32(0.1))
        height += look.fibre_height * taper * math.exp(-0.5 * across * across)
    return height


@njit(nogil=True, cache=True, fastmath=True)
def draw_cell(  # noqa: C901, PLR0915 (one pass over the pixels, steps in the docstring)
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
        Textures (4, y, x); radii of the outline in um.
    target
        Phase (rad), and rank: 0 outside, else 1 + 125 x the normalised radius, with
        `NUCLEUS` added inside the nucleus; the cell with the lowest rank owns a pixel.

    Notes
    -----
    Steps for each pixel: blebs or bodies; normalised radius from the outline; inside,
    height of the cell, textures, nucleus or chromosomes, soft edge; outside, fibres;
    spilled content. Last the phase is normalised so that its sum is the dry mass.
    """
    sprite, rank = target
    edge = len(sprite)
    half = (edge - 1) // 2
    scale, pixel_um = scales
    ca = math.cos(look.angle)
    sa = math.sin(look.angle)
    frag = look.fragmentation
    shrink = 1 - 0.35 * frag
    longest = LONGEST_FIBRE_UM * (look.fibre_height > 0)
    spill_reach = SPILL_REACH * look.radius_um
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
            if r < place[4] * shrink + longest:
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
                    detail = _texture(look, x, y, tiles) - 1
                    detail *= 1 - 0.4 * look.roundness
                    if look.state == MITOSIS:
                        bump = _chromosomes(look, x, y)
                        is_nuclear = bump > 0.25 * 0.17 * look.roundness
                    else:
                        inside, bump = _nucleus(look, x, y)
                        is_nuclear = inside > 0.5
                        detail *= 1 - 0.8 * inside
                    height = max(0.0, height * (1 + detail) + bump)
                    soft = min(1.0, (limit - r) / EDGE_UM)
                    value += height * soft * look.remainder
                elif longest > 0:
                    value += _fibres(look, x, y, r, limit)
            if look.spill > 0 and r < spill_reach:
                column = int(x / TEXTURE_UM + look.texture_at[0] + 2048) & _MASK
                row = int(y / TEXTURE_UM + look.texture_at[1] + 2048) & _MASK
                thin = 1 - r / spill_reach
                value += 2.2 * look.spill * thin * tiles[DROPLETS, row, column]
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


@njit(nogil=True, cache=True, fastmath=True)
def soften(sprite: NDArray[np.float32], sigma_px: float) -> None:
    """Blur a sprite (y, x) in place with a Gaussian; what lies beyond it is empty.

    Steps: three passes of a running mean along each axis, wide enough for the variance;
    their sum is kept up to what leaves the sprite.
    """
    half = max(1, round((math.sqrt(4 * sigma_px * sigma_px + 1) - 1) / 2))
    edge = len(sprite)
    share = np.float32(1 / (2 * half + 1))
    line = np.zeros(edge + 2 * half + 1, np.float32)
    for axis in range(2):
        for n in range(edge):
            row = sprite[n] if axis == 0 else sprite[:, n]
            for _ in range(3):
                line[half + 1 : half + 1 + edge] = row
                total = np.float32(0.0)
                for k in range(2 * half):
                    total += line[k + 1]
                for x in range(edge):
                    total += line[x + 2 * half + 1] - line[x]
                    row[x] = total * share
