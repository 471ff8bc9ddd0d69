"""Matches of points and boxes, and their figures, are those of a public package."""

import json

import numpy as np
import pytest

from tracking.metrics import TrackTable, score_tracks
from tracking.partners import ClosePairs, keep_partners


def close_pairs(rows):
    """Give the columns of (frame, true, found, distance) rows."""
    table = np.array(rows, np.float64).reshape(-1, 4)
    return ClosePairs(*table[:, :3].T.astype(np.int64), table[:, 3])


def score(true, found, close):
    """Score (frame, id) rows under the matches of the close pairs."""
    match = keep_partners(close)
    columns = [np.array(rows, np.int64)[:, :2].T for rows in (true, found)]
    table = TrackTable(*columns[0], *columns[1], match.frame, match.true, match.found)
    return score_tracks(table, close)


def test_an_earlier_partner_stays_while_close():
    """A nearer stranger does not take the place of the partner of before."""
    close = close_pairs([(0, 1, 5, 0.1), (1, 1, 5, 0.4), (1, 1, 6, 0.1)])

    match = keep_partners(close)

    assert match.found.tolist() == [5, 5]


def test_as_many_as_can_be_are_matched():
    """Two dear matches are better than a cheap one."""
    close = close_pairs([(0, 1, 5, 0.0), (0, 1, 6, 0.9), (0, 2, 5, 0.9)])

    match = keep_partners(close)

    assert match.true.tolist() == [1, 2]
    assert match.found.tolist() == [6, 5]


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_the_public_package(seed):
    """MOTA, IDF1 and switches of random walks equal those of motmetrics."""
    motmetrics = pytest.importorskip("motmetrics", reason="needs the extra peers")
    rng = np.random.default_rng(seed)
    public = motmetrics.MOTAccumulator()
    place = rng.uniform(0, 9, (6, 2))
    true, found, close = [], [], []
    for frame in range(25):
        place += rng.normal(0, 1, place.shape)
        here = np.flatnonzero(rng.random(6) < 0.9)
        seen = np.flatnonzero(rng.random(6) < 0.9)
        names = (seen + frame // 9) % 6
        away = place[here, None] - (place[seen] + rng.normal(0, 0.5, (seen.size, 2)))
        distance = np.linalg.norm(away, axis=2)
        near = np.where(distance <= 2.0, distance, np.nan)
        public.update(here, names, near, frameid=frame)
        true += [(frame, one) for one in here]
        found += [(frame, one) for one in names]
        rows, columns = np.nonzero(distance <= 2.0)
        close += [
            (frame, here[row], names[column], distance[row, column])
            for row, column in zip(rows, columns, strict=True)
        ]

    ours = score(true, found, close_pairs(close))

    wanted = motmetrics.metrics.create().compute(
        public, metrics=["mota", "idf1", "num_switches"], return_dataframe=False
    )
    assert ours.switches == wanted["num_switches"]
    assert (ours.mota, ours.idf1) == pytest.approx((wanted["mota"], wanted["idf1"]))


def overlap(one, two):
    """Give the IoU of two sets of boxes (left, top, width, height)."""
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum(
        (one[:, :2] + one[:, 2:])[:, None], (two[:, :2] + two[:, 2:])[None]
    )
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    return shared / (one[:, 2:].prod(-1)[:, None] + two[:, 2:].prod(-1) - shared)


def test_boxes_give_the_stored_values(real_data):
    """The conformance case of boxes gives the stored figures exactly."""
    case = real_data / "mot_conformance"
    true, found = (
        np.loadtxt(case / f"TUD-Campus_{name}.txt", delimiter=",")
        for name in ("gt", "test")
    )
    close = []
    for frame in np.unique(true[:, 0]):
        one, two = true[true[:, 0] == frame], found[found[:, 0] == frame]
        distance = 1 - overlap(one[:, 2:6], two[:, 2:6])
        close += [
            (frame, one[row, 1], two[column, 1], distance[row, column])
            for row, column in np.argwhere(distance <= 0.5)
        ]

    ours = score(true, found, close_pairs(close))

    stored = json.loads((case / "TUD-Campus_expected.json").read_text())["metrics"]
    assert ours.mota == stored["mota"]
    assert ours.idf1 == stored["idf1"]
    assert ours.switches == stored["num_switches"]
