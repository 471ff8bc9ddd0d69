"""What is about to happen: deaths by their hazard, contacts by the forecast."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import expit, logit

from acquisition.records import Cells, CellState, Forecast, Segmented, Tracks
from configs.events import PredictedContactRule, PredictedDeathRule
from tracking.events.contacts import Pair
from tracking.events.histories import shares_blob

FEWEST_STEPS = 5
"""A younger track cannot meet anybody: it was not apart for long enough."""
MEETING = (-0.759, -1.042, 0.184, 1.431, -0.486)
"""Log odds of a meeting: constant, gap, size of the gap and expected approach in
deviations of the forecast, logarithm of that deviation over both radii. Fitted to the
true contacts of demo, seeds 901 and 905, at a horizon of 20 minutes."""
LATE_S = 1200.0
"""What was predicted and comes within this time after its deadline still counts."""
LONGEST = 6.0
"""Ratio of the axes of an ellipse, at most."""
FARTHEST_UM = 15.0
"""Gap, less the margin of the rule, beyond which no pair was among those of the fit."""
MOST_PAIRS = 50_000
"""Where cells are so dense that more pairs are that near, a track is only held against
the nearest ones; the other pairs are counted as left out."""
NEAREST = 4
WATCHED = 0.2
"""Approaches at least so likely are followed silently, for the rolling outcome."""
FIRST_CASES = 8.0
"""Weight of the fit against the outcomes of the run: about 30 even chances."""
LARGEST_SHIFT = 2.0
"""Of the log odds, by the outcomes of the run."""


@dataclass(frozen=True, slots=True)
class Approach:
    """A pair that is expected to meet."""

    pair: Pair
    probability: float  # to have met by the end of the lead
    lead_s: float


class PredictedDeaths:
    """Cells whose chance to die soon has been above the bar for some steps."""

    def __init__(self, rule: PredictedDeathRule) -> None:
        self._rule = rule
        self._above: dict[int, int] = {}
        self._told: set[int] = set()

    def update(
        self, track_id: NDArray[np.int64], probability: NDArray[np.float64]
    ) -> list[tuple[int, float]]:
        """Take one step of all living tracks; gives (track, probability), once each."""
        over = probability > self._rule.probability
        names = track_id[over].tolist()
        likely = dict(zip(names, probability[over].tolist(), strict=True))
        self._above = {track: self._above.get(track, 0) + 1 for track in likely}
        ready = [
            track
            for track in likely
            if self._above[track] >= self._rule.frames and track not in self._told
        ]
        self._told.update(ready)
        return [(track, likely[track]) for track in ready]

    def forget(self, track: int) -> None:
        """Let a track be predicted again: it outlived its prediction."""
        self._told.discard(track)
        self._above.pop(track, None)


class RollingOutcome:
    """How often those who approached have met in this run: a shift of the log odds.

    Every approach is a case once, told or not, so the chances stay right where the bar
    lets none pass. A case is closed when its time has passed, not when they meet: else
    those who meet would be counted first. A Newton step each, from a prior of no shift.
    """

    def __init__(self) -> None:
        self.shift = 0.0
        self._weight = FIRST_CASES
        self._open: dict[Pair, tuple[float, float]] = {}  # log odds, last time in s
        self._met: set[Pair] = set()  # of those

    def watch(self, pair: Pair, log_odds: float, until_s: float) -> None:
        """Follow a pair until this time."""
        self._open.setdefault(pair, (log_odds, until_s))

    def settle(self, time_s: float, met: set[Pair], alive: set[int]) -> None:
        """Take the pairs that met in this frame, and learn from those whose time is up.

        A pair that has met is in touch for a while: it cannot be followed anew before.
        One that has not, and of which a track is no longer ``alive``, is left out:
        whether they would have met is not known.
        """
        self._met |= met & self._open.keys()
        lost = [pair for pair in self._open if not alive.issuperset(pair)]
        for pair in lost:
            if pair not in self._met:
                del self._open[pair]
        over = [pair for pair, (_, until_s) in self._open.items() if time_s > until_s]
        for pair in over:
            chance = float(expit(self._open.pop(pair)[0] + self.shift))
            self._weight += chance * (1 - chance)
            moved = self.shift + ((pair in self._met) - chance) / self._weight
            self.shift = float(np.clip(moved, -LARGEST_SHIFT, LARGEST_SHIFT))
        self._met &= self._open.keys()


@dataclass
class PredictedContacts:
    """Pairs that are apart and whose forecasts meet."""

    rule: PredictedContactRule
    outcome: RollingOutcome = field(default_factory=RollingOutcome)
    left_out: int = 0  # pairs that were not looked at, see `MOST_PAIRS`
    _above: dict[Pair, int] = field(default_factory=dict)
    _told: set[Pair] = field(default_factory=set)

    def update(
        self,
        segmented: Segmented,
        tracks: Tracks,
        forecast: Forecast,
        in_touch: set[Pair],
        met: set[Pair],
    ) -> list[Approach]:
        """Take one frame; gives the pairs that have just become likely to meet.

        ``in_touch`` cannot meet now, ``met`` have met in this frame.
        """
        alive = set(tracks.track_id.tolist())
        self.outcome.settle(segmented.info.time_s, met, alive)
        likely = self._likely(segmented, tracks, forecast, in_touch)
        self._above = {pair: self._above.get(pair, 0) + 1 for pair in likely}
        self._told -= met
        ready = [
            likely[pair]
            for pair in sorted(likely)
            if self._above[pair] >= self.rule.frames and pair not in self._told
        ]
        self._told.update(one.pair for one in ready)
        return ready

    def forget(self, pair: Pair) -> None:
        """Let a pair be predicted again: it did not meet."""
        self._told.discard(pair)

    def _likely(
        self,
        segmented: Segmented,
        tracks: Tracks,
        forecast: Forecast,
        in_touch: set[Pair],
    ) -> dict[Pair, Approach]:
        used = forecast.horizon_s <= self.rule.max_lead_s
        used &= forecast.horizon_s >= self.rule.min_lead_s
        rows = _followed(tracks)
        if not used.any() or rows.size < 2:
            return {}
        reach_um = 2 * reaches(segmented.cells, tracks, rows).max()
        reach_um += self.rule.margin_um + FARTHEST_UM
        near, left_out = _near_pairs(tracks.centre_um[rows], reach_um)
        self.left_out += left_out
        near = rows[near]
        alive = (tracks.state[near] != CellState.DEAD).any(axis=1)
        one, other = near[alive].T
        odds = log_odds_to_meet(
            segmented.cells, tracks, forecast, one, other, self.rule.margin_um
        )[:, used]
        horizon_s = forecast.horizon_s[used]
        bar = float(logit(self.rule.probability)) - self.outcome.shift
        found = {}
        for at in np.flatnonzero(odds.max(axis=1, initial=-np.inf) > logit(WATCHED)):
            pair = (int(tracks.track_id[one[at]]), int(tracks.track_id[other[at]]))
            pair = (min(pair), max(pair))
            if pair in in_touch:
                continue
            last = int(odds[at].argmax())
            until_s = segmented.info.time_s + float(horizon_s[last]) + LATE_S
            self.outcome.watch(pair, float(odds[at, last]), until_s)
            above = np.flatnonzero(odds[at] > bar)
            if above.size:
                chance = expit(odds[at, above[0]] + self.outcome.shift)
                found[pair] = Approach(pair, float(chance), float(horizon_s[above[0]]))
        return found


def _near_pairs(
    centre_um: NDArray[np.float64], reach_um: float
) -> tuple[NDArray[np.int64], int]:
    """Give the pairs (pair, 2) that are so near, and how many are left out."""
    tree, count = cKDTree(centre_um), len(centre_um)
    every = (int(tree.count_neighbors(tree, reach_um)) - count) // 2
    if every <= MOST_PAIRS:
        return tree.query_pairs(reach_um, output_type="ndarray"), 0
    _, other = tree.query(centre_um, NEAREST + 1, distance_upper_bound=reach_um)
    one = np.repeat(np.arange(count), NEAREST + 1)
    pairs = np.stack((one, other.ravel()), axis=1)
    pairs = pairs[(pairs[:, 1] < count) & (pairs[:, 0] != pairs[:, 1])]
    near = np.unique(np.sort(pairs, axis=1), axis=0)
    return near, every - len(near)


def _followed(tracks: Tracks) -> NDArray[np.int64]:
    """Give the rows of tracks whose outline is known and that can meet somebody."""
    good = (tracks.label > 0) & ~shares_blob(tracks)
    return np.flatnonzero(good & (tracks.age_frames >= FEWEST_STEPS))


def log_odds_to_meet(
    cells: Cells,
    tracks: Tracks,
    forecast: Forecast,
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    margin_um: float,
) -> NDArray[np.float64]:
    """Give the log odds (pair, horizon) that two tracks, by row, touch by then.

    With g the gap of their ellipses along the line of sight, m by how much the
    forecasts come closer, s the deviation of both and r the sum of the radii, they are
    linear in g/s, |g|/s, m/s and log(s/r): see `MEETING`. The chance that a Brownian
    walk of discs has closed the gap, which needs no fit, was right half as often where
    it was sure: neighbours that lie side by side for hours have no gap either.
    """
    sight_um = tracks.centre_um[other] - tracks.centre_um[one]
    apart_um = np.linalg.norm(sight_um, axis=1)
    reach_um = reaches(cells, tracks, one, sight_um)
    reach_um += reaches(cells, tracks, other, sight_um)
    later_um = forecast.centre_um[one] - forecast.centre_um[other]
    closer_um = apart_um[:, None] - np.linalg.norm(later_um, axis=2)
    sigma_um = np.hypot(forecast.sigma_um[one], forecast.sigma_um[other])
    sigma_um = np.maximum(sigma_um, 1e-6)
    gap = (apart_um - reach_um - margin_um)[:, None] / sigma_um
    radii_um = tracks.radius_um[one] + tracks.radius_um[other]
    spread = np.log(sigma_um / radii_um[:, None])
    first, *weights = MEETING
    parts = (gap, np.abs(gap), closer_um / sigma_um, spread)
    odds = first + sum(w * part for w, part in zip(weights, parts, strict=True))
    return np.asarray(odds, np.float64)


def reaches(
    cells: Cells,
    tracks: Tracks,
    rows: NDArray[np.int64],
    sight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Give how far (row,) in um tracks reach along ``sight`` (row, yx), or at most.

    An ellipse with the axes of the cell and the area of the track.
    """
    at = np.searchsorted(cells.label, tracks.label[rows])
    axes = cells.axes_um[at].astype(np.float64)
    ratio = np.sqrt(axes[:, 0] / np.maximum(axes[:, 1], axes[:, 0] / LONGEST))
    radius_um = tracks.radius_um[rows].astype(np.float64)
    if sight is None:
        return np.asarray(radius_um * ratio)
    angle = np.arctan2(sight[:, 0], sight[:, 1]) - cells.angle_rad[at]
    shape = np.hypot(np.cos(angle) / ratio, np.sin(angle) * ratio)
    return np.asarray(radius_um / shape)
