"""The tracking stage: a segmented frame in, its complete analysis out."""

import itertools
import logging
from dataclasses import dataclass, replace

import numpy as np

from acquisition.clock import stamp_ns
from acquisition.records import Analysed, Cells, Segmented, blank_info, read_only
from configs.events import Events, Trigger
from configs.schema import Forecasting, Tracking
from tracking.events.evidence import load_evidence
from tracking.events.rules import EventRules
from tracking.forecasts.forecaster import (
    MODELS,
    Forecaster,
    build_corrector,
    forecast_facts,
)
from tracking.forecasts.rolling import Scores
from tracking.linking.tracker import Tracker
from tracking.requests import RequestRules
from tracking.revisions.refine import Refiner, rules_of, tell_exchanges, warm_up
from tracking.revisions.solver import PATIENCE_S, EpisodeSolver

logger = logging.getLogger(__name__)

WARM_FRAMES = 24
"""Of the warm-up: the first forecasts come due in them."""


@dataclass(frozen=True, slots=True)
class _Position:
    """What watches one stage position."""

    tracker: Tracker
    forecaster: Forecaster
    rules: EventRules
    refiner: Refiner | None


class TrackingStage:
    """Tracks, forecasts, events and requests of all positions of a run.

    Every position has a tracker of its own; track, event and request ids are unique in
    the run. Frames beside the fields of the plan are measured only: their cells are
    not tracked. ``first_id`` is where the numbers begin: a stage that
    replaces one that died must not give its names again. ``patient``: wait for the
    second looks at contacts, where time stands still meanwhile.
    """

    def __init__(
        self,
        tracking: Tracking,
        forecasting: Forecasting,
        events: Events,
        triggers: tuple[Trigger, ...],
        first_id: int = 1,
        patient: bool = False,
    ) -> None:
        self._tracking = tracking
        self._forecasting = forecasting
        self._correct, self.note = build_corrector(forecasting)
        self._events = events
        self._evidence = load_evidence(events.death.calibration)
        self._triggers = triggers
        self._first_id = first_id
        self._solver = EpisodeSolver(rules_of(tracking), patient=patient)
        self._begin()

    def _begin(self) -> None:
        """Know nothing of any frame."""
        self._scores = Scores(MODELS, len(self._forecasting.horizons_s))
        self._track_ids = itertools.count(self._first_id)
        self._event_ids = itertools.count(self._first_id)
        self._revision_ids = itertools.count(self._first_id)
        self._requests = RequestRules(self._triggers, self._first_id)
        self._positions: dict[str, _Position] = {}

    def forecast_facts(self) -> dict[str, float]:
        """Give which model forecasts, and how good each has been in this run."""
        learned = self._correct is not None
        return forecast_facts(self._forecasting.model, self._scores, learned=learned)

    @property
    def refused(self) -> int:
        """Requests that the rate limits held back."""
        return self._requests.refused

    @property
    def contacts_left_out(self) -> int:
        """Contacts that were too large, too long or too many for a second look."""
        refiners = (position.refiner for position in self._positions.values())
        return sum(one.left_out for one in refiners if one is not None)

    @property
    def smoothness_assumed(self) -> int:
        """Positions whose smoothness is to be learnt, and is not known yet."""
        refiners = (position.refiner for position in self._positions.values())
        return sum(one.is_smoothness_assumed for one in refiners if one is not None)

    @property
    def pairs_left_out(self) -> int:
        """Pairs that no contact was predicted for: their cells lie too densely."""
        return sum(one.rules.pairs_left_out for one in self._positions.values())

    def __call__(self, segmented: Segmented) -> Analysed:
        """Analyse one frame; ``decision_ns`` is when the requests were ready."""
        if segmented.info.is_aside:
            return self._measured_only(segmented)
        position = self._position(segmented.info.position)
        found = position.tracker.update(segmented)
        time_s = segmented.info.time_s
        position.forecaster.observe(time_s, segmented.cells, found)
        tracks, events = position.rules.update(segmented, found)
        tracks_ns = stamp_ns()
        predicted = position.forecaster.forecast(tracks)
        events += position.rules.foresee(segmented, tracks, predicted)
        verdicts = position.rules.judge(time_s)
        forecast_ns = stamp_ns()
        requests = self._requests.update(segmented.info, events, forecast_ns)
        analysed = Analysed(
            segmented,
            tracks,
            predicted,
            events,
            requests,
            tracks_ns,
            forecast_ns,
            stamp_ns(),
            verdicts=verdicts,
            revisions=tell_exchanges(
                segmented.info, position.tracker.swapped, self._revision_ids
            ),
        )
        if position.refiner is not None:
            refined, revisions = position.refiner.update(
                segmented.info, segmented.labels.shape, segmented.cells, tracks
            )
            revisions = (*analysed.revisions, *revisions)
            analysed = replace(analysed, refined=refined, revisions=revisions)
        # The rest has no arrays; of many events it has many fields to look for them.
        read_only((segmented, tracks, predicted, analysed.refined))
        return analysed

    def warm_up(self) -> None:
        """Load and compile everything before the first frame, on made-up ones.

        They are forgotten, so this is for a stage that has seen none. What contacts
        need is loaded meanwhile, and waited for.
        """
        refine = self._tracking.refine
        solves = refine.live and refine.contacts
        ready = self._solver.prepare() if solves else None
        for sequence in range(1, WARM_FRAMES + 1):
            self(_made_up(sequence))
        self._begin()
        if refine.live:
            warm_up(rules_of(self._tracking))
        if ready is not None and not ready.wait(PATIENCE_S):
            logger.warning(
                "what contacts need was not loaded in %g s: the first ones wait for it",
                PATIENCE_S,
            )

    def _position(self, name: str) -> _Position:
        if name not in self._positions:
            self._positions[name] = _Position(
                Tracker(self._tracking, self._track_ids),
                self._forecaster(),
                EventRules(self._events, self._event_ids, self._evidence),
                self._refiner(),
            )
        return self._positions[name]

    def _refiner(self) -> Refiner | None:
        if not self._tracking.refine.live:
            return None
        return Refiner(self._tracking, self._solver, self._revision_ids)

    def _forecaster(self) -> Forecaster:
        return Forecaster(
            self._forecasting,
            self._tracking.localisation_um,
            self._scores,
            self._correct,
        )

    def _measured_only(self, segmented: Segmented) -> Analysed:
        tracks = Tracker(self._tracking).present()
        predicted = self._forecaster().forecast(tracks)
        now_ns = stamp_ns()
        analysed = Analysed(
            segmented, tracks, predicted, (), (), now_ns, now_ns, now_ns
        )
        read_only(analysed)
        return analysed


def _made_up(sequence: int) -> Segmented:
    """Give a field of 1 mm full of cells, two of which touch, half a minute a frame."""
    info = replace(
        blank_info("slim", 1.0),
        sequence=sequence,
        time_s=30.0 * sequence,
        position="warm-up",
    )
    blank = np.zeros((1024, 1024), np.uint16)
    made = Segmented(info, blank, blank, _cells(), "warm-up", "none", 0, 0, 0, 0)
    # Frames come so: to the compiler an array that can be written is of another type.
    read_only(made)
    return made


def _cells() -> Cells:
    """Give as many cells as a usual field has: the libraries wake for the size."""
    along = np.arange(-480.0, 481.0, 48.0)
    centres = np.stack(np.meshgrid(along, along, indexing="ij"), -1).reshape(-1, 2)
    count = len(centres)
    column = np.ones(count, np.float32)
    no = np.zeros(count, np.bool_)
    return Cells(
        label=np.arange(1, count + 1, dtype=np.int32),
        centre_um=centres,
        area_um2=200 * column,
        axes_um=np.ones((count, 2), np.float32),
        angle_rad=column,
        mean_phase_rad=column,
        dry_mass_pg=column,
        dead_probability=0.1 * column,
        state=np.ones(count, np.uint8),
        unsure=no,
        touches_edge=no,
        box_px=np.zeros((count, 4), np.int32),
        touching=np.array([[1, 2]], np.int32),
    )
