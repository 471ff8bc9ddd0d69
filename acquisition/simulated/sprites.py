"""Drawing single cells: one phase sprite each, exact in dry mass."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.population import BODIES, LOBES, RUFFLES, TEXTURE_SAMPLES

OUTLINE_SAMPLES = 128
TEXTURE_UM = 0.30
"""Edge of a texture sample."""
TILE_STREAM = 7

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
def reach_um(look: Any, largest: float) -> float:
    """Give the distance from the centre beyond which nothing of the cell is drawn."""
    reach = largest
    for k in range(look.bodies):
        distance = body_distance(look, k)
        reach = max(reach, look.radius_um * (distance + look.body_size[k]))
    return reach


@njit(nogil=True, cache=True, fastmath=True)
def body_distance(look: Any, k: int) -> float:
    """Give the distance of a bleb or body from the centre, in cell radii."""
    other = look.body_size[(k + 3) % BODIES]
    packed = 0.15 + 1.9 * other
    return 0.66 * (1 - look.fragmentation) + packed * look.fragmentation


@njit(nogil=True, cache=True, fastmath=True)
def draw_cell(
    look: Any,
    scale: float,
    pixel_um: float,
    shift: tuple[float, float, float, float],
    half: int,
    tiles: NDArray[np.float32],
    outline: NDArray[np.float32],
    sprite: NDArray[np.float32],
    rank: NDArray[np.uint8],
) -> None:
    """Draw one cell into a sprite of (2 half + 1) pixels and mark its mask.

    ``rank`` is 0 outside, else 1 + 200 x the normalised radius: the owner of a pixel
    is the cell with the lower rank. ``scale`` is the phase of 1 pg / um^2, ``shift``
    the centre within its pixel (y, x, px) and the centroid of the outline (um).

    Steps for each pixel: normalised radius from the outline; height as a mixture of a
    spread-out cell and a sphere; granules and nucleus with nucleoli; chromosome plates
    in mitosis; soft edge; blebs or apoptotic bodies. Last the phase is normalised so
    that its sum is the dry mass.
    """
    edge = 2 * half + 1
    ca = math.cos(look.angle)
    sa = math.sin(look.angle)
    cn = math.cos(look.nucleus_angle)
    sn = math.sin(look.nucleus_angle)
    r0 = look.radius_um
    rnd = look.roundness
    flat = look.flatness
    frag = look.fragmentation
    nr = look.nucleus_radius_um
    shrink = 1 - 0.35 * frag
    body_height = (1 - 0.6 * frag) * (1 - 0.35 * flat * frag)
    plate_apart = 0.0 if look.age_min < 25 else min(4.5, (look.age_min - 25) * 0.6)
    total = 0.0
    for iy in range(edge):
        for ix in range(edge):
            ey = (iy - half - shift[0]) * pixel_um
            ex = (ix - half - shift[1]) * pixel_um
            x = ca * ex + sa * ey + shift[2]
            y = -sa * ex + ca * ey + shift[3]
            r = math.sqrt(x * x + y * y)
            turn = math.atan2(y, x) * (OUTLINE_SAMPLES / (2 * math.pi))
            turn += OUTLINE_SAMPLES * (turn < 0)
            k0 = int(turn)
            w = turn - k0
            k0 &= OUTLINE_SAMPLES - 1
            k1 = (k0 + 1) & (OUTLINE_SAMPLES - 1)
            limit = (outline[k0] * (1 - w) + outline[k1] * w) * shrink
            value = 0.0
            nearest = 2.0
            if r < limit:
                q = r / limit
                q2 = q * q
                gx = x - 0.8 * look.nucleus_um[0]
                gy = y - 0.8 * look.nucleus_um[1]
                gauss = math.exp(-(gx * gx + gy * gy) / (2 * (1.7 * nr) ** 2))
                spread = look.hump * gauss * (1 - q2) + 0.26 * (1 - q2) + 0.12
                # A collapsed cell is level: its rim falls off less steeply.
                spread = spread * (1 - 0.2 * flat) + 0.2 * flat * 0.40 * (1 - q2 * q2)
                height = spread * (1 - rnd) + 1.18 * math.sqrt(1 - q2) * rnd
                tx = int(x / TEXTURE_UM + look.texture_at[1]) & _MASK
                ty = int(y / TEXTURE_UM + look.texture_at[0]) & _MASK
                grain = 0.6 * tiles[0, ty, tx] + 0.9 * max(0.0, tiles[1, ty, tx])
                grain *= look.granules
                inside = 0.0
                bump = 0.0
                xn = x - look.nucleus_um[0]
                yn = y - look.nucleus_um[1]
                un = (cn * xn + sn * yn) / look.nucleus_aspect
                vn = (-sn * xn + cn * yn) * look.nucleus_aspect
                rn = math.sqrt(un * un + vn * vn) / max(nr, 0.5)
                if rn < 1.4 and look.state != 1:
                    inside = 1 / (1 + math.exp((rn - 1) * nr / 0.30))
                    dome = 0.24 + 0.12 * math.sqrt(max(0.0, 1 - rn * rn))
                    for k in range(look.nucleoli):
                        dx = un - look.nucleolus_at[k, 0] * nr
                        dy = vn - look.nucleolus_at[k, 1] * nr
                        size = 0.70 + 0.12 * k
                        spot = math.exp(-(dx * dx + dy * dy) / (2 * size * size))
                        dome += 0.26 * (0.6 + 0.13 * k) * spot
                    weight = look.nucleus_contrast * (1 - 0.3 * rnd) * (1 - 0.8 * frag)
                    bump = inside * dome * weight
                if look.state == 1:
                    for side in (-1.0, 1.0):
                        dx = x - side * plate_apart
                        plate = math.exp(-dx * dx / 2.42 - y * y / 20.5)
                        bump += 0.17 * rnd * plate
                value = height * (1 + grain * (1 - 0.8 * inside) * (1 - 0.4 * rnd))
                soft = min(1.0, (limit - r) / look.edge_um)
                value = max(0.0, value + bump) * soft * body_height
                nearest = q
            for k in range(look.bodies):
                size = look.body_size[k] * r0
                distance = body_distance(look, k) * r0
                dx = x - distance * math.cos(look.body_angle[k])
                dy = y - distance * math.sin(look.body_angle[k])
                d2 = (dx * dx + dy * dy) / (size * size)
                if d2 < 1:
                    nearest = min(nearest, 0.3 + 0.6 * math.sqrt(d2))
                    ball = math.sqrt(1 - d2)
                    lens = 0.62 * (1 - d2)
                    tall = (0.5 + 0.5 * frag) * (0.45 if look.state == 6 else 1.0)
                    # A ball's height grows with its size.
                    tall *= 0.35 + 2.2 * look.body_size[k]
                    value += tall * (ball * (1 - flat) + lens * flat)
            sprite[iy, ix] = value
            total += value
            rank[iy, ix] = 1 + int(200 * min(nearest, 1.0)) if nearest <= 1.0 else 0
    if total > 0:
        gain = look.mass_pg * scale / (total * pixel_um * pixel_um)
        for iy in range(edge):
            for ix in range(edge):
                sprite[iy, ix] *= gain
