"""What is about to happen: deaths by their hazard, contacts by the forecast."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtr, ndtri

from acquisition.records import CellState, Forecast, Tracks
from configs.events import PredictedContactRule, PredictedDeathRule
from tracking.events.contacts import Pair
from tracking.events.histories import shares_blob

FEWEST_STEPS = 3
"""A track is forecast when it was seen so often."""


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


@dataclass
class PredictedContacts:
    """Pairs that are apart and whose forecasts meet."""

    rule: PredictedContactRule
    _above: dict[Pair, int] = field(default_factory=dict)
    _told: set[Pair] = field(default_factory=set)

    def update(
        self, tracks: Tracks, forecast: Forecast, in_touch: set[Pair]
    ) -> list[Approach]:
        """Take one frame; gives the pairs that have just become likely to meet."""
        likely = self._likely(tracks, forecast, in_touch)
        self._above = {pair: self._above.get(pair, 0) + 1 for pair in likely}
        self._told -= in_touch
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
        self, tracks: Tracks, forecast: Forecast, in_touch: set[Pair]
    ) -> dict[Pair, Approach]:
        used = forecast.horizon_s <= self.rule.max_lead_s
        used &= forecast.horizon_s >= self.rule.min_lead_s
        good = (tracks.label > 0) & ~shares_blob(tracks)
        good &= tracks.age_frames >= FEWEST_STEPS
        rows = np.flatnonzero(good)
        if not used.any() or rows.size < 2:
            return {}
        sigma_um = forecast.sigma_um[rows][:, used]
        radius_um = tracks.radius_um[rows].astype(np.float64)
        way_um = forecast.centre_um[rows][:, used] - tracks.centre_um[rows, None]
        way_um = np.linalg.norm(way_um, axis=2)
        reach_um = 2 * radius_um.max() + self.rule.margin_um + 2 * float(way_um.max())
        # A walk without drift goes so far, at least, with the probability of the bar.
        farthest_sigmas = float(ndtri(1 - self.rule.probability / 2))
        reach_um += farthest_sigmas * np.sqrt(2) * float(sigma_um.max())
        tree = cKDTree(tracks.centre_um[rows])
        near = rows[tree.query_pairs(reach_um, output_type="ndarray")]
        one, other = near[:, 0], near[:, 1]
        moves = (tracks.state[one] != CellState.DEAD) | (
            tracks.state[other] != CellState.DEAD
        )
        one, other = one[moves], other[moves]
        probability = chance_to_meet(tracks, forecast, one, other, self.rule.margin_um)[
            :, used
        ]
        horizon_s = forecast.horizon_s[used]
        found = {}
        bar = self.rule.probability
        for at in np.flatnonzero(probability.max(axis=1, initial=0.0) > bar):
            pair = (int(tracks.track_id[one[at]]), int(tracks.track_id[other[at]]))
            pair = (min(pair), max(pair))
            if pair in in_touch:
                continue
            first = int((probability[at] > bar).argmax())
            found[pair] = Approach(
                pair, float(probability[at, first]), float(horizon_s[first])
            )
        return found


def chance_to_meet(
    tracks: Tracks,
    forecast: Forecast,
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    margin_um: float,
) -> NDArray[np.float64]:
    """Give the chance (pair, horizon) that two cells touch by then.

    The gap g of two discs is taken to walk along their line of sight, by its expected
    decrease m with the variance s^2 of both forecasts. The chance that such a walk has
    reached zero is that of Brownian motion with drift (inverse Gaussian; Cox and Miller
    1965, ch. 5.7):

        Phi((m - g) / s) + exp(2 m g / s^2) Phi((-g - m) / s).
    """
    apart_um = np.linalg.norm(tracks.centre_um[one] - tracks.centre_um[other], axis=1)
    later = forecast.centre_um[one] - forecast.centre_um[other]  # (pair, horizon, yx)
    closer_um = apart_um[:, None] - np.linalg.norm(later, axis=2)
    touch_um = tracks.radius_um[one] + tracks.radius_um[other] + margin_um
    gap_um = np.maximum(apart_um - touch_um, 0.0)[:, None]
    sigma_um = np.hypot(forecast.sigma_um[one], forecast.sigma_um[other])
    sigma_um = np.maximum(sigma_um, 1e-6)
    # Far from each other the second term is a vanishing one times a huge one.
    power = np.minimum(2 * closer_um * gap_um / sigma_um**2, 50.0)
    chance = ndtr((closer_um - gap_um) / sigma_um)
    chance += np.exp(power) * ndtr((-gap_um - closer_um) / sigma_um)
    return np.asarray(np.clip(chance, 0.0, 1.0))
