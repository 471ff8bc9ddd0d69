"""Who died: a filter over two states per track, live and dead for good.

Let h be the prior chance to die in one bin of the history, F the log odds of a cell
that is seen for the first time to be dead already, z what the look of a cell in a bin
adds to the log odds of being dead, T the log likelihood ratio of its change there (died
in this bin against not). Against a cell that lives, the odds of "died in bin b" and
those of "was dead before it was seen" are

    log o_b = log h_b + T_b + z_b + ... + z_now,    log o_0 = F + z_1 + ... + z_now,

an absorbing two-state filter whose backward pass is the same sum: the posterior of the
onset is o_b / (1 + o_0 + sum_b o_b). F, z and T are fitted together, so that this
posterior is right. A change is judged again when more of what follows is known
(`tracking.events.evidence.AHEADS`), so the onset of a death is corrected while the
evidence for it grows.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState, Segmented, Tracks
from configs.events import DeathRule
from tracking.events.evidence import AHEADS, Evidence, Nets, judged_from
from tracking.events.histories import BIN_S, BINS, CHANNELS, Histories, follow

LOG_ODDS_LIMIT = 30.0
NEVER = -60.0
"""Log odds of a change in a bin in which the cell cannot have died."""
DATED = 0.3
"""A death is reported when so much of its posterior lies within `NEAR_BINS` of its
date: a cell that surely died, nobody knows when, is not an event yet."""
NEAR_BINS = 3
MOST_APART = 12
"""Looks that lie up to so many bins apart repeat ever fewer of one another's mistakes;
the evidence is fitted to looks in every bin."""
EVER_LIVE = 0.3
"""A track was alive when it was less likely dead than this, once it had settled."""


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
    died: NDArray[np.float64]  # (track,) probability of having died while watched
    dated: NDArray[np.float64]  # (track,) and that within `NEAR_BINS` of its date
    date_bin: NDArray[np.int64]  # (track,) its middle, a bin; below 0: before them
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
        # (bin,) logarithm of the bins since the one before in which a frame was made.
        self._waited = np.zeros(BINS)

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
        seen = self.histories.known()
        self._weigh(self.nets(segmented), seen, bins)
        self._judge(info.dose_gy)
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
        lives.date_bin -= bins
        for _ in range(min(bins, BINS)):
            log_h = self._log_hazard(dose_gy)
            new = log_h + self._waited[0] + lives.turn[:, 0]
            level = lives.level[:, 0]
            lives.always = _bounded(lives.always + level)
            lives.earlier = _bounded(np.logaddexp(lives.earlier, new) + level)
            for table, blank in (
                (lives.level, 0.0),
                (lives.turn, NEVER),
                (lives.votes, False),
            ):
                table[:, :-1] = table[:, 1:]
                table[:, -1] = blank
            self._waited = np.append(self._waited[1:], 0.0)
        self._waited[-1] = np.log(max(bins, 1))

    def _weigh(self, nets: Nets, seen: NDArray[np.bool_], bins: int) -> None:
        """Judge the look of the newest bin, and the changes whose time has come."""
        lives = self._lives
        features = self.histories.features(*AHEADS)
        nearest = features[0]
        new = seen & (lives.steps == 0)
        lives.always[new] = nets.first(nearest[new])
        weight = min(bins, MOST_APART) ** 0.5
        lives.level[:, -1] = np.where(seen, weight * nets.level(nearest), 0.0)
        looks_dead = self.histories.newest()[0][:, CHANNELS.index("logit")] > 0
        lives.votes[:, -1] = seen & looks_dead
        for which, ahead in enumerate(AHEADS):
            # A death is dated in the first bin in which it can have been seen.
            watched = self.histories.known(ahead) & (
                self.histories.known_before(ahead) > 0
            )
            turn = nets.turn(judged_from(features[which], which))
            lives.turn[:, BINS - ahead] = np.where(watched, turn, NEVER)

    def _judge(self, dose_gy: float) -> None:
        """Work out the posterior of every track: dead, died here, and when."""
        lives = self._lives
        level = lives.level.sum(axis=1)
        odds = self._odds(dose_gy)
        always, earlier = lives.always + level, lives.earlier + level
        watched = np.logaddexp(earlier, _log_sum(odds))
        dead = np.logaddexp(always, watched)
        lives.log_odds = _bounded(dead)
        every = np.logaddexp(0.0, dead)  # alive has log odds 0
        lives.died = np.exp(watched - every)
        share = np.cumsum(np.exp(odds - every[:, None]), axis=1)
        share = np.pad(share, ((0, 0), (NEAR_BINS + 1, NEAR_BINS)), mode="edge")
        share[:, : NEAR_BINS + 1] = 0
        near = share[:, 2 * NEAR_BINS + 1 :] - share[:, : -2 * NEAR_BINS - 1]
        lives.dated = near.max(axis=1, initial=0.0)
        # Of bins that are as good, the middle one.
        best = near >= lives.dated[:, None] - 1e-6
        last = BINS - 1 - best[:, ::-1].argmax(axis=1)
        middle = (best.argmax(axis=1) + last + 1) // 2
        # What leaves the memory keeps the date that it had while all of it was there.
        whole = (lives.dated > DATED) & (middle > NEAR_BINS)
        lives.date_bin = np.where(whole, middle, lives.date_bin)

    def _log_hazard(self, dose_gy: float) -> float:
        rule = self.rule
        per_h = rule.hazard_per_h + rule.hazard_per_h_per_gy * dose_gy
        return float(np.log(-np.expm1(-per_h * BIN_S / 3600)))

    def _odds(self, dose_gy: float) -> NDArray[np.float64]:
        """Give the log odds (track, bin) of having died in each bin."""
        after = np.cumsum(self._lives.level[:, ::-1], axis=1)[:, ::-1]
        return self._log_hazard(dose_gy) + self._waited + self._lives.turn + after

    def _decide(self, rows: NDArray[np.int64], time_s: float) -> NDArray[np.int64]:
        """Give the rows that die now."""
        lives, rule = self._lives, self.rule
        # It died while it was watched: neither does it live, nor was it dead before.
        dead, probability = _sigmoid(lives.log_odds[rows]), lives.died[rows]
        settled = lives.steps[rows] >= rule.settle_frames
        suspected = probability > rule.alert
        first = np.minimum(lives.alert_s[rows], time_s)
        lives.alert_s[rows] = np.where(suspected, first, np.inf)
        over = (probability > rule.probability) & (lives.dated[rows] > DATED)
        lives.above[rows] = np.where(over, lives.above[rows] + 1, 0)
        lives.was_live[rows] |= settled & (dead < EVER_LIVE)
        if rule.rule == "filter":
            dies = told = lives.above[rows] >= rule.frames
        else:
            votes = lives.votes[rows, -rule.of_frames :].sum(axis=1)
            dies = votes >= rule.frames
            told = dies & lives.was_live[rows]
        open_ = settled & ~lives.dead[rows]
        lives.dead[rows[dies & open_]] = True
        return rows[told & open_]

    def _death(self, row: int, time_s: float) -> Death:
        lives = self._lives
        at = int(lives.date_bin[row])
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
        turn=np.full((count, BINS), NEVER),
        always=np.zeros(count),
        earlier=np.full(count, NEVER),
        log_odds=np.zeros(count),
        died=np.zeros(count),
        dated=np.zeros(count),
        date_bin=np.zeros(count, np.int64),
        steps=np.zeros(count, np.int32),
        votes=np.zeros((count, BINS), np.bool_),
        above=np.zeros(count, np.int32),
        alert_s=np.full(count, np.inf),
        was_live=np.zeros(count, np.bool_),
        dead=np.zeros(count, np.bool_),
    )


def _bounded(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(odds, NEVER, LOG_ODDS_LIMIT)


def _log_sum(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    most = odds.max(axis=1)
    return np.asarray(most + np.log(np.exp(odds - most[:, None]).sum(axis=1)))


def _sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
