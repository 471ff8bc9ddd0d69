"""The smoothest course that stays close to what was measured, solved exactly.

Of one track, with y the measured or filled centres and w their weights::

    min over x of  sum_t w_t |x_t - y_t|^2 + lam sum_t |a x_(t-1) + b x_t + c x_(t+1)|^2

For equal time steps a, b, c are 1, -2, 1; for others they are such that a steady motion
costs nothing, whatever the steps. The matrix has five diagonals and is the same for y
and x, so all tracks of a field are factored and solved in one compiled call.

What leaves the window at a fixed lag is not forgotten: its terms stay as a quadratic
prior on the two oldest places of the window (the Schur complement of the part that was
eliminated), so a window gives what the whole sequence up to now would give.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

DETECTED, FILLED = 1.0, 0.1
"""Weights of a measured centre and of one filled in between."""

Places = NDArray[np.float64]  # (track, frame, yx)
Prior = NDArray[np.float64]
"""(track, 7): P00 P01 P11 of the matrix on the two oldest places, then the linear
terms of y (0, 1) and of x (0, 1)."""


def differences(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give a, b, c of every frame between two others: (frame - 2, 3)."""
    steps = np.diff(time_s)
    before, after = steps[:-1], steps[1:]
    mean = (before + after) / 2
    first, last = mean / before, mean / after
    return np.stack((first, -(first + last), last), axis=1)


@njit(nogil=True, cache=True)
def fill_gaps(places, seen):  # type: ignore[no-untyped-def]
    """Fill unseen centres in place: straight lines, held at the ends.

    ``places`` (track, frame, yx), ``seen`` (track, frame). A track that was never seen
    stays as it is.
    """
    tracks, frames = seen.shape
    for track in range(tracks):
        last = -1
        for frame in range(frames):
            if not seen[track, frame]:
                continue
            start = 0 if last < 0 else last + 1
            for at in range(start, frame):
                share = 1.0 if last < 0 else (at - last) / (frame - last)
                for axis in range(2):
                    here = places[track, frame, axis]
                    there = here if last < 0 else places[track, last, axis]
                    places[track, at, axis] = there + share * (here - there)
            last = frame
        if last >= 0:
            for at in range(last + 1, frames):
                places[track, at, 0] = places[track, last, 0]
                places[track, at, 1] = places[track, last, 1]


@njit(nogil=True, cache=True)
def smooth(places, weight, begin, terms, lam, prior):  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912 - one kernel
    """Give the smoothed places (track, frame, yx).

    Parameters: ``places`` (track, frame, yx) without gaps, ``weight`` (track, frame),
    ``begin`` (track,) first frame of the track in the window, ``terms`` of
    `differences`, ``prior`` of `eliminate` on the first two places of the window.
    Steps for each track: five diagonals; factors L D L^T; forward, then backward.
    """
    tracks, frames = weight.shape
    smoothed = places.copy()
    main, next_, after = np.empty(frames), np.empty(frames), np.empty(frames)
    right = np.empty((frames, 2))
    for track in range(tracks):
        start = begin[track]
        for row in range(start, frames):
            main[row] = weight[track, row]
            next_[row] = after[row] = 0.0
            right[row, 0] = weight[track, row] * places[track, row, 0]
            right[row, 1] = weight[track, row] * places[track, row, 1]
        if start == 0 and frames > 1:
            main[0] += prior[track, 0]
            next_[0] += prior[track, 1]
            main[1] += prior[track, 2]
            for axis in range(2):
                right[0, axis] += prior[track, 3 + 2 * axis]
                right[1, axis] += prior[track, 4 + 2 * axis]
        for row in range(start, frames - 2):
            a, b, c = terms[row, 0], terms[row, 1], terms[row, 2]
            main[row] += lam * a * a
            main[row + 1] += lam * b * b
            main[row + 2] += lam * c * c
            next_[row] += lam * a * b
            next_[row + 1] += lam * b * c
            after[row] += lam * a * c
        for row in range(start, frames):
            for back in range(1, 3):
                up = row + back
                if up >= frames:
                    break
                link = next_[row] if back == 1 else after[row]
                ratio = link / main[row]
                main[up] -= ratio * link
                if back == 1 and row + 2 < frames:
                    next_[up] -= ratio * after[row]
                right[up, 0] -= ratio * right[row, 0]
                right[up, 1] -= ratio * right[row, 1]
        for row in range(frames - 1, start - 1, -1):
            for axis in range(2):
                value = right[row, axis]
                if row + 1 < frames:
                    value -= next_[row] * smoothed[track, row + 1, axis]
                if row + 2 < frames:
                    value -= after[row] * smoothed[track, row + 2, axis]
                smoothed[track, row, axis] = value / main[row]
    return smoothed


@njit(nogil=True, cache=True)
def eliminate(place, weight, begin, term, lam, prior):  # type: ignore[no-untyped-def]
    """Let the oldest frame of a window leave it, in place of ``prior``.

    ``place`` (track, yx) and ``weight`` (track,) are those of the oldest frame,
    ``term`` (3,) couples it to the two next ones. Steps for each track that was there:
    matrix and right side on three places; Schur complement of the first one.
    """
    for track in range(weight.size):
        if begin[track] != 0:
            continue
        p = prior[track]
        a, b, c = term[0], term[1], term[2]
        m00 = p[0] + weight[track] + lam * a * a
        m01, m02 = p[1] + lam * a * b, lam * a * c
        m11, m12, m22 = p[2] + lam * b * b, lam * b * c, lam * c * c
        for axis in range(2):
            r0 = p[3 + 2 * axis] + weight[track] * place[track, axis]
            r1 = p[4 + 2 * axis]
            p[3 + 2 * axis] = r1 - m01 / m00 * r0
            p[4 + 2 * axis] = -m02 / m00 * r0
        p[0] = m11 - m01 * m01 / m00
        p[1] = m12 - m01 * m02 / m00
        p[2] = m22 - m02 * m02 / m00


def smooth_course(
    time_s: NDArray[np.float64],
    centre_um: Places,
    seen: NDArray[np.bool_],
    lam: float,
) -> Places:
    """Fill and smooth whole courses (track, frame, yx).

    Centres that were not seen do not count, but those of a track that never was.
    """
    places = centre_um.astype(np.float64)
    fill_gaps(places, seen)
    tracks = len(places)
    weight = np.where(seen, DETECTED, FILLED)
    begin, prior = np.zeros(tracks, np.int64), np.zeros((tracks, 7))
    terms = differences(time_s)
    smoothed: Places = smooth(places, weight, begin, terms, lam, prior)
    return smoothed
