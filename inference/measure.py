"""One pass over a label map for all that is measured of every cell."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

AREA, SUM_Y, SUM_X, SUM_YY, SUM_XX, SUM_XY, SUM_PHASE = range(7)
"""Columns of the sums of :func:`measure`."""

Labels = NDArray[np.uint16]


@njit(nogil=True, cache=True)
def measure(
    labels: Labels, phase: NDArray[np.uint16], dead: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]:
    """Give sums (cell, 7), mean dead logit (cell,) and box (cell, y0 x0 y1 x1).

    The sums are those of 1, y, x, y^2, x^2, x y and the coded phase over the pixels of
    a cell, exact as integers. The box is half open, in pixels. Labels run from 1 to
    ``count`` without gaps.

    Steps: a table of the logit of every dead code; for every row, the sums of each run
    of one label, added to its cell at the end of the run; means.
    """
    logit_of = np.empty(256)
    for code in range(256):
        logit_of[code] = np.log((code + 0.5) / (255.5 - code))
    sums = np.zeros((count, 7), np.int64)
    logit = np.zeros(count)
    box = np.zeros((count, 4), np.int32)
    height, width = labels.shape
    for y in range(height):
        x = 0
        while x < width:
            label = int(labels[y, x])
            if label == 0:
                x += 1
                continue
            start = x
            counts = 0
            run_logit = 0.0
            while x < width and labels[y, x] == label:
                counts += int(phase[y, x])
                run_logit += logit_of[dead[y, x]]
                x += 1
            cell = label - 1
            size = x - start
            run_x = (start + x - 1) * size // 2
            # The sum of the squares below n is (n - 1) n (2 n - 1) / 6.
            below_x = (x - 1) * x * (2 * x - 1) // 6
            run_xx = below_x - (start - 1) * start * (2 * start - 1) // 6
            if sums[cell, AREA] == 0:
                box[cell] = (y, start, y + 1, x)
            box[cell, 1] = min(box[cell, 1], start)
            box[cell, 2] = y + 1
            box[cell, 3] = max(box[cell, 3], x)
            sums[cell, AREA] += size
            sums[cell, SUM_Y] += y * size
            sums[cell, SUM_X] += run_x
            sums[cell, SUM_YY] += y * y * size
            sums[cell, SUM_XX] += run_xx
            sums[cell, SUM_XY] += y * run_x
            sums[cell, SUM_PHASE] += counts
            logit[cell] += run_logit
    return sums, logit / sums[:, AREA], box


@njit(nogil=True, cache=True)
def near_pairs(labels: Labels) -> NDArray[np.int64]:
    """Give pairs of cells, coded 65536 a + b with a < b, that lie within 2 px.

    The distance is that of the centres of the two nearest pixels, so 2 px leave one
    pixel between the masks. Pairs repeat, and have no order.

    Steps: every labelled pixel looks at the six pixels within 2 px that come after it
    in reading order; a pair that is not the last of that direction is kept.
    """
    height, width = labels.shape
    step_y = (0, 0, 1, 1, 1, 2)
    step_x = (1, 2, -1, 0, 1, 0)
    last = np.zeros(6, np.int64)
    pairs = np.empty(1024, np.int64)
    count = 0
    for y in range(height):
        for x in range(width):
            own = np.int64(labels[y, x])
            if own == 0:
                continue
            for way in range(6):
                near_y, near_x = y + step_y[way], x + step_x[way]
                if near_y >= height or near_x < 0 or near_x >= width:
                    continue
                other = np.int64(labels[near_y, near_x])
                if other == 0 or other == own:
                    continue
                pair = min(own, other) * 65536 + max(own, other)
                if pair == last[way]:
                    continue
                last[way] = pair
                if count == pairs.size:
                    pairs = np.concatenate((pairs, np.empty_like(pairs)))
                pairs[count] = pair
                count += 1
    return pairs[:count]
