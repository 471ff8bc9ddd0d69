"""Who died: a filter over two states per track, live and dead for good.

Its evidence is the calibrated probability of every frame, made weaker the closer the
frames follow one another: neighbouring frames show the same mistake twice, so a burst
proves little and a frame after minutes proves most. A cell that has just divided is
doubted, since it looks dead while it spreads again; where asked for, the cell must have
lost dry mass as well, for a dead membrane leaks.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState, Segmented, Tracks
from configs.schema import DeathRule

CORRELATION_S = 60.0
"""Mistakes of the network on one cell fade over about this experiment time."""
FIRST_FRAME_WEIGHT = 0.3
"""Weight of the first frame of a track, which has none before it."""
EVIDENCE_LIMIT = 3.0
"""One frame moves the log odds by at most this, however sure the network is."""
SCEPTICISM = 1.0
"""Log odds taken off every frame of a cell known to live where its dry mass is not
asked: cells that round up, spread or shrink look dead for longer than by chance."""
RESPREADING_S = 7200.0
"""For so long after a division, or a sudden loss of area, a cell may look dead while it
spreads again ..."""
RESPREADING_SCEPTICISM = 3.0
"""... and this is taken off besides."""
SUDDEN_SHARE = 0.65
"""A fall below this share of the usual area is sudden: mitosis, division, apoptosis."""
AREA_MEMORY_S = 900.0
"""Time over which the usual area of a cell is averaged."""
MASS_NOW_S, MASS_USUAL_S = 300.0, 3600.0
"""Times over which the present and the usual dry mass of a cell are averaged."""
LOG_ODDS_LIMIT = 15.0
SMALLEST_PROBABILITY = 1e-4


def weigh_evidence(
    dead_probability: NDArray[np.floating[Any]],
    step_s: NDArray[np.float64],
    scepticism: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the log odds that one frame adds, after its steps since the frame before.

    Parameters
    ----------
    dead_probability
        (cell,) calibrated probability of this frame alone.
    step_s
        (cell,) experiment seconds since the cell was last seen; infinite for never.
    scepticism
        (cell,) log odds taken off.
    """
    bounded = np.clip(
        dead_probability.astype(np.float64),
        SMALLEST_PROBABILITY,
        1 - SMALLEST_PROBABILITY,
    )
    weight = np.where(
        np.isinf(step_s), FIRST_FRAME_WEIGHT, -np.expm1(-step_s / CORRELATION_S)
    )
    log_odds = np.log(bounded / (1 - bounded)) - scepticism
    return np.clip(weight * log_odds, -EVIDENCE_LIMIT, EVIDENCE_LIMIT)


@dataclass(slots=True)
class _Lives:
    """The death filter of every track, one row a track, ordered by id."""

    track_id: NDArray[np.int64]
    log_odds: NDArray[np.float64]  # of being dead; starts at even odds
    seen_s: NDArray[np.float64]  # time of the last frame with evidence, -inf never
    seen: NDArray[np.int32]  # frames with evidence
    above: NDArray[np.int32]  # consecutive ones over the bar
    onset_sum: NDArray[np.float64]  # evidence since it began to speak for death
    onset_s: NDArray[np.float64]  # time of the first frame of that sum
    usual_um2: NDArray[np.float64]  # area, averaged over the last minutes
    mass_now_pg: NDArray[np.float64]  # averaged over minutes, NaN without phase
    mass_usual_pg: NDArray[np.float64]  # averaged over an hour
    intact_s: NDArray[np.float64]  # time at which it last held its mass, -inf unknown
    spreading_s: NDArray[np.float64]  # may look dead until then, -inf never
    was_live: NDArray[np.bool_]  # settled, and believed to live
    dead: NDArray[np.bool_]  # for good


class Deaths:
    """The two-state filter: live -> dead, never back."""

    def __init__(self, rule: DeathRule) -> None:
        self.rule = rule
        self._lives = _unknown(np.empty(0, np.int64))

    def update(
        self, segmented: Segmented, tracks: Tracks, step_s: float
    ) -> list[tuple[int, float]]:
        """Take one frame and give the rows that died, and when it began."""
        lives = self._lives = _follow(self._lives, tracks.track_id)
        if np.isfinite(step_s):
            lives.log_odds = self._age(lives.log_odds, step_s)
        rows = np.flatnonzero(tracks.label > 0)
        cells = np.searchsorted(segmented.cells.label, tracks.label[rows])
        probability = segmented.cells.dead_probability[cells]
        known = np.isfinite(probability)
        rows, probability = rows[known], probability[known]

        time_s = segmented.info.time_s
        self._watch_shape(segmented, rows, cells[known], step_s)
        evidence = weigh_evidence(
            probability, time_s - lives.seen_s[rows], self._scepticism(rows, time_s)
        )
        lives.log_odds[rows] += evidence
        np.clip(lives.log_odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT, out=lives.log_odds)
        begins = (lives.onset_sum[rows] <= 0) & (evidence > 0)
        lives.onset_s[rows[begins]] = time_s
        lives.onset_sum[rows] = np.maximum(lives.onset_sum[rows] + evidence, 0)
        lives.seen_s[rows] = time_s
        lives.seen[rows] += 1
        died = self._decide(rows)
        since_s = np.where(lives.onset_sum > 0, lives.onset_s, time_s)[died]
        since_s = np.maximum(since_s, lives.intact_s[died])
        return list(zip(died.tolist(), since_s.tolist(), strict=True))

    def _watch_shape(
        self,
        segmented: Segmented,
        rows: NDArray[np.int64],
        cells: NDArray[np.int64],
        step_s: float,
    ) -> None:
        """Note which cells have just divided or rounded up."""
        lives, table = self._lives, segmented.cells
        area_um2 = table.area_um2[cells].astype(np.float64)
        cut = table.touches_edge[cells]
        new = lives.seen[rows] == 0
        # In the first frame everything is new; later only what divides or comes in.
        fresh = new & ~cut & np.isfinite(step_s)
        fresh |= ~new & ~cut & (area_um2 < SUDDEN_SHARE * lives.usual_um2[rows])
        until_s = segmented.info.time_s + RESPREADING_S
        lives.spreading_s[rows[fresh]] = until_s
        anew = new | fresh
        mass_pg = table.dry_mass_pg[cells].astype(np.float64)
        for memory, value, memory_s in (
            (lives.usual_um2, area_um2, AREA_MEMORY_S),
            (lives.mass_now_pg, mass_pg, MASS_NOW_S),
            (lives.mass_usual_pg, mass_pg, MASS_USUAL_S),
        ):
            kept = memory[rows]
            left = np.exp(-step_s / memory_s)
            mixed = np.where(anew, value, left * kept + (1 - left) * value)
            memory[rows] = np.where(cut & ~new, kept, mixed)
        intact = self._holds_mass(rows, self.rule.mass_loss / 2)
        lives.intact_s[rows[intact]] = segmented.info.time_s

    def _holds_mass(self, rows: NDArray[np.int64], loss: float) -> NDArray[np.bool_]:
        """Say which cells have lost less than this share; none where it is unasked."""
        lives = self._lives
        if self.rule.mass_loss == 0:
            return np.zeros(rows.size, np.bool_)
        # NaN, where there is no phase, compares as false: nothing is known.
        held: NDArray[np.bool_] = (
            lives.mass_now_pg[rows] > (1 - loss) * lives.mass_usual_pg[rows]
        )
        return held

    def _scepticism(
        self, rows: NDArray[np.int64], time_s: float
    ) -> NDArray[np.float64]:
        lives = self._lives
        spreading = lives.spreading_s[rows] > time_s
        unweighed = lives.was_live[rows] & (self.rule.mass_loss == 0)
        return SCEPTICISM * unweighed + RESPREADING_SCEPTICISM * spreading

    def _age(self, log_odds: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
        # P' = P + (1 - P) h, which for the odds o is (o + h) / (1 - h).
        # A gap however long leaves at least an even chance to be alive.
        hazard = min(-np.expm1(-self.rule.hazard_per_h * step_s / 3600), 0.5)
        return np.logaddexp(log_odds, np.log(hazard)) - np.log1p(-hazard)

    def _decide(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        lives, bar = self._lives, self.rule.probability
        probability = _sigmoid(lives.log_odds[rows])
        settled = lives.seen[rows] >= self.rule.settle_frames
        lives.above[rows] = np.where(probability > bar, lives.above[rows] + 1, 0)
        lives.was_live[rows] |= settled & (probability < 1 - bar)
        dies = settled & ~lives.dead[rows] & (lives.above[rows] >= self.rule.frames)
        dies &= ~self._holds_mass(rows, self.rule.mass_loss)
        lives.dead[rows[dies]] = True
        return rows[dies & lives.was_live[rows]]

    def describe(self, tracks: Tracks) -> Tracks:
        """Give the tracks with probability, state and doubt of the filter."""
        lives = _follow(self._lives, tracks.track_id)
        probability = _sigmoid(lives.log_odds)
        probability[lives.dead] = np.maximum(
            probability[lives.dead], self.rule.probability
        )
        low, high = self.rule.unsure_band
        return replace(
            tracks,
            dead_probability=probability.astype(np.float32),
            state=np.where(probability > 0.5, CellState.DEAD, CellState.LIVE).astype(
                np.uint8
            ),
            unsure=(probability >= low) & (probability <= high),
        )


def _unknown(track_id: NDArray[np.int64]) -> _Lives:
    count = track_id.size
    return _Lives(
        track_id=track_id,
        log_odds=np.zeros(count),
        seen_s=np.full(count, -np.inf),
        seen=np.zeros(count, np.int32),
        above=np.zeros(count, np.int32),
        onset_sum=np.zeros(count),
        onset_s=np.zeros(count),
        usual_um2=np.zeros(count),
        mass_now_pg=np.full(count, np.nan),
        mass_usual_pg=np.full(count, np.nan),
        intact_s=np.full(count, -np.inf),
        spreading_s=np.full(count, -np.inf),
        was_live=np.zeros(count, np.bool_),
        dead=np.zeros(count, np.bool_),
    )


def _follow(lives: _Lives, track_id: NDArray[np.int64]) -> _Lives:
    """Give the filters of these tracks: old ones kept, new ones unknown."""
    new = _unknown(track_id)
    _, old_rows, new_rows = np.intersect1d(
        lives.track_id, track_id, assume_unique=True, return_indices=True
    )
    for field in fields(_Lives):
        getattr(new, field.name)[new_rows] = getattr(lives, field.name)[old_rows]
    return new


def _sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-log_odds))
