"""Fused loops of the forward model, each one pass over the rows of a map.

They run on one thread and hold no lock. Rows are taken as contiguous slices and all
numbers are float32, without which the compiler does not put the loops on vectors.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_ONE = np.float32(1)
_TWO = np.float32(2)
_FOUR = np.float32(4)
_HALF = np.float32(0.5)
_ZERO = np.float32(0)
_TURN = np.float32(2 * math.pi)
_PER_TURN = np.float32(1 / (2 * math.pi))
_S3 = np.float32(-1 / 6)
_S5 = np.float32(1 / 120)
_S7 = np.float32(-1 / 5040)
_S9 = np.float32(1 / 362880)
_S11 = np.float32(-1 / 39916800)
_C4 = np.float32(1 / 24)
_C6 = np.float32(-1 / 720)
_C8 = np.float32(1 / 40320)
_C10 = np.float32(-1 / 3628800)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def add_spots(phase: Floats, spots: NDArray[np.float64]) -> None:
    """Add Gaussian bumps given as rows of y, x, radius (px) and height (rad)."""
    height, width = phase.shape
    for n in range(len(spots)):
        cy, cx, radius = spots[n, 0], spots[n, 1], spots[n, 2]
        reach = int(3 * radius) + 2
        for y in range(max(0, int(cy) - reach), min(height, int(cy) + reach + 1)):
            for x in range(max(0, int(cx) - reach), min(width, int(cx) + reach + 1)):
                d2 = ((y - cy) ** 2 + (x - cx) ** 2) / (radius * radius)
                phase[y, x] += spots[n, 3] * math.exp(-0.5 * d2)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def soften(image: Floats, taps: Floats, out: Floats) -> None:
    """Filter with a separable symmetric kernel into ``out``; the border is repeated.

    ``taps`` is half a kernel, middle first.

    Steps for each row: combine the rows around it into a line with room at both
    ends; repeat its ends; combine along the line.
    """
    height, width = image.shape
    reach = len(taps) - 1
    line = np.empty(width + 2 * reach, np.float32)
    middle = line[reach : reach + width]
    for y in range(height):
        row = image[y]
        for x in range(width):
            middle[x] = taps[0] * row[x]
        for k in range(1, reach + 1):
            above = image[max(y - k, 0)]
            below = image[min(y + k, height - 1)]
            w = taps[k]
            for x in range(width):
                middle[x] += w * (above[x] + below[x])
        line[:reach] = middle[0]
        line[reach + width :] = middle[width - 1]
        soft = out[y]
        for x in range(width):
            soft[x] = taps[0] * middle[x]
        for k in range(1, reach + 1):
            left = line[reach - k : reach - k + width]
            right = line[reach + k : reach + k + width]
            w = taps[k]
            for x in range(width):
                soft[x] += w * (left[x] + right[x])


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def curvature(phase: Floats, y: int, out: Floats) -> None:
    """Fill a row with the Laplacian of the phase, in rad per square pixel."""
    height, width = phase.shape
    above = phase[max(y - 1, 0)]
    row = phase[y]
    below = phase[min(y + 1, height - 1)]
    last = width - 1
    out[0] = above[0] + below[0] + row[1] - (_TWO + _ONE) * row[0]
    out[last] = above[last] + below[last] + row[last - 1] - (_TWO + _ONE) * row[last]
    left = row[: width - 2]
    right = row[2:]
    inner = out[1:last]
    centre = row[1:last]
    for x in range(width - 2):
        inner[x] = above[x + 1] + below[x + 1] + left[x] + right[x] - _FOUR * centre[x]


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def make_field(
    phase: Floats, background: Floats, bend: float, cosine: Floats, sine: Floats
) -> None:
    """Fill real and imaginary part of the field behind two phase maps.

    ``bend`` (square pixels) times the Laplacian of the first phase is what defocus
    takes from the amplitude.

    Steps for each row: amplitude; halve the angle, reduced to +-pi, and take Taylor
    polynomials (error below 1e-6); double the angle. Branch-free along the row.
    """
    height, width = phase.shape
    amplitude = np.ones(width, np.float32)
    strength = np.float32(bend)
    for y in range(height):
        row, behind = phase[y], background[y]
        real, imag = cosine[y], sine[y]
        if bend != 0:
            curvature(phase, y, amplitude)
            for x in range(width):
                amplitude[x] = max(_ONE - strength * amplitude[x], _ZERO)
        for x in range(width):
            angle = row[x] + behind[x]
            angle -= _TURN * np.floor(angle * _PER_TURN + _HALF)
            h = _HALF * angle
            z = h * h
            s = _S5 + z * (_S7 + z * (_S9 + z * _S11))
            s = h * (_ONE + z * (_S3 + z * s))
            c = _C4 + z * (_C6 + z * (_C8 + z * _C10))
            c = _ONE + z * (z * c - _HALF)
            real[x] = amplitude[x] * (c * c - s * s)
            imag[x] = amplitude[x] * (_TWO * s * c)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def block_means(part: Floats, block: int, out: Floats) -> None:
    """Average over square blocks, first down the columns, then along the rows."""
    height, width = out.shape
    share = np.float32(1 / (block * block))
    total = np.empty(width * block, np.float32)
    for y in range(height):
        total[:] = 0
        for j in range(block):
            row = part[y * block + j]
            for x in range(width * block):
                total[x] += row[x]
        for x in range(width):
            mean = _ZERO
            for value in total[x * block : (x + 1) * block]:
                mean += value
            out[y, x] = mean * share


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def spread_row(coarse: Floats, y: float, line: Floats, out: Floats) -> None:
    """Interpolate one fine row from block means; ``y`` in coarse rows.

    ``line`` has room for a coarse row. The borders are repeated.
    """
    rows, columns = coarse.shape
    block = len(out) // columns
    below = math.floor(y)
    share = np.float32(y - below)
    first = coarse[min(max(below, 0), rows - 1)]
    second = coarse[min(max(below + 1, 0), rows - 1)]
    for c in range(columns):
        line[c] = first[c] + share * (second[c] - first[c])
    half = block // 2  # the middle of the first block, where there are blocks
    start = _HALF if half else _ZERO
    out[:half] = line[0]
    out[len(out) - max(half, 1) :] = line[columns - 1]
    for c in range(columns - 1):
        step = (line[c + 1] - line[c]) / np.float32(block)
        piece = out[half + c * block : half + (c + 1) * block]
        for i in range(block):
            piece[i] = line[c] + step * (np.float32(i) + start)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def interfere(
    field: tuple[Floats, Floats],
    direct: Floats,
    turn: Floats,
    light: Floats,
    out: Floats,
) -> None:
    """Intensities of direct and scattered light for every step.

    ``turn`` (step, 2) holds the ring amplitude times cosine and sine of the step.

    Steps for each row: interpolate the direct light a + ib; scattered light c + is is
    the rest; with |z0 e^ie + z1|^2 = |z0|^2 + |z1|^2 + 2 Re(z0 conj(z1) e^ie) the
    steps differ only in the weights of two products.
    """
    cosine, sine = field
    height, width = cosine.shape
    columns = direct.shape[2]
    block = width // columns
    ring2 = turn[0, 0] * turn[0, 0] + turn[0, 1] * turn[0, 1]
    line = np.empty(columns, np.float32)
    even, product, cross = np.empty((3, width), np.float32)
    for y in range(height):
        coarse_y = (y + 0.5) / block - 0.5
        spread_row(direct[0], coarse_y, line, product)
        spread_row(direct[1], coarse_y, line, cross)
        real, imag, lamp = cosine[y], sine[y], light[y]
        for x in range(width):
            a = product[x]
            b = cross[x]
            c = real[x] - a
            s = imag[x] - b
            even[x] = lamp[x] * (c * c + s * s + ring2 * (a * a + b * b))
            twice = _TWO * lamp[x]
            product[x] = twice * (a * c + b * s)
            cross[x] = twice * (a * s - b * c)
        for n in range(len(turn)):
            intensity = out[n, y]
            tc = turn[n, 0]
            ts = turn[n, 1]
            for x in range(width):
                intensity[x] = even[x] + tc * product[x] + ts * cross[x]


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def bend_light(
    phase: Floats, light: Floats, numbers: tuple[float, float, float], out: Floats
) -> None:
    """Defocused intensity of a phase object that absorbs a little.

    ``numbers``: weight of the Laplacian (square pixels), absorption per radian,
    factor on the light.
    """
    height, width = phase.shape
    bend = np.empty(width, np.float32)
    strength = np.float32(numbers[0])
    absorption = np.float32(numbers[1])
    scale = np.float32(numbers[2])
    for y in range(height):
        curvature(phase, y, bend)
        row, lamp, intensity = phase[y], light[y], out[y]
        for x in range(width):
            taken = strength * bend[x] + absorption * row[x]
            intensity[x] = scale * lamp[x] * max(_ONE - taken, _ZERO)
