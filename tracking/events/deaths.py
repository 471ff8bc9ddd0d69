"""Who died: a filter over two states per track, live and dead for good.

Let h be the prior chance to die in one bin of the history, z the log likelihood ratio
of the look of a cell in a bin (dead against alive), T that of its change there (died
in this bin against not). The odds of the hypothesis "died in bin b" and those of being
dead are

    log o_b = log h_b + T_b + z_b + ... + z_now,    o = o_always + sum_b o_b,

an absorbing two-state filter whose backward pass is the same sum: the posterior of the
onset is o_b / o. A change is judged again when more of what follows is known
(`tracking.events.evidence.AHEADS`), so the onset of a death is corrected while the
evidence for it grows.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState, Segmented, Tracks
from configs.events import DeathRule
from tracking.events.evidence import AHEADS, Evidence, Nets
from tracking.events.histories import BIN_S, BINS, Histories, follow

LOG_ODDS_LIMIT = 15.0
LOG_ODDS_AT_FIRST = -1.4
"""Of being dead when first seen: one in five. The evidence has the share of the dead
taken out; with even odds, the living whose first looks are poor were shown as dead."""
SURE_WATCHED = 0.8
"""A dead cell is reported when it is so likely to have died while it was watched, and
not before. That needs less than to be sure of its death: many look a little dead when
they are first seen, an hour before they die."""
EVER_LIVE = 0.3
"""And when it was less likely dead than this, once it had settled."""
FEWEST_BEFORE = 3
"""A change is only judged against so many known bins before it."""


@dataclass(frozen=True, slots=True)
class Death:
    """A track that died, as far as is known now."""

    row: int  # of the present tracks
    onset_s: float
    alert_s: float  # first suspected
    probability: float


@dataclass(slots=True)
class _Lives:
    """What the filter knows of every track, one row a track, ordered by id."""

    track_id: NDArray[np.int64]
    level: NDArray[np.float64]  # (track, bin) log likelihood ratio, 0 unknown
    turn: NDArray[np.float64]  # (track, bin)
    always: NDArray[np.float64]  # (track,) log odds of dead when it was first seen
    earlier: NDArray[np.float64]  # (track,) and of having died before all bins
    log_odds: NDArray[np.float64]  # (track,) of being dead
    died_odds: NDArray[np.float64]  # (track,) if dead, of having died within the bins
    steps: NDArray[np.int32]  # (track,) bins with evidence
    votes: NDArray[np.bool_]  # (track, bin) the bin alone speaks for death
    above: NDArray[np.int32]  # (track,) steps in a row over the bar
    alert_s: NDArray[np.float64]  # (track,) first of the present suspicion, inf none
    was_live: NDArray[np.bool_]  # settled, and believed to live
    dead: NDArray[np.bool_]  # for good


class Deaths:
    """The filter of one stage position."""

    def __init__(self, rule: DeathRule, evidence: Evidence) -> None:
        self.rule = rule
        self.evidence = evidence
        self.histories = Histories()
        self._lives = _unknown(np.empty(0, np.int64))
        self.newest_s = -np.inf  # time of the first frame of the newest bin
        self._step_s = BIN_S
        self._onset_share = evidence.onset_level_weight / evidence.level_weight

    def update(
        self, segmented: Segmented, tracks: Tracks, step_s: float
    ) -> list[Death]:
        """Take one frame and give who died.

        Evidence is taken once a bin, so neighbouring frames, which repeat one
        another's mistakes, count as one.
        """
        info = segmented.info
        bins = self.histories.update(segmented, tracks)
        lives = self._lives = follow(self._lives, _unknown(tracks.track_id))
        if bins == 0:
            return []
        if np.isfinite(step_s):
            self._step_s = step_s
        self._shift(bins, info.dose_gy)
        self.newest_s = info.time_s
        nets = self.nets(segmented)
        seen = self.histories.known_now()
        self._weigh(nets, seen, bins)
        odds = self._odds(info.dose_gy)
        level = lives.level.sum(axis=1)
        always = lives.always + level
        watched = np.logaddexp(lives.earlier + level, _log_sum(odds))
        lives.log_odds = _bounded(np.logaddexp(always, watched))
        lives.died_odds = _bounded(watched - always)
        lives.steps[seen] += 1
        rows = self._decide(np.flatnonzero(seen), info.time_s)
        return [self._death(row, info.time_s) for row in rows.tolist()]

    def nets(self, segmented: Segmented) -> Nets:
        """Give the networks for the kind of image."""
        if segmented.info.modality == "slim":
            return self.evidence.phase
        return self.evidence.plain

    def present(self, track_id: int) -> Death | None:
        """Give what is known now of a track that died; None once it has ended."""
        row = int(np.searchsorted(self._lives.track_id, track_id))
        known = row < self._lives.track_id.size
        if not known or self._lives.track_id[row] != track_id:
            return None
        return self._death(row, self.newest_s)

    def living(self) -> NDArray[np.bool_]:
        """Say which tracks (track,) are believed alive, and known long enough."""
        lives = self._lives
        return lives.was_live & ~lives.dead & (lives.log_odds < 0)

    def _shift(self, bins: int, dose_gy: float) -> None:
        """Let the oldest bins pass into what was before, and make room."""
        lives = self._lives
        for _ in range(min(bins, BINS)):
            log_h = self._log_hazard(dose_gy)
            new = log_h + lives.turn[:, 0]
            level = lives.level[:, 0]
            lives.always = _bounded(lives.always + level)
            lives.earlier = _bounded(np.logaddexp(lives.earlier, new) + level)
            for table in (lives.level, lives.turn, lives.votes):
                table[:, :-1] = table[:, 1:]
                table[:, -1] = 0

    def _weigh(self, nets: Nets, seen: NDArray[np.bool_], bins: int) -> None:
        """Judge the look of the newest bin, and the changes whose time has come.

        The longer the time since the frame before, the less its mistakes are repeated.
        """
        lives, evidence = self._lives, self.evidence
        weight = 1 - (1 - evidence.level_weight) ** bins
        for ahead, net in zip(AHEADS, nets.turns, strict=True):
            features = self.histories.features(ahead)
            if ahead == AHEADS[0]:
                level = nets.level(features)
                lives.level[:, -1] = np.where(seen, weight * level, 0)
                # Only what repeats weighs less: a first look counts in full.
                new = seen & (lives.steps == 0)
                lives.always[new] += LOG_ODDS_AT_FIRST + (1 - weight) * level[new]
                lives.votes[:, -1] = seen & (level > 0)
            enough = self.histories.known_before(ahead) >= FEWEST_BEFORE
            turn = evidence.turn_weight * net(features)
            lives.turn[:, BINS - ahead] = np.where(enough, turn, 0.0)

    def _log_hazard(self, dose_gy: float) -> float:
        rule = self.rule
        per_h = rule.hazard_per_h + rule.hazard_per_h_per_gy * dose_gy
        return float(np.log(-np.expm1(-per_h * BIN_S / 3600)))

    def _odds(self, dose_gy: float) -> NDArray[np.float64]:
        """Give the log odds (track, bin) of having died in each bin."""
        after = np.cumsum(self._lives.level[:, ::-1], axis=1)[:, ::-1]
        return self._log_hazard(dose_gy) + self._lives.turn + after

    def _decide(self, rows: NDArray[np.int64], time_s: float) -> NDArray[np.int64]:
        """Give the rows that die now."""
        lives, rule = self._lives, self.rule
        # It died while it was watched: neither does it live, nor was it dead before.
        dead = _sigmoid(lives.log_odds[rows])
        watched = _sigmoid(lives.died_odds[rows]) > SURE_WATCHED
        probability = np.where(watched, dead, 0.0)
        settled = lives.steps[rows] >= rule.settle_frames
        suspected = probability > rule.alert
        first = np.minimum(lives.alert_s[rows], time_s)
        lives.alert_s[rows] = np.where(suspected, first, np.inf)
        over = probability > rule.probability
        lives.above[rows] = np.where(over, lives.above[rows] + 1, 0)
        lives.was_live[rows] |= settled & (dead < EVER_LIVE)
        if rule.rule == "filter":
            dies = lives.above[rows] >= rule.frames
        else:
            votes = lives.votes[rows, -rule.of_frames :].sum(axis=1)
            dies = votes >= rule.frames
        dies &= settled & ~lives.dead[rows]
        lives.dead[rows[dies]] = True
        return rows[dies & lives.was_live[rows]]

    def _death(self, row: int, time_s: float) -> Death:
        lives = self._lives
        after = np.cumsum(lives.level[row, ::-1])[::-1]
        odds = lives.turn[row] + self._onset_share * after
        share = np.cumsum(np.exp(odds - odds.max()))
        at = int(np.searchsorted(share, share[-1] / 2))  # the median of the posterior
        if self.rule.rule == "k of n":
            last = self.rule.of_frames
            at = BINS - last + int(lives.votes[row, -last:].argmax())
        begin_s = (self.newest_s // BIN_S - (BINS - 1 - at)) * BIN_S
        if self._step_s >= BIN_S:  # it died on the way to the frame of the bin
            begin_s += self.newest_s % BIN_S - BIN_S
        onset_s = float(np.clip(begin_s + BIN_S / 2, 0.0, time_s))
        alert_s = float(min(lives.alert_s[row], time_s))
        return Death(row, onset_s, alert_s, float(_sigmoid(lives.log_odds[row])))

    def describe(self, tracks: Tracks) -> Tracks:
        """Give the tracks with probability, state and doubt of the filter."""
        lives = follow(self._lives, _unknown(tracks.track_id))
        probability = _sigmoid(lives.log_odds)
        probability[lives.dead] = np.maximum(
            probability[lives.dead], self.rule.probability
        )
        low, high = self.rule.unsure_band
        state = np.where(probability > 0.5, CellState.DEAD, CellState.LIVE)
        return replace(
            tracks,
            dead_probability=probability.astype(np.float32),
            state=state.astype(np.uint8),
            unsure=(probability >= low) & (probability <= high),
        )


def _unknown(track_id: NDArray[np.int64]) -> _Lives:
    count = track_id.size
    return _Lives(
        track_id=track_id,
        level=np.zeros((count, BINS)),
        turn=np.zeros((count, BINS)),
        always=np.zeros(count),
        earlier=np.full(count, -LOG_ODDS_LIMIT),
        log_odds=np.zeros(count),
        died_odds=np.full(count, -LOG_ODDS_LIMIT),
        steps=np.zeros(count, np.int32),
        votes=np.zeros((count, BINS), np.bool_),
        above=np.zeros(count, np.int32),
        alert_s=np.full(count, np.inf),
        was_live=np.zeros(count, np.bool_),
        dead=np.zeros(count, np.bool_),
    )


def _bounded(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)


def _log_sum(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    most = odds.max(axis=1)
    return np.asarray(most + np.log(np.exp(odds - most[:, None]).sum(axis=1)))


def _sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
