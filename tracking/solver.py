"""The thread in which closed contacts are solved; nobody ever waits for it.

An answer is asked for once, some frames later. If it is not there by then, or there is
no solution, the exact banded solve stands in, and says so.
"""

import queue
import threading
from dataclasses import dataclass, field

import numpy as np

from tracking.episodes import Episode, exchange, filled, rejoin
from tracking.robust import Contact, RobustCourses, Rules, Walls
from tracking.smoothing import Places, smooth_course

MOST_WAITING = 32
IDLE_S = 20.0
"""After so long without work the thread ends; the next episode starts another."""
PATIENCE_S = 60.0
"""Where time stands still meanwhile (stepped clock), an answer may take so long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How an episode is seen now that it is over."""

    order: tuple[int, ...]  # for every cell before, the row of its later part
    gain: float  # variances by which that is the better explanation
    places_um: Places  # (cell, frame, yx)
    method: str  # "osqp", or "banded" and why


@dataclass(slots=True)
class Job:
    """An episode that was handed in."""

    episode: Episode
    walls_um: Walls
    finished: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None


class EpisodeSolver:
    """Solves episodes of all positions, one after the other, in the background.

    Parameters
    ----------
    rules
        What courses may do.
    patient
        Wait for answers: only where nothing goes on meanwhile. It makes a run come out
        the same on every machine.
    """

    def __init__(self, rules: Rules, *, patient: bool = False) -> None:
        self._rules = rules
        self._patient = patient
        self._courses = RobustCourses(rules)
        self._jobs: queue.Queue[Job | None] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def prepare(self) -> None:
        """Load what the first episode would have to wait for, in the background."""
        self._put(None)

    def submit(self, episode: Episode, walls_um: Walls) -> Job:
        """Hand in an episode."""
        job = Job(episode, walls_um)
        if not self._put(job):
            job.answer = self._banded(episode, "too many contacts ended at once")
            job.finished.set()
        return job

    def collect(self, job: Job) -> Answer:
        """Give the answer, now."""
        if self._patient:
            job.finished.wait(PATIENCE_S)
        if job.finished.is_set() and job.answer is not None:
            return job.answer
        return self._banded(job.episode, "the answer was late")

    def _put(self, job: Job | None) -> bool:
        with self._lock:  # so that the thread does not end between look and put
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="episodes", daemon=True
                )
                self._thread.start()
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                return False
            return True

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._thread = None
                        return
                continue
            if job is None:
                self._courses.prepare()
                continue
            try:
                job.answer = self._solve(job)
            except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
                job.answer = self._banded(job.episode, f"{error}")
            job.finished.set()

    def _solve(self, job: Job) -> Answer:
        rules, episode = self._rules, job.episode
        order, gain = rejoin(episode, rules.lam, rules.noise_um)
        places, weight = filled(*exchange(episode, order))
        contact = Contact(episode.time_s, places, weight, job.walls_um)
        solved, method = self._courses.solve(contact)
        if solved is None:
            return self._banded(episode, method, (order, gain))
        return Answer(order, gain, solved, method)

    def _banded(
        self,
        episode: Episode,
        why: str,
        found: tuple[tuple[int, ...], float] | None = None,
    ) -> Answer:
        order, gain = found or (tuple(range(episode.track_id.size)), 0.0)
        centre_um, seen = exchange(episode, order)
        places = smooth_course(episode.time_s, centre_um, seen, self._rules.lam)
        return Answer(order, gain, places, f"banded: {why}")
